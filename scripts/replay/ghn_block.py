"""A block of GHN as a graph, and where the weights of its network come from. Needs Python alone."""

import re

# What a vertex stands for, in the order of naslab's one-hot starts (reproductions/ghn/graph.rs).
KINDS = ["identity", "conv_1x1", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "conv_1x7_7x1", "max_pool_3x3", "avg_pool_3x3", "input", "output", "stem", "head"]


def block(architecture):
    """Kinds of a block's vertices, and its edges (from, to): two inputs, the nodes, one output."""
    nodes = architecture["nodes"]
    edges = [(edge["from"], 2 + i) for i, node in enumerate(nodes) for edge in node]
    edges += [(state, 2 + len(nodes)) for state in architecture["concat"]]
    return ["input", "input", *(node[0]["op"] for node in nodes), "output"], edges


def shapes(f, channels, classes):
    """{kind: {tensor: its shape for the first width f}}"""
    separable = lambda k: {"conv0.weight": (f, 1, k, k), "conv1.weight": (f, f, 1, 1)}
    return {"conv_1x1": {"conv0.weight": (f, f, 1, 1)}, "sep_conv_3x3": separable(3), "sep_conv_5x5": separable(5), "dil_conv_3x3": separable(3),
            "conv_1x7_7x1": {"conv0.weight": (f, f, 1, 7), "conv1.weight": (f, f, 7, 1)}, "input": {"conv0.weight": (f, f, 1, 1)},
            "stem": {"conv0.weight": (f, channels, 3, 3)}, "head": {"weight": (classes, 4 * f), "bias": (classes,)}}


def source(name, names):
    """Of a child's weight: its vertex, the vertex's tensor, and which half of the rows it is (None: all). A reduction has two convolutions, of which the hypernetwork predicts one matrix."""
    vertex, tensor = re.fullmatch(r"(stem|head|block\d+\.(?:in|node)\d+)\.(?:first\.)?(.+)", name).groups()
    if ".in" not in vertex or f"{vertex}.conv1.weight" not in names:
        return vertex, tensor, None
    return vertex, "conv0.weight", int(tensor.removeprefix("conv")[0])
