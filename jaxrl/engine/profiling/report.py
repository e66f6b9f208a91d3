"""A profile in words, and as JSON."""

import dataclasses
import math
from typing import Any

import numpy as np

from jaxrl.engine.profiling.counts import Counts
from jaxrl.engine.profiling.peaks import Peaks
from jaxrl.engine.profiling.result import Profile
from jaxrl.engine.profiling.threads import NPROC

AGREEMENT = 0.1
"""Part of XLA's own count by which ours may differ without a word."""


def limits(counts: Counts, peaks: Peaks) -> dict[str, float]:
    """Seconds that each limit of the device alone would ask for.

    Args:
      counts: of a program.
      peaks: of the device it runs on.

    Returns:
      Of `FLOPs` at the speed of the fastest matrix product, those of products in 16 bits at their own, `bytes` at that
      of a copy or a product that reads, and `launches` of kernels and of turns of loops.
    """
    low = counts.low_product_flops
    return {
        "FLOPs": (counts.flops - low) / peaks.product_flops + low / peaks.low_product_flops,
        "bytes": counts.bytes / peaks.bytes,
        "launches": counts.kernels * peaks.kernel_seconds + counts.turns * peaks.turn_seconds,
    }


def page(profile: Profile) -> str:
    """A table for people.

    Args:
      profile: from `jaxrl.profile`.
    """
    compilation, median, peak = profile.compilation, profile.median_seconds, profile.device_peak_bytes
    low, middle, high = profile.per_second
    seeds = f", {profile.num_seeds} seeds in one program" if profile.num_seeds > 1 else ""
    steps = [f"{n} {getattr(compilation, f'{n}_seconds'):.2f} s" for n in ("trace", "lower", "compile", "first_run")]
    lines = [
        f"{profile.algorithm} on {profile.device}{seeds}",
        f"before the first update: init {profile.init_seconds:.2f} s, " + ", ".join(steps).replace("_", " "),
        f"speed: {middle:,.0f} {profile.unit}/s [{low:,.0f}, {high:,.0f}], median [quartiles] of "
        f"{len(profile.seconds)}; {profile.units:,} {profile.unit} in {_time(median)} an update",
    ]
    if profile.tokens:
        drawn = "; a trained model may write longer" if profile.unit == "completions" else ""
        low, middle, high = np.quantile(profile.tokens_per_second, [0.25, 0.5, 0.75])
        each = f"{np.median(profile.tokens):,.0f} an update"
        lines.append(f"tokens: {middle:,.0f} tokens/s [{low:,.0f}, {high:,.0f}], {each}{drawn}")
    lines += ["", *_stage_lines(profile), ""]
    once = compilation.counted_once
    lines += [
        f"counted from shapes, every loop once as XLA does: {prefixed(once.flops)}FLOP, {prefixed(once.bytes)}B; "
        f"by XLA: {prefixed(compilation.xla_flops)}FLOP, {prefixed(compilation.xla_bytes)}B"
        + _doubt({"FLOP": (once.flops, compilation.xla_flops), "B": (once.bytes, compilation.xla_bytes)}),
        f"memory: arguments {prefixed(compilation.argument_bytes)}B, "
        f"temporary {prefixed(compilation.temporary_bytes)}B, "
        f"new outputs {prefixed(compilation.output_bytes)}B"
        + (f"; this process had {prefixed(peak)}B in use at most" if peak is not None else ""),
        f"compiled anew for later updates, by the types of their states: {profile.compilations} programs; calls of the "
        f"host inside of an update: {profile.counts.transfers:.0f}",
        _peak_line(profile.peaks),
    ]
    if not profile.stages:
        of_one = "the algorithm names none, or three more states do not fit into memory"
        lines.append("no stages: " + (of_one if profile.num_seeds == 1 else "they are timed for one seed only"))
    if profile.one_thread_seconds is not None:
        low, middle, high = np.quantile(np.divide(profile.one_thread_seconds, profile.seconds), [0.25, 0.5, 0.75])
        lines.append(
            f"on one thread (set {NPROC}=1 in the environment) an update takes {middle:.2f} [{low:.2f}, {high:.2f}] of "
            "its time"
        )
    if profile.counts.unknown_loops > 0:
        lines.append("loops whose length only the data say count once; an accelerator asks the host in each turn")
    return "\n".join(lines)


def _stage_lines(profile: Profile) -> list[str]:
    """One line a stage, the whole, and what no stage has."""
    median = profile.median_seconds
    rows: list[tuple[str, ...]] = [
        ("", "time", "share", "FLOP/s, of peak", "B/s, of peak", "kernels", "nearest limit, and its part of the time")
    ]

    def add(name: str, seconds: float, counts: Counts) -> None:
        found = limits(counts, profile.peaks)
        bound, least = max(found.items(), key=lambda item: item[1])
        nearest = "unknown" if any(map(math.isnan, found.values())) else f"{bound} {least / seconds:.0%}"
        flops = of_peak(counts.flops / seconds, found["FLOPs"] / seconds)
        moved = of_peak(counts.bytes / seconds, found["bytes"] / seconds)
        rows.append((name, _time(seconds), f"{seconds / median:.1%}", flops, moved, f"{counts.kernels:,.0f}", nearest))

    def add_rest(name: str, seconds: float, said: str = "") -> None:
        rows.append((name, _time(seconds), f"{seconds / median:.1%}", "", "", "", said))

    for name, seconds in profile.parts().items():
        add(name, seconds, profile.counts_of(name))
        inner = profile.parts(name)
        for part, part_seconds in inner.items():
            add(f"  {part}", part_seconds, profile.counts_of(part))
        if inner:
            add_rest("  in none of these", seconds - sum(inner.values()))
    add("an update", median, profile.counts)
    for loop in profile.loops.values():
        alone = sum(profile.stage_seconds[name] for name in loop.members)
        first, *others = loop.members
        name = f"{first} and {others[0] if len(others) == 1 else f'{len(others)} more'}, together"
        add_rest(name, float(np.median(loop.seconds)), f"each alone {_time(alone)}")
    if profile.stages:
        for name, together in ({"in no stage": True} | ({"  each alone": False} if profile.loops else {})).items():
            shares = profile.open_shares(together)
            low, middle, high = np.quantile(shares, [0.25, 0.5, 0.75])
            add_rest(name, middle * median, f"quartiles {low:.1%}, {high:.1%}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


def _doubt(both: dict[str, tuple[float, float]]) -> str:
    """Where two counts of the same are apart; nothing is said where one of them is missing."""
    apart = [name for name, (ours, other) in both.items() if abs(ours - other) > AGREEMENT * abs(other)]
    return f" (these differ by more than {AGREEMENT:.0%}: {', '.join(apart)})" if apart else ""


def _peak_line(peaks: Peaks) -> str:
    turn = f"{_time(peaks.turn_seconds)} a turn of a loop, " if peaks.turn_seconds else ""
    return (
        f"this device at most: {prefixed(peaks.product_flops)}FLOP/s in products of float32 at default precision, "
        f"{prefixed(peaks.low_product_flops)}FLOP/s in bfloat16 ones, {prefixed(peaks.copy_bytes)}B/s copied, "
        f"{prefixed(peaks.product_bytes)}B/s read by a matrix–vector product, {_time(peaks.launch_seconds)} a call, "
        f"{turn}{_time(peaks.kernel_seconds)} a kernel in a loop"
    )


def record(profile: Profile) -> dict[str, Any]:
    """Everything, for machines; what is not a number becomes null.

    Args:
      profile: from `jaxrl.profile`.
    """
    derived = {"per_second": profile.per_second, "unattributed": profile.unattributed, "counts": profile.counts}
    derived |= {"open_shares": profile.open_shares(), "alone_shares": profile.open_shares(together=False)}
    derived["compilations"] = profile.compilations
    stages = {name: dataclasses.replace(x, counts=profile.counts_of(name)) for name, x in profile.stages.items()}
    known = dataclasses.replace(profile, stages=stages)
    return _plain(dataclasses.asdict(known) | derived | {"stage_seconds": profile.stage_seconds})


def _plain(value: Any) -> Any:
    if isinstance(value, Counts):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _time(seconds: float) -> str:
    for unit, size in {"s": 1.0, "ms": 1e-3}.items():
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def prefixed(value: float) -> str:
    """Of three digits and with a prefix, to stand before a unit: `2.01 G`.

    Args:
      value: any number.
    """
    for prefix, size in {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}.items():
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "


def of_peak(rate: float, share: float) -> str:
    """A rate with its prefix, and its part of a peak; a dash for what nobody could count.

    Args:
      rate: operations or bytes per second.
      share: of the device's limit.

    Example:
      >>> of_peak(1.5e9, 0.25)
      '1.5 G, 25.0%'
    """
    return "–" if math.isnan(rate) else f"{prefixed(rate).strip()}, {share:.1%}"
