"""What does an algorithm reach, over seeds, after a fixed number of environment steps?

All seeds of a cell train together under `vmap`. Twenty times, equally spaced, each plays whole episodes; a
seed's score is the mean of its last ten evaluations, so that a lucky last one counts for little.
"""

import dataclasses
import math
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, results
from benchmarks.results import Result, Side
from benchmarks.timing import Clock

EVALUATIONS = 20


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row of the table."""

    steps: int
    """Environment steps of each seed, at most."""
    threshold: float
    """The return that the median seed should reach, or stay below where it must fail; -inf where there is no bar."""
    seeds: int = 10
    fails: bool = False
    """Whether the algorithm cannot solve this and another one can."""


CELLS = {
    ("reinforce", "CartPole-v1"): Cell(2_000_000, 475),
    ("one-step-actor-critic", "CartPole-v1"): Cell(2_000_000, 475),
    ("actor-critic", "CartPole-v1"): Cell(500_000, 475),
    ("vtrace-actor-critic", "CartPole-v1"): Cell(500_000, 475),
    ("ppo", "CartPole-v1"): Cell(500_000, 475),
    ("recurrent-ppo", "CartPole-v1"): Cell(500_000, 475),
    ("dqn", "CartPole-v1"): Cell(200_000, 475),
    ("rainbow", "CartPole-v1"): Cell(200_000, 475),
    ("pqn", "CartPole-v1"): Cell(500_000, 475),
    ("recurrent-pqn", "CartPole-v1"): Cell(500_000, 475),
    ("discrete-sac", "CartPole-v1"): Cell(200_000, 475),
    ("ppo", "Acrobot-v1"): Cell(1_000_000, -100),
    ("dqn", "Acrobot-v1"): Cell(300_000, -100),
    ("pqn", "Acrobot-v1"): Cell(1_000_000, -100),
    ("ppo", "Pendulum-v1"): Cell(1_000_000, -200),
    ("sac", "Pendulum-v1"): Cell(40_000, -200),
    ("tqc", "Pendulum-v1"): Cell(40_000, -200),
    ("td3", "Pendulum-v1"): Cell(40_000, -200),
    ("ddpg", "Pendulum-v1"): Cell(40_000, -200),
    ("ppo", "MountainCar-v0"): Cell(1_000_000, -130),
    ("ppo", "MemoryChain-bsuite"): Cell(500_000, 0.5, fails=True),
    ("recurrent-ppo", "MemoryChain-bsuite"): Cell(500_000, 0.9),
    ("ppo", "Breakout-MinAtar"): Cell(1_000_000, 20, seeds=5),
    ("dqn", "Breakout-MinAtar"): Cell(1_000_000, 10, seeds=5),
    ("rainbow", "Breakout-MinAtar"): Cell(500_000, 10, seeds=5),
    ("pqn", "Breakout-MinAtar"): Cell(1_000_000, 20, seeds=5),
    ("ppo", "brax:inverted_pendulum"): Cell(400_000, 900, seeds=3),
}

GAMES = ("Asterix", "Freeway", "SpaceInvaders", "Seaquest")
BODIES = ("hopper", "halfcheetah")
FULL = {
    **{("ppo", f"{game}-MinAtar"): Cell(10_000_000, -math.inf) for game in GAMES},
    **{("ppo", f"brax:{body}"): Cell(30_000_000, -math.inf, seeds=3) for body in BODIES},
    **{(name, f"brax:{body}"): Cell(1_000_000, -math.inf, seeds=3) for name in ("sac", "td3") for body in BODIES},
}
"""What takes an accelerator: `--full`."""

PUBLISHED = {
    "CartPole-v1": 500.0,
    "Acrobot-v1": -80.0,
    "Pendulum-v1": -130.0,
    "MountainCar-v0": -118.0,
    "MemoryChain-bsuite": 0.1,
    "Breakout-MinAtar": 28.0,
    "Asterix-MinAtar": 15.0,
    "Freeway-MinAtar": 58.0,
    "SpaceInvaders-MinAtar": 131.0,
}
"""Returns that the README of gymnax 1.0.1 gives: the best policies by PPO or evolution strategies, of other budgets."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Train over seeds and evaluate; writes benchmarks/results/learning_ALGORITHM_ENV.json."""

    algorithm: str | None = None
    """The default is all."""
    envs: tuple[str, ...] = ()
    """The default is all that the algorithm has."""
    seeds: int | None = None
    """The default is the cell's own: 10, 5 or 3."""
    steps: int | None = None
    """Environment steps of each seed; the default is the cell's own."""
    full: bool = False
    """The cells that take an accelerator instead."""
    results: pathlib.Path = results.RESULTS


def result_name(algorithm: str, env: str) -> str:
    return f"learning_{algorithm}_{env.replace(':', '-')}"


def make_algorithm(name: str, problem: tuple[Any, Any], env: str, steps: int) -> tuple[Any, dict[str, Any], int]:
    """The algorithm with its preset, the fields that differ, and the updates between evaluations.

    Args:
      name: of the algorithm.
      problem: the environment and its parameters; only training needs them.
      env: the environment's name, for the preset.
      steps: environment steps at most, a replay's first ones included: rounded down to whole updates between
        evaluations, over which the learning rate falls.
    """
    from jaxrl import presets
    from jaxrl.engine.names import ALGORITHMS
    from jaxrl.types import first_steps

    _, fields, anneal = presets.preset(name, env)
    algorithm = ALGORITHMS[name](*problem, **fields)
    every = (steps - first_steps(algorithm)) // (EVALUATIONS * algorithm.steps_per_update)
    if not every:
        raise SystemExit(f"{env}: {steps:,} steps are fewer than {EVALUATIONS} updates, one for each evaluation")
    if anneal:
        changes = {"anneal_updates": float(every * EVALUATIONS)}
        algorithm, fields = algorithm.replace(**changes), fields | changes
    return algorithm, fields, every


def configuration(name: str, env: str, options: Options) -> dict[str, Any]:
    """What a cell's result says of its run."""
    from jaxrl.types import env_steps

    cell = cells(options)[name, env]
    algorithm, fields, every = make_algorithm(name, (None, None), env, options.steps or cell.steps)
    return {
        "env": env,
        "algorithm": name,
        "steps": env_steps(algorithm, every * EVALUATIONS),
        "seeds": options.seeds or cell.seeds,
        "threshold": cell.threshold if math.isfinite(cell.threshold) else None,
        "preset": {field: plain(field, value) for field, value in fields.items()},
    }


def measure(name: str, env: str, options: Options) -> Result:
    """Train and evaluate all seeds of an algorithm in an environment."""
    import jax

    import jaxrl
    from jaxrl.engine.profiling.programs import without_cache
    from jaxrl.types import env_steps

    settings = configuration(name, env, options)
    seeds = settings["seeds"]
    algorithm, _, every = make_algorithm(name, jaxrl.envs.make(env), env, settings["steps"])
    keys = jax.random.split(jax.random.key(0), seeds)
    wall, cpu, clock = time.perf_counter(), time.process_time(), Clock()
    with without_cache():
        fitted = jaxrl.fit(algorithm, keys, every * EVALUATIONS, evaluate_every=every, loggers=[clock])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    returns = np.asarray(fitted.evaluations["return"], dtype=np.float64).reshape(-1, seeds)
    assert len(returns) == EVALUATIONS, f"fit evaluated {len(returns)} times"
    evaluated_steps = env_steps(algorithm, np.asarray(fitted.evaluations["update"]))
    measurements = {
        "evaluation_steps": evaluated_steps.tolist(),
        "evaluation_seconds": clock.seconds,
        "evaluation_returns": results.finite_or_null(returns.T),
        "evaluation_finished": results.finite_or_null(np.asarray(fitted.evaluations["finished"]).T),
        "last_10_mean": results.finite_or_null(returns[-10:].mean(axis=0)),
        "training_returns": results.finite_or_null(training_curve(fitted.metrics, every)),
        "steps_per_second": [float(fitted.steps_per_second)],
        "compile_seconds": [float(fitted.compile_seconds)],
        "wall_seconds": [wall],  # of everything: training, evaluation and compilation, by all threads
        "cpu_seconds": [cpu],
    }
    named = dataclasses.replace(options, algorithm=name, envs=(env,))
    return Result(
        name=result_name(name, env),
        command=results.command_line("benchmarks.learning", named, omit=("results",)),
        configuration=settings,
        sides={"jaxrl": Side(machine.versions(), machine.variables(), {}, measurements)},
        **machine.provenance(),
    )


def cells(options: Options) -> dict[tuple[str, str], Cell]:
    """Those of the options."""
    return FULL if options.full else CELLS


def training_curve(metrics: dict[str, Any], every: int) -> np.ndarray:
    """Mean return `[K, EVALUATIONS]` of the training episodes between evaluations, NaN where none finished.

    Args:
      metrics: `episode_return_sum` and `episodes`, `[updates, K]`.
      every: updates between evaluations.
    """
    sums, counts = (np.asarray(metrics[name]) for name in ("episode_return_sum", "episodes"))
    sums, counts = (x.reshape(EVALUATIONS, every, -1).sum(axis=1).T for x in (sums, counts))
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def plain(field: str, value: Any) -> Any:
    """A field's value as JSON: finite numbers, strings and lists of them stay, everything else is named."""
    from jaxrl.engine.names import CHOICES, full_name, name_of

    if isinstance(value, tuple):
        return [plain(field, item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value
    return name_of(value, CHOICES.get(field, {})) or full_name(value)


def chosen(options: Options) -> list[tuple[str, str]]:
    """Algorithms and environments of the options; SystemExit where there is no such cell."""
    name, envs = options.algorithm, options.envs
    found = [cell for cell in cells(options) if name in (None, cell[0]) and (not envs or cell[1] in envs)]
    unknown = set(envs) - {env for _, env in found}
    if unknown or not found:
        there = ", ".join(map(" on ".join, cells(options)))
        what = f"{name or 'any algorithm'} on {', '.join(sorted(unknown)) or 'anything'}"
        raise SystemExit(f"no cell for {what}; there are: {there}")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.learning")
    for name, env in chosen(options):
        result = measure(name, env, options)
        numbers = result.sides["jaxrl"].measurements
        low, middle, high = results.quartiles(numbers["last_10_mean"])
        bar, minutes = cells(options)[name, env].threshold, numbers["cpu_seconds"][0] / 60
        reached = f"{middle:.1f} [{low:.1f}, {high:.1f}], threshold {bar:g}"
        print(f"{name} on {env}: {reached}, {minutes:.1f} CPU-minutes", flush=True)
        print(f"wrote {results.save(result, options.results).name}", flush=True)


if __name__ == "__main__":
    main()
