#!/usr/bin/env python3
"""Makes the steps of a trace once more in the authors' released code and compares.

    naslab run darts --set search.epochs=1 --trace trace
    scripts/replay.py darts path/to/quark0/darts trace

Of GHN, whose authors released none, the code is a re-implementation (replay/ghn.py).

For every traced step the state before it goes into the released network, and the released step is made with the same batches, in double and in single precision. The table
shows how far naslab's losses, gradients, weights and running statistics are from those in double precision, and beside it how far the release's own single
precision is. Exit code 1 if naslab is further away than the tolerance (replay/compare.py) or a genotype differs, 2 if there is nothing that could be compared or the arguments
are wrong. Needs torch, numpy and safetensors; see docs/fidelity.md.
"""

import argparse
import sys

from replay import compare, stop

PHASES = ("search", "retrain")


def released(method, folder, trace):
    """The released code of a method, set up for a trace, and the commit that is known to work."""
    if method == "darts":
        from replay import darts

        return darts.Darts(folder, trace), darts.COMMIT
    if method == "ghn":
        from replay import ghn

        return ghn.Ghn(folder, trace), ghn.COMMIT
    from replay import nas_unet

    return nas_unet.NasUnet(folder, trace), nas_unet.COMMIT


def replayed(code, trace, phase, most):
    """Distances of every step of a phase that can be replayed, and sentences that say what else differs."""
    steps, wrong = [], []
    for step in trace.steps(phase, most):
        result = getattr(code, phase)(step)
        if result is None:
            continue
        steps.append(result[0])
        wrong.append(result[1])
    return steps, [text for text in wrong if text]


def report(phase, steps, wrong, median):
    """Prints a phase's table; whether naslab is near enough."""
    quantities = compare.gather(steps)
    print(f"\n{phase}: {len(steps)} steps\n\n{compare.table(quantities, median)}")
    for text in wrong:
        print(text)
    return not wrong and all(q.passes(median) for q in quantities)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=["darts", "nas_unet", "ghn"])
    parser.add_argument("release", help="a clone of the authors' code")
    parser.add_argument("trace", help="the folder that --trace named, or the folder of one run in it")
    parser.add_argument("--steps", type=int, default=None, help="only so many steps of each phase")
    parser.add_argument("--phase", choices=PHASES, action="append", help="only this phase; may be repeated")
    parser.add_argument("--median", type=float, default=compare.MEDIAN, help="largest median over the steps [%(default)s]")
    return parser.parse_args()


def main():
    a = arguments()
    import torch

    from replay.release import commit
    from replay.trace import Trace

    torch.set_num_threads(1)
    trace = Trace(a.trace)
    code, known = released(a.method, a.release, trace)
    manifest = trace.manifest
    print(f"{trace.folder.name} by naslab {manifest['program']['version']}; {a.release} at {commit(a.release)}; PyTorch {torch.__version__}")
    if commit(a.release) != known:
        print(f"this is written for commit {known}")
    good = []
    for phase in [p for p in a.phase or PHASES if (trace.folder / p).exists()]:
        steps, wrong = replayed(code, trace, phase, a.steps)
        if steps:
            good.append(report(phase, steps, wrong, a.median))
    if not good:
        stop("no step could be replayed")
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
