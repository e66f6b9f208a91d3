"""The parts of a rollout, for the profiler."""

import functools
from typing import Any

import jax

from jaxrl.envs.vectorized import step
from jaxrl.types import Stage


def acting_stages(
    algorithm: Any, state: Any, begin: tuple[Any, Any], key: jax.Array, num_steps: int, rollouts: int = 1
) -> dict[str, Stage]:
    """Random numbers, environments and policy, parts of rollouts as `rollout` makes them.

    Args:
      algorithm: with `env`, `env_params` and `explore`.
      state: of the algorithm.
      begin: current observations and states of the environments, `[N, ...]`.
      key: consumed.
      num_steps: of each environment in a rollout.
      rollouts: of an update.

    Returns:
      Stages by name.

    Example:
      >>> import jaxrl
      >>> ppo = jaxrl.PPO(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=8)
      >>> state = ppo.init(jax.random.key(0))
      >>> stages = acting_stages(ppo, state, (state.obs, state.env_state), jax.random.key(1), num_steps=8)
      >>> list(stages)
      ['random numbers', 'environment', 'policy']

    Source: our own.
    """
    num_envs = len(jax.tree.leaves(begin[0])[0])
    numbers_key, explore_key, policy_key, step_key = jax.random.split(key, 4)
    action, _ = algorithm.explore(state, begin[0], explore_key)
    stepped = (begin, jax.random.split(step_key, num_envs), action, algorithm.env_params)
    times, numbers = num_steps * rollouts, functools.partial(jax.random.split, num=(num_steps, num_envs + 1))
    part = functools.partial(Stage, within="rollout")
    return {
        "random numbers": part(numbers, (numbers_key,), rollouts),
        "environment": part(functools.partial(_environment, algorithm.env), stepped, times, carry=0),
        "policy": part(type(algorithm).explore, (algorithm, state, begin[0], policy_key), times),
    }


def _environment(env: Any, begin: tuple[Any, Any], keys: jax.Array, action: jax.Array, env_params: Any) -> Any:
    """One step of all of them."""
    obs, env_state, transition = step(env, env_params, keys, *begin, action)
    return (obs, env_state), transition
