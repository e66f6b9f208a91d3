"""`jaxrl train`."""

import dataclasses
import math
import os
import time
from pathlib import Path
from typing import Any

from jaxrl.commands import language, stages
from jaxrl.commands.usage import key_of, refuse, two_names
from jaxrl.flags import TrainOptions, is_given, parse, prefixed_options
from jaxrl.types import env_steps


def train(arguments: list[str]) -> None:
    """Train, evaluate, save, draw."""
    setup = None
    try:
        if arguments and not arguments[0].startswith("-") and language.is_language(arguments[0]):
            setup = language.build(arguments[0], arguments[1:])
            fit_arguments = _prepare(setup.algorithm, setup.title.replace(" on ", "-"), setup.options)
            stages.try_all(setup, fit_arguments["directory"])
    except (ValueError, TypeError, ImportError, FileNotFoundError) as error:
        refuse(error)
    else:
        if setup is not None:
            _fit_language(setup, fit_arguments)
            return
    try:
        name, env_name, *flags = two_names(arguments, "train", "an algorithm")
        algorithm, options = build(name, env_name, flags)
        fit_arguments = _prepare(algorithm, f"{name}-{env_name}", options)
    except (ValueError, TypeError, ImportError, FileNotFoundError) as error:
        refuse(error)
    _fit(algorithm, f"{name} on {env_name}", **fit_arguments)


def _fit_language(setup: language.Setup, fit_arguments: dict[str, Any]) -> None:
    """The pretraining, if there is one, and the run; a model in the Hugging Face layout is written in it again."""
    import jax

    from jaxrl.engine.logging import ProgressLogger
    from jaxrl.presets import updates_of

    algorithm, options, directory = setup.algorithm, setup.options, fit_arguments["directory"]
    if setup.pretraining is not None:
        before = stages.pretraining_directory(directory)
        num_updates = updates_of(setup.pretraining, options.pretraining_texts)
        every = math.ceil(num_updates / 10)
        arguments = {"num_updates": num_updates, "evaluate_every": every, "save_every": every, "out": before}
        key = jax.random.fold_in(key_of(options.seed or 0), 2**31)  # small numbers are keys of the run behind it
        arguments |= {"key": key, "directory": before, "loggers": [ProgressLogger()]}
        result = _fit(setup.pretraining, f"pretraining for {setup.title}", **arguments)
        if result.interrupted:
            print(f"the pretraining was interrupted; the run itself has not begun ({before} holds what was learned)")
            return
        algorithm = stages.begin_with(algorithm, result.state.params)
    result = _fit(algorithm, setup.title, **fit_arguments)
    stages.write_model(algorithm, result, options.model, directory)


def build(name: str, env_name: str, flags: list[str]) -> tuple[Any, TrainOptions]:
    """The algorithm that the flags describe; with `--resume` the saved run's fields are the defaults."""
    from jaxrl.engine import check, describe
    from jaxrl.engine.names import ALGORITHMS, resolve
    from jaxrl.envs import make
    from jaxrl.presets import annealed, preset

    algorithm_class = resolve("algorithm", name, ALGORITHMS)
    flags, env_options = prefixed_options(flags, "env")
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
    if options.resume is None and tuned.anneal and not is_given("anneal_updates", flags):
        algorithm = annealed(algorithm, options.total_steps)
    return algorithm, options


def _prepare(algorithm: Any, name: str, options: TrainOptions) -> dict[str, Any]:
    """Arguments for `fit`, checked before anything is compiled."""
    import jax

    from jaxrl.engine import describe
    from jaxrl.engine.logging import ProgressLogger, TensorBoardLogger
    from jaxrl.presets import updates_of

    num_updates = updates_of(algorithm, options.total_steps)
    evaluate_every = options.evaluate_every
    if evaluate_every is None:
        evaluate_every = math.ceil(num_updates / 20) if hasattr(algorithm, "act") or _answers(algorithm) else 0
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
        key = key_of(options.seed or 0)
        # With the process's number: two runs may begin in the same second.
        run_name = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}".replace(":", ".")
        directory = arguments["out"] = options.out or Path("runs") / run_name
        arguments["key"] = jax.random.split(key, options.seeds) if options.seeds > 1 else key
    loggers: list[Any] = [ProgressLogger()]
    if options.tensorboard:
        loggers.append(TensorBoardLogger(directory / "tensorboard"))
    return arguments | {"directory": directory, "loggers": loggers}


def _answers(algorithm: Any) -> bool:
    """Whether what a language model says can be evaluated; where its completions do not fit, that is said."""
    from jaxrl.engine.answers import has_questions
    from jaxrl.engine.check import check_answers

    if not has_questions(algorithm):
        return False
    try:
        check_answers(algorithm)
    except ValueError as error:
        print(f"note: nothing is evaluated ({error})")
        return False
    return True


def _fit(algorithm: Any, title: str, directory: Path, **arguments: Any) -> Any:
    """The result of `fit`, said and drawn."""
    from jaxrl.engine import fit
    from jaxrl.lm.tasks import RewardError

    horizon, num_updates = getattr(algorithm, "anneal_updates", math.inf), arguments["num_updates"]
    if num_updates > horizon + 1:
        print(f"note: the learning rate falls to zero at update {horizon:g} of {num_updates} (anneal_updates)")
    try:
        result = fit(algorithm, **arguments)
    except (FloatingPointError, RewardError) as error:
        refuse(error, code=1 if arguments["loggers"][0].begun else 2)
    except (ValueError, TypeError) as error:
        if arguments["loggers"][0].begun:
            raise  # not bad input but a bug: its traceback is needed
        refuse(error)
    from jaxrl.engine.plots import save_curve

    _summarize(algorithm, result, directory)
    pictures = ["curve.png"] if save_curve(directory, title) else []
    pictures += ["policy.png"] if _draw_policy(algorithm, result, directory, title) else []
    print(f"written: {directory}/ ({', '.join(['config.json', 'metrics.jsonl', 'checkpoints', *pictures])})")
    return result


def _draw_policy(algorithm: Any, result: Any, directory: Path, title: str) -> bool:
    """Print and draw what a table of the first seed alive holds, if the world is a grid."""
    import jax
    import numpy as np

    from jaxrl import envs
    from jaxrl.engine.grids import show_grid

    origin = envs.origin(getattr(algorithm, "env", None))
    if not hasattr(result.state, "q") or origin is None:
        return False
    grid = envs.grid_of(origin[0], algorithm.env, algorithm.env_params)
    if grid is None:
        return False
    alive = np.asarray(result.alive)
    q = np.asarray(jax.device_get(result.state.q))
    q = q[int(alive.argmax())] if alive.ndim else q
    q = q.mean(0) if q.ndim == 3 else q  # both tables of double Q-learning
    terminal = getattr(algorithm.env_params, "terminal", None)
    best = q == q.max(-1, keepdims=True)
    show_grid(directory / "policy.png", title, q.max(-1), best, grid, terminal)
    return True


def _summarize(algorithm: Any, result: Any, directory: Path) -> None:
    """Final return with its spread over seeds, speed, compile time, device."""
    import jax
    import numpy as np

    from jaxrl.engine.logging import progress_of, read_jsonl

    every = read_jsonl(directory / "metrics.jsonl")
    word, name = next((pair for r in every for pair in progress_of(r).items()), ("return", "episode_return"))
    if word != "loss per token" and any("evaluation_return" in r for r in every):
        name = "evaluation_return"
    records = [r for r in every if r.get(name) is not None]
    if records:
        final = np.array(records[-1][name], dtype=np.float64)
        seeds = np.atleast_1d(final)[np.atleast_1d(result.alive)]
        low, middle, high = np.nanquantile(seeds, [0.25, 0.5, 0.75])
        digits = 1 if word == "return" else 3
        spread = f" (quartiles {low:.{digits}f} to {high:.{digits}f} over {len(seeds)} seeds)" if len(seeds) > 1 else ""
        print(f"final {word}: {middle:.{digits}f}{spread}, {name.replace('_', ' ')} of the last record")
    dead = np.flatnonzero(~np.atleast_1d(result.alive))
    if len(dead):
        print(f"left out: seed {', '.join(map(str, dead))}, no longer finite")
    interrupted, steps = ", interrupted" if result.interrupted else "", env_steps(algorithm, result.num_updates)
    print(f"steps: {steps:,} of each seed in {result.num_updates:,} updates{interrupted}")
    print(f"speed: {result.steps_per_second:,.0f} steps/s in {result.run_seconds:.1f} s of training")
    print(f"training compiled in {result.compile_seconds:.1f} s; device: {jax.devices()[0].device_kind}")
