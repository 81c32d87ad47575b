#!/usr/bin/env python3
"""Reads the event files in a folder as TensorBoard does and prints, as JSON, {"scalars": {tag: [[step, value, seconds]]}, "texts": {tag: text}}."""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    # 0 keeps all points; TensorBoard would thin them out.
    events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [[e.step, e.value, e.wall_time] for e in events.Scalars(tag)] for tag in tags["scalars"]}
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}
    print(json.dumps({"scalars": scalars, "texts": texts}))


if __name__ == "__main__":
    main()
