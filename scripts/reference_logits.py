#!/usr/bin/env python3
"""Writes tests/fixtures/reference/logits.json: what reference networks compute that are stated in PyTorch's operators, from the authors' released code.

The networks are in reference/, one file a paper, each with the files of the release that it follows and what it states otherwise. Weights and images follow a rule
(reference/layers.py), so logits are all that is stored, in double precision. Needs torch and numpy. The tests read the committed file; run this only to change it.
"""

import json
import pathlib
import platform
import sys

sys.dont_write_bytecode = True

import numpy
import torch

from reference import darts, enas, nas_unet, nasnet
from reference.layers import Net, photographs, uniform

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "reference" / "logits.json"
CLASSES = 5


def case(method, name, architecture, images, size, network, classes=CLASSES, tensorflow=False):
    """`images`: number, channels, height, width; `size`: channels, cells, auxiliary head."""
    return {"method": method, "name": name, "architecture": architecture, "images": images, "classes": classes,
            "size": dict(zip(("channels", "cells", "auxiliary"), size)), "network": network, "tensorflow": tensorflow}


def of_darts(name, architecture, side, size, genotype):
    return case("darts", name, architecture, (8, 3, side, side), size, lambda net, x: darts.network(net, x, genotype, size[0], size[1], CLASSES, size[2]))


def of_cells(method, name, architecture, side, size, cells):
    """Over odd sides at every stride 2 the release's borders are those of this project, so nothing is stated otherwise there."""
    def network(net, x):
        return nasnet.network(net, x, cells, size[0], size[1] - 2, CLASSES, size[2])

    return case(method, name, architecture, (8, 3, side, side), size, network, tensorflow=side % 4 == 1)


def of_micro(name, architecture, side, size, arcs):
    return case("enas_micro", name, architecture, (8, 3, side, side), size, lambda net, x: enas.micro(net, x, arcs, size[0], size[1] - 2, CLASSES, size[2]))


def of_macro(name, architecture, channels, arc):
    return case("enas_macro", name, architecture, (8, 3, 16, 16), (channels, len(arc), False), lambda net, x: enas.macro(net, x, arc, channels, CLASSES))


def of_nas_unet(name, architecture, images, channels, genotype):
    def network(net, x):
        return nas_unet.network(net, x, genotype, channels, 2, 2)

    return case("nas_unet", name, architecture, images, (channels, 5, False), network, classes=2)


def of_unet(name, images, channels, depth):
    architecture = {"space": "unet", "channels": channels, "depth": depth}
    # A U-Net has a size of its own; the size of cells is not read.
    return case("unet", name, architecture, images, (channels, 5, False), lambda net, x: nas_unet.unet(net, x, channels, depth, 2), classes=2)


CASES = [
    of_darts("V2, 32x32, auxiliary head", "darts-v2", 32, (8, 6, True), darts.V2),
    of_darts("V2, 16x16", "darts-v2", 16, (8, 5, False), darts.V2),
    of_darts("every operation, 16x16", darts.document(darts.ALL_OPERATIONS), 16, (6, 6, False), darts.ALL_OPERATIONS),
    of_cells("nasnet", "NASNet-A, 16x16, auxiliary head", "nasnet-a", 16, (8, 5, True), nasnet.NASNET_A),
    of_cells("nasnet", "NASNet-A, 17x17 with TensorFlow's borders, auxiliary head", "nasnet-a", 17, (8, 8, True), nasnet.NASNET_A),
    of_cells("amoebanet", "AmoebaNet-A, 16x16, auxiliary head", "amoebanet-a", 16, (8, 5, True), nasnet.AMOEBANET_A),
    of_cells("amoebanet", "AmoebaNet-A, 17x17 with TensorFlow's borders", "amoebanet-a", 17, (8, 8, False), nasnet.AMOEBANET_A),
    of_cells("amoebanet", "other operations, 17x17 with TensorFlow's borders", nasnet.document(nasnet.OTHER_OPERATIONS), 17, (8, 5, False), nasnet.OTHER_OPERATIONS),
    of_micro("released cells, 32x32, auxiliary head", "enas-micro", 32, (6, 5, True), enas.RELEASED_MICRO),
    of_micro("released cells, 16x16", "enas-micro", 16, (8, 8, False), enas.RELEASED_MICRO),
    of_micro("a loose input, 16x16", enas.micro_document(enas.LOOSE_MICRO), 16, (8, 5, False), enas.LOOSE_MICRO),
    of_macro("released network", "enas-macro", 8, enas.RELEASED_MACRO),
    of_macro("every operation", enas.macro_document(enas.ALL_MACRO), 8, enas.ALL_MACRO),
    of_nas_unet("V3, 16x16, 32 channels", "nas-unet-v3", (2, 3, 16, 16), 32, nas_unet.V3),
    of_nas_unet("V2, 16x16, 16 channels", "nas-unet-v2", (2, 1, 16, 16), 16, nas_unet.V2),
    of_nas_unet("other operations, 11x14, 8 channels", nas_unet.document(nas_unet.OTHER_OPERATIONS), (2, 1, 11, 14), 8, nas_unet.OTHER_OPERATIONS),
    of_unet("four levels, 16x16", (2, 1, 16, 16), 4, 4),
    of_unet("two levels, 10x7", (2, 3, 10, 7), 6, 2),
]


def run(case, images, training):
    """Logits, those of the auxiliary head, and the pass."""
    net = Net(training, case["tensorflow"])
    logits, head = case["network"](net, images)
    both = [x for x in (logits, head) if x is not None]
    sum((x * uniform("direction", x.shape)).sum() for x in both).backward()
    return logits.detach(), head, net


def idle(net):
    """The weights that change no logit. (Halved outputs of a macro network that no layer joins are expected.)"""
    return {name for name, w in net.weights.items() if (w.grad is None or not w.grad.any()) and ".reduce" not in name}


def spread(logits):
    """How far the images' logits are apart, in terms of the largest."""
    return float(logits.std(0).mean() / logits.abs().max())


def record(case):
    images = photographs(case["images"])
    evaluation, _, scoring = run(case, images, False)
    training, head, net = run(case, images, True)
    assert not idle(net), f"{case['name']}: {idle(net)} change nothing"
    assert min(spread(evaluation), spread(training)) > 0.01, f"{case['name']}: all images have the same logits"
    print(f"{case['method']}, {case['name']}: largest logit {evaluation.abs().max():.3g} and {training.abs().max():.3g}, "
          f"spread of images {spread(evaluation):.2f} and {spread(training):.2f}, idle while scoring {len(idle(scoring))}")
    entry = {key: value for key, value in case.items() if key not in ("network", "tensorflow")}
    entry["weights"] = sum(w.numel() for w in net.weights.values())
    entry["tensors"] = len(net.weights) + net.statistics
    entry["evaluation"] = evaluation.flatten(1).tolist()
    # Without batch norm both passes are one.
    entry["training"] = training.flatten(1).tolist() if net.statistics else None
    entry["auxiliary"] = head.tolist() if head is not None else None
    return entry


def main():
    torch.set_num_threads(1)
    made = f"torch {torch.__version__}, numpy {numpy.__version__}, Python {platform.python_version()}"
    print(made)
    entries = ",\n".join(json.dumps(record(case)) for case in CASES)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(f'{{"made_with": {json.dumps(made)}, "cases": [\n{entries}\n]}}\n')
    print(f"{OUT.relative_to(OUT.parents[3])}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
