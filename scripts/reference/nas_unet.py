"""NAS-Unet's final network, and the U-Net beside it.

Layout: tianbaochou/NasUnet at 38f54d6, models/nas_unet.py (BuildCell, NasUnet), util/prim_ops_set.py, models/geno_searched.py; models/unet.py.

Stated otherwise than released, as this project has it:
- A gate has at least one hidden unit (in the release none below 16 channels).
- Images whose sides the network cannot halve often enough are filled up by repeating their border, and the logits are cropped.
- The U-Net has a ReLU after the second convolution of a stage too, as in Ronneberger et al.

`conv` and `shuffle_conv` are the same operation in the release too, since both have one group.
"""

import torch
import torch.nn.functional as F

STEM = 4
V3 = {
    "down": [("down_dil_conv", 1), ("down_cweight", 0), ("down_cweight", 0), ("down_cweight", 1), ("down_cweight", 0), ("conv", 3), ("down_cweight", 0), ("conv", 4)],
    "up": [("cweight", 0), ("up_cweight", 1), ("conv", 2), ("up_cweight", 1), ("up_cweight", 1), ("conv", 3), ("up_cweight", 1), ("conv", 4)],
}
V2 = {
    "down": [("down_conv", 1), ("down_dep_conv", 0), ("down_cweight", 1), ("down_dil_conv", 0), ("down_dil_conv", 1), ("down_conv", 0)],
    "up": [("identity", 0), ("up_cweight", 1), ("identity", 2), ("up_cweight", 1), ("cweight", 3), ("up_conv", 1)],
}
# Among others the operations that are in neither.
OTHER_OPERATIONS = {
    "down": [("max_pool", 0), ("avg_pool", 1), ("down_dep_conv", 0), ("dil_conv", 2), ("dep_conv", 2), ("shuffle_conv", 3)],
    "up": [("dil_conv", 0), ("up_dil_conv", 1), ("up_dep_conv", 1), ("dep_conv", 2), ("identity", 0), ("up_conv", 1)],
}


def document(genotype):
    """As an architecture file."""
    def cell(pairs):
        edges = [{"op": op, "from": index} for op, index in pairs]
        return [edges[i:i + 2] for i in range(0, len(edges), 2)]

    return {"space": "nas_unet", "down": cell(genotype["down"]), "up": cell(genotype["up"])}


def group_norm(net, name, x):
    channels = x.shape[1]
    groups = channels // 16 if channels % 16 == 0 else 1
    return F.group_norm(x, groups, net.weight(f"{name}.weight", channels), net.weight(f"{name}.bias", channels))


def convolution(net, name, x, output, kernel=1, stride=1, dilation=1, depthwise=False, transpose=False):
    """The weighted part of the release's ConvOps."""
    first = x.shape[1] if depthwise else output
    groups = x.shape[1] if depthwise else 1
    padding = dilation * (kernel // 2)
    if transpose:
        w = net.weight(f"{name}.conv0.weight", x.shape[1], first // groups, kernel, kernel)
        x = F.conv_transpose2d(x, w, None, stride, padding, 0, groups, dilation)
    else:
        w = net.weight(f"{name}.conv0.weight", first, x.shape[1] // groups, kernel, kernel)
        x = F.conv2d(x, w, None, stride, padding, dilation, groups)
    if depthwise:
        x = F.conv2d(x, net.weight(f"{name}.conv1.weight", output, first, 1, 1))
    return x


def gate(net, name, x):
    hidden = max(x.shape[1] // 16, 1)
    y = F.relu(net.linear(f"{name}.squeeze", x.mean((2, 3)), hidden))
    return x * torch.sigmoid(net.linear(f"{name}.excite", y, x.shape[1]))[:, :, None, None]


def operation(net, name, op, x):
    kind = op.removeprefix("down_").removeprefix("up_")
    stride, transpose = (1 if kind == op else 2), op.startswith("up_")
    if op == "identity":
        return x
    if kind in ("max_pool", "avg_pool"):
        return (F.max_pool2d if kind == "max_pool" else F.avg_pool2d)(x, 2, 2)
    if kind == "cweight":
        x = gate(net, f"{name}.gate", x)
        if stride == 1:
            return x
        x = convolution(net, f"{name}.convs", x, x.shape[1], 3, 2, transpose=transpose)
        return group_norm(net, f"{name}.convs.norm", x)
    dilation, depthwise = (2 if kind == "dil_conv" else 1), kind == "dep_conv"
    x = convolution(net, f"{name}.convs", x, x.shape[1], 3, stride, dilation, depthwise, transpose)
    return F.relu(group_norm(net, f"{name}.convs.norm", x))


def cell(net, name, pairs, older, newer, channels, down):
    states = []
    for i, (x, stride) in enumerate(((older, 2 if down else 1), (newer, 1))):
        x = convolution(net, f"{name}.preprocess{i}", F.relu(x), channels, stride=stride)
        states.append(group_norm(net, f"{name}.preprocess{i}.norm", x))
    for node in range(len(pairs) // 2):
        parts = []
        for edge in range(2):
            op, index = pairs[2 * node + edge]
            parts.append(operation(net, f"{name}.node{node + 2}.edge{edge}.{op}", op, states[index]))
        a, b = parts
        if a.shape[2] > b.shape[2] or a.shape[3] > b.shape[3]:
            b = F.interpolate(b, tuple(a.shape[2:]))
        elif a.shape != b.shape:
            a = F.interpolate(a, tuple(b.shape[2:]))
        states.append(a + b)
    return torch.cat(states[2:], 1)


def filled(images, multiple):
    height, width = (-side % multiple for side in images.shape[2:])
    return F.pad(images, (0, width, 0, height), mode="replicate")


def network(net, images, genotype, channels, depth, classes):
    height, width = images.shape[2:]
    x = filled(images, 2 ** (depth + 1))
    older = group_norm(net, "stem0.norm", convolution(net, "stem0", x, STEM * channels))
    newer = group_norm(net, "stem1.norm", convolution(net, "stem1", x, STEM * channels, 3, 2))
    maps = [older, newer]
    for i in range(depth):
        older, newer = newer, cell(net, f"down{i}", genotype["down"], older, newer, channels, True)
        maps.append(newer)
    for i in range(depth + 1):
        newer = cell(net, f"up{i}", genotype["up"], maps[-(i + 2)], newer, channels, False)
    return net.conv("head", newer, classes, 1)[:, :, :height, :width], None


def unet(net, images, channels, depth, classes):
    """Stages of C, 2 C, ... channels; 64 and 4 are the original."""
    def stage(name, x, output):
        x = F.relu(net.conv(f"{name}.conv0", x, output, 3, bias=True))
        return F.relu(net.conv(f"{name}.conv1", x, output, 3, bias=True))

    height, width = images.shape[2:]
    maps = [stage("down0", filled(images, 2**depth), channels)]
    for level in range(1, depth + 1):
        maps.append(stage(f"down{level}", F.max_pool2d(maps[-1], 2, 2), channels * 2**level))
    x = maps.pop()
    for level in reversed(range(depth)):
        output = channels * 2**level
        w = net.weight(f"up{level}.double.weight", x.shape[1], output, 2, 2)
        x = F.conv_transpose2d(x, w, net.weight(f"up{level}.double.bias", output), 2)
        x = stage(f"up{level}.stage", torch.cat([maps.pop(), x], 1), output)
    return net.conv("head", x, classes, 1, bias=True)[:, :, :height, :width], None
