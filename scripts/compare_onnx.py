#!/usr/bin/env python3
"""Runs ONNX models with onnxruntime and compares their logits with given ones.

Each argument is a folder with model.onnx and cases.json: a list of {"images": T, "logits": T}, where T is {"shape": [...], "values": [...]}.
Prints the largest difference of every folder; exit code 1 if one is above the tolerance or a model is not sound.
"""

import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime

TOLERANCE = 1e-4


def array(tensor):
    return numpy.array(tensor["values"], dtype=numpy.float32).reshape(tensor["shape"])


def load(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def largest_difference(folder):
    session = load(folder / "model.onnx")
    worst = 0.0
    for case in json.loads((folder / "cases.json").read_text()):
        (logits,) = session.run(["logits"], {"images": array(case["images"])})
        expected = array(case["logits"])
        if logits.shape != expected.shape:
            sys.exit(f"{folder.name}: logits {logits.shape}, expected {expected.shape}")
        # Written so that a NaN is a failure.
        difference = float(numpy.abs(logits - expected).max())
        if not difference <= TOLERANCE:
            sys.exit(f"{folder.name}: {case['images']['shape']}: the logits differ by {difference}")
        worst = max(worst, difference)
    return worst


def main():
    for folder in map(pathlib.Path, sys.argv[1:]):
        print(f"{folder.name} {largest_difference(folder):.2e}")


if __name__ == "__main__":
    main()
