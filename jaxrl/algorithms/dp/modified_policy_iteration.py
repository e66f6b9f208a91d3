"""Modified policy iteration."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.algorithms.dp.certificate import SweepState, certify, first_sweep, relative, sweep, sweep_metrics
from jaxrl.types import Metrics, Solution, leaf, static


@flax.struct.dataclass
class ModifiedPolicyIteration:
    """Improve the policy once, then sweep its values `num_sweeps` times: such a sweep costs 1/A of a full one.

    `num_sweeps=0` is value iteration, infinitely many are policy iteration.

    Args:
      mdp: the process, in any layout.
      num_sweeps: sweeps of the policy's values between two improvements.
      discount: γ, per step, below one.
      values: starting point `[S]`, zero at terminal states; None starts at zero.

    Example:
      >>> import jaxrl
      >>> mdp = jaxrl.envs.textbook.garnet(100, 4, 5)
      >>> bool(jaxrl.solve(jaxrl.ModifiedPolicyIteration(mdp, discount=0.9), tolerance=1e-3).converged)
      True

    Source: Puterman & Shin (1978), Modified Policy Iteration Algorithms for Discounted Markov Decision Problems;
    Puterman (1994), Markov Decision Processes, section 6.5.
    """

    mdp: Any
    _: dataclasses.KW_ONLY
    num_sweeps: int = static(20, low=0)
    discount: float = leaf(0.99, low=0, high=1, open_high=True)
    values: jax.Array | None = None

    def init(self, key: jax.Array) -> SweepState:
        """The first sweep. There is no randomness: the key is not used."""
        return first_sweep(self.mdp, self.values, self.discount)

    def update(self, state: SweepState, key: jax.Array) -> tuple[SweepState, Metrics]:
        """Sweeps of the greedy policy's values, then one over all actions. The key is not used."""
        followed = self.mdp.follow(state.policy)
        discount = jnp.asarray(self.discount, state.values.dtype)

        def evaluate(_: int, values: jax.Array) -> jax.Array:
            return relative(self.mdp, followed.q_values(values, discount)[:, 0])

        values = jax.lax.fori_loop(0, self.num_sweeps, evaluate, relative(self.mdp, state.backup))
        state = sweep(self.mdp, values, self.discount, state.num_updates + 1)
        return state, sweep_metrics(state)

    def solution(self, state: SweepState, tolerance: float | jax.Array) -> Solution:
        """What the last sweep over all actions proves."""
        return certify(self.mdp, state, self.discount, tolerance)
