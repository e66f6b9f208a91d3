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
    start = envs.action_values(algorithm.env, algorithm.env_params)
    return MonteCarloState(
        q=start if algorithm.q is None else jnp.array(algorithm.q, jnp.float32),
        total=jnp.zeros_like(start),
        num_updates=jnp.zeros((), jnp.int32),
    )


def monte_carlo_returns(batch: Transition, next_value: jax.Array, discount: jax.Array | float) -> jax.Array:
    """Returns `[T, N]` to the end of each episode; one that is cut goes on with `next_value` `[T, N]` there."""
    discounts = discount * (1.0 - batch.terminated)
    return ops.lambda_returns(batch.reward, discounts, next_value, 1.0 - batch.done)


def episode_sums(batch: Transition, counts: jax.Array) -> Metrics:
    """Returns and lengths of the episodes that end where `counts` `[T, N]` holds; the others are `cut`."""
    finished = (counts & batch.done).any(0)
    sums = {
        "episode_return_sum": jnp.where(counts & finished[None], batch.reward, 0.0).sum(),
        "episode_length_sum": (counts & finished[None]).sum(dtype=jnp.float32),
        "episodes": finished.sum(dtype=jnp.float32),
        "cut": (~finished).sum(dtype=jnp.float32),
    }
    return sums
