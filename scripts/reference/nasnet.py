"""The CIFAR networks of cells of the NASNet space.

Layout: tensorflow/models, research/slim/nets/nasnet (nasnet.py at 03cdc5f: _cifar_stem, _build_nasnet_base, _build_aux_head; nasnet_utils.py at 08eebbc:
NasNetABaseCell and its two cells); tensorflow/tpu, models/official/amoeba_net (network_utils.py at 645a455: BaseCell; model_builder.py at 11a028b; model_specs.py:
amoeba_net_a).

Stated otherwise than released, as this project has it:
- AmoebaNet's release has no CIFAR network: its `_basic_stem` has no border and a width of its own, and its batch norm adds 1e-3. Here its cells stand in NASNet's CIFAR
  network, with 1e-5.
- Borders at stride 2 over even sides (see Net).
"""

import torch
import torch.nn.functional as F

# Operations, the states that they read (0: the newer input, 1: the older one), and which states are used up, as in the release.
NASNET_A = {
    "normal": (
        ["separable_5x5_2", "separable_3x3_2", "separable_5x5_2", "separable_3x3_2", "avg_pool_3x3",
         "none", "avg_pool_3x3", "avg_pool_3x3", "separable_3x3_2", "none"],
        [0, 1, 1, 1, 0, 1, 1, 1, 0, 0],
        [1, 0, 0, 0, 0, 0, 0],
    ),
    "reduce": (
        ["separable_5x5_2", "separable_7x7_2", "max_pool_3x3", "separable_7x7_2", "avg_pool_3x3",
         "separable_5x5_2", "none", "avg_pool_3x3", "separable_3x3_2", "max_pool_3x3"],
        [0, 1, 0, 1, 0, 1, 3, 2, 2, 0],
        [1, 1, 1, 0, 0, 0, 0],
    ),
}
AMOEBANET_A = {
    "normal": (
        ["avg_pool_3x3", "max_pool_3x3", "separable_3x3_2", "none", "none",
         "avg_pool_3x3", "separable_3x3_2", "separable_5x5_2", "avg_pool_3x3", "separable_3x3_2"],
        [0, 0, 1, 1, 0, 1, 0, 2, 5, 0],
        [1, 0, 1, 0, 0, 1, 0],
    ),
    "reduce": (
        ["separable_3x3_2", "avg_pool_3x3", "max_pool_3x3", "separable_7x7_2", "max_pool_3x3",
         "max_pool_3x3", "separable_3x3_2", "1x7_7x1", "avg_pool_3x3", "separable_7x7_2"],
        [1, 0, 0, 2, 1, 0, 4, 0, 1, 0],
        [1, 1, 0, 0, 0, 0, 0],
    ),
}
# The other operations of AmoebaNet's release and an identity at stride 2; both inputs of the normal and none of the reduction cell are concatenated.
OTHER_OPERATIONS = {
    "normal": (
        ["1x1", "3x3", "1x3_3x1", "dilated_3x3_rate_2", "1x7_7x1", "max_pool_5x5", "max_pool_7x7", "1x1", "separable_7x7_2", "none"],
        [0, 1, 1, 0, 0, 1, 1, 2, 3, 1],
        [0, 0, 1, 1, 0, 0, 0],
    ),
    "reduce": (
        ["1x1", "3x3", "1x3_3x1", "none", "1x7_7x1", "max_pool_5x5", "max_pool_7x7", "none", "dilated_3x3_rate_2", "1x3_3x1"],
        [0, 1, 1, 0, 0, 1, 1, 1, 2, 3],
        [1, 1, 1, 1, 0, 0, 0],
    ),
}
NAMES = {"none": "identity", "dilated_3x3_rate_2": "bottleneck_dil_conv_3x3"}


def named(op):
    """The name of an operation here."""
    if op.startswith("separable"):
        return f"sep_conv_{op.split('_')[1]}"
    return NAMES.get(op) or (op if "pool" in op else f"conv_{op}")


def ours(state):
    """A state's number here, where 0 is the older input."""
    return 1 - state if state < 2 else state


def document(cells):
    """As an architecture file."""
    def cell(operations, indices, used):
        edges = [{"op": named(op), "from": ours(state)} for op, state in zip(operations, indices)]
        return {"nodes": [edges[i:i + 2] for i in range(0, 10, 2)], "concat": [ours(s) for s in range(7) if not used[s]]}

    return {"space": "nasnet", **{name: cell(*cells[name]) for name in ("normal", "reduce")}}


def operation(net, name, op, x, filters, stride):
    stages = iter(f"{name}.stage{i}" for i in range(4))
    if op.startswith("separable"):
        kernel = int(op.split("_")[1][0])
        x = net.relu_separable_norm(next(stages), x, filters, kernel, stride)
        return net.relu_separable_norm(next(stages), x, filters, kernel)
    if "pool" in op:
        pool = net.max_pool if op.startswith("max") else net.average_pool
        x = pool(x, int(op[-1]), stride)
        if x.shape[1] == filters:
            return x
        return net.norm(f"{name}.project.norm", net.conv(f"{name}.project.conv0", x, filters, 1))
    if op in ("none", "1x1"):
        if op == "none" and stride == 1 and x.shape[1] == filters:
            return x
        return net.relu_conv_norm(next(stages), x, filters, 1, stride)
    width = 3 * filters // 8 if op == "1x3_3x1" else filters // 4
    x = net.relu_conv_norm(next(stages), x, width)
    if op == "3x3":
        x = net.relu_conv_norm(next(stages), x, width, 3, stride)
    elif op == "dilated_3x3_rate_2":
        stage = next(stages)
        x = net.norm(f"{stage}.norm", net.conv(f"{stage}.conv0", F.relu(x), width, 3, stride, dilation=2))
    else:
        long = int(op[2])
        x = net.relu_conv_norm(next(stages), x, width, (1, long), (1, stride))
        x = net.relu_conv_norm(next(stages), x, width, (long, 1), (stride, 1))
    return net.relu_conv_norm(next(stages), x, filters)


def cell(net, name, parts, x, before, filters, stride):
    operations, indices, used = parts
    if before is None:
        before = x
    elif before.shape[2] != x.shape[2]:
        before = net.halves(f"{name}.older", F.relu(before), filters)
    elif before.shape[1] != filters:
        before = net.relu_conv_norm(f"{name}.older", before, filters)
    states = [net.relu_conv_norm(f"{name}.newer", x, filters), before]
    for block in range(5):
        sides = []
        for side in range(2):
            op, state = operations[2 * block + side], indices[2 * block + side]
            step = stride if state < 2 else 1
            sides.append(operation(net, f"{name}.block{block}.{side}.{named(op)}", op, states[state], filters, step))
        states.append(sides[0] + sides[1])
    return torch.cat([output(net, f"{name}.output{ours(s)}", states[s], states[-1]) for s in range(7) if not used[s]], 1)


def output(net, name, x, last):
    """A state that is concatenated, in the shape of the last; no ReLU."""
    if x.shape[2] != last.shape[2]:
        return net.halves(name, x, last.shape[1])
    if x.shape[1] != last.shape[1]:
        return net.norm(f"{name}.norm", net.conv(f"{name}.conv0", x, last.shape[1], 1))
    return x


def auxiliary_head(net, x, classes):
    x = F.avg_pool2d(F.relu(x), 5, 3)
    x = F.relu(net.norm("auxiliary.squeeze.norm", net.conv("auxiliary.squeeze.conv0", x, 128, 1)))
    x = F.relu(net.norm("auxiliary.whole.norm", net.valid_conv("auxiliary.whole.conv0", x, 768, tuple(x.shape[2:]))))
    return net.linear("auxiliary.classifier", x.flatten(1), classes)


def network(net, images, cells, filters, normal_cells, classes, auxiliary):
    x = net.norm("stem.norm", net.conv("stem.conv0", images, 3 * filters, 3))
    outputs, head, count = [None, x], None, 0
    reductions = [normal_cells // 3, 2 * normal_cells // 3]
    for number in range(normal_cells):
        if number in reductions:
            filters *= 2
            x = cell(net, f"cell{count}", cells["reduce"], x, outputs[-2], filters, 2)
            outputs.append(x)
            count += 1
        x = cell(net, f"cell{count}", cells["normal"], x, outputs[-2], filters, 1)
        outputs.append(x)
        count += 1
        if number == reductions[1] - 1 and auxiliary and net.training:
            head = auxiliary_head(net, x, classes)
    return net.linear("classifier", F.relu(x).mean((2, 3)), classes), head
