"""GHN in the re-implementation of facebookresearch/ppuda (the authors released no code), where it computes the same: passes over the graph, decoder, tiling, the
operations of the child, loss, clipping and step, on what naslab traced."""

import importlib

import torch
from torch import nn
from torch.nn import functional as F

from . import release, stop
from .ghn_block import KINDS, block, shapes, source

COMMIT = "4673a42507a9dcd0a5ae04e74599e8c92af689b9"

# Where the paper and naslab do otherwise: the last vertex is not updated twice in a row, and what the module before sends is a part of the messages.
CHANGES = {"ppuda/ghn/gatedgnn.py": [("torch.flipud(all_nodes))", "torch.flipud(all_nodes)[1:])"),
                                     ("self.gru(m, hx[ind])", "self.gru(m + self.sent[order, node], hx[ind])")]}

# Packages that the release imports for its data, graphs and figures.
UNUSED = ["torchvision", "torchvision.models", "torchvision.datasets", "torchvision.transforms", "einops", "networkx", "h5py", "tqdm", "matplotlib", "matplotlib.pyplot"]


class Ghn:
    """The modules of ppuda, set up for one trace."""

    def __init__(self, folder, trace):
        self.trace, self.s, self.data = trace, trace.settings["search"], trace.data
        if self.s["network"]["schedule"] != "forward-backward":
            stop("ppuda updates one vertex after the other: trace with --set search.network.schedule=forward-backward")
        copied = release.copy(folder, CHANGES)
        with release.imports(copied, UNUSED):
            names = ["gatedgnn", "mlp", "decoder", "nn"]
            self.gatedgnn, self.mlp, self.decoder, self.nn = (importlib.import_module(f"ppuda.ghn.{name}") for name in names)
            self.ops, self.trainer = map(importlib.import_module, ["ppuda.deepnets1m.ops", "ppuda.utils.trainer"])

    def search(self, step):
        """Distances of a training step to the release, or of a step that ranks: then of the states and of the predicted weights alone."""
        exact, single = (self.search_step(step, dtype) for dtype in (torch.float64, torch.float32))
        ours = {"states": step["states"], "predicted weights": release.joined([step[f"child.{name}"] for name in child_names(step)])}
        if "gradient" in step:
            ours.update({"loss": step["loss"], "weight gradient": step["gradient"], "weights after Adam": step["after.weights"]})
        return release.distances(ours, exact, single), None

    def search_step(self, step, dtype):
        """The prediction of a child in this precision and, of a training step, what ppuda's trainer makes of it."""
        with release.precision(dtype):
            hyper = Hypernetwork(self, step["before.weights"].to(dtype))
            states, child = hyper.predict(step.values["architecture"], {name: step[f"child.{name}"].shape for name in child_names(step)})
            found = {"states": states.detach(), "predicted weights": release.joined(child.values())}
            if "gradient" not in step:
                return found
            adam = torch.optim.Adam(hyper.parameters, float(step["learning_rate"]))
            moments = (release.parts(hyper.parameters, step[f"before.{name}"].to(dtype)) for name in ("mean", "square"))
            release.moments(adam, hyper.parameters, step.values["before"]["adam_steps"], *moments)
            network = Child(self.ops, step.values["architecture"], child)
            made = self.update(network, hyper.parameters, adam, step.batch("train"), self.s["clip"])
            return {**found, **made, "weights after Adam": made["weights after"]}

    def retrain(self, step):
        """Distances of a training step of the final network; none with drop path, whose masks are not in the trace."""
        recipe = self.trace.settings["retrain"]["recipe"]
        if float(step["drop_path"]) > 0 or recipe["auxiliary_weight"] > 0 or recipe["optimizer"] != "sgd":
            return None
        exact, single = (self.retrain_step(step, recipe, dtype) for dtype in (torch.float64, torch.float32))
        ours = {"loss": step["loss"], "weight gradient": step["gradient"], "weights after": step["after.weights"]}
        return release.distances(ours, exact, single), None

    def retrain_step(self, step, recipe, dtype):
        names, _ = self.trace.layout("retrain")
        with release.precision(dtype):
            weights = [torch.empty(shape, requires_grad=True) for _, shape in names]
            release.fill(names, weights, step["before.weights"].to(dtype))
            sgd = torch.optim.SGD(weights, float(step["learning_rate"]), recipe["momentum"], weight_decay=recipe["weight_decay"])
            if step.values["before"]["step"] > 0:
                release.momentum(sgd, weights, step["before.velocity"].to(dtype))
            child = {name: weight for (name, _), weight in zip(names, weights)}
            return self.update(Child(self.ops, step.values["architecture"], child), weights, sgd, step.batch("retrain"), recipe["clip"])

    def update(self, network, parameters, optimizer, batch, clip):
        """A step by ppuda's trainer. What takes no part has no gradient there; naslab's is zero, so that Adam goes on by its moments."""
        def keep(*_):
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            found["weight gradient"] = release.joined([p.grad for p in parameters])

        found, (images, labels) = {}, batch
        optimizer.register_step_pre_hook(keep)
        trainer = self.trainer.Trainer(optimizer, self.data["classes"], False, 1, clip if clip > 0 else float("inf"), device="cpu")
        found["loss"] = trainer.update(network, images.to(parameters[0].dtype), labels).detach()
        return {**found, "weights after": release.joined(parameters)}


def child_names(step):
    return [name.removeprefix("child.") for name in step.tensors if name.startswith("child.")]


class Child:
    """A stacked block with given weights by name, in ppuda's operations."""

    def __init__(self, ops, architecture, weights):
        self.ops, self.architecture, self.weights = ops, architecture, weights

    def __call__(self, images):
        """Logits."""
        child = self.weights
        x = self.norm("stem.norm", child["stem.conv0.weight"].shape[0])(F.conv2d(images, child["stem.conv0.weight"], padding=1))
        older, newer, i = x, x, 0
        while f"block{i}.in1.conv0.weight" in child:
            older, newer, i = newer, self.block(f"block{i}", older, newer), i + 1
        return F.linear(newer.mean((2, 3)), child["head.weight"], child["head.bias"])

    def block(self, name, older, newer):
        halves = 2 if f"{name}.in1.conv1.weight" in self.weights else 1
        height = newer.shape[2] // halves
        states = [self.entry(f"{name}.in{i}", x, height) for i, x in enumerate((older, newer))]
        for i, edges in enumerate(self.architecture["nodes"], 2):
            sides = [self.operation(f"{name}.node{i}", edge["op"], states[0].shape[1], side) for side, edge in enumerate(edges)]
            states.append(sum(op(states[edge["from"]]) for op, edge in zip(sides, edges)))
        return sum(states[s] for s in self.architecture["concat"]) / len(self.architecture["concat"])

    def entry(self, name, x, height):
        """Brings an input of a block to its width and size."""
        kernels = [self.weights[f"{name}.conv{i}.weight"] for i in (0, 1) if f"{name}.conv{i}.weight" in self.weights]
        width = sum(kernel.shape[0] for kernel in kernels)
        if len(kernels) == 1:
            return self.given(self.ops.OPS["conv"](x.shape[1], width, 1, 1, "bn", True).op, kernels, f"{name}.norm")(x)
        if x.shape[2] % 2 or x.shape[3] % 2:
            stop(f"maps of {tuple(x.shape[2:])} are halved: naslab pads them and ppuda does not")
        reduce = self.ops.FactorizedReduce(x.shape[1], width, light=True)
        reduce.conv_1.weight, reduce.conv_2.weight = kernels
        reduce.bn = self.norm(f"{name}.norm", width)
        return reduce(x if x.shape[2] == 2 * height else self.ops.Stride(2)(x))

    def operation(self, name, op, width, side):
        """An operation of a node for one of its two inputs: the convolutions are shared, each input has a norm of its own."""
        of = lambda key, kernel: self.ops.OPS[key](width, width, kernel, 1, "bn", True)
        if op == "identity":
            return of("skip_connect", 1)
        if op.endswith("pool_3x3"):
            return nn.Sequential(of(op.removesuffix("_3x3"), 3), self.norm(f"{name}.norm{side}", width))
        # A separable convolution of ppuda is two of these in a row; its dilated one is one, and takes any dilation.
        separable = lambda kernel: self.ops.DilConv(width, width, kernel, 1, kernel // 2, 1, light=True)
        made = {"conv_1x1": lambda: of("conv", 1), "sep_conv_3x3": lambda: separable(3), "sep_conv_5x5": lambda: separable(5),
                "dil_conv_3x3": lambda: of("dil_conv", 3), "conv_1x7_7x1": lambda: of("conv2", 7)}[op]()
        kernels = [self.weights[f"{name}.first.conv{i}.weight"] for i in (0, 1) if f"{name}.first.conv{i}.weight" in self.weights]
        return self.given(made.op, kernels, f"{name}.{('first.norm', 'second')[side]}")

    def given(self, layers, kernels, norm):
        """ppuda's ReLU, convolutions and norm with these weights."""
        for layer, kernel in zip(list(layers)[1:-1], kernels, strict=True):
            layer.weight = kernel
        layers[-1] = self.norm(norm, kernels[-1].shape[0])
        return layers

    def norm(self, name, width):
        """By the batch; a predicted network has neither scale nor shift."""
        norm = self.ops.bn_layer("bn", width, True)
        trained = "stem.norm.weight" in self.weights
        norm.weight, norm.bias = (self.weights[f"{name}.{part}"] if trained else None for part in ("weight", "bias"))
        return norm


class Hypernetwork:
    """ppuda's graph network and decoders with naslab's weights."""

    def __init__(self, ghn, flat):
        self.ghn, s = ghn, ghn.s["network"]
        d, layout = s["embedding"], ghn.trace.layout("search")[0]
        self.graph = ghn.gatedgnn.GatedGNN(d, ve=False, T=s["passes"])
        # Its messages end with a ReLU, those of naslab do not.
        self.graph.mlp = ghn.mlp.MLP(d, hid=(d, d), last_activation=None)
        first, gates = nn.Linear(d, s["hidden"]), self.graph.gru
        named = {"update.input.weight": gates.weight_ih, "update.hidden.weight": gates.weight_hh, "update.input.bias": gates.bias_ih, "update.hidden.bias": gates.bias_hh}
        layers = {"message.0": self.graph.mlp.fc[0], "message.1": self.graph.mlp.fc[2], "hidden": first}
        self.decoders = {}
        for kind, tensors in shapes(ghn.s["channels"], ghn.data["channels"], ghn.data["classes"]).items():
            for tensor, shape in tensors.items():
                decoder, last = self.decoded(first, shape, s["hidden"], is_class=(kind, tensor) == ("head", "weight"))
                self.decoders[kind, tensor] = decoder
                layers[f"branch.{kind}.{tensor.replace('.', '_')}"] = last
        named.update({f"{name}.{part}": getattr(layer, part) for name, layer in layers.items() for part in ("weight", "bias")})
        if s["start"] == "embedding":
            named["embedding"] = nn.Parameter(torch.empty(len(KINDS), d))
        self.start = named.get("embedding", torch.eye(len(KINDS), d))
        self.parameters = [named[name] for name, _ in layout]
        release.fill(layout, self.parameters, flat)

    def decoded(self, first, shape, hidden, is_class):
        """ppuda's decoder for one tensor of naslab, all with the same first layer, and the decoder's last layer."""
        whole = (shape[1],) * 2 + (1, 1) if is_class else (*shape, 1, 1, 1)[:4]
        decoder = self.ghn.decoder.MLPDecoder(first.in_features, (hidden,), whole, num_classes=shape[0])
        decoder.mlp.fc[0] = first
        last = decoder.class_layer_predictor[1] if is_class else decoder.mlp.fc[2]
        return (lambda x: decoder(x, whole, class_pred=is_class).view(-1, *shape)), last

    def predict(self, architecture, wanted):
        """States of all vertices, and the child's weights by name; `wanted` has their shapes."""
        middle = block(architecture)
        modules = [("stem", ["stem"], []), *((f"block{b}", *middle) for b in range(self.ghn.s["cells"])), ("head", ["head"], [])]
        # Name of a vertex: what it stands for, and its row among the states.
        states, sent, vertices = [], None, {}
        for name, kinds, edges in modules:
            names = [f"{name}.{'in' if v < 2 else 'node'}{v}" for v in range(len(kinds))] if edges else [name]
            vertices.update({of: (kind, len(vertices) + v) for v, (of, kind) in enumerate(zip(names, kinds))})
            states.append(self.passes(kinds, edges, sent))
            sent = states[-1].mean(0) if self.ghn.s["network"]["pass_embeddings"] else None
        states = torch.cat(states)
        return states, {name: self.weight(source(name, wanted), tuple(shape), states, vertices) for name, shape in wanted.items()}

    def passes(self, kinds, edges, sent):
        """States of a module's vertices after all passes; what is sent reaches those that read nothing, along the edges."""
        reads = {to for _, to in edges}
        nothing = torch.zeros(self.start.shape[1])
        along = [nothing if sent is None or v in reads else sent for v in range(len(kinds))]
        self.graph.sent = torch.stack([torch.stack([nothing] * len(kinds)), torch.stack(along)])
        # ppuda counts the vertices by the edges; one of distance 2 carries no message without virtual edges.
        rows = [(u, v, 1, 0) for u, v in edges] or [(0, 0, 2, 0)]
        start = self.start[[KINDS.index(kind) for kind in kinds]]
        return self.graph(start, torch.tensor(rows), torch.zeros(len(kinds), dtype=torch.long))

    def weight(self, source, shape, states, vertices):
        """A weight of the child: decoded, tiled and cut by ppuda."""
        vertex, tensor, half = source
        kind, row = vertices[vertex]
        base = self.decoders[kind, tensor](states[row : row + 1])[0]
        if half is None:
            return self.ghn.nn.GHN._tile_params(None, base, shape)
        return self.ghn.nn.GHN._tile_params(None, base, (2 * shape[0], *shape[1:])).split(shape[0])[half]
