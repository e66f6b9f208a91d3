"""Value iteration: by Jacobi sweeps, or in blocks that use what the blocks before them found (Gauss-Seidel)."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.algorithms.dp.certificate import (
    UNDISCOUNTED,
    SweepState,
    certify,
    first_sweep,
    relative,
    sweep,
    sweep_metrics,
)
from jaxrl.types import Metrics, Solution, Stage, leaf, static


@flax.struct.dataclass
class ValueIteration:
    """Value iteration: v ← Tv = max_a [r + γ P v], one sweep an update.

    Without terminal states v is kept relative (its midrange is taken away before each sweep): the bounds stay the same
    and float32 keeps its digits at every discount. On `mdp.follow(policy)` this is the evaluation of a policy.

    With `num_blocks` above one a sweep goes over the states in so many blocks, each reading what those before it wrote;
    a block for each state is the in-place method of the textbook. Values are then not relative, and each update is
    followed by a plain sweep, which proves the bounds: it pays where episodes end, not at discounts near one.

    Where float32 cannot prove what it has found, go on from its values in float64; `max_updates=0` makes one sweep, the
    certificate, and no other:

      >>> import jax, jaxrl
      >>> single = jaxrl.ValueIteration(jaxrl.envs.textbook.garnet(300, 4, 5))
      >>> rough, _ = jaxrl.run(single, single.init(jax.random.key(0)), jax.random.key(1), 100)
      >>> with jax.enable_x64():
      ...     double = jaxrl.ValueIteration(jaxrl.envs.textbook.garnet(300, 4, 5), values=rough.backup)
      ...     bool(jaxrl.solve(double, tolerance=1e-4, max_updates=0).converged)
      True

    Args:
      mdp: the process, in any layout.
      num_blocks: of states; 1 is the Jacobi method.
      discount: γ, per step, below one.
      values: starting point `[S]`, zero at terminal states; None starts at zero.

    Example:
      >>> import jaxrl
      >>> mdp = jaxrl.envs.from_arrays([[[0.9, 0.1], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]], [[1.0, 0.0], [2.0, 0.0]])
      >>> solution = jaxrl.solve(jaxrl.ValueIteration(mdp, discount=0.9), tolerance=1e-3)
      >>> bool(solution.converged), solution.policy.tolist()
      (True, [1, 0])

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, section 4.4; bounds, relative values and
    Gauss-Seidel: Puterman (1994), Markov Decision Processes, sections 6.3.3 and 6.6.
    """

    mdp: Any
    _: dataclasses.KW_ONLY
    num_blocks: int = static(1, low=1)
    discount: float = leaf(0.99, low=0, high=1, open_high=True, remedy=UNDISCOUNTED)
    values: jax.Array | None = None

    def init(self, key: jax.Array) -> SweepState:
        """The first sweep. There is no randomness: the key is not used."""
        return first_sweep(self.mdp, self.values, self.discount)

    def update(self, state: SweepState, key: jax.Array) -> tuple[SweepState, Metrics]:
        """One sweep, or one in blocks and one that proves. There is no randomness: the key is not used."""
        if self.num_blocks > 1:  # not relative: blocks that read new values do not shift as a whole
            values = block_sweep(self.mdp, state.backup, self.discount, self.num_blocks)
        else:
            values = relative(self.mdp, state.backup)
        state = sweep(self.mdp, values, self.discount, state.num_updates + 1)
        return state, sweep_metrics(state)

    def stages(self, state: SweepState, key: jax.Array) -> dict[str, Stage]:
        """What the profiler times one by one; sweeps in blocks have no parts. There is no randomness."""
        if self.num_blocks > 1:
            return {}
        return {
            "relative": Stage(relative, (self.mdp, state.backup)),
            "sweep": Stage(sweep, (self.mdp, state.values, self.discount, state.num_updates)),
            "residual": Stage(sweep_metrics, (state,)),
        }

    def solution(self, state: SweepState, tolerance: float | jax.Array) -> Solution:
        """What the last sweep proves."""
        return certify(self.mdp, state, self.discount, tolerance)


def block_sweep(mdp: Any, values: jax.Array, discount: float | jax.Array, num_blocks: int) -> jax.Array:
    """Values `[S]` after one sweep in blocks; where S is no multiple, the last block goes over some states again."""
    size = -(-mdp.num_states // min(num_blocks, mdp.num_states))
    begins = jnp.minimum(jnp.arange(-(-mdp.num_states // size)) * size, mdp.num_states - size)

    def backup(values: jax.Array, begin: jax.Array) -> tuple[jax.Array, None]:
        best = mdp.block(begin, size).q_values(values, jnp.asarray(discount, values.dtype)).max(-1)
        return jax.lax.dynamic_update_slice_in_dim(values, best, begin, 0), None

    return jax.lax.scan(backup, values, begins)[0]
