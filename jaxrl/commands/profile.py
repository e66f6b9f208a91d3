"""`jaxrl profile ALGORITHM ENV`."""

import contextlib
import dataclasses
import itertools
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from jaxrl.commands.usage import key_of, refuse
from jaxrl.flags import is_given, parse_plain

OF_A_RUN = ("resume", "evaluate_every", "save_every", "tensorboard", "pretraining_texts")
"""Options of `jaxrl train` that a profile has no use for."""
OF_A_SOLUTION = ("tolerance", "max_updates", "float64", "no_float64")
"""Those of `jaxrl solve`."""


@dataclasses.dataclass
class ProfileOptions:
    """Options of `jaxrl profile`; those of `jaxrl train ALGORITHM ENV` besides."""

    repetitions: Annotated[int, "of every timing"] = 9
    out: Annotated[Path | None, "directory of the profile (default: runs/profile-ALGORITHM-ENV-TIME)"] = None
    trace: Annotated[Path | None, "directory for a trace that Perfetto and XProf open"] = None
    sweep: Annotated[str | None, "FIELD=16..65536 or FIELD=8,12: one profile a size, each in its own process"] = None
    memory_gib: Annotated[float | None, "memory that a program may need (default: what is free)"] = None


def profile(arguments: list[str]) -> None:
    """Measure compilation, speed and stages; print a page, write JSON and pictures."""
    from jax.errors import JaxRuntimeError

    try:
        names = [*itertools.takewhile(lambda argument: not argument.startswith("-"), arguments[:2])]
        options, flags = parse_known(ProfileOptions, arguments[len(names) :], "jaxrl profile ALGORITHM ENV")
        if not names:
            raise ValueError("profile needs an algorithm and an environment: `jaxrl profile ppo CartPole-v1`")
        _check(options)
        run_name = f"profile-{'-'.join(names)}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}".replace(":", ".")
        directory = options.out or Path("runs") / run_name
        with _made(directory):
            if options.sweep is not None:
                _sweep(names, flags, options, directory)
            else:
                _profile(names, flags, options, directory)
    except (ValueError, TypeError, ImportError, OSError, MemoryError) as error:
        refuse(error)
    except JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        refuse(f"memory: {str(error).splitlines()[0]}", code=1)


def _check(options: ProfileOptions) -> None:
    """Refuse numbers that mean nothing, and a trace of many processes."""
    if options.repetitions < 1:
        raise ValueError(f"repetitions={options.repetitions} must be at least 1")
    if options.memory_gib is not None and not 0 < options.memory_gib < math.inf:
        raise ValueError(f"memory_gib={options.memory_gib} must be positive and finite")
    if options.trace is not None and options.sweep is not None:
        raise ValueError("trace: a sweep has one profile a size; trace one of them by itself")


@contextlib.contextmanager
def _made(directory: Path) -> Iterator[None]:
    """A directory and those above it, made before the work that fills it, and taken away if nothing came of that."""
    made = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is not empty
            for each in made:
                each.rmdir()


def _profile(names: list[str], flags: list[str], options: ProfileOptions, directory: Path) -> None:
    from jaxrl.engine.profiling import pictures, report
    from jaxrl.engine.profiling import profile as measured

    algorithm, seeds, seed = _algorithm(names, flags)
    limit = None if options.memory_gib is None else int(options.memory_gib * 2**30)
    found = measured(
        algorithm,
        key_of(seed),
        num_seeds=seeds,
        repetitions=options.repetitions,
        memory_limit=limit,
        trace=options.trace,
    )
    print(report.page(found))
    (directory / "profile.json").write_text(json.dumps(report.record(found), indent=1, allow_nan=False) + "\n")
    pictures.save_roofline(found, directory / "roofline.png")
    written = ["profile.json", "roofline.png"]
    if found.stages:
        pictures.save_stages(found, directory / "stages.png")
        written.append("stages.png")
    print(f"written: {directory}/ ({', '.join(written)})")
    if options.trace is not None:
        print(f"written: {options.trace} (a trace for Perfetto and XProf)")


def _algorithm(names: list[str], flags: list[str]) -> tuple[Any, int, int]:
    """The algorithm that the arguments describe, the number of seeds, and the first one's number."""
    from jaxrl.commands import language, solve, train

    if solve.is_solver(names[0]):
        if len(names) < 2:
            raise ValueError(f"profile {names[0]} needs an environment: `jaxrl profile {names[0]} FrozenLake-v1`")
        _refuse_given(OF_A_SOLUTION, "times updates in float32, however many", flags)
        return solve.build(names[0], names[1], flags), 1, 0
    _refuse_given(OF_A_RUN, "times updates of a new state, and neither evaluates nor saves", flags)
    if language.is_language(names[0]):
        setup = language.build(names[0], [*names[1:], *flags])
        return setup.algorithm, setup.options.seeds, setup.options.seed or 0
    if len(names) < 2:
        raise ValueError(f"profile {names[0]} needs an environment: `jaxrl profile {names[0]} CartPole-v1`")
    algorithm, options = train.build(names[0], names[1], flags)
    return algorithm, options.seeds, options.seed or 0


def _refuse_given(fields: tuple[str, ...], what: str, flags: list[str]) -> None:
    """Refuse flags that would change nothing, or seem to."""
    for field in fields:
        if is_given(field, flags):
            raise ValueError(f"{field}: a profile {what}; leave {field} away")


def _sweep(names: list[str], flags: list[str], options: ProfileOptions, directory: Path) -> None:
    from jaxrl.engine.profiling import pictures
    from jaxrl.engine.profiling.sweep import knee_of, sizes_of, sweep

    assert options.sweep is not None
    field, sizes = sizes_of(options.sweep)
    if is_given(field.replace("-", "_"), flags):
        raise ValueError(f"sweep={options.sweep!r}: {field} is given besides; leave one of both away")
    arguments = [*names, *flags, "--repetitions", str(options.repetitions)]
    limit = None
    if options.memory_gib is not None:
        limit = int(options.memory_gib * 2**30)
        arguments += ["--memory-gib", str(options.memory_gib)]
    points, knee = [], None
    for point in sweep(arguments, field, sizes, directory, limit, _length(names, field.replace("-", "_"))):
        points.append(point)
        knee = knee_of(points)
        print(f"{field}={point['size']}: {_said(point)}", flush=True)
        record = json.dumps({"field": field, "knee": knee, "points": points}, indent=1)
        (directory / "sweep.json").write_text(record + "\n")  # after each size: what ends a sweep loses none
    if knee is not None:
        print(f"knee: {field}={knee}, the smallest with 80 % of the highest throughput")
    pictures.save_sweep(points, field, knee, directory / "sweep.png")
    print(f"written: {directory}/ (sweep.json, sweep.png, a directory for each size)")
    if knee is None:
        refuse(f"sweep: no size of {field} could be profiled", code=1)


def _length(names: list[str], field: str) -> int:
    """How many numbers a field has, such as widths of layers, of which a sweep leaves as many; one for what is none."""
    from jaxrl.engine.names import ALGORITHMS, resolve
    from jaxrl.presets import preset

    algorithm_class: Any = resolve("algorithm", names[0], ALGORITHMS) if ":" in names[0] else ALGORITHMS.get(names[0])
    if not dataclasses.is_dataclass(algorithm_class) or len(names) < 2:
        return 1
    fields = {each.name: each.default for each in dataclasses.fields(algorithm_class)} | preset(*names).fields
    value = fields.get(field)
    return len(value) if isinstance(value, tuple) else 1


def _said(point: dict[str, Any]) -> str:
    if "profile" not in point:
        return point["failure"]
    found = point["profile"]
    speed, compiled = found["per_second"][1], found["compilation"]["compile_seconds"]
    return f"{speed:,.0f} {found['unit']}/s, {point['bytes'] / 2**20:,.1f} MiB, compiled in {compiled:.1f} s"


def parse_known(options_class: Any, arguments: list[str], prog: str) -> tuple[Any, list[str]]:
    """Options of a class, and the arguments that are none of them; `--help` says how to see the others."""
    known = {"--" + field.name.replace("_", "-") for field in dataclasses.fields(options_class)}
    ours, others, taking = [], [], False
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-")
        taking = (taking and not argument.startswith("--")) or name in known or name in ("-h", "--help")
        (ours if taking else others).append(argument)
    if "-h" in ours or "--help" in ours:
        print("All flags of `jaxrl train ALGORITHM ENV --help`, or of `jaxrl solve`, and these:\n")
    return parse_plain(options_class, ours, prog), others
