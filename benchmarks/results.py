"""The schema of every result: enough to repeat a measurement, and every number of it, never only a median."""

import dataclasses
import datetime
import json
import math
import os
import pathlib
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PLATFORMS = ("cpu", "gpu", "tpu")
SCHEMA = 1
INNER_LIST = re.compile(r"\[\n\s*([^\[\]{}]*?)\n\s*\]")


@dataclasses.dataclass(frozen=True)
class Device:
    """What the measurement ran on."""

    platform: str
    """JAX's name of the backend: cpu, gpu, tpu."""
    kind: str
    """JAX's name of the device."""
    count: int
    """Devices visible."""
    cores: int
    """CPU cores that the process may use (its affinity), not those of the machine."""
    cpu: str
    memory_gib: float


@dataclasses.dataclass(frozen=True)
class Side:
    """One library under measurement, and its raw numbers."""

    versions: dict[str, str]
    variables: dict[str, str]
    """Environment variables that change speed, such as XLA_FLAGS and OMP_NUM_THREADS."""
    threads: dict[str, int]
    """Thread counts that the library reports; empty where it has no such setting."""
    measurements: dict[str, list[Any]]
    """Lists, nested or not, of finite numbers; null where there was nothing to measure."""

    def __post_init__(self) -> None:
        if not self.versions:
            raise ValueError("versions: must name at least one package")
        for name, values in self.measurements.items():
            if not isinstance(values, list) or not values:
                raise ValueError(f"measurements.{name}: must be a list with every repetition, not {values!r}")
            for number in flat(values):
                _check_number(name, number)


@dataclasses.dataclass(frozen=True)
class Result:
    """A benchmark's answer."""

    name: str
    command: str
    """What repeats it, without options that name places of one machine."""
    timestamp: str
    commit: str
    """Git commit, or "unknown" outside of a repository."""
    dirty: bool
    """Whether anything but results differed from the commit."""
    device: Device
    configuration: dict[str, Any]
    sides: dict[str, Side]

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in "-_." for c in self.name):
            raise ValueError(f"name={self.name!r}: must be letters, digits, '-', '_' and '.'")
        datetime.datetime.fromisoformat(self.timestamp)
        if not self.sides:
            raise ValueError("sides: must hold at least one library")


def flat(values: Any) -> Iterable[Any]:
    """The numbers of lists in lists."""
    if isinstance(values, list):
        for value in values:
            yield from flat(value)
    else:
        yield values


def _check_number(name: str, number: Any) -> None:
    if number is None:
        return
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError(f"measurements.{name}: {number!r} is not a finite number; write null where there is none")


def to_json(result: Result) -> str:
    """Render as JSON text, the innermost lists on one line each."""
    text = json.dumps({"schema": SCHEMA} | dataclasses.asdict(result), indent=1, allow_nan=False)
    # A line break inside of a string is escaped: a real one after a bracket begins a list.
    return INNER_LIST.sub(lambda match: "[" + re.sub(r"\n\s*", " ", match[1]) + "]", text) + "\n"


def from_json(text: str) -> Result:
    """Parse and validate.

    Raises:
      ValueError: for another schema, a missing or unknown field, or a number that is not finite.
    """
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("schema: a result is a JSON object")
    if record.pop("schema", None) != SCHEMA:
        raise ValueError(f"schema: this reader knows version {SCHEMA} only")
    sides = {name: _build(Side, side) for name, side in record.get("sides", {}).items()}
    return _build(Result, record | {"device": _build(Device, record.get("device", {})), "sides": sides})


def _build(cls: Any, record: Mapping[str, Any]) -> Any:
    fields = {field.name: field.type for field in dataclasses.fields(cls)}
    if record.keys() != fields.keys():
        wrong = sorted(record.keys() ^ fields.keys())
        raise ValueError(f"{cls.__name__}: missing or unknown fields: {', '.join(wrong)}")
    for name, kind in fields.items():
        allowed = {float: (int, float), int: int, str: str, bool: bool}.get(kind, object)
        if not isinstance(record[name], allowed) or (kind in (int, float) and isinstance(record[name], bool)):
            raise ValueError(
                f"{cls.__name__}.{name}={record[name]!r}: must be of type {getattr(kind, '__name__', kind)}"
            )
    return cls(**record)


def save(result: Result, directory: pathlib.Path = RESULTS) -> pathlib.Path:
    """Write NAME.json atomically into `folder`: a reader sees the old file or the new one, never a part."""
    text = to_json(result)
    from_json(text)
    directory = folder(result.device.platform, directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{result.name}.json"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(path)
    return path


def folder(platform: str, directory: pathlib.Path = RESULTS) -> pathlib.Path:
    """Where results of a platform are: those of a CPU in the directory itself, others beside them in their own."""
    return directory if platform == "cpu" else directory / platform


def load(name: str, directory: pathlib.Path = RESULTS) -> Result | None:
    """Read `directory/NAME.json`; None where it has not been measured."""
    path = directory / f"{name}.json"
    return from_json(path.read_text()) if path.exists() else None


def load_any(name: str, directory: pathlib.Path = RESULTS) -> Result | None:
    """As `load`, from the first folder of `PLATFORMS` that has it."""
    return next(filter(None, (load(name, folder(platform, directory)) for platform in PLATFORMS)), None)


def finite_or_null(values: Any) -> list[Any]:
    """An array as nested lists in which NaN (no episode finished, say) has become null."""
    array = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(array), array, None).tolist()  # pyright: ignore[reportArgumentType, reportCallIssue]


def quartiles(values: Any) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of the numbers that are there; NaN if none is."""
    numbers = [number for number in flat(list(values)) if number is not None]
    if not numbers:
        return math.nan, math.nan, math.nan
    low, middle, high = np.percentile(numbers, [25, 50, 75])
    return float(low), float(middle), float(high)


def command_line(module: str, options: Any, omit: tuple[str, ...] = ()) -> str:
    """The command that repeats a run.

    Args:
      module: after `python -m`.
      options: dataclass of the command's options; those at their default are left out.
      omit: fields that name places of this machine.
    """
    words = ["python", "-m", module]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value == field.default or field.name in omit:
            continue
        flag = "--" + field.name.replace("_", "-")
        values = value if isinstance(value, tuple) else () if value is True else (value,)
        words += [flag, *map(str, values)]
    return shlex.join(words)
