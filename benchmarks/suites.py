"""Does PPO learn in one environment of each other suite? Against uniformly random actions, first episodes of both.

Actions are sampled from the policy, as in training: taking the likeliest, Snake's of a million steps goes in circles
(39 % of its episodes finish, with half the return). An episode that does not finish in time counts as far as it went,
and the share of those that did is told.
"""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, results
from benchmarks.results import Result, Side


@dataclasses.dataclass(frozen=True)
class Cell:
    """An environment of a suite, and how PPO learns there."""

    env: str
    wrapper: str
    """Of `jaxrl.envs.wrappers`."""
    steps: int
    fields: dict[str, Any]
    max_steps: int
    """Steps of an evaluated episode at most."""


COMMON: dict[str, Any] = {"num_envs": 64, "num_steps": 32, "learning_rate": 1e-3, "normalize_observations": True}
CELLS = {
    "brax": Cell("brax:inverted_pendulum", "FlattenObservation", 400_000, COMMON | {"normalize_rewards": True}, 1000),
    "craftax": Cell("craftax:Craftax-Classic-Symbolic-v1", "FlattenObservation", 60_000, COMMON, 1000),
    "jumanji": Cell("jumanji:Snake-v1", "MaskActions", 1_000_000, COMMON, 2000),
    "xland": Cell("xland:MiniGrid-Empty-5x5", "FlattenObservation", 300_000, COMMON, 1000),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Train PPO in the environments of other suites; writes benchmarks/results/suites_SUITE.json."""

    suites: tuple[str, ...] = tuple(CELLS)
    episodes: int = 128
    """Of the trained and of the random policy each."""
    results: pathlib.Path = results.RESULTS


def make(cell: Cell) -> Any:
    """PPO in the cell's environment."""
    import jaxrl

    env, env_params = jaxrl.envs.make(cell.env)
    return jaxrl.PPO(getattr(jaxrl.envs.wrappers, cell.wrapper)(env), env_params, **cell.fields)


def measure(suite: str, options: Options) -> Result:
    """Train, and play both policies."""
    import jax

    import jaxrl
    from benchmarks.evaluator import RandomActor, SampledActor

    cell = CELLS[suite]
    algorithm = make(cell)
    began = time.perf_counter()
    updates = -(-cell.steps // algorithm.steps_per_update)
    fitted = jaxrl.fit(algorithm, jax.random.key(0), updates, evaluate_every=0)
    seconds = time.perf_counter() - began

    numbers = {"seconds": [seconds]}
    actors = {"": SampledActor(algorithm), "random_": RandomActor(algorithm.env_params, algorithm.env)}
    for seed, (prefix, actor) in enumerate(actors.items(), start=1):
        key = jax.random.key(seed)
        episodes = jaxrl.evaluate(actor, fitted.state, key, options.episodes, cell.max_steps)
        numbers[f"{prefix}returns"] = np.asarray(episodes.returns, np.float64).tolist()
        numbers[f"{prefix}finished"] = [float(episodes.finished.mean())]
    return Result(
        name=f"suites_{suite}",
        command=results.command_line(
            "benchmarks.suites", dataclasses.replace(options, suites=(suite,)), omit=("results",)
        ),
        configuration={"env": cell.env, "wrapper": cell.wrapper, "steps": updates * algorithm.steps_per_update}
        | {"fields": cell.fields, "max_steps": cell.max_steps},
        sides={"jaxrl": Side(machine.versions(), machine.variables(), {}, numbers)},
        **machine.provenance(),
    )


def advantage(result: Result) -> float:
    """By how many standard errors of the difference the trained policy is better than the random one."""
    numbers = next(iter(result.sides.values())).measurements
    ours, random = (np.asarray(numbers[name]) for name in ("returns", "random_returns"))
    error = np.sqrt(ours.var(ddof=1) / len(ours) + random.var(ddof=1) / len(random))
    return float((ours.mean() - random.mean()) / max(error, 1e-12))


def in_words(result: Result) -> tuple[str, str]:
    """The advantage, and the shares of episodes that finished, of both policies."""
    numbers = next(iter(result.sides.values())).measurements
    apart = advantage(result)  # policies that always earn the same have no standard error to divide by
    shares = [f"{numbers[name][0]:.0%}" for name in ("finished", "random_finished")]
    return f"{apart:.0f}" if apart <= 100 else "> 100", " / ".join(shares)


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.suites")
    unknown = [name for name in options.suites if name not in CELLS]
    if unknown:
        raise SystemExit(f"unknown suites: {', '.join(unknown)}; there are: {', '.join(CELLS)}")
    for suite in options.suites:
        result = measure(suite, options)
        numbers = next(iter(result.sides.values())).measurements
        means = " against ".join(f"{np.mean(numbers[name]):.2f}" for name in ("returns", "random_returns"))
        apart, finished = in_words(result)
        seconds = f"{numbers['seconds'][0]:.0f} s"
        print(f"{suite}: {means}, {apart} standard errors, {finished} finished, {seconds}", flush=True)
        print(f"wrote {results.save(result, options.results).name}", flush=True)


if __name__ == "__main__":
    main()
