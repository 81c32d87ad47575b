"""NAS-Unet in the authors' code (github.com/tianbaochou/NasUnet): its search step and a training step of its final network on what naslab traced."""

import importlib

import torch
from torch import nn

from . import release, stop
from .trace import in_precision, indexed

COMMIT = "38f54d6e3698211e8c19a1161a4bda16b9ac3268"

# Packages that the release imports for its data, logs and other networks.
UNUSED = ["torchvision", "torchvision.utils", "torchvision.transforms", "cv2", "tqdm", "yaml", "tensorboardX", "PIL", "graphviz", "scipy", "scipy.misc", "SimpleITK",
          "pydensecrf", "pydensecrf.densecrf", "pydensecrf.utils", "requests", "skimage", "matplotlib", "matplotlib.pyplot", "pandas", "h5py", "sklearn"]


class NasUnet:
    """The released modules, set up for one trace."""

    def __init__(self, folder, trace):
        self.trace = trace
        copied = release.copy(folder, {})
        with release.imports(copied, UNUSED):
            names = ["util.prim_ops_set", "search.backbone.nas_unet_search", "models.nas_unet", "util.loss.loss", "util.genotype"]
            self.ops, self.backbone, self.models, self.losses, self.genotypes = map(importlib.import_module, names)

    def criterion(self, loss):
        """The released loss. Background counts in naslab's cross-entropy, so nothing is ignored."""
        parts = (loss["cross_entropy"], loss["dice"])
        names = {(1.0, 0.0): "cross_entropy", (0.0, 1.0): "dice_loss", (1.0, 1.0): "cross_entropy_with_dice"}
        if parts not in names:
            stop(f"the release has no loss of {loss}")
        return self.losses.SegmentationLosses(name=names[parts], ignore_index=-100, aux_weight=1.0 if parts == (1.0, 1.0) else None)

    def check(self, images, channels, depth, dropout):
        """Ends where naslab does otherwise than the release by intent (docs/fidelity.md)."""
        if dropout > 0:
            stop("which channels were dropped is not in a trace: trace with --set search.dropout=0 --set retrain.recipe.dropout=0")
        if channels < 16:
            stop("the release's gates have no hidden unit below 16 channels: trace with search.channels and retrain.channels of at least 16")
        multiple = 2 << depth
        if images.shape[2] % multiple or images.shape[3] % multiple:
            stop(f"images of {tuple(images.shape[2:])} are no multiple of {multiple}: naslab pads them and the release does not")

    def search(self, step):
        """Distances of a search step to the release, and what is wrong with its genotype."""
        search = self.trace.settings["search"]
        self.check(step.batch("train")[0], search["channels"], search["depth"], search["dropout"])
        if search["order"] != "first":
            stop("the release has no second order")
        exact, single = release.both(self.search_step, step)
        ours = {**release.traced(step), "alpha after": release.joined(indexed(step, "after.alpha"))}
        if "alpha_gradient.0" in step:
            ours["alpha gradient"] = release.joined(indexed(step, "alpha_gradient"))
        mine = self.genotype(step.values["architecture"])
        return release.distances(ours, exact, single), release.differs(step, mine, exact["genotype"], ["down", "up"])

    def search_step(self, step, dtype):
        """The architecture's step by the released class, then a weight step as the released train() makes it, but of the weights alone: there SGD and the
        clipping take alpha along."""
        search, state = self.trace.settings["search"], in_precision(step, dtype)
        with release.precision(dtype):
            criterion = self.criterion(search["loss"])
            model = self.backbone.NasUnetSearch(self.trace.data["channels"], search["channels"], self.trace.data["classes"], search["depth"],
                                                meta_node_num=search["nodes"], use_sharing=True, double_down_channel=False, device=torch.device("cpu"))
            without_dropout(model)
            weights = self.in_our_order(model.net, model.net.conv_segmentation)
            release.fill(self.trace.layout("search")[0], weights, state["before.weights"])
            alphas = [model.alphas_down, model.alphas_up, model.alphas_normal_down]
            for logits, values in zip(alphas, indexed(state, "before.alpha"), strict=True):
                release.copy_into(logits, values)
            found, a = {}, search["alpha"]
            if "alpha_gradient.0" in step:
                adam = torch.optim.Adam(alphas, a["learning_rate"], betas=(a["beta1"], a["beta2"]), weight_decay=a["weight_decay"])
                moments = (indexed(state, f"before.alpha_{name}") for name in ("mean", "square"))
                release.moments(adam, alphas, step.values["before"]["alpha_steps"], *moments)
                images, labels = step.batch("valid")
                self.backbone.Architecture(model, adam, criterion).step(images.to(dtype), labels)
                found["alpha gradient"] = release.joined([p.grad for p in alphas])
            found["alpha after"] = release.joined(alphas)
            w = search["weights"]
            sgd = torch.optim.SGD(weights, float(step["learning_rate"]), momentum=w["momentum"], weight_decay=w["weight_decay"])
            release.momentum(sgd, weights, state["before.velocity"])
            model.zero_grad()
            loss = train(model, weights, sgd, criterion, step.batch("train"), w["clip"], dtype)
            return {**found, **release.outcome(loss, weights), "genotype": model.genotype()}

    def retrain(self, step):
        """Distances of a training step to the release."""
        size = self.trace.settings["retrain"]
        self.check(step.batch("retrain")[0], size["channels"], (size["cells"] - 1) // 2, size["recipe"]["dropout"])
        exact, single = release.both(self.retrain_step, step)
        return release.distances(release.traced(step), exact, single), None

    def retrain_step(self, step, dtype):
        """A step of the released final network: loss, clipping, and PyTorch's optimiser, as the released training makes it."""
        size, state = self.trace.settings["retrain"], in_precision(step, dtype)
        recipe, rate = size["recipe"], float(step["learning_rate"])
        with release.precision(dtype):
            model = self.models.NasUnet(self.trace.data["classes"], self.trace.data["channels"], c=size["channels"], depth=(size["cells"] - 1) // 2,
                                        genotype=self.genotype(step.values["architecture"]), double_down_channel=False)
            weights = self.in_our_order(model, model.nas_unet_head)
            release.fill(self.trace.layout("retrain")[0], weights, state["before.weights"])
            if recipe["optimizer"] == "adam":
                optimizer = torch.optim.Adam(weights, rate, betas=(recipe["momentum"], 0.999), weight_decay=recipe["weight_decay"])
                moments = (release.parts(weights, state[f"before.{name}"]) for name in ("mean", "square"))
                release.moments(optimizer, weights, step.values["before"]["step"], *moments)
            else:
                optimizer = torch.optim.SGD(weights, rate, momentum=recipe["momentum"], weight_decay=recipe["weight_decay"])
                release.momentum(optimizer, weights, state["before.velocity"])
            first = lambda images: model(images)[0]
            loss = train(first, weights, optimizer, self.criterion(recipe["loss"]), step.batch("retrain"), recipe["clip"], dtype)
            return release.outcome(loss, weights)

    def genotype(self, architecture):
        """naslab's cells in the words of the release."""
        edges = lambda nodes: [(edge["op"], edge["from"]) for node in nodes for edge in node]
        states = range(2, 2 + len(architecture["down"]))
        return self.genotypes.Genotype(edges(architecture["down"]), states, edges(architecture["up"]), states)

    def in_our_order(self, net, head):
        """The parameters that the release uses, in the order in which naslab declares them. It declares more: a norm in every `none` and one after the head."""
        found = self.of_conv(net.stem0) + self.of_conv(net.stem1)
        for cell in [*net.down_cells, *net.up_cells]:
            found += self.of_conv(cell.preprocess0) + self.of_conv(cell.preprocess1)
            for edge in cell._ops:
                for op in getattr(edge, "_ops", [edge]):
                    found += self.of_op(op)
        return found + [head.conv.weight]

    def of_op(self, op):
        if isinstance(op, self.ops.CWeightOp):
            gate = [p for layer in (op.fc[0], op.fc[2]) for p in (layer.weight, layer.bias)]
            return gate + (self.of_conv(op) if hasattr(op, "conv") else [])
        return self.of_conv(op) if isinstance(op, self.ops.ConvOps) else []

    @staticmethod
    def of_conv(op):
        convs = [op.depth_conv, op.point_conv] if hasattr(op, "depth_conv") else [op.conv]
        norm = [op.norm.weight, op.norm.bias] if op.norm is not None and op.norm.affine else []
        return [conv.weight for conv in convs] + norm


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0


def train(model, weights, optimizer, criterion, batch, clip, dtype):
    """Loss, clipped gradient, step; the loss."""
    images, labels = batch
    loss = criterion(model(images.to(dtype)), labels)
    loss.backward()
    if clip > 0:
        nn.utils.clip_grad_norm_(weights, clip)
    optimizer.step()
    return loss
