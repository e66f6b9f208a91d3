"""Value iteration with an anchor."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.algorithms.dp.certificate import UNDISCOUNTED, SweepState, certify, first_sweep, sweep, sweep_metrics
from jaxrl.types import Metrics, Solution, leaf


@flax.struct.dataclass
class AnchoredState:
    """The last sweep, and where all began.

    Args:
      last: the sweep.
      anchor: `[S]`, v₀.
      total: `[]`, Σ γ^(-2i) so far.
    """

    last: SweepState
    anchor: jax.Array
    total: jax.Array

    @property
    def values(self) -> jax.Array:
        """`[S]`, v of the last sweep."""
        return self.last.values


@flax.struct.dataclass
class AnchoredValueIteration:
    """Anchored value iteration: v ← β v₀ + (1 - β) Tv with β = 1 / Σ_{i ≤ k} γ^(-2i), one sweep an update.

    The Bellman error falls faster than that of value iteration while k is below 1 / (1-γ), as 1/k where γ is near one.
    Its bounds are those of the last sweep.

    Args:
      mdp: the process, in any layout.
      discount: γ, per step, below one.
      values: starting point and anchor `[S]`, zero at terminal states; None starts at zero.

    Example:
      >>> import jaxrl
      >>> mdp = jaxrl.envs.textbook.garnet(20, 2, 3)
      >>> bool(jaxrl.solve(jaxrl.AnchoredValueIteration(mdp, discount=0.9), tolerance=1e-2).converged)
      True

    Source: Lee & Ryu (2023), Accelerating Value Iteration with Anchoring, arXiv:2305.16569.
    """

    mdp: Any
    _: dataclasses.KW_ONLY
    discount: float = leaf(0.99, low=0, high=1, open_low=True, open_high=True, remedy=UNDISCOUNTED)
    values: jax.Array | None = None

    def init(self, key: jax.Array) -> AnchoredState:
        """The first sweep. There is no randomness: the key is not used."""
        first = first_sweep(self.mdp, self.values, self.discount)
        return AnchoredState(first, jnp.array(first.values), jnp.ones((), first.values.dtype))

    def update(self, state: AnchoredState, key: jax.Array) -> tuple[AnchoredState, Metrics]:
        """One sweep. There is no randomness: the key is not used."""
        total = 1.0 + state.total / jnp.square(jnp.asarray(self.discount, state.total.dtype))
        # Σ_{i ≤ k} γ^(-2i) = 1 + γ^(-2) Σ_{i ≤ k-1}; after thousands of sweeps it is infinite and β zero.
        weight = 1.0 / total
        values = weight * state.anchor + (1.0 - weight) * state.last.backup
        last = sweep(self.mdp, values, self.discount, state.last.num_updates + 1)
        total = jnp.minimum(total, jnp.finfo(total.dtype).max)
        return AnchoredState(last, state.anchor, total), sweep_metrics(last)

    def solution(self, state: AnchoredState, tolerance: float | jax.Array) -> Solution:
        """What the last sweep proves."""
        return certify(self.mdp, state.last, self.discount, tolerance)
