"""Reads what `naslab run --trace DIR` wrote."""

import functools
import json
import pathlib

from safetensors import safe_open

from . import stop


class Step:
    """One step: `tensors` by name, `values` that are none."""

    def __init__(self, path):
        self.number = int(path.stem)
        with safe_open(path, "pt") as file:
            self.tensors = {name: file.get_tensor(name) for name in file.keys()}
            self.values = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}

    def __getitem__(self, name):
        return self.tensors[name]

    def __contains__(self, name):
        return name in self.tensors

    def batch(self, part):
        return self[f"{part}.0.images"], self[f"{part}.0.labels"]


def indexed(tensors, name):
    """`name.0`, `name.1`, ... of a step or of a dictionary as a list."""
    found = []
    while f"{name}.{len(found)}" in tensors:
        found.append(tensors[f"{name}.{len(found)}"])
    return found


def in_precision(step, dtype):
    """The floating-point tensors of a step, by name, in this precision."""
    return {name: t.to(dtype) for name, t in step.tensors.items() if t.is_floating_point()}


class Trace:
    """The trace of one run."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        inside = [folder] if (folder / "manifest.json").exists() else sorted(p.parent for p in folder.glob("*/manifest.json"))
        if len(inside) != 1:
            stop(f"{folder}: {len(inside)} traces; name the folder of one run, which holds manifest.json")
        self.folder = inside[0]
        self.manifest = json.loads((self.folder / "manifest.json").read_text())
        self.settings, self.data = self.manifest["settings"], self.manifest["data"]

    @functools.cache
    def layout(self, phase):
        """[name, shape] of all parameters and of all running statistics, in the order of the flat vectors."""
        layout = json.loads((self.folder / phase / "layout.json").read_text())
        return layout["weights"], layout["statistics"]

    def steps(self, phase, most):
        """The first `most` steps of a phase."""
        paths = sorted((self.folder / phase).glob("*.safetensors"))
        return map(Step, paths[:most])
