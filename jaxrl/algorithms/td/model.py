"""A learned model of a world without chance: the last outcome of every pair, for the planning learners."""

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.types import Transition


@flax.struct.dataclass
class Model:
    """The last outcome of each state and action, `[S, A]` each."""

    reward: jax.Array
    next_state: jax.Array
    terminated: jax.Array
    known: jax.Array
    """Bool: whether the pair was ever visited."""

    def remember(self, batch: Transition) -> "Model":
        """Take in a batch `[N]`; of several outcomes of a pair one stays."""
        index = (batch.obs, batch.action)
        return Model(
            reward=self.reward.at[index].set(batch.reward),
            next_state=self.next_state.at[index].set(batch.next_obs.astype(jnp.int32)),
            terminated=self.terminated.at[index].set(batch.terminated),
            known=self.known.at[index].set(True),
        )

    def recall(self, pair: jax.Array) -> Transition:
        """The remembered transition of a pair, int `[]` as an index of the flat table."""
        state, action = jnp.divmod(pair, self.known.shape[1])
        return Transition(
            obs=state,
            action=action,
            reward=self.reward[state, action],
            terminated=self.terminated[state, action],
            truncated=jnp.zeros((), bool),
            next_obs=self.next_state[state, action],
            log_prob=jnp.zeros(()),
        )


def empty_model(shape: tuple[int, ...]) -> Model:
    """Nothing is known yet of `[S, A]` pairs."""
    false = jnp.zeros(shape, bool)
    return Model(jnp.zeros(shape), jnp.zeros(shape, jnp.int32), false, false)
