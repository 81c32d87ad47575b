"""Weights by a rule that the tests know too, and the layers that the networks are made of.

Entry i (from 0) of the tensor with a name: h is FNV-1a (64 bit) of the name's bytes, z is output i of SplitMix64 with the seed h, and u = (z >> 44) / 2^19 - 1,
in [-1, 1). Every number below is exact in single precision.

    ...running_mean, ...bias               u / 4
    ...running_var                         1 + u / 2
    ...gate.squeeze.bias                   3 + u (so that hidden units of gates are open)
    ...weight of one dimension (a scale)   1 + u / 2
    every other weight                     u / 2^k, k the smallest with 6 * 4^k >= entries of one output (the product of all dimensions but the first)

Images are u / 2 of "images", plus u of "levels" [images, channels, 1, 1].
"""

import math

import numpy
import torch
import torch.nn.functional as F

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
EPSILON = 1e-5


def uniform(name, shape):
    """u of every entry."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    i = numpy.arange(1, math.prod(shape) + 1, dtype=numpy.uint64)
    z = numpy.uint64(h) + i * numpy.uint64(GAMMA)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    z ^= z >> numpy.uint64(31)
    u = (z >> numpy.uint64(44)).astype(numpy.float64) / 2**19 - 1
    return torch.from_numpy(u.reshape(shape))


def entries(name, shape):
    """The tensor with this name."""
    u = uniform(name, shape)
    if name.endswith("gate.squeeze.bias"):
        return 3 + u
    if name.endswith(("running_mean", "bias")):
        return u / 4
    if len(shape) == 1:
        return 1 + u / 2
    k = 0
    while 6 * 4**k < math.prod(shape[1:]):
        k += 1
    return u / 2**k


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def photographs(shape):
    """Images, which differ in their channels' means too: noise alone would be averaged away."""
    return uniform("images", shape) / 2 + uniform("levels", (*shape[:2], 1, 1))


class Net:
    """A pass: weights are made when a layer names them, each once.

    `tensorflow`: borders as TensorFlow's SAME has them. At stride 2 over an even side that is one row and column less before the map than
    after it. Otherwise the border is as wide on both sides (see README.md beside the logits).
    """

    def __init__(self, training, tensorflow=False):
        self.training, self.tensorflow = training, tensorflow
        self.weights = {}
        self.statistics = 0

    def weight(self, name, *shape):
        assert name not in self.weights, f"{name} is used twice"
        self.weights[name] = entries(name, shape).requires_grad_()
        return self.weights[name]

    def border(self, x, kernel, stride, dilation=1):
        """Rows and columns for F.pad: left, right, top, bottom."""
        sides = []
        for size, k, s in ((x.shape[3], kernel[1], stride[1]), (x.shape[2], kernel[0], stride[0])):
            reach = dilation * (k - 1)
            total = max((-(-size // s) - 1) * s + reach + 1 - size, 0) if self.tensorflow else 2 * (reach // 2)
            sides += [total // 2, total - total // 2]
        return sides

    def conv(self, name, x, output, kernel, stride=1, dilation=1, groups=1, bias=False):
        kernel, stride = pair(kernel), pair(stride)
        w = self.weight(f"{name}.weight", output, x.shape[1] // groups, *kernel)
        b = self.weight(f"{name}.bias", output) if bias else None
        return F.conv2d(F.pad(x, self.border(x, kernel, stride, dilation)), w, b, stride, 0, dilation, groups)

    def valid_conv(self, name, x, output, kernel):
        """Without a border."""
        return F.conv2d(x, self.weight(f"{name}.weight", output, x.shape[1], *pair(kernel)))

    def linear(self, name, x, output, bias=True):
        w = self.weight(f"{name}.weight", output, x.shape[1])
        return F.linear(x, w, self.weight(f"{name}.bias", output) if bias else None)

    def norm(self, name, x):
        """Batch norm."""
        channels = x.shape[1]
        mean, var = (entries(f"{name}.{what}", (channels,)) for what in ("running_mean", "running_var"))
        self.statistics += 2
        scale, shift = self.weight(f"{name}.weight", channels), self.weight(f"{name}.bias", channels)
        return F.batch_norm(x, mean, var, scale, shift, self.training, 0.1, EPSILON)

    def relu_conv_norm(self, name, x, output, kernel=1, stride=1):
        return self.norm(f"{name}.norm", self.conv(f"{name}.conv0", F.relu(x), output, kernel, stride))

    def relu_separable_norm(self, name, x, output, kernel, stride=1, dilation=1):
        """ReLU, a filter a channel, 1x1 convolution, batch norm."""
        x = self.conv(f"{name}.conv0", F.relu(x), x.shape[1], kernel, stride, dilation, groups=x.shape[1])
        return self.norm(f"{name}.norm", self.conv(f"{name}.conv1", x, output, 1))

    def max_pool(self, x, kernel, stride):
        border = self.border(x, pair(kernel), pair(stride))
        return F.max_pool2d(F.pad(x, border, value=-math.inf), kernel, stride)

    def average_pool(self, x, kernel, stride):
        """The mean of what is inside the map."""
        border = self.border(x, pair(kernel), pair(stride))
        inside = F.avg_pool2d(F.pad(torch.ones_like(x), border), kernel, stride)
        return F.avg_pool2d(F.pad(x, border), kernel, stride) / inside

    def halves(self, name, x, output):
        """Every second pixel from the first on, and from the second row and column on, each through a 1x1 convolution to half of the channels; batch norm. No ReLU."""
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        both = [self.conv(f"{name}.conv{i}", map[:, :, ::2, ::2], output // 2, 1) for i, map in enumerate((x, shifted))]
        return self.norm(f"{name}.norm", torch.cat(both, 1))
