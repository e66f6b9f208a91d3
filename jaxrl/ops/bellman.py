"""Bellman equations on values and action values: bounds, greedy actions, ties."""

import jax
import jax.numpy as jnp


def value_bounds(
    backup: jax.Array, change: jax.Array, discount: float | jax.Array, rounding: float | jax.Array = 0.0
) -> tuple[jax.Array, jax.Array]:
    """MacQueen-Porteus bounds: Tv + γ/(1-γ) min(Tv - v) ≤ v* ≤ Tv + γ/(1-γ) max(Tv - v).

    They hold for any v, however far from v*, if the rows of the process sum to one. A terminal state is one that stays
    where it is and earns nothing: its change of zero takes part, which keeps the bounds right.

    Args:
      backup: Tv `[S]`.
      change: Tv - v `[S]`.
      discount: γ in [0, 1); for any other the bounds are NaN.
      rounding: bound of the error of each element of `backup`; the interval is widened by what it can do.

    Returns:
      Lower and upper bounds `[S]`.

    Example:
      >>> import jax.numpy as jnp
      >>> lower, upper = value_bounds(jnp.array([1.0, 1.0]), jnp.array([1.0, 1.0]), 0.5)  # reward 1 for ever
      >>> print(lower, upper)
      [2. 2.] [2. 2.]

    Source: Puterman (1994), Markov Decision Processes, Theorem 6.6.3; Porteus (1971), Some Bounds for Discounted
    Sequential Decision Processes.
    """
    tail = jnp.where((discount >= 0) & (discount < 1), discount / (1.0 - discount), jnp.nan)
    low, high = (tail * (bound + sign * rounding) for bound, sign in ((change.min(-1), -1), (change.max(-1), 1)))
    lower, upper = backup - rounding + low[..., None], backup + rounding + high[..., None]
    # γ itself is rounded, which moves v* by up to |v*| γ/(1-γ) units of roundoff; the additions above round once each.
    largest = jnp.maximum(jnp.abs(lower), jnp.abs(upper)).max(-1, keepdims=True)
    widen = jnp.where(rounding > 0, jnp.finfo(backup.dtype).eps * (2.0 + tail) * largest, 0.0)
    return lower - widen, upper + widen


def rounding_error(q: jax.Array, values: jax.Array, num_terms: int) -> jax.Array:
    """Bound of the rounding error of every element of q = r + γ P v, for any order of summation.

    A sum of n products rounds by at most n units of roundoff of the sum of their sizes; the entries of P and r have
    been rounded too, so that the bound holds for the process before it was.

    Args:
      q: `[S, A]` action values; -inf counts nothing.
      values: `[S]`, v.
      num_terms: n, successors of an action.

    Returns:
      The bound, `[]`.

    Example:
      >>> bool(rounding_error(jnp.ones((2, 1)), jnp.ones(2), num_terms=2) < 2e-6)
      True

    Source: Higham (2002), Accuracy and Stability of Numerical Algorithms, section 3.1.
    """
    largest = jnp.abs(jnp.where(jnp.isfinite(q), q, 0.0)).max((-2, -1)) + 2.0 * jnp.abs(values).max(-1)
    return sum_error(largest, num_terms + 6)


def sum_error(largest: jax.Array, num_roundings: int) -> jax.Array:
    """Bound of the rounding error of a sum of terms that are each rounded so many times, at most.

    Args:
      largest: `[...]`, sum of the terms' sizes.
      num_roundings: on the way of a term into the sum.

    Returns:
      `[...]`.

    Source: Higham (2002), Accuracy and Stability of Numerical Algorithms, section 3.1.
    """
    return 0.5 * jnp.finfo(largest.dtype).eps * num_roundings * largest


def optimal_actions(q: jax.Array, slack: float | jax.Array = 0.0) -> jax.Array:
    """The actions that are within `slack` of the best: with bounds on q, those that could be optimal.

    Args:
      q: `[..., A]`; -inf is never optimal.
      slack: `[]` or broadcastable to `[..., 1]`.

    Returns:
      Bool `[..., A]`.

    Example:
      >>> optimal_actions(jnp.array([1.0, 0.95, 0.5]), 0.1).tolist()
      [True, True, False]

    Source: action elimination, Puterman (1994), Markov Decision Processes, section 6.7.
    """
    return (q >= q.max(-1, keepdims=True) - slack) & (q > -jnp.inf)
