"""How far naslab's steps are from those of the released code: differences, their table, and whether they are small enough. Needs Python alone."""

import math
import statistics
from dataclasses import dataclass

# Largest median over the steps; or so many times that of the release in single precision, which rounding alone can make larger where there are many activations.
MEDIAN, TIMES = 1e-5, 3
# Largest difference of a single step. A ReLU whose input is rounded to the other side of zero changes the gradients of a step by up to a few hundredths in either code, most of
# all where the second order divides by a small step, and Adam makes as much of the sign of a gradient near zero as of any other; what the step leaves hardly moves.
WORST = {"alpha gradient": 0.1, "weight gradient": 0.1, "alpha after": 1e-2, "weights after Adam": 1e-3}
WORST_OF_OTHERS = 1e-4
# Steps that differ by more are counted in the table.
COUNTED = 1e-4


def length(values):
    return math.sqrt(math.fsum(v * v for v in values))


def relative(ours, theirs):
    """|ours - theirs| / |theirs| of two equally long lists of numbers; a NaN stays one."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} numbers here, {len(theirs)} there")
    difference, size = length([a - b for a, b in zip(ours, theirs)]), length(theirs)
    if difference == 0:
        return 0.0
    return difference / size if size > 0 else math.inf


@dataclass
class Quantity:
    """A quantity over all steps: naslab's distance to the release in double precision, and the distance of the release's own single precision to it."""

    name: str
    ours: list
    release: list

    def passes(self, median=MEDIAN):
        worst = WORST.get(self.name, WORST_OF_OTHERS)
        most = max(median, TIMES * statistics.median(self.release))
        # Written so that a NaN fails.
        return statistics.median(self.ours) <= most and all(d <= worst for d in self.ours)


def gather(steps):
    """`steps` is a list of {name: (naslab's distance, the release's own)}; a step may lack a quantity."""
    names = dict.fromkeys(name for step in steps for name in step)
    found = {name: [step[name] for step in steps if name in step] for name in names}
    return [Quantity(name, [a for a, _ in pairs], [b for _, b in pairs]) for name, pairs in found.items()]


def row(distances):
    above = sum(not d <= COUNTED for d in distances)
    return f"{statistics.median(distances):.1e} | {max(distances):.1e} | {above}"


def table(quantities, median=MEDIAN):
    """As Markdown: relative differences to the release in double precision."""
    of = f"median | worst | steps above {COUNTED:.0e}"
    lines = [f"| quantity | steps | naslab: {of} | the release in single precision: {of} | |", "|---|---|---|---|---|---|---|---|---|"]
    for q in quantities:
        lines.append(f"| {q.name} | {len(q.ours)} | {row(q.ours)} | {row(q.release)} | {'ok' if q.passes(median) else 'DIFFERS'} |")
    return "\n".join(lines)
