"""Two results of the same benchmark: ratios or differences, with confidence intervals, and which are noise."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.rendering import FEWEST, render
from benchmarks.results import Result, Side

DRAWS = 4000
MOOD = 0.1
"""Part by which a limit of the same machine may differ without a word."""
RATES = ("peak product_flops", "peak copy_bytes", "peak product_bytes")
"""Limits of the machine by which times and speeds may move when nothing but its mood has changed."""
UNREPEATED = {
    "complexity": (": sizes", ": seconds"),
    "learning": ("evaluation_steps", "evaluation_seconds"),
    "suites": ("returns", "finished"),
}
"""By the beginning of a result's name, the ends of those of its lists that have a number, or a list, for each size or
budget, or for each episode of one training."""


def interval(before: Any, after: Any, compared: Any = np.divide) -> tuple[float, float, float]:
    """Median after, compared with that before, and the 95 % interval by the bootstrap of both medians.

    Args:
      before: repetitions.
      after: repetitions, which need not be as many.
      compared: function of the medians after and before.

    Returns:
      Their ratio, or what `compared` gives, and the interval's ends.

    Source: Efron (1979), Bootstrap Methods: Another Look at the Jackknife.
    """
    random = np.random.default_rng(0)
    before, after = np.asarray(before, float), np.asarray(after, float)
    drawn = [np.median(x[random.integers(0, len(x), (DRAWS, len(x)))], axis=1) for x in (before, after)]
    low, high = np.quantile(compared(drawn[1], drawn[0]), [0.025, 0.975])
    return float(compared(np.median(after), np.median(before))), float(low), float(high)


def comparison(before: Result, after: Result) -> str:
    """A table of what both measured, and a line for each difference of their circumstances."""
    header = ("side", "measurement", "before", "after", "ratio, or difference [95 %]", "noise in a process?")
    first, second = (
        {(side, name): values for side in result.sides for name, values in result.sides[side].measurements.items()}
        for result in (before, after)
    )
    shared = [key for key in first if key in second]
    if not shared:
        raise ValueError(f"{before.name} and {after.name} have no measurement in common")
    alone = {
        "before": [key for key in first if key not in second],
        "after": [key for key in second if key not in first],
    }
    missing = [f"only {when}: {'; '.join(map(': '.join, keys))}" for when, keys in alone.items() if keys]
    ends = tuple(end for kind, ends in UNREPEATED.items() if before.name.startswith(kind) for end in ends)
    left = [key for key in shared if key[1].endswith(ends)]
    moved = {side: _limits_moved(before.sides[side], after.sides[side]) for side, _ in shared}
    rows = [
        [*key, *_row(first[key], second[key], _excused(key[1], moved[key[0]]))] for key in shared if key not in left
    ]
    skipped = [f"not compared, for it is no repetition: {'; '.join(map(': '.join, left))}"] if left else []
    return "\n".join([render(header, rows), *missing, *skipped, *_circumstances(before, after)]) + "\n"


def _repetitions(values: list[Any]) -> list[float]:
    """One number for each repetition or seed: the mean of what it measured."""
    each = [[float(x) for x in results.flat(value) if x is not None] for value in values]
    return [float(np.mean(numbers)) for numbers in each if numbers]


def _row(values_before: list[Any], values_after: list[Any], excused: tuple[float, float]) -> list[str]:
    before, after = _repetitions(values_before), _repetitions(values_after)
    if not before or not after:
        return ["–", "–", "–", "not measured"]
    middle = [f"{np.median(x):.4g}" for x in (before, after)]
    if values_before == values_after:
        return [*middle, "–", "equal"]
    positive = min(before + after) > 0
    compared, neutral = (np.divide, 1.0) if positive else (np.subtract, 0.0)
    if len(before) == len(after) == 1:
        change = compared(after[0], before[0])
        said = f"{change:.3f}" if positive else f"{change:+.4g}"
        return [*middle, said, "one value each: a count is no noise, a time may be"]
    if min(map(len, (before, after))) < FEWEST:
        return [*middle, "–", f"fewer than {FEWEST} repetitions"]
    found = interval(before, after, compared)
    change, low, high = (f"{x:.3f}" if positive else f"{x:+.4g}" for x in found)
    verdict = "yes" if found[1] <= neutral <= found[2] else "no"
    if verdict == "no" and positive and found[1] <= excused[1] and excused[0] <= found[2]:
        verdict = "the machine moved as much"
    missing = [len(values) - len(numbers) for values, numbers in ((values_before, before), (values_after, after))]
    if any(missing):
        verdict += f"; without {missing[0]} and {missing[1]} that have no number"
    return [*middle, f"{change} [{low}, {high}]", verdict]


def _circumstances(before: Result, after: Result) -> list[str]:
    """What else differs."""
    said = [
        f"before: {before.commit[:7]}, {before.timestamp}; after: {after.commit[:7]}, {after.timestamp}",
        "intervals are of repetitions within one process; another process may be faster or slower as a whole, as where "
        "all rates of the machine itself, measured in both, moved the same way as much",
    ]
    devices = (dataclasses.asdict(result.device) for result in (before, after))
    for what, pair in {"device": devices, "configuration": (before.configuration, after.configuration)}.items():
        if changes := "; ".join(_changes(*pair)):
            said.append(f"another {what}: {changes}: ratios say nothing of the code alone")
    for side in sorted(before.sides.keys() & after.sides.keys()):
        ratios = _limits_moved(before.sides[side], after.sides[side])
        if moved := [f"{name} {ratio:.2f}" for name, ratio in ratios.items() if abs(ratio - 1) > MOOD]:
            mood = "the machine is another or in another mood, after next to before"
            said.append(f"{side}: {mood}: {', '.join(moved)}")
        one, other = before.sides[side].versions, after.sides[side].versions
        changed = [f"{name} {one.get(name)} to {other.get(name)}" for name in one if one.get(name) != other.get(name)]
        if changed:
            said.append(f"{side}: {', '.join(changed)}")
    return said


def _changes(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Entries of nested dictionaries that are not the same, in words."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        if before != after:
            yield f"{path}: {before} to {after}"
        return
    for name in before | after:
        one, other = (entries.get(name, "nothing") for entries in (before, after))
        yield from _changes(one, other, f"{path}.{name}" if path else name)


def _limits_moved(before: Side, after: Side) -> dict[str, float]:
    """The machine's own limits, measured in the same processes, after next to before."""
    one, other = before.measurements, after.measurements
    names = [name for name in one if name.startswith("peak ") and name in other]
    return {name: other[name][0] / one[name][0] for name in names if one[name][0] and other[name][0]}


def _excused(name: str, moved: dict[str, float]) -> tuple[float, float]:
    """The ratios of a measurement that the machine's rates explain: as far as all moved, if all moved one way."""
    ratios = [moved[rate] for rate in RATES if rate in moved]
    if name.startswith("in no ") or not ratios or min(ratios) <= 1 <= max(ratios):  # shares; or rates that disagree
        return 1.0, 1.0
    least = min(ratios) if min(ratios) > 1 else max(ratios)
    low, high = sorted((1.0, least if "per_second" in name else 1 / least))  # it need not have moved
    return low, high


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
