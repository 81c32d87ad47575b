#!/usr/bin/env python3
"""Times a search step of DARTS at the paper's size on a card, in one go: naslab's plain and grouped form, and the authors' code if a clone of it is named.

    scripts/time_darts.py [--release path/to/quark0/darts] [--order second] [--steps 20]

A step is one of the architecture and one of the weights, each with its batch of 64 random images of 32x32; C = 16, 8 cells. TF32 is off in all. The released code runs as it is
but for what today's PyTorch no longer reads (replay/darts.py), and reads its loss once a step, as its train_search.py does. Needs torch with CUDA for the release, and
target/debug/naslab, built.
"""

import argparse
import importlib
import pathlib
import statistics
import subprocess
import sys
import time
import types

NASLAB = pathlib.Path(__file__).resolve().parent.parent / "target/debug/naslab"


def ours(a):
    """Runs the measurements of naslab, which prints its own table."""
    size = [f"search.{key}={value}" for key, value in [("order", f'"{a.order}"'), ("batch", a.batch), ("channels", a.channels), ("cells", a.cells)]]
    settings = [word for text in size for word in ("--set", text)]
    forms = ["--kernels", "plain,grouped"] if a.device == "cpu" else []
    subprocess.run([NASLAB, "bench", "darts", "--preset", "paper", "--dataset", "noise", "--device", a.device, "--steps", str(a.steps), *settings, *forms], check=True)


def released(a):
    """Seconds of every step of the released code, and the most memory that its tensors took."""
    import torch

    from replay import darts, release

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if a.device == "cpu":
        torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
    sys.path.insert(0, str(release.copy(pathlib.Path(a.release) / "cnn", darts.changes(3))))
    model_search, architect_module = map(importlib.import_module, ["model_search", "architect"])
    criterion = torch.nn.CrossEntropyLoss().to(a.device)
    model = model_search.Network(a.channels, 10, a.cells, criterion).to(a.device)
    optimizer = torch.optim.SGD(model.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)
    architect = architect_module.Architect(
        model, types.SimpleNamespace(momentum=0.9, weight_decay=3e-4, arch_learning_rate=3e-4, arch_weight_decay=1e-3)
    )
    wait = torch.cuda.synchronize if a.device != "cpu" else lambda: None
    seconds = []
    for step in range(a.steps + 3):
        (images, labels), valid = [
            (torch.randn(a.batch, 3, 32, 32, device=a.device), torch.randint(10, (a.batch,), device=a.device)) for _ in range(2)
        ]
        wait()
        start = time.perf_counter()
        architect.step(images, labels, *valid, 0.025, optimizer, unrolled=a.order == "second")
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5)
        optimizer.step()
        loss.item()
        wait()
        if step >= 3:
            seconds.append(time.perf_counter() - start)
    return seconds, torch.cuda.max_memory_allocated() if a.device != "cpu" else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", help="a clone of the authors' code, github.com/quark0/darts")
    parser.add_argument("--order", choices=["first", "second"], default="first")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cuda", help="cpu only to try this script")
    for name, value in [("batch", 64), ("channels", 16), ("cells", 8)]:
        parser.add_argument(f"--{name}", type=int, default=value, help="smaller to try this script [%(default)s]")
    a = parser.parse_args()
    if not NASLAB.exists():
        sys.exit(f"{NASLAB} is not there; run `make build` first")
    ours(a)
    if a.release:
        seconds, peak = released(a)
        memory = "" if peak is None else f", peak of the allocator {peak / 2**30:.2f} GiB"
        print(f"released: median {statistics.median(seconds):.4f} s a step ({min(seconds):.4f} to {max(seconds):.4f}){memory}")


if __name__ == "__main__":
    main()
