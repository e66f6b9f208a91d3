"""What a sweep proves: shared by everything that sweeps."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.types import Metrics, Rule, Solution

UNDISCOUNTED = "without a discount take StochasticShortestPath, BackwardInduction or RelativeValueIteration"
"""Remedy for a discount of one, where these bounds prove nothing."""


@flax.struct.dataclass
class SweepState:
    """The last sweep of a solver.

    Args:
      values: `[S]`, v.
      backup: `[S]`, Tv.
      policy: int32 `[S]`, greedy with respect to v.
      rounding: `[]`, bound of the rounding error of `backup`.
      num_updates: int32 `[]`.
    """

    values: jax.Array
    backup: jax.Array
    policy: jax.Array
    rounding: jax.Array
    num_updates: jax.Array


def first_sweep(mdp: Any, values: jax.Array | None, discount: jax.Array | float) -> SweepState:
    """The sweep from given values `[S]`, or from zero."""
    return sweep(mdp, mdp.first_values(values), discount, jnp.zeros((), jnp.int32))


def sweep(mdp: Any, values: jax.Array, discount: jax.Array | float, num_updates: jax.Array) -> SweepState:
    """Tv = max_a q(s, a) of v `[S]`."""
    q = mdp.q_values(values, jnp.asarray(discount, values.dtype))
    policy = q.argmax(-1).astype(jnp.int32)
    return SweepState(values, q.max(-1), policy, mdp.rounding_error(q, values), num_updates)


def relative(mdp: Any, values: jax.Array) -> jax.Array:
    """Values `[S]` less their midrange, where nothing ties them to zero: the bounds stay, the digits too."""
    if mdp.terminal is not None:
        return values
    return values - (values.max(-1) + values.min(-1)) / 2


def sweep_metrics(state: SweepState) -> Metrics:
    """Largest and spread of the changes of the last sweep."""
    change = state.backup - state.values
    metrics = {"residual": jnp.abs(change).max(), "span": change.max() - change.min()}
    return jax.tree.map(lambda x: x.astype(jnp.float32), metrics)


def certify(mdp: Any, state: SweepState, discount: jax.Array | float, tolerance: jax.Array | float) -> Solution:
    """Bounds, greedy policy and ties that the last sweep proves, and why to stop.

    Args:
      mdp: the process.
      state: the last sweep.
      discount: γ in [0, 1).
      tolerance: bound of the values' error.
    """
    discount = jnp.asarray(discount, state.values.dtype)
    change = state.backup - state.values
    exact = ops.value_bounds(state.backup, change, discount)
    lower, upper = ops.value_bounds(state.backup, change, discount, state.rounding)
    if mdp.terminal is not None:
        lower, upper = (jnp.where(mdp.terminal, 0.0, bound) for bound in (lower, upper))
        exact = tuple(jnp.where(mdp.terminal, 0.0, bound) for bound in exact)
    width, exact_width = (upper - lower).max(), (exact[1] - exact[0]).max()
    q = mdp.q_values(relative(mdp, state.backup), discount)
    return Solution(
        values=lower + (upper - lower) / 2,
        lower=lower,
        upper=upper,
        policy=q.argmax(-1).astype(jnp.int32),
        optimal_actions=ops.optimal_actions(q, discount * width + 2 * state.rounding),
        num_updates=state.num_updates,
        residual=jnp.abs(change).max(),
        smallest_tolerance=width - exact_width,
        rule=stop_rule(width, exact_width, tolerance),
    )


def stop_rule(width: jax.Array, exact_width: jax.Array, tolerance: float | jax.Array) -> jax.Array:
    """Why to stop.

    Args:
      width: of the widest bounds.
      exact_width: what it would be without rounding.
      tolerance: half the width that is asked for.

    Returns:
      A `Rule`, int32 `[]`.
    """
    rule = jnp.where(exact_width <= width - exact_width, Rule.ROUNDING, Rule.RUNNING)  # sweeps would at most halve it
    rule = jnp.where(width <= 2 * tolerance, Rule.CERTIFIED, rule)
    return jnp.where(jnp.isfinite(width), rule, Rule.NOT_FINITE).astype(jnp.int32)
