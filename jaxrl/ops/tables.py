"""Updates of a table by a batch of experience: what research code calls.

All of them are synchronous: every target of the batch is computed from the table before it. Where several of the batch
meet in one entry, the step is 1 - (1-α)^c of their c targets: the mean over all orders of applying them one after the
other. Their plain sum, αc, diverges as soon as αc > 2.
"""

import jax
import jax.numpy as jnp

from jaxrl.ops.exploration import expected_value, max_value, sampled_value
from jaxrl.types import Transition


def table_update(
    table: jax.Array,
    index: tuple[jax.Array, ...],
    target: jax.Array,
    learning_rate: jax.Array | float,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Move the entries of a table towards their targets, with the step 1 - (1-α)^c of an entry that has c of them.

    Args:
      table: `[...]`.
      index: int `[...]` each, of the batch's shape: one for each axis of the table.
      target: of the batch's shape.
      learning_rate: α in (0, 1], `[]`.
      mask: bool, of the batch's shape; False: the target does not count.

    Returns:
      The new table.

    Example:
      >>> print(table_update(jnp.zeros(2), (jnp.array([0, 0]),), jnp.array([1.0, 1.0]), 0.5))  # 1/2 + 1/2 (1 - 1/2)
      [0.75 0.  ]

    Source: our own; a mean weighted by the number of visits as in Woo, Joshi & Chi (2025), The Blessing of
    Heterogeneity in Federated Q-Learning: Linear Speedup and Beyond.
    """
    error = target - table[index]
    weight = jnp.ones_like(error) if mask is None else mask.astype(error.dtype)
    if error.size == 1:  # the textbook's step, to the last bit
        return table.at[index].add(learning_rate * weight * error)
    count = jnp.zeros_like(table).at[index].add(weight)
    mean = jnp.zeros_like(table).at[index].add(weight * error) / jnp.maximum(count, 1.0)
    # An entry without a target: 0⁰ has no derivative by α, which may be one.
    step = jnp.where(count > 0, 1.0 - (1.0 - learning_rate) ** jnp.maximum(count, 1.0), 0.0)
    return table + step * mean


def average_update(
    table: jax.Array, total: jax.Array, index: tuple[jax.Array, ...], target: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Weighted averages of all targets so far: Q ← Q + Σ W (G - Q) / C with C the sum of all weights.

    Args:
      table: `[...]`, the averages.
      total: of the table's shape, C; zero where nothing has come yet.
      index: int, of the batch's shape: one for each axis of the table.
      target: of the batch's shape, G.
      weight: of the batch's shape, W ≥ 0; zero does not count.

    Returns:
      The new averages and totals.

    Example:
      >>> table, total = average_update(jnp.zeros(1), jnp.zeros(1), (jnp.array([0, 0]),), jnp.array([1.0, 4.0]),
      ...                               jnp.array([2.0, 1.0]))
      >>> table.tolist(), total.tolist()
      ([2.0], [3.0])

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., eqs. 5.7 and 5.8.
    """
    total = total.at[index].add(weight)
    error = jnp.zeros_like(table).at[index].add(weight * (target - table[index]))
    return table + error / jnp.where(total > 0, total, 1.0), total


def td_target(transition: Transition, next_value: jax.Array, discount: jax.Array | float) -> jax.Array:
    """R + γ (1 - terminated) v(s'): a time limit bootstraps, a termination does not.

    Args:
      transition: `[...]`.
      next_value: `[...]`, value of the true successor.
      discount: γ in [0, 1].

    Returns:
      `[...]`.

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., eq. 6.2; time limits: Pardo et al. (2018),
    arXiv:1712.00378.
    """
    return transition.reward + discount * (1.0 - transition.terminated) * next_value


def td_update(
    values: jax.Array, transition: Transition, *, learning_rate: jax.Array | float, discount: jax.Array | float
) -> jax.Array:
    """TD(0): v(s) ← v(s) + α [r + γ v(s') - v(s)].

    Args:
      values: `[S]`.
      transition: `[B]` or `[]`, observations are states.
      learning_rate: α in (0, 1].
      discount: γ in [0, 1].

    Returns:
      `[S]`.

    Source: Sutton (1988), Learning to Predict by the Methods of Temporal Differences.
    """
    target = td_target(transition, values[transition.next_obs], discount)
    return table_update(values, (transition.obs,), target, learning_rate)


def q_learning_update(
    q: jax.Array, transition: Transition, *, learning_rate: jax.Array | float, discount: jax.Array | float
) -> jax.Array:
    """Q-learning: q(s, a) ← q(s, a) + α [r + γ max q(s', ·) - q(s, a)].

    Args:
      q: `[S, A]`.
      transition: `[B]` or `[]`, observations are states.
      learning_rate: α in (0, 1].
      discount: γ in [0, 1].

    Returns:
      `[S, A]`.

    Example:
      >>> step = Transition(obs=jnp.array([0]), action=jnp.array([1]), reward=jnp.ones(1), next_obs=jnp.array([1]),
      ...                   terminated=jnp.zeros(1, bool), truncated=jnp.ones(1, bool), log_prob=jnp.zeros(1))
      >>> q = q_learning_update(jnp.array([[0.0, 0.0], [2.0, 4.0]]), step, learning_rate=0.5, discount=0.5)
      >>> q.tolist()  # a time limit bootstraps: 1/2 (1 + 1/2 · 4)
      [[0.0, 1.5], [2.0, 4.0]]

    Source: Watkins & Dayan (1992), Q-learning.
    """
    next_q = q[transition.next_obs]
    target = td_target(transition, max_value(next_q, next_q, transition.action), discount)
    return table_update(q, (transition.obs, transition.action), target, learning_rate)


def double_q_learning_update(
    q: jax.Array,
    transition: Transition,
    second: jax.Array,
    *,
    learning_rate: jax.Array | float,
    discount: jax.Array | float,
) -> jax.Array:
    """Double Q-learning: one table chooses the best next action, the other one values it.

    Args:
      q: `[2, S, A]`, both tables.
      transition: `[B]` or `[]`, observations are states.
      second: bool of the batch's shape, by a fair coin: whether the second table is the one that learns.
      learning_rate: α in (0, 1].
      discount: γ in [0, 1].

    Returns:
      `[2, S, A]`.

    Source: van Hasselt (2010), Double Q-learning.
    """
    learner = second.astype(jnp.int32)
    best = q[learner, transition.next_obs].argmax(-1)
    target = td_target(transition, q[1 - learner, transition.next_obs, best], discount)
    return table_update(q, (learner, transition.obs, transition.action), target, learning_rate)


def sarsa_update(
    q: jax.Array,
    transition: Transition,
    next_action: jax.Array,
    *,
    learning_rate: jax.Array | float,
    discount: jax.Array | float,
) -> jax.Array:
    """Sarsa: q(s, a) ← q(s, a) + α [r + γ q(s', a') - q(s, a)].

    Args:
      q: `[S, A]`.
      transition: `[B]` or `[]`, observations are states.
      next_action: of the batch's shape: drawn at the true successor, not at the observation after a reset.
      learning_rate: α in (0, 1].
      discount: γ in [0, 1].

    Returns:
      `[S, A]`.

    Source: Rummery & Niranjan (1994), On-Line Q-Learning Using Connectionist Systems.
    """
    next_q = q[transition.next_obs]
    target = td_target(transition, sampled_value(next_q, next_q, next_action), discount)
    return table_update(q, (transition.obs, transition.action), target, learning_rate)


def expected_sarsa_update(
    q: jax.Array,
    transition: Transition,
    next_probability: jax.Array,
    *,
    learning_rate: jax.Array | float,
    discount: jax.Array | float,
) -> jax.Array:
    """Expected Sarsa: q(s, a) ← q(s, a) + α [r + γ Σ π(a'|s') q(s', a') - q(s, a)].

    Args:
      q: `[S, A]`.
      transition: `[B]` or `[]`, observations are states.
      next_probability: `[B, A]` or `[A]`, of the policy at the true successor.
      learning_rate: α in (0, 1].
      discount: γ in [0, 1].

    Returns:
      `[S, A]`.

    Source: van Seijen et al. (2009), A Theoretical and Empirical Analysis of Expected Sarsa.
    """
    next_value = expected_value(q[transition.next_obs], next_probability, transition.action)
    target = td_target(transition, next_value, discount)
    return table_update(q, (transition.obs, transition.action), target, learning_rate)
