"""The table of throughput, from its results."""

import math
import pathlib
import statistics
from typing import Any

from benchmarks import results
from benchmarks.rendering import device_lines, render, spread, with_notes
from benchmarks.results import Result
from benchmarks.throughput import CELLS
from jaxrl.engine.profiling.report import of_peak, prefixed


def throughput_table(directory: pathlib.Path) -> str:
    """Every cell on every platform where it was measured."""
    header = (
        "what",
        "on",
        "a second",
        "compile, s",
        "FLOP/s, of peak",
        "B/s, of peak",
        "in no stage",
        "each alone",
        "one thread",
        "command",
    )
    rows, measured = [], []
    for platform in results.PLATFORMS:
        for name, cell in CELLS.items():
            result = results.load(f"throughput_{name}", results.folder(platform, directory))
            if result is not None:
                measured.append(result)
                rows.append(throughput_row(result))
            elif platform == "gpu" or (platform == "cpu" and not cell.accelerator):
                command = f"`python -m benchmarks.throughput --cells {name}`"
                rows.append([cell.what, platform, "not measured", *["–"] * 6, command])
    note = (
        "Median [quartiles]; compilation is tracing, lowering, compiling one program. Peaks are of the same process: "
        "the fastest matrix product of float32 at default precision, which is TF32 on NVIDIA, and the faster of a copy "
        "and a matrix–vector product. FLOPs and bytes are counted from the compiled program, as if nothing were cached "
        "between kernels: what caches hold may exceed the peak, as may a program that only reads. In no stage: the "
        "part of an update that its stages leave open (environment, policy, gradient, optimizer, …; its halves, where "
        "they have no parts), each timed as a program of its own, those that it repeats together in one loop, one "
        "after the other; negative where they cost more than an update. Each alone: the same without loops. One "
        "thread: what an update takes of its time on one thread of the CPU, as with `NPROC=1` in the environment. A "
        "replay fills while it is measured, and rows are drawn from what it has. Language models are new: a trained "
        "one may write longer."
    )
    notes = [note] if measured else []
    return with_notes(render(header, rows), *notes, *_peaks(measured), *_made(measured), *device_lines(measured))


def _peaks(measured: list[Result]) -> list[str]:
    """Between what bounds the peaks of the rows lie, a line for each device: a share depends on its row's."""
    devices: dict[str, list[Result]] = {}
    for result in measured:
        devices.setdefault(_device(result), []).append(result)
    lines = []
    for device, found in devices.items():
        numbers = [result.sides["jaxrl"].measurements for result in found]
        flops, bandwidths = [each["peak product_flops"][0] for each in numbers], [*map(_bandwidth, numbers)]
        low, high = (f"{prefixed(pick(flops))}FLOP/s, {prefixed(pick(bandwidths))}B/s" for pick in (min, max))
        lines.append(f"Peaks on {device}, lowest and highest of its rows: {low}; {high}.")
    return lines


def _device(result: Result) -> str:
    return result.device.kind if result.device.platform != "cpu" else f"{result.device.cores} cores"


def _bandwidth(numbers: dict[str, list[Any]]) -> float:
    """The faster of a copy and a product."""
    return max(numbers["peak copy_bytes"][0], numbers["peak product_bytes"][0])


def _made(measured: list[Result]) -> list[str]:
    """What is to say of how results were made, a line for each way."""
    ways: dict[str, list[str]] = {}
    for result in measured:
        if "made" in result.configuration:
            ways.setdefault(result.configuration["made"], []).append(result.name.removeprefix("throughput_"))
    return [f"On another machine, {', '.join(names)}: {way}." for way, names in ways.items()]


def throughput_row(result: Result) -> list[str]:
    """Speed, and the shares of the device's limits that it comes to."""
    numbers, unit = result.sides["jaxrl"].measurements, result.configuration["unit"]
    seconds = statistics.median(numbers["update_seconds"])
    tokens = numbers.get("tokens_per_second")
    single = numbers.get("one_thread_update_seconds", ())
    ratios = [one / several for one, several in zip(single, numbers["update_seconds"], strict=False)]
    flops, moved = ((numbers[what][0] or math.nan) / seconds for what in ("flops", "bytes"))
    return [
        CELLS[result.name.removeprefix("throughput_")].what,
        _device(result),
        f"{spread(numbers['units_per_second'], ',.0f')} {unit}"
        + (f", {statistics.median(tokens):,.0f} tokens" if tokens else ""),
        f"{numbers['compile_seconds'][0]:.1f}",
        of_peak(flops, flops / numbers["peak product_flops"][0]),
        of_peak(moved, moved / _bandwidth(numbers)),
        *(spread(numbers[x], ".1%") if x in numbers else "–" for x in ("in no stage", "in no stage alone")),
        spread(ratios, ".2f") if ratios else "–",
        f"`{result.command}`",
    ]
