"""A profile drawn: a roofline with its stages, a bar of what takes the time, and a sweep over sizes."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.engine.profiling.result import Profile

NONE = "in none of these"
"""What of an update is in none of the bars below it."""


def save_roofline(profile: Profile, path: Path) -> None:
    """Draw each stage under the device's limits: FLOP/s against FLOPs per byte.

    Args:
      profile: from `jaxrl.profile`.
      path: of the PNG.

    Source: Williams et al. (2009), Roofline: an Insightful Visual Performance Model.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes: Any = figure.subplots()
    peaks, timed = profile.peaks, [(name, x, profile.counts_of(name)) for name, x in profile.stage_seconds.items()]
    timed.append(("an update", profile.median_seconds, profile.counts))
    points = [
        (name, counts.flops / counts.bytes, counts.flops / seconds, seconds / profile.median_seconds)
        for name, seconds, counts in timed
        if counts.flops > 0 and counts.bytes > 0
    ]
    low_precision = any(counts.low_product_flops > 0 for *_, counts in timed)
    most = max(peaks.product_flops, peaks.low_product_flops) if low_precision else peaks.product_flops
    ridge = most / peaks.bytes
    low = min([ridge / 100, *(point[1] / 3 for point in points)])
    high = max([ridge * 10, *(point[1] * 3 for point in points)])
    intensity = np.geomspace(low, high, 200)
    roofs = {"limit of this device, measured": (peaks.product_flops, "-")}
    if low_precision:
        roofs["its limit for products in bfloat16"] = (peaks.low_product_flops, "--")
    for label, (flops, line) in roofs.items():
        axes.loglog(intensity, np.minimum(intensity * peaks.bytes, flops), line, color="black", label=label)
    for index, (name, x, y, share) in enumerate(points):
        whole = name == "an update"
        axes.scatter(x, y, s=40 + 300 * share, marker="*" if whole else "o", alpha=0.8, color=f"C{index % 10}")
        axes.annotate(f"{name} ({share:.0%})", (x, y), xytext=(7, 4), textcoords="offset points", fontsize=8)
    axes.set(xlabel="FLOPs per byte moved", ylabel="FLOP/s", title=f"{profile.algorithm} on {profile.device}")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def save_stages(profile: Profile, path: Path) -> None:
    """Draw a bar of what takes the time of an update, and below a stage that of its parts.

    Args:
      profile: from `jaxrl.profile`, with stages.
      path: of the PNG.

    Source: our own.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.2), layout="constrained")
    axes: Any = figure.subplots()
    rest = max(profile.median_seconds - sum(profile.parts().values()), 0.0)
    colors = {name: f"C{index % 10}" for index, name in enumerate(profile.stages)}
    colors[NONE] = "lightgray"

    def bars(height: int, left: float, parts: dict[str, float]) -> None:
        for name, seconds in parts.items():
            label = f"{name} {seconds / profile.median_seconds:.0%}"
            axes.barh(height, 1e3 * seconds, left=left, color=colors[name], label=label)
            bars(height - 1, left, profile.parts(name))
            left += 1e3 * seconds

    bars(0, 0.0, profile.parts() | ({NONE: rest} if rest else {}))
    axes.axvline(1e3 * profile.median_seconds, color="black", linestyle="--", linewidth=1)
    axes.set(yticks=[], xlabel="milliseconds of an update (dashed: measured as a whole)")
    axes.set_title(f"{profile.algorithm} on {profile.device}")
    axes.legend(ncols=5, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.45), frameon=False)
    figure.savefig(path, dpi=150, bbox_inches="tight")


def save_sweep(points: list[dict[str, Any]], field: str, knee: int | None, path: Path) -> None:
    """Draw throughput, memory and compile time against a size.

    Args:
      points: from `sweep`.
      field: what was varied.
      knee: of `sweep.knee_of`; None marks none.
      path: of the PNG.

    Source: our own.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 7), layout="constrained")
    rows: Any = figure.subplots(3, 1, sharex=True)
    measured = [point for point in points if "profile" in point]
    sizes = [point["size"] for point in measured]
    unit = measured[0]["profile"]["unit"] if measured else "units"
    speed = np.array([point["profile"]["per_second"] for point in measured]).reshape(-1, 3)
    rows[0].fill_between(sizes, speed[:, 0], speed[:, 2], alpha=0.3)
    rows[0].plot(sizes, speed[:, 1], marker="o")
    memory = [point["bytes"] / 2**20 for point in points if "bytes" in point]
    rows[1].plot([point["size"] for point in points if "bytes" in point], memory, marker="o")
    rows[2].plot(sizes, [point["profile"]["compilation"]["compile_seconds"] for point in measured], marker="o")
    for axes, label in zip(rows, (f"{unit}/s", "memory, MiB", "compilation, s"), strict=True):
        axes.set(xscale="log", ylabel=label)
        axes.grid(alpha=0.3)
        for point in points:
            if "profile" not in point:
                axes.axvline(point["size"], color="C3", linestyle=":", label=point["failure"])
        if knee is not None:
            axes.axvline(knee, color="black", linestyle="--", linewidth=1, label=f"knee: {knee:,}")
    if measured:
        rows[0].set_yscale("log")
        rows[1].set_yscale("log")
    handles = dict(zip(*reversed(rows[0].get_legend_handles_labels()), strict=True))
    if handles:
        rows[0].legend(handles.values(), handles.keys(), fontsize=8)
    rows[2].set_xlabel(field)
    figure.savefig(path, dpi=150)
