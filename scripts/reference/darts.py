"""The evaluation network of DARTS on CIFAR.

Layout: quark0/darts at f276dd3, cnn/model.py (Cell, AuxiliaryHeadCIFAR, NetworkCIFAR), cnn/operations.py, cnn/genotypes.py (DARTS_V2).
"""

import torch
import torch.nn.functional as F

V2 = {
    "normal": [
        ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2),
    ],
    "reduce": [
        ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1),
        ("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1),
    ],
}

# Every operation, in the reduction cell at stride 2.
ALL_OPERATIONS = {
    "normal": [
        ("sep_conv_5x5", 0), ("dil_conv_5x5", 1), ("avg_pool_3x3", 0), ("skip_connect", 2),
        ("max_pool_3x3", 1), ("dil_conv_3x3", 3), ("sep_conv_3x3", 0), ("skip_connect", 1),
    ],
    "reduce": [
        ("sep_conv_5x5", 0), ("avg_pool_3x3", 1), ("dil_conv_5x5", 1), ("skip_connect", 0),
        ("dil_conv_3x3", 0), ("sep_conv_3x3", 1), ("max_pool_3x3", 0), ("skip_connect", 4),
    ],
}


def document(genotype):
    """As an architecture file."""
    def cell(pairs):
        edges = [{"op": op, "from": index} for op, index in pairs]
        return {"nodes": [edges[i:i + 2] for i in range(0, 8, 2)], "concat": [2, 3, 4, 5]}

    return {"space": "darts", "normal": cell(genotype["normal"]), "reduce": cell(genotype["reduce"])}


def operation(net, name, op, x, stride):
    channels = x.shape[1]
    kind, _, kernel = op.rpartition("_")
    if op == "skip_connect":
        return x if stride == 1 else net.halves(f"{name}.reduce", F.relu(x), channels)
    if kind == "max_pool":
        return F.max_pool2d(x, 3, stride, padding=1)
    if kind == "avg_pool":
        return F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)
    kernel = int(kernel[0])
    if kind == "dil_conv":
        return net.relu_separable_norm(f"{name}.stage0", x, channels, kernel, stride, dilation=2)
    x = net.relu_separable_norm(f"{name}.stage0", x, channels, kernel, stride)
    return net.relu_separable_norm(f"{name}.stage1", x, channels, kernel)


def cell(net, name, pairs, older, newer, channels, reduction, after_reduction):
    if after_reduction:
        older = net.halves(f"{name}.preprocess0", F.relu(older), channels)
    else:
        older = net.relu_conv_norm(f"{name}.preprocess0", older, channels)
    states = [older, net.relu_conv_norm(f"{name}.preprocess1", newer, channels)]
    for node in range(len(pairs) // 2):
        parts = []
        for edge in range(2):
            op, index = pairs[2 * node + edge]
            stride = 2 if reduction and index < 2 else 1
            parts.append(operation(net, f"{name}.node{node + 2}.edge{edge}.{op}", op, states[index], stride))
        states.append(parts[0] + parts[1])
    return torch.cat(states[2:], 1)


def auxiliary_head(net, x, classes):
    """For maps of 8x8. The released head has its first ReLU in place; every reader of that map begins with a ReLU, so nothing else changes."""
    x = F.avg_pool2d(F.relu(x), 5, 3)
    x = F.relu(net.norm("auxiliary.squeeze_norm", net.conv("auxiliary.squeeze", x, 128, 1)))
    x = F.relu(net.norm("auxiliary.widen_norm", net.valid_conv("auxiliary.widen", x, 768, 2)))
    return net.linear("auxiliary.classifier", x.flatten(1), classes)


def network(net, images, genotype, channels, layers, classes, auxiliary):
    older = newer = net.norm("stem.norm", net.conv("stem.conv", images, 3 * channels, 3))
    reductions, head = (layers // 3, 2 * layers // 3), None
    for i in range(layers):
        reduction = i in reductions
        channels *= 2 if reduction else 1
        pairs = genotype["reduce" if reduction else "normal"]
        older, newer = newer, cell(net, f"cell{i}", pairs, older, newer, channels, reduction, i - 1 in reductions)
        if i == reductions[1] and auxiliary and net.training:
            head = auxiliary_head(net, newer, classes)
    return net.linear("classifier", newer.mean((2, 3)), classes), head
