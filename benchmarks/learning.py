"""What does an algorithm reach, over seeds, after a fixed number of environment steps?

All seeds of a cell train together under `vmap`. Twenty times, equally spaced, each plays whole episodes; a
seed's score is the mean of its last ten evaluations, so that a lucky last one counts for little.
"""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, results
from benchmarks.results import Result, Side

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
    ("rainbow", "Breakout-MinAtar"): Cell(1_000_000, 10, seeds=5),
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

PUBLISHED = {"CartPole-v1": 500.0, "Acrobot-v1": -80.0, "Pendulum-v1": -130.0, "MountainCar-v0": -118.0}
"""Returns of the best policies that gymnax gives with its environments, trained by PPO and by evolution strategies."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Train over seeds and evaluate; writes benchmarks/results/learning_ALGORITHM_ENV.json."""

    algorithm: str = "ppo"
    envs: tuple[str, ...] = ()
    """The default is all that the algorithm has."""
    seeds: int | None = None
    """The default is the cell's own, 10 or 5."""
    steps: int | None = None
    """Environment steps of each seed; the default is the cell's own."""
    full: bool = False
    """The cells that take an accelerator instead."""
    results: pathlib.Path = results.RESULTS


def result_name(algorithm: str, env: str) -> str:
    return f"learning_{algorithm}_{env.replace(':', '-')}"


def make_algorithm(name: str, env: str, steps: int) -> tuple[Any, dict[str, Any]]:
    """The algorithm with its preset for a run of `steps` in an environment, and the fields that differ."""
    import jaxrl
    from jaxrl import presets
    from jaxrl.engine.names import ALGORITHMS

    _, fields, anneal = presets.preset(name, env)
    algorithm = ALGORITHMS[name](*jaxrl.envs.make(env), **fields)
    if anneal:
        algorithm = presets.annealed(algorithm, steps)
        fields = fields | {"anneal_updates": algorithm.anneal_updates}
    return algorithm, fields


def measure(env: str, options: Options) -> Result:
    """Train and evaluate all seeds of one environment."""
    import jax

    import jaxrl

    cell = cells(options)[options.algorithm, env]
    seeds, steps = options.seeds or cell.seeds, options.steps or cell.steps
    algorithm, fields = make_algorithm(options.algorithm, env, steps)
    # Rounded down to whole periods between evaluations: never more steps than promised, a replay's first ones included.
    first = warmup_steps(algorithm)
    every = (steps - first) // (EVALUATIONS * algorithm.steps_per_update)
    if not every:
        raise SystemExit(f"{env}: {steps:,} steps are fewer than {EVALUATIONS} updates, one for each evaluation")
    keys = jax.random.split(jax.random.key(0), seeds)
    fitted = jaxrl.fit(algorithm, keys, every * EVALUATIONS, evaluate_every=every)
    returns = np.asarray(fitted.evaluations["return"], dtype=np.float64).reshape(-1, seeds)
    assert len(returns) == EVALUATIONS, f"fit evaluated {len(returns)} times"
    evaluated_steps = first + np.asarray(fitted.evaluations["update"]) * algorithm.steps_per_update
    measurements = {
        "evaluation_steps": evaluated_steps.tolist(),
        "evaluation_returns": results.finite_or_null(returns.T),
        "evaluation_finished": results.finite_or_null(np.asarray(fitted.evaluations["finished"]).T),
        "last_10_mean": results.finite_or_null(returns[-10:].mean(axis=0)),
        "training_returns": results.finite_or_null(training_curve(fitted.metrics, every)),
        "steps_per_second": [float(fitted.steps_per_second)],
        "compile_seconds": [float(fitted.compile_seconds)],
    }
    configuration = {
        "env": env,
        "algorithm": options.algorithm,
        "steps": first + every * EVALUATIONS * algorithm.steps_per_update,
        "seeds": seeds,
        "threshold": cell.threshold if math.isfinite(cell.threshold) else None,
        "preset": {name: _plain(value) for name, value in fields.items()},
    }
    return Result(
        name=result_name(options.algorithm, env),
        command=results.command_line(
            "benchmarks.learning", dataclasses.replace(options, envs=(env,)), omit=("results",)
        ),
        device=machine.device(),
        configuration=configuration,
        sides={"jaxrl": Side(machine.versions(), machine.variables(), {}, measurements)},
        **machine.provenance(),
    )


def cells(options: Options) -> dict[tuple[str, str], Cell]:
    """Those of the options."""
    return FULL if options.full else CELLS


def warmup_steps(algorithm: Any) -> int:
    """Environment steps before the first update."""
    return getattr(algorithm, "warmup", 0) * getattr(algorithm, "num_envs", 0)


def training_curve(metrics: dict[str, Any], every: int) -> np.ndarray:
    """Mean return `[K, EVALUATIONS]` of the training episodes between evaluations, NaN where none finished.

    Args:
      metrics: `episode_return_sum` and `episodes`, `[updates, K]`.
      every: updates between evaluations.
    """
    sums, counts = (np.asarray(metrics[name]) for name in ("episode_return_sum", "episodes"))
    sums, counts = (x.reshape(EVALUATIONS, every, -1).sum(axis=1).T for x in (sums, counts))
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _plain(value: Any) -> Any:
    """A preset's value as JSON: finite numbers, strings and lists of them stay, everything else is named."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and np.isfinite(value)):
        return value
    return getattr(value, "__name__", repr(value))


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.learning")
    known = [env for algorithm, env in cells(options) if algorithm == options.algorithm]
    unknown = [env for env in options.envs if env not in known]
    if unknown or not known:
        there = ", ".join(map(" on ".join, cells(options)))
        raise SystemExit(f"no cell for {options.algorithm} on {', '.join(unknown) or 'anything'}; there are: {there}")
    for env in options.envs or known:
        result = measure(env, options)
        scores = result.sides["jaxrl"].measurements["last_10_mean"]
        low, middle, high = results.quartiles(scores)
        bar = cells(options)[options.algorithm, env].threshold
        print(f"{env}: {middle:.1f} [{low:.1f}, {high:.1f}], threshold {bar:g}", flush=True)
        print(f"wrote {results.save(result, options.results).name}", flush=True)


if __name__ == "__main__":
    main()
