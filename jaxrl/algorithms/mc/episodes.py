"""What the Monte Carlo learners share: their state, and whole episodes."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import envs, ops
from jaxrl.types import Metrics, Transition


@flax.struct.dataclass
class MonteCarloState:
    """Averages of returns.

    Args:
      q: `[S, A]`.
      total: `[S, A]`, how many returns, or how much weight, each average holds.
      num_updates: int32 `[]`; schedules read it.
    """

    q: jax.Array
    total: jax.Array
    num_updates: jax.Array


def init_averages(algorithm: Any) -> MonteCarloState:
    """A table of zeros, or a copy of the one that is given; nothing is averaged yet."""
    q = envs.action_values(algorithm.env, algorithm.env_params, algorithm.q)
    return MonteCarloState(
        q=q,
        total=jnp.zeros_like(q),
        num_updates=jnp.zeros((), jnp.int32),
    )


def play(algorithm: Any, policy: jax.Array, key: jax.Array, first: jax.Array | None = None) -> Transition:
    """Play N new episodes for `num_steps` steps, `[T, N]`, by a policy `[S, A]`; the first step by another one."""
    env, env_params = algorithm.env, algorithm.env_params
    reset_key, first_key, steps_key = jax.random.split(key, 3)

    def follow(
        policy: jax.Array, start: tuple[Any, Any], key: jax.Array, num_steps: int
    ) -> tuple[Any, Any, Transition]:
        def act(obs: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            action = ops.sample_index(key, policy[obs])
            return action, jnp.log(policy[obs, action])

        return envs.rollout(env, env_params, act, *start, key, num_steps)

    start = envs.reset(env, env_params, reset_key, algorithm.num_envs)
    if first is None:
        return follow(policy, start, steps_key, algorithm.num_steps)[2]
    obs, env_state, one = follow(first, start, first_key, 1)
    rest = follow(policy, (obs, env_state), steps_key, algorithm.num_steps - 1)[2]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), one, rest)


def monte_carlo_returns(batch: Transition, next_value: jax.Array, discount: jax.Array | float) -> jax.Array:
    """Returns `[T, N]` to the end of each episode; one that is cut goes on with `next_value` `[T, N]` there."""
    discounts = discount * (1.0 - batch.terminated)
    return ops.lambda_returns(batch.reward, discounts, next_value, 1.0 - batch.done)


def episode_sums(batch: Transition, counts: jax.Array) -> Metrics:
    """Returns and lengths of the episodes that end where `counts` `[T, N]` holds; the others are `cut`."""
    finished = (counts & batch.done).any(0)
    return {
        "episode_return_sum": jnp.where(counts & finished[None], batch.reward, 0.0).sum(),
        "episode_length_sum": (counts & finished[None]).sum(dtype=jnp.float32),
        "episodes": finished.sum(dtype=jnp.float32),
        "cut": (~finished).sum(dtype=jnp.float32),
    }
