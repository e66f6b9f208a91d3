"""Value iteration in the order of urgency."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.algorithms.dp.certificate import UNDISCOUNTED, SweepState, certify, first_sweep, sweep, sweep_metrics
from jaxrl.envs import to_fanout
from jaxrl.types import Metrics, Solution, leaf, static


@flax.struct.dataclass
class PrioritizedValueIteration:
    """Value iteration one state at a time, the one with the largest Bellman error next: prioritized sweeping.

    An update backs up `num_backups` states, keeping the errors of their predecessors, and ends with a plain sweep,
    which proves the bounds. It pays where values change in few places, on a host that does one thing at a time.

    Args:
      mdp: the process, in any layout.
      predecessors: int32 `[S, M]` from `predecessors(mdp)`.
      num_backups: of single states, in an update.
      discount: γ, per step, below one.
      values: starting point `[S]`, zero at terminal states; None starts at zero.

    Example:
      >>> import jaxrl
      >>> mdp = jaxrl.envs.textbook.cliff_walking()
      >>> solver = jaxrl.PrioritizedValueIteration(mdp, predecessors(mdp), discount=0.9)
      >>> print(f"{jaxrl.solve(solver, tolerance=1e-3).values[36]:.3f}")
      -7.458

    Source: Moore & Atkeson (1993), Prioritized Sweeping: Reinforcement Learning with Less Data and Less Time; Sutton &
    Barto (2018), section 8.4.
    """

    mdp: Any
    predecessors: jax.Array
    _: dataclasses.KW_ONLY
    num_backups: int = static(64, low=1)
    discount: float = leaf(0.99, low=0, high=1, open_high=True, remedy=UNDISCOUNTED)
    values: jax.Array | None = None

    def init(self, key: jax.Array) -> SweepState:
        """The first sweep. There is no randomness: the key is not used.

        Raises:
          ValueError: for predecessors of another process.
        """
        shape = jnp.shape(self.predecessors)
        if len(shape) != 2 or shape[0] != self.mdp.num_states:
            raise ValueError(f"predecessors: must be [{self.mdp.num_states}, M], from predecessors(mdp), not {shape}")
        return first_sweep(self.mdp, self.values, self.discount)

    def update(self, state: SweepState, key: jax.Array) -> tuple[SweepState, Metrics]:
        """`num_backups` backups and one sweep. There is no randomness: the key is not used."""
        discount = jnp.asarray(self.discount, state.values.dtype)

        def best(values: jax.Array, number: jax.Array) -> jax.Array:
            return self.mdp.block(number, 1).q_values(values, discount).max()

        def backup(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            values, target = carry
            urgent = jnp.abs(target - values).argmax()
            values = values.at[urgent].set(target[urgent])
            before = self.predecessors[urgent]  # padded by the state itself
            return values, target.at[before].set(jax.vmap(best, (None, 0))(values, before))

        values, _ = jax.lax.fori_loop(0, self.num_backups, backup, (state.values, state.backup))
        state = sweep(self.mdp, values, self.discount, state.num_updates + 1)
        return state, sweep_metrics(state)

    def solution(self, state: SweepState, tolerance: float | jax.Array) -> Solution:
        """What the last sweep proves."""
        return certify(self.mdp, state, self.discount, tolerance)


def predecessors(mdp: Any) -> jax.Array:
    """The states from which each state can be entered, padded by the state itself.

    Args:
      mdp: the process, not traced.

    Returns:
      int32 `[S, M]`, M the largest number of predecessors.

    Example:
      >>> from jaxrl.envs import from_arrays
      >>> predecessors(from_arrays([[[0, 1]], [[0, 1]]], [[0], [0]])).tolist()
      [[0, 0], [0, 1]]
    """
    transitions: Any = to_fanout(mdp).transitions
    successor, possible = np.asarray(transitions.successor), np.asarray(transitions.probability) > 0
    origin = np.broadcast_to(np.arange(mdp.num_states), successor.shape)
    pairs = np.unique(np.stack([successor[possible], origin[possible]], -1), axis=0)  # sorted by successor
    counts = np.bincount(pairs[:, 0], minlength=mdp.num_states)
    column = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.tile(np.arange(mdp.num_states)[:, None], (1, max(1, counts.max())))
    table[pairs[:, 0], column] = pairs[:, 1]
    return jnp.asarray(table, jnp.int32)
