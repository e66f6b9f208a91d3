"""Does PPO learn in one environment of each other suite? Against uniformly random actions, whole episodes of both."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
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


def random_policy(algorithm: Any) -> Callable[..., Any]:
    """`act` of uniformly random actions, of those that are allowed where the environment says which."""
    import jax
    import jax.numpy as jnp

    from jaxrl.algorithms.replaying import random_action

    space = algorithm.env.action_space(algorithm.env_params)

    def act(obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        if isinstance(obs, dict):
            logits = jnp.where(obs["action_mask"], 0.0, -jnp.inf)
            return jax.random.categorical(key, logits).astype(jnp.int32), jnp.zeros(len(logits))
        return random_action(space, obs, key)

    return act


def play(algorithm: Any, act: Callable[..., Any], episodes: int, max_steps: int, seed: int) -> np.ndarray:
    """Returns `[episodes]` of first episodes, cut at `max_steps`; without resets, which are Craftax's whole cost."""
    import jax
    import jax.numpy as jnp

    from jaxrl import envs

    env, env_params = algorithm.env, algorithm.env_params
    step_env, is_truncated = jax.vmap(env.step_env, (0, 0, 0, None)), jax.vmap(env.is_truncated, (0, None))

    def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
        obs, state, alive, total = carry
        act_key, step_key = jax.random.split(key)
        action = envs.bounded_action(env.action_space(env_params), act(obs, act_key)[0])
        obs, state, reward, terminated, _ = step_env(jax.random.split(step_key, episodes), state, action, env_params)
        total = total + jnp.where(alive, reward.reshape(-1), 0.0)
        return (obs, state, alive & ~(terminated | is_truncated(state, env_params)), total), None

    @jax.jit
    def whole(key: jax.Array) -> jax.Array:
        reset_key, steps_key = jax.random.split(key)
        start = envs.reset(env, env_params, reset_key, episodes)
        first = (*start, jnp.ones(episodes, bool), jnp.zeros(episodes))
        return jax.lax.scan(step, first, jax.random.split(steps_key, max_steps))[0][-1]

    return np.asarray(whole(jax.random.key(seed)), np.float64)


def measure(suite: str, options: Options) -> Result:
    """Train, and play both policies."""
    import jax

    import jaxrl

    cell = CELLS[suite]
    algorithm = make(cell)
    began = time.perf_counter()
    updates = -(-cell.steps // algorithm.steps_per_update)
    fitted = jaxrl.fit(algorithm, jax.random.key(0), updates, evaluate_every=0)
    seconds = time.perf_counter() - began

    def trained(obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        return algorithm.explore(fitted.state, obs, key)

    numbers = {
        "returns": play(algorithm, trained, options.episodes, cell.max_steps, 1).tolist(),
        "random_returns": play(algorithm, random_policy(algorithm), options.episodes, cell.max_steps, 2).tolist(),
        "seconds": [seconds],
    }
    return Result(
        name=f"suites_{suite}",
        command=results.command_line(
            "benchmarks.suites", dataclasses.replace(options, suites=(suite,)), omit=("results",)
        ),
        device=machine.device(),
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


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.suites")
    unknown = [name for name in options.suites if name not in CELLS]
    if unknown:
        raise SystemExit(f"unknown suites: {', '.join(unknown)}; there are: {', '.join(CELLS)}")
    for suite in options.suites:
        result = measure(suite, options)
        numbers = next(iter(result.sides.values())).measurements
        means = " against ".join(f"{np.mean(numbers[name]):.2f}" for name in ("returns", "random_returns"))
        print(f"{suite}: {means}, {advantage(result):.1f} standard errors, {numbers['seconds'][0]:.0f} s", flush=True)
        print(f"wrote {results.save(result, options.results).name}", flush=True)


if __name__ == "__main__":
    main()
