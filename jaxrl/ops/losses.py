"""Losses: pure functions of arrays that return one value per element."""

import chex
import jax
import jax.numpy as jnp


def policy_gradient_loss(log_prob: jax.Array, advantage: jax.Array) -> jax.Array:
    """The policy gradient, as a loss to minimize.

        L = -log π(a|s) A

    Args:
      log_prob: `[B]`.
      advantage: `[B]`, with gradients stopped.

    Returns:
      `[B]` losses.

    Raises:
      AssertionError: if the shapes differ: `[B, 1]` against `[B]` would be `[B, B]` losses in silence.

    Example:
      >>> policy_gradient_loss(jnp.array([-1.0]), jnp.array([2.0])).tolist()
      [2.0]

    Source: Sutton & Barto (2018), Reinforcement Learning, section 13.3, eq. 13.8.
    """
    chex.assert_equal_shape([log_prob, advantage])
    return -log_prob * advantage


def ppo_clip(ratio: jax.Array, advantage: jax.Array, clip: jax.Array | float) -> jax.Array:
    """The clipped surrogate, as a loss to minimize.

        L = -min(ρ A, clip(ρ, 1 - ε, 1 + ε) A)

    Args:
      ratio: `[B]` ρ = π(a|s) / π_old(a|s).
      advantage: `[B]`, with gradients stopped.
      clip: ε > 0; infinity gives the unclipped importance-weighted policy gradient.

    Returns:
      `[B]` losses.

    Raises:
      AssertionError: if the shapes differ: `[B, 1]` against `[B]` would be `[B, B]` losses in silence.

    Example:
      >>> ppo_clip(jnp.array([1.5, 0.5]), jnp.array([1.0, 1.0]), 0.25).tolist()
      [-1.25, -0.5]

    Source: Schulman et al. (2017), Proximal Policy Optimization Algorithms, arXiv:1707.06347, eq. 7.
    """
    chex.assert_equal_shape([ratio, advantage])
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage)


def clipped_value_loss(value: jax.Array, old_value: jax.Array, target: jax.Array, clip: jax.Array | float) -> jax.Array:
    """Squared error of the value, pessimistic about steps longer than `clip`.

        L = max((v - G)², (v_old + clip(v - v_old, -ε, ε) - G)²) / 2

    Args:
      value: `[B]` current value.
      old_value: `[B]` value when the batch was collected.
      target: `[B]` value target.
      clip: ε > 0 in units of the value; infinity gives the plain squared error.

    Returns:
      `[B]` losses.

    Raises:
      AssertionError: if the shapes differ: `[B, 1]` against `[B]` would be `[B, B]` losses in silence.

    Example:
      >>> clipped_value_loss(jnp.array([2.0]), jnp.array([0.0]), jnp.array([2.0]), 1.0).tolist()  # moved too far
      [0.5]

    Source: Huang et al. (2022), The 37 Implementation Details of Proximal Policy Optimization, detail 9.
    """
    chex.assert_equal_shape([value, old_value, target])
    clipped = old_value + jnp.clip(value - old_value, -clip, clip)
    return 0.5 * jnp.maximum(jnp.square(value - target), jnp.square(clipped - target))
