"""Policies of action values, and one draw from a row of probabilities."""

import jax
import jax.numpy as jnp

FORBIDDEN = -1e30
"""Action value of an action that must not be taken; finite, so that zero times it is zero."""


def sample_index(key: jax.Array, probability: jax.Array) -> jax.Array:
    """Draw an index of each row by its probability: one uniform number a row, and the inverse of the distribution.

    Args:
      key: consumed.
      probability: `[..., A]`, at least zero; rows are taken in proportion to their sum. An index of probability zero
        is never drawn.

    Returns:
      int32 `[...]`.

    Example:
      >>> sample_index(jax.random.key(0), jnp.array([[0.0, 1.0], [1.0, 0.0]])).tolist()
      [1, 0]

    Source: Devroye (1986), Non-Uniform Random Variate Generation, section III.2.
    """
    cumulative = jnp.cumsum(probability, axis=-1)
    # uniform < 1 by at least one unit of roundoff, so that the product stays below the sum: some index is beyond it.
    drawn = jax.random.uniform(key, probability.shape[:-1], probability.dtype) * cumulative[..., -1]
    return jnp.argmax(cumulative > drawn[..., None], axis=-1).astype(jnp.int32)


def greedy(q: jax.Array) -> jax.Array:
    """Probabilities of the greedy policy; the best actions share alike.

    Args:
      q: `[..., A]`.

    Returns:
      `[..., A]`.

    Example:
      >>> greedy(jnp.array([1.0, 1.0, 0.0])).tolist()
      [0.5, 0.5, 0.0]

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., section 4.3, on ties.
    """
    best = (q == q.max(-1, keepdims=True)).astype(q.dtype)
    return best / best.sum(-1, keepdims=True)


def epsilon_greedy(q: jax.Array, epsilon: jax.Array | float) -> jax.Array:
    """Probabilities of a policy that is uniform with probability ε and greedy else.

    Args:
      q: `[..., A]`; an action whose value is `FORBIDDEN` is never taken.
      epsilon: ε in [0, 1], `[]`.

    Returns:
      `[..., A]`.

    Example:
      >>> print(epsilon_greedy(jnp.array([1.0, 0.0]), 0.5))
      [0.75 0.25]

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., section 5.4.
    """
    allowed = (q > FORBIDDEN).astype(q.dtype)
    return (1.0 - epsilon) * greedy(q) + epsilon * allowed / allowed.sum(-1, keepdims=True)


def sampled_value(q: jax.Array, probability: jax.Array, action: jax.Array) -> jax.Array:
    """Value of the action that was drawn: the target of Sarsa.

    Args:
      q: `[..., A]` of the successor.
      probability: `[..., A]` of the policy there, not used.
      action: `[...]` drawn from it.

    Returns:
      `[...]`.

    Example:
      >>> float(sampled_value(jnp.array([1.0, 2.0]), jnp.array([0.5, 0.5]), jnp.array(1)))
      2.0

    Source: Rummery & Niranjan (1994), On-Line Q-Learning Using Connectionist Systems.
    """
    return jnp.take_along_axis(q, action[..., None], axis=-1)[..., 0]


def falling_epsilon(epsilon: jax.Array | float, num_updates: jax.Array, horizon: jax.Array | float) -> jax.Array:
    """ε that falls linearly from one over `horizon` updates, and stays; that of the end at once if this is zero.

    Args:
      epsilon: in the end, `[]`.
      num_updates: updates made so far, int32 `[]`.
      horizon: updates.

    Returns:
      `[]`.

    Example:
      >>> print(falling_epsilon(0.5, jnp.array(1), 2.0), falling_epsilon(0.5, jnp.array(9), 2.0))
      0.75 0.5

    Source: Mnih et al. (2015), Human-level Control through Deep Reinforcement Learning, methods.
    """
    fallen = jnp.minimum(num_updates / jnp.maximum(horizon, 1e-6), 1.0)
    return 1.0 + jnp.where(jnp.asarray(horizon) > 0, fallen, 1.0) * (epsilon - 1.0)


def expected_value(q: jax.Array, probability: jax.Array, action: jax.Array) -> jax.Array:
    """Mean value of the policy: the target of Expected Sarsa.

    Args:
      q: `[..., A]` of the successor.
      probability: `[..., A]` of the policy there.
      action: `[...]`, not used.

    Returns:
      `[...]`.

    Example:
      >>> float(expected_value(jnp.array([1.0, 2.0]), jnp.array([0.5, 0.5]), jnp.array(1)))
      1.5

    Source: van Seijen et al. (2009), A Theoretical and Empirical Analysis of Expected Sarsa.
    """
    return (q * probability).sum(-1)


def max_value(q: jax.Array, probability: jax.Array, action: jax.Array) -> jax.Array:
    """Value of the best action: the target of Q-learning.

    Args:
      q: `[..., A]` of the successor.
      probability: `[..., A]`, not used.
      action: `[...]`, not used.

    Returns:
      `[...]`.

    Example:
      >>> float(max_value(jnp.array([1.0, 2.0]), jnp.array([0.5, 0.5]), jnp.array(0)))
      2.0

    Source: Watkins (1989), Learning from Delayed Rewards.
    """
    return q.max(-1)
