"""Which steps of whole episodes count, and by what weight."""

import jax
import jax.numpy as jnp


def first_episode(done: jax.Array) -> jax.Array:
    """The steps of the first episode of each environment: all until and with its end.

    Args:
      done: bool `[T, N]`.

    Returns:
      Bool `[T, N]`.

    Example:
      >>> first_episode(jnp.array([[False], [True], [False]]))[:, 0].tolist()
      [True, True, False]

    Source: our own.
    """
    ended = jnp.cumsum(done, axis=0)
    return ended - done == 0


def first_visits(index: jax.Array, size: int) -> jax.Array:
    """The steps at which something is visited for the first time.

    Args:
      index: int `[T, N]` in [0, size).
      size: of a table.

    Returns:
      Bool `[T, N]`.

    Example:
      >>> first_visits(jnp.array([[1], [0], [1]]), 2)[:, 0].tolist()
      [True, True, False]

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., section 5.1.
    """
    steps, environments = (jnp.arange(n) for n in index.shape)
    time = jnp.broadcast_to(steps[:, None], index.shape)
    where = (environments[None], index)
    first = jnp.full((index.shape[1], size), len(steps), time.dtype).at[where].min(time)
    return first[where] == time


def following_ratios(ratio: jax.Array) -> jax.Array:
    """Product of the ratios after each step, ρ_{t+1} ρ_{t+2} … `[T, N]`: the weight of a return of (s_t, a_t).

    Args:
      ratio: `[T, N]`, π(a|s) / b(a|s); one where nothing counts.

    Returns:
      `[T, N]`; one at the last step.

    Example:
      >>> following_ratios(jnp.array([[2.0], [3.0], [5.0]]))[:, 0].tolist()
      [15.0, 5.0, 1.0]

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., section 5.5.
    """

    def multiply(product: jax.Array, ratio: jax.Array) -> tuple[jax.Array, jax.Array]:
        return product * ratio, product

    return jax.lax.scan(multiply, jnp.ones_like(ratio[0]), ratio, reverse=True)[1]
