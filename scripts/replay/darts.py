"""DARTS in the authors' code (github.com/quark0/darts): its search step and its training step on what naslab traced."""

import importlib
import pathlib

import torch
from torch import nn

from . import release
from .trace import in_precision

COMMIT = "f276dd346a09ae3160f8e3aca5c7b193fda1da37"

# What today's Python and PyTorch no longer read.
OLD = [("async=True", "non_blocking=True"), (".data[0]", ".item()"), ("clip_grad_norm(", "clip_grad_norm_(")]


def changes(channels):
    images = ("nn.Conv2d(3, C_curr", f"nn.Conv2d({channels}, C_curr")
    return {
        "train_search.py": OLD,
        "train.py": OLD,
        "utils.py": [("correct[:k].view(-1)", "correct[:k].reshape(-1)")],
        "architect.py": [("theta.sub(eta, moment+dtheta)", "theta.sub(moment+dtheta, alpha=eta)"), ("sub_(eta, ig.data)", "sub_(ig.data, alpha=eta)"),
                         ("add_(R, v)", "add_(R * v)"), ("sub_(2*R, v)", "sub_(2*R * v)")],
        "model_search.py": [images],
        "model.py": [images],
    }


def genotype(architecture, kind):
    """naslab's cells in the words of the release."""
    cell = lambda c: [(edge["op"], edge["from"]) for node in c["nodes"] for edge in node]
    normal, reduce = (architecture[name] for name in ("normal", "reduce"))
    return kind(cell(normal), normal["concat"], cell(reduce), reduce["concat"])


def in_our_order(named, layout):
    """The release's named tensors in naslab's order, which has the auxiliary head after the cell that it reads; `layout` has naslab's names."""
    in_head = {True: [], False: []}
    for name, tensor in named:
        in_head[name.startswith("auxiliary")].append(tensor)
    return [in_head[name.startswith("auxiliary")].pop(0) for name, _ in layout]


class Darts:
    """The released modules, set up for one trace."""

    def __init__(self, folder, trace):
        self.trace, self.classes = trace, trace.data["classes"]
        copied = release.copy(pathlib.Path(folder) / "cnn", changes(trace.data["channels"]))
        with release.imports(copied, ["torchvision", "torchvision.transforms", "torchvision.datasets"]):
            names = ["train_search", "model_search", "architect", "train", "model", "genotypes"]
            self.train_search, self.model_search, self.architect, self.train, self.model, self.genotypes = map(importlib.import_module, names)
        self.criterion = nn.CrossEntropyLoss()

    def search(self, step):
        """Distances of a search step to the release, and what is wrong with its genotype."""
        exact, single = release.both(self.search_step, step)
        ours = {**release.traced(step), "alpha after": step["after.alpha.0"]}
        if "alpha_gradient.0" in step:
            ours["alpha gradient"] = step["alpha_gradient.0"]
        mine = genotype(step.values["architecture"], self.genotypes.Genotype)
        return release.distances(ours, exact, single), release.differs(step, mine, exact["genotype"], ["normal", "reduce"])

    def search_step(self, step, dtype):
        """One pass of the released train() over one batch, in this precision."""
        search, state = self.trace.settings["search"], in_precision(step, dtype)
        a = self.train_search.args
        a.momentum, a.weight_decay, a.grad_clip = (search["weights"][key] for key in ("momentum", "weight_decay", "clip"))
        a.arch_learning_rate, a.arch_weight_decay = search["alpha"]["learning_rate"], search["alpha"]["weight_decay"]
        a.unrolled = search["order"] == "second"
        with release.precision(dtype):
            model = self.model_search.Network(search["channels"], self.classes, search["cells"], self.criterion)
            weights, statistics = self.trace.layout("search")
            release.fill(weights, model.parameters(), state["before.weights"])
            buffers = [buffer for _, buffer in release.statistics(model)]
            release.fill(statistics, buffers, state["before.statistics"])
            for logits, values in zip(model.arch_parameters(), state["before.alpha.0"], strict=True):
                release.copy_into(logits, values)
            rate = float(step["learning_rate"])
            optimizer = torch.optim.SGD(model.parameters(), rate, momentum=a.momentum, weight_decay=a.weight_decay)
            architect = self.architect.Architect(model, a)
            release.momentum(optimizer, list(model.parameters()), state["before.velocity"])
            # naslab has both matrices of logits in one tensor.
            moments = (state["before.alpha_mean.0"], state["before.alpha_square.0"])
            release.moments(architect.optimizer, model.arch_parameters(), step.values["before"]["alpha_steps"], *moments)
            found = {}
            # train() adds the weight step's gradient of alpha to this one afterwards.
            keep = lambda *_: found.update({"alpha gradient": torch.stack([p.grad.clone() for p in model.arch_parameters()])})
            architect.optimizer.register_step_pre_hook(keep)
            queues = [[(images.to(dtype), labels)] for images, labels in (step.batch("train"), step.batch("valid"))]
            _, loss = self.train_search.train(*queues, model, architect, self.criterion, optimizer, rate)
            found["alpha after"] = torch.stack([p.detach() for p in model.arch_parameters()])
            return {**found, **release.outcome(loss, model.parameters(), buffers), "genotype": model.genotype()}

    def retrain(self, step):
        """Distances of a training step to the release; none with drop path, whose masks are not in the trace."""
        if float(step["drop_path"]) > 0:
            return None
        exact, single = release.both(self.retrain_step, step)
        return release.distances(release.traced(step), exact, single), None

    def retrain_step(self, step, dtype):
        """One pass of the released train() of the final training over one batch, in this precision."""
        size, state = self.trace.settings["retrain"], in_precision(step, dtype)
        recipe, a = size["recipe"], self.train.args
        a.auxiliary, a.auxiliary_weight, a.grad_clip = recipe["auxiliary_weight"] > 0, recipe["auxiliary_weight"], recipe["clip"]
        with release.precision(dtype):
            cells = genotype(step.values["architecture"], self.genotypes.Genotype)
            model = self.model.NetworkCIFAR(size["channels"], self.classes, size["cells"], a.auxiliary, cells)
            model.drop_path_prob = 0.0
            weights, statistics = self.trace.layout("retrain")
            parameters, buffers = in_our_order(model.named_parameters(), weights), in_our_order(release.statistics(model), statistics)
            release.fill(weights, parameters, state["before.weights"])
            release.fill(statistics, buffers, state["before.statistics"])
            optimizer = torch.optim.SGD(parameters, float(step["learning_rate"]), momentum=recipe["momentum"], weight_decay=recipe["weight_decay"])
            release.momentum(optimizer, parameters, state["before.velocity"])
            images, labels = step.batch("retrain")
            _, loss = self.train.train([(images.to(dtype), labels)], model, self.criterion, optimizer)
            return release.outcome(loss, parameters, buffers)
