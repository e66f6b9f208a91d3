"""Value iteration."""

import dataclasses
from typing import Any

import flax.struct
import jax

from jaxrl.algorithms.dp.certificate import SweepState, certify, first_sweep, relative, sweep, sweep_metrics
from jaxrl.types import Metrics, Solution, leaf


@flax.struct.dataclass
class ValueIteration:
    """Value iteration: v ← Tv = max_a [r + γ P v], one sweep an update.

    Without terminal states v is kept relative (its midrange is taken away before each sweep): the bounds stay the same
    and float32 keeps its digits at every discount. On `mdp.follow(policy)` this is the evaluation of a policy.

    Args:
      mdp: the process, in any layout.
      discount: γ, per step, below one.
      values: starting point `[S]`, zero at terminal states; None starts at zero.

    Example:
      >>> import jaxrl
      >>> mdp = jaxrl.envs.from_arrays([[[0.9, 0.1], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]], [[1.0, 0.0], [2.0, 0.0]])
      >>> solution = jaxrl.solve(jaxrl.ValueIteration(mdp, discount=0.9), tolerance=1e-3)
      >>> bool(solution.converged), solution.policy.tolist()
      (True, [1, 0])

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, section 4.4; bounds and relative values:
    Puterman (1994), Markov Decision Processes, section 6.6.
    """

    mdp: Any
    _: dataclasses.KW_ONLY
    discount: float = leaf(0.99, low=0, high=1, open_high=True)
    values: jax.Array | None = None

    def init(self, key: jax.Array) -> SweepState:
        """The first sweep. There is no randomness: the key is not used."""
        return first_sweep(self.mdp, self.values, self.discount)

    def update(self, state: SweepState, key: jax.Array) -> tuple[SweepState, Metrics]:
        """One sweep. There is no randomness: the key is not used."""
        state = sweep(self.mdp, relative(self.mdp, state.backup), self.discount, state.num_updates + 1)
        return state, sweep_metrics(state)

    def solution(self, state: SweepState, tolerance: float | jax.Array) -> Solution:
        """What the last sweep proves."""
        return certify(self.mdp, state, self.discount, tolerance)
