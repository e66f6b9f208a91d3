"""Two results of the same benchmark: ratios with confidence intervals, and which differences are noise."""

import pathlib
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.rendering import render
from benchmarks.results import Result

DRAWS = 4000
FEWEST = 5
"""Repetitions below which nothing is said of a difference: two samples of three are apart by chance once in ten."""


def ratio_interval(before: Any, after: Any) -> tuple[float, float, float]:
    """Median ratio after / before, and its 95 % interval by the bootstrap of both medians.

    Args:
      before: repetitions.
      after: repetitions, which need not be as many.

    Returns:
      The ratio of the medians, and the interval's ends.

    Source: Efron (1979), Bootstrap Methods: Another Look at the Jackknife.
    """
    random = np.random.default_rng(0)
    before, after = np.asarray(before, float), np.asarray(after, float)
    drawn = [np.median(x[random.integers(0, len(x), (DRAWS, len(x)))], axis=1) for x in (before, after)]
    low, high = np.quantile(drawn[1] / drawn[0], [0.025, 0.975])
    return float(np.median(after) / np.median(before)), float(low), float(high)


def comparison(before: Result, after: Result) -> str:
    """A table of what both measured, and a line for each difference of their circumstances."""
    header = ("side", "measurement", "before", "after", "ratio [95 %]", "is it noise?")
    rows = []
    for side in before.sides:
        theirs = after.sides[side].measurements if side in after.sides else {}
        for name, values in before.sides[side].measurements.items():
            if name in theirs:
                rows.append([side, name, *_row(_numbers(values), _numbers(theirs[name]))])
    if not rows:
        raise ValueError(f"{before.name} and {after.name} have no measurement in common")
    return render(header, rows) + "\n" + "\n".join(_circumstances(before, after)) + "\n"


def _numbers(values: Any) -> list[float]:
    return [float(x) for x in results.flat(values) if x is not None]


def _row(before: list[float], after: list[float]) -> list[str]:
    if not before or not after:
        return ["–", "–", "–", "not measured"]
    middle = [f"{np.median(x):.4g}" for x in (before, after)]
    if before == after:
        return [*middle, "1", "equal"]
    if min(before + after) <= 0:
        return [*middle, "–", "no ratio: not all are positive"]
    if len(before) == len(after) == 1:
        return [*middle, f"{after[0] / before[0]:.3f}", "one value each: a count is no noise, a time may be"]
    if min(map(len, (before, after))) < FEWEST:
        return [*middle, "–", f"fewer than {FEWEST} repetitions"]
    ratio, low, high = ratio_interval(before, after)
    return [*middle, f"{ratio:.3f} [{low:.3f}, {high:.3f}]", "yes" if low <= 1 <= high else "no"]


def _circumstances(before: Result, after: Result) -> list[str]:
    """What else differs."""
    said = [
        f"before: {before.commit[:7]}, {before.timestamp}; after: {after.commit[:7]}, {after.timestamp}",
        "intervals are of repetitions within one process; another process may be faster or slower as a whole",
    ]
    for what in ("device", "configuration"):
        one, other = getattr(before, what), getattr(after, what)
        if one != other:
            said.append(f"another {what}: {one}; {other}: ratios say nothing of the code alone")
    for side in before.sides.keys() & after.sides.keys():
        one, other = before.sides[side].versions, after.sides[side].versions
        changed = [f"{name} {one.get(name)} to {other.get(name)}" for name in one if one.get(name) != other.get(name)]
        if changed:
            said.append(f"{side}: {', '.join(changed)}")
    return said


def show(arguments: list[str]) -> None:
    """Print the comparison of two files.

    Raises:
      SystemExit: with one sentence, for files that cannot be compared.
    """
    if len(arguments) != 2:
        raise SystemExit("compare needs two results: `python -m benchmarks --compare A.json B.json`")
    try:
        before, after = (results.from_json(pathlib.Path(path).read_text()) for path in arguments)
        print(comparison(before, after), end="")
    except (OSError, ValueError) as error:
        raise SystemExit(f"compare: {error}") from None
