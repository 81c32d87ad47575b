"""The two final networks of ENAS.

Layout: melodyguan/enas at 4bcfd73, src/cifar10/micro_child.py (_model, _fixed_layer, _fixed_conv, _fixed_combine, _maybe_calibrate_size, _factorized_reduction),
src/cifar10/general_child.py (_model, _fixed_layer), scripts/cifar10_micro_final.sh, scripts/cifar10_macro_final.sh.

Stated otherwise than released, as this project has it:
- Micro: borders at stride 2 over even sides (see Net).
- Macro: what the numbers 1 and 3 choose is separable (in the search the release has it so, its final network has dense convolutions of the same size), and 4 and 5
  are a pool after the 1x1 convolution (the release's final network has nothing there and stops with an error).
"""

import torch
import torch.nn.functional as F

MICRO_OPS = ["sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "identity"]
MACRO_OPS = ["conv_3x3", "sep_conv_3x3", "conv_5x5", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"]

RELEASED_MICRO = {
    "normal": [0, 2, 0, 0, 0, 4, 0, 1, 0, 4, 1, 1, 1, 0, 0, 1, 0, 2, 1, 1],
    "reduce": [1, 0, 1, 0, 0, 3, 0, 2, 1, 1, 3, 1, 1, 0, 0, 4, 0, 3, 1, 1],
}
# No node reads the older input, which the output then holds; every operation at stride 2.
LOOSE_MICRO = {
    "normal": [1, 0, 1, 4, 1, 2, 2, 1, 2, 3, 1, 0],
    "reduce": [1, 1, 1, 4, 1, 2, 1, 3, 2, 0, 1, 0],
}
RELEASED_MACRO = [[int(n) for n in row.split()] for row in """
0
3 0
0 1 0
2 0 0 1
2 0 0 0 0
3 1 1 0 1 0
2 0 0 0 0 0 1
2 0 1 1 0 1 1 1
1 0 1 1 1 0 1 0 1
0 0 0 0 0 0 0 0 0 0
2 0 0 0 0 0 1 0 0 0 0
0 1 0 0 1 1 0 0 0 0 1 1
2 0 1 0 0 0 0 0 1 0 1 1 0
1 0 0 1 0 0 0 1 1 1 0 1 0 1
0 1 1 0 1 0 1 0 0 0 0 0 1 0 0
2 0 0 1 0 0 0 0 0 0 0 1 0 1 0 1
2 0 1 0 0 0 1 0 0 1 1 1 1 0 0 1 0
2 0 0 0 0 1 0 1 0 1 0 0 1 0 1 0 0 1
3 0 1 1 0 1 0 0 0 0 0 1 0 1 0 1 0 0 0
3 0 1 1 0 0 0 0 0 0 0 0 0 1 1 0 0 0 0 1
0 1 0 0 1 0 1 1 0 0 0 1 0 0 0 0 0 1 1 0 0
3 0 1 0 1 1 0 0 1 0 1 1 0 1 1 0 1 0 0 1 0 0
0 1 0 1 0 1 0 0 0 0 0 0 0 0 1 0 1 0 0 1 0 0 0
0 1 1 0 0 0 1 1 1 0 1 0 0 0 1 0 1 0 0 1 1 0 0 0
""".strip().splitlines()]
# As many layers as all operations need.
ALL_MACRO = [[4], [1, 1], [0, 1, 0], [5, 0, 1, 1], [3, 1, 0, 0, 1], [2, 0, 1, 0, 1, 0]]


def micro_document(arcs):
    """As an architecture file."""
    def cell(arc):
        edges = [{"op": MICRO_OPS[arc[i + 1]], "from": arc[i]} for i in range(0, len(arc), 2)]
        return {"nodes": [edges[i:i + 2] for i in range(0, len(edges), 2)], "concat": loose(arc)}

    return {"space": "enas_micro", "normal": cell(arcs["normal"]), "reduce": cell(arcs["reduce"])}


def macro_document(arc):
    """As an architecture file."""
    return {"space": "enas_macro", "layers": [{"op": MACRO_OPS[op], "skips": [j for j, joins in enumerate(skips) if joins]} for op, *skips in arc]}


def loose(arc):
    """The states that no node reads."""
    return [state for state in range(len(arc) // 4 + 2) if state not in arc[::2]]


def micro_operation(net, name, op, x, filters, stride):
    if op == "identity":
        return net.halves(name, x, filters) if stride == 2 else x
    if "pool" in op:
        return (net.max_pool if op.startswith("max") else net.average_pool)(x, 3, stride)
    x = net.relu_separable_norm(f"{name}.stage0", x, filters, int(op[-1]), stride)
    return net.relu_separable_norm(f"{name}.stage1", x, filters, int(op[-1]))


def micro_layer(net, name, arc, older, newer, filters, stride):
    if older.shape[2] != newer.shape[2]:
        older = net.halves(f"{name}.older", F.relu(older), filters)
    elif older.shape[1] != filters:
        older = net.relu_conv_norm(f"{name}.older", older, filters)
    if newer.shape[1] != filters:
        newer = net.relu_conv_norm(f"{name}.newer", newer, filters)
    states = [older, net.relu_conv_norm(f"{name}.again", newer, filters)]
    for node in range(len(arc) // 4):
        sides = []
        for side in range(2):
            state, op = arc[4 * node + 2 * side], MICRO_OPS[arc[4 * node + 2 * side + 1]]
            step = stride if state < 2 else 1
            sides.append(micro_operation(net, f"{name}.node{node}.{side}.{op}", op, states[state], filters, step))
        states.append(sides[0] + sides[1])
    smallest = min(states[s].shape[2] for s in loose(arc))
    outputs = [(s, states[s]) for s in loose(arc)]
    return torch.cat([net.halves(f"{name}.output{s}", x, filters) if x.shape[2] > smallest else x for s, x in outputs], 1)


def auxiliary_head(net, x, classes):
    """The large convolution has a border that keeps the size; where the side is even it is wider after the map."""
    x = F.avg_pool2d(F.relu(x), 5, 3)
    x = F.relu(net.norm("auxiliary.squeeze.norm", net.conv("auxiliary.squeeze.conv0", x, 128, 1)))
    side = x.shape[2]
    x = F.pad(x, ((side - 1) // 2, side // 2, (side - 1) // 2, side // 2))
    x = F.relu(net.norm("auxiliary.wide.norm", net.valid_conv("auxiliary.wide.conv0", x, 768, side)))
    return net.linear("auxiliary.classifier", x.mean((2, 3)), classes, bias=False)


def micro(net, images, arcs, filters, layers, classes, auxiliary):
    """`layers` without the two reductions."""
    older = newer = net.norm("stem.norm", net.conv("stem.conv0", images, 3 * filters, 3))
    reductions, head = (layers // 3, 2 * (layers // 3) + 1), None
    for i in range(layers + 2):
        reduction = i in reductions
        filters *= 2 if reduction else 1
        arc = arcs["reduce" if reduction else "normal"]
        older, newer = newer, micro_layer(net, f"cell{i}", arc, older, newer, filters, 2 if reduction else 1)
        if i == reductions[1] + 1 and auxiliary and net.training:
            head = auxiliary_head(net, newer, classes)
    return net.linear("classifier", F.relu(newer).mean((2, 3)), classes, bias=False), head


def macro_body(net, name, op, x, filters):
    if "pool" in op:
        return (net.max_pool if op.startswith("max") else net.average_pool)(x, 3, 1)
    kernel = int(op[-1])
    if op.startswith("sep"):
        return net.relu_separable_norm(f"{name}.{op}", x, filters, kernel)
    return net.relu_conv_norm(f"{name}.{op}", x, filters, kernel)


def macro(net, images, arc, filters, classes):
    outputs = [net.norm("stem.norm", net.conv("stem.conv0", images, filters, 3))]
    third = len(arc) // 3
    for i, (op, *skips) in enumerate(arc):
        name = f"layer{i}"
        x = net.relu_conv_norm(f"{name}.first", outputs[-1], filters)
        x = macro_body(net, name, MACRO_OPS[op], x, filters)
        if i > 0:
            joined = [outputs[j] for j, joins in enumerate(skips) if joins] + [x]
            x = net.relu_conv_norm(f"{name}.join", torch.cat(joined, 1), filters)
        outputs.append(x)
        if i in (third - 1, 2 * third - 1):
            filters *= 2
            outputs = [net.halves(f"{name}.reduce{j}", x, filters) for j, x in enumerate(outputs)]
    return net.linear("classifier", outputs[-1].mean((2, 3)), classes, bias=False), None
