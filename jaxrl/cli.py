"""The command line: `jaxrl train | evaluate | envs`."""

import dataclasses
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxrl.flags import EvaluateOptions, TrainOptions, environment_options, parse, parse_plain
from jaxrl.types import steps_per_update

USAGE = """usage: jaxrl COMMAND ...

  jaxrl train ALGORITHM ENV [--FIELD VALUE ...] [--env.KEY VALUE ...]   train, evaluate, save, draw
  jaxrl train ALGORITHM ENV --help                                      all fields
  jaxrl evaluate DIR [--episodes 100] [--seed 0] [--gif]                replay what a run learned
  jaxrl envs                                                            environments and their spaces

ALGORITHM is a name (ppo) or MODULE:CLASS of your own."""


def main(argv: list[str] | None = None) -> None:
    """Run one command; exit code 2 and one sentence for bad input, 1 for a run that failed."""
    arguments = sys.argv[1:] if argv is None else argv
    commands: dict[str, Callable[[list[str]], None]] = {"train": _train, "evaluate": _evaluate, "envs": _envs}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return
    if arguments[0] not in commands:
        _refuse(f"unknown command {arguments[0]!r}\n{USAGE}")
    sys.path.insert(0, str(Path.cwd()))  # MODULE:NAME of the working directory, as `python -m` finds it
    commands[arguments[0]](arguments[1:])


def _refuse(error: Exception | str, code: int = 2) -> Any:
    """One sentence on standard error, then exit."""
    print(f"jaxrl: {error}", file=sys.stderr)
    raise SystemExit(code)


def _train(arguments: list[str]) -> None:
    if len(arguments) < 2 or arguments[0].startswith("-") or arguments[1].startswith("-"):
        if "--help" in arguments or "-h" in arguments:
            print(USAGE)
            return
        _refuse(f"train needs an algorithm and an environment\n{USAGE}")
    name, env_name, *flags = arguments
    try:
        algorithm, options = _build(name, env_name, flags)
        fit_arguments = _prepare(algorithm, name, env_name, options)
    except (ValueError, TypeError, ModuleNotFoundError) as error:
        _refuse(error)
    _fit(algorithm, f"{name} on {env_name}", **fit_arguments)


def _build(name: str, env_name: str, flags: list[str]) -> tuple[Any, TrainOptions]:
    """The algorithm that the flags describe; with `--resume` the saved run's fields are the defaults."""
    from jaxrl.engine import check, describe
    from jaxrl.engine.names import ALGORITHMS, resolve
    from jaxrl.envs import make
    from jaxrl.presets import annealed, preset

    algorithm_class = resolve("algorithm", name, ALGORITHMS)
    flags, env_options = environment_options(flags)
    if not isinstance(algorithm_class, type) or not dataclasses.is_dataclass(algorithm_class):
        raise ValueError(f"algorithm: {name!r} is no algorithm, which is a dataclass with init and update")
    tuned = preset(name, env_name)
    prog = f"jaxrl train {name} {env_name}"
    options, fields = parse(algorithm_class, tuned.fields | {"total_steps": tuned.total_steps}, flags, prog)
    if options.resume is not None:
        saved = describe.read(options.resume)
        saved_name, saved_options = describe.environment(saved)
        if saved_name != env_name:
            raise ValueError(f"env: {options.resume} was trained on {saved_name}, not on {env_name}")
        env_options = env_options or saved_options
        options, fields = parse(algorithm_class, describe.flag_defaults(algorithm_class, saved), flags, prog)
    algorithm: Any = algorithm_class(*make(env_name, **env_options), **fields)  # pyright: ignore
    check(algorithm)
    for field in ("seeds", "total_steps"):
        if getattr(options, field) < 1:
            raise ValueError(f"{field}={getattr(options, field)} must be at least 1")
    given = any(flag.replace("_", "-").partition("=")[0] == "--anneal-updates" for flag in flags)
    if options.resume is None and tuned.anneal and not given:
        algorithm = annealed(algorithm, options.total_steps)
    return algorithm, options


def _prepare(algorithm: Any, name: str, env_name: str, options: TrainOptions) -> dict[str, Any]:
    """Arguments for `fit`, checked before anything is compiled."""
    import jax

    from jaxrl.engine import describe
    from jaxrl.engine.logging import ProgressLogger, TensorBoardLogger
    from jaxrl.presets import updates_of

    num_updates = updates_of(algorithm, options.total_steps)
    evaluate_every = options.evaluate_every
    if evaluate_every is None:
        evaluate_every = math.ceil(num_updates / 20) if hasattr(algorithm, "act") else 0
    arguments: dict[str, Any] = {
        "num_updates": num_updates,
        "evaluate_every": evaluate_every,
        "save_every": math.ceil(num_updates / 10) if options.save_every is None else options.save_every,
    }
    if options.resume is not None:
        if options.seed is not None:
            raise ValueError("seed: a resumed run goes on with its own random numbers; leave seed away")
        seeds = (describe.read(options.resume)["key_shape"] or [1])[0]
        if options.seeds != seeds:
            raise ValueError(f"seeds={options.seeds}: {options.resume} holds {seeds}; leave seeds away")
        directory, arguments["out"], arguments["resume"] = options.resume, options.out, options.resume
    else:
        key = jax.random.key(options.seed or 0)
        # With the process's number: two runs may begin in the same second.
        run_name = f"{name.replace(':', '.')}-{env_name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        directory = arguments["out"] = options.out or Path("runs") / run_name
        arguments["key"] = jax.random.split(key, options.seeds) if options.seeds > 1 else key
    loggers: list[Any] = [ProgressLogger()]
    if options.tensorboard:
        loggers.append(TensorBoardLogger(directory / "tensorboard"))
    return arguments | {"directory": directory, "loggers": loggers}


def _fit(algorithm: Any, title: str, directory: Path, **arguments: Any) -> None:
    from jaxrl.engine import fit

    horizon, num_updates = getattr(algorithm, "anneal_updates", math.inf), arguments["num_updates"]
    if num_updates > horizon + 1:
        print(f"note: the learning rate falls to zero at update {horizon:g} of {num_updates} (anneal_updates)")
    try:
        result = fit(algorithm, **arguments)
    except (ValueError, TypeError) as error:
        if arguments["loggers"][0].begun:
            raise  # not bad input but a bug: its traceback is needed
        _refuse(error)
    except FloatingPointError as error:
        _refuse(error, code=1)
    from jaxrl.engine.plots import save_curve

    _summarize(algorithm, result, directory)
    picture = save_curve(directory, title)
    print(f"written: {directory}/ (config.json, metrics.jsonl, checkpoints{', curve.png' if picture else ''})")


def _summarize(algorithm: Any, result: Any, directory: Path) -> None:
    """Final return with its spread over seeds, speed, compile time, device."""
    import jax
    import numpy as np

    from jaxrl.engine.logging import read_jsonl

    records = [r for r in read_jsonl(directory / "metrics.jsonl") if "evaluation_return" in r]
    name = "evaluation_return" if records else "episode_return"
    records = records or [r for r in read_jsonl(directory / "metrics.jsonl") if r.get(name) is not None]
    if records:
        final = np.array(records[-1][name], dtype=np.float64)
        seeds = np.atleast_1d(final)[np.atleast_1d(result.alive)]
        low, middle, high = np.nanquantile(seeds, [0.25, 0.5, 0.75])
        spread = f" (quartiles {low:.1f} to {high:.1f} over {len(seeds)} seeds)" if len(seeds) > 1 else ""
        print(f"final return: {middle:.1f}{spread}, {name.replace('_', ' ')} of the last record")
    dead = np.flatnonzero(~np.atleast_1d(result.alive))
    if len(dead):
        print(f"left out: seed {', '.join(map(str, dead))}, no longer finite")
    steps = result.num_updates * steps_per_update(algorithm)
    interrupted = ", interrupted" if result.interrupted else ""
    print(f"steps: {steps:,} of each seed in {result.num_updates:,} updates{interrupted}")
    print(f"speed: {result.steps_per_second:,.0f} steps/s in {result.run_seconds:.1f} s of training")
    print(f"training compiled in {result.compile_seconds:.1f} s; device: {jax.devices()[0].device_kind}")


def _evaluate(arguments: list[str]) -> None:
    if arguments and arguments[0] in ("-h", "--help"):
        parse_plain(EvaluateOptions, ["--help"], "jaxrl evaluate DIR")
    if not arguments or arguments[0].startswith("-"):
        _refuse(f"evaluate needs the directory of a run\n{USAGE}")
    directory = Path(arguments[0])
    options = parse_plain(EvaluateOptions, arguments[1:], "jaxrl evaluate DIR")
    import jax
    import numpy as np

    from jaxrl.engine import evaluate
    from jaxrl.engine.load import load_content

    try:
        if options.episodes < 1:
            raise ValueError(f"episodes={options.episodes} must be at least 1")
        algorithm, content = load_content(directory)
    except (ValueError, TypeError) as error:
        _refuse(error)
    if not hasattr(algorithm, "act"):
        _refuse(f"algorithm: {type(algorithm).__name__} has no method act to evaluate with")
    key, gif_key = jax.random.split(jax.random.key(options.seed))
    states = _seeds(content["state"], np.asarray(content["alive"]))
    means = []
    for index, one in states.items():
        episodes = evaluate(algorithm, one, jax.random.fold_in(key, index), options.episodes)
        finished = np.asarray(episodes.finished)
        returns = np.asarray(episodes.returns)[finished]
        means.append(returns.mean() if len(returns) else math.nan)
        cut = f", {int((~finished).sum())} cut and left out" if not finished.all() else ""
        print(f"seed {index}: return {means[-1]:.1f} ± {returns.std():.1f} over {len(returns)} episodes{cut}")
    print(f"median over seeds: {np.nanmedian(means):.1f}")
    if options.gif:
        from jaxrl.engine.plots import save_episode

        frames, done = save_episode(algorithm, next(iter(states.values())), gif_key, directory / "episode.gif")
        print(f"written: {directory}/episode.gif ({frames} frames{'' if done else ', the episode went on'})")


def _envs(arguments: list[str]) -> None:
    if arguments:
        _refuse(f"envs takes no arguments, not {' '.join(arguments)}")
    from rich.console import Console
    from rich.table import Table

    from jaxrl.envs import environment_names, make

    table = Table("environment", "observation", "action", "time limit")
    for name in environment_names():
        if name == "MNISTBandit-bsuite":  # its constructor downloads
            table.add_row(name, "image 28x28", "Discrete(10)", "1")
            continue
        env, env_params = make(name)
        spaces = (env.observation_space(env_params), env.action_space(env_params))
        table.add_row(name, *map(_space, spaces), str(env_params.max_steps_in_episode))
    Console().print(table)


def _space(space: Any) -> str:
    kind = type(space).__name__
    return f"Discrete({space.n})" if hasattr(space, "n") else f"{kind}{getattr(space, 'shape', '')}"


def _seeds(state: Any, alive: Any) -> dict[int, Any]:
    """The states of the seeds that are alive, by number."""
    import jax

    if not alive.ndim:
        return {0: state}
    return {i: jax.tree.map(lambda x: x[i], state) for i in range(len(alive)) if alive[i]}


if __name__ == "__main__":
    main()
