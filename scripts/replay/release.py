"""Released code of years ago under today's PyTorch: a temporary copy with a few changed places, and modules that it imports and does not use here."""

import atexit
import contextlib
import importlib
import io
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import types
import warnings
from unittest import mock

import torch

from . import stop
from .compare import relative


def commit(folder):
    done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def copy(folder, changes):
    """Copies `folder` and makes `changes`: {file: [(old, new), ...]}. Every old text must be there, so that another release is not mistaken for this one."""
    if not pathlib.Path(folder).is_dir():
        stop(f"{folder} is no folder; name a clone of the release that docs/fidelity.md names")
    temporary = tempfile.mkdtemp(prefix="naslab-replay-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    copied = pathlib.Path(temporary) / "release"
    shutil.copytree(folder, copied, ignore=shutil.ignore_patterns(".git", "3rd_tools", "img", "imgs"))
    for name, pairs in changes.items():
        path = copied / name
        if not path.exists():
            stop(f"{folder} has no {name}; is it a clone of the release that docs/fidelity.md names?")
        text = path.read_text()
        for old, new in pairs:
            if old not in text:
                stop(f"{path.name} has no '{old}'; is {folder} at the commit that docs/fidelity.md names?")
            text = text.replace(old, new)
        path.write_text(text)
    return copied


class Stub(types.ModuleType):
    """A module that has whatever is asked for."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return mock.MagicMock()


@contextlib.contextmanager
def imports(folder, stubs):
    """In `folder`, with `stubs` in place of the packages of these names where they are not installed, without a word, on the processor."""
    stubbed = []
    for name in stubs:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = Stub(name)
            stubbed.append(name)
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    here, arguments = os.getcwd(), sys.argv
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = sys.argv[:1]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.chdir(here)
        sys.argv = arguments
        # What else looks for these packages is to find that they are not there.
        for name in stubbed:
            del sys.modules[name]


@contextlib.contextmanager
def precision(dtype):
    """New tensors have this type; nothing is printed."""
    torch.set_default_dtype(dtype)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def copy_into(target, source):
    with torch.no_grad():
        target.copy_(source.view(target.shape))


def joined(tensors):
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def statistics(model):
    """Running means and variances with their names, in the order of the modules."""
    return [(name, buffer) for name, buffer in model.named_buffers() if not name.endswith("num_batches_tracked")]


def fill(names, targets, flat):
    """Copies the parts of a flat vector, one after the other, over tensors of the same sizes; `names` says what they are in an error."""
    start = 0
    for (name, shape), target in zip(names, targets, strict=True):
        if list(target.shape) != list(shape):
            stop(f"{name} is {shape} here and {list(target.shape)} in the release")
        copy_into(target, flat[start : start + target.numel()])
        start += target.numel()


def parts(targets, flat):
    """A flat vector cut to the shapes of `targets`."""
    return [part.view(target.shape).clone() for part, target in zip(flat.split([t.numel() for t in targets]), targets, strict=True)]


def momentum(sgd, parameters, velocity):
    """Gives SGD the velocity of all parameters, a flat vector."""
    for parameter, buffer in zip(parameters, parts(parameters, velocity)):
        sgd.state[parameter]["momentum_buffer"] = buffer


def moments(adam, parameters, steps, means, squares):
    """Gives Adam what it had after so many steps: for every parameter its two moments."""
    for parameter, mean, square in zip(parameters, means, squares, strict=True):
        adam.state[parameter] = {"step": torch.tensor(float(steps)), "exp_avg": mean.clone(), "exp_avg_sq": square.clone()}


def both(make, step):
    """A step of the release in double and in single precision; `make` takes the step and the precision."""
    return make(step, torch.float64), make(step, torch.float32)


def traced(step):
    """What a step of naslab left, by the names that outcome() gives."""
    found = {"loss": step["loss"], "weight gradient": step["gradient"], "weights after": step["after.weights"]}
    return {**found, "running statistics after": step["after.statistics"]} if len(step["after.statistics"]) else found


def outcome(loss, parameters, statistics=()):
    """What a step of the release left."""
    parameters = list(parameters)
    found = {"loss": torch.as_tensor(loss).detach(), "weight gradient": joined([p.grad for p in parameters]), "weights after": joined(parameters)}
    return {**found, "running statistics after": joined(statistics)} if statistics else found


def numbers(tensor):
    return tensor.detach().reshape(-1).tolist()


def distances(ours, exact, single):
    """{quantity: (naslab's distance to double precision, the release's own single precision's)}"""
    far = lambda tensor, name: relative(numbers(tensor), numbers(exact[name]))
    return {name: (far(tensor, name), far(single[name], name)) for name, tensor in ours.items()}


def differs(step, mine, theirs, cells):
    """None if both genotypes have the same cells, or a sentence."""
    same = all(list(getattr(mine, name)) == list(getattr(theirs, name)) for name in cells)
    return None if same else f"after step {step.number} the genotype is {mine} here and {theirs} there"
