"""Q-learning."""

import dataclasses
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.algorithms.td.steps import TabularState, change, explore, init_table, learn_from_steps
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class QLearning:
    """Q-learning: q(s, a) ← q(s, a) + α [r + γ max q(s', ·) - q(s, a)], acting ε-greedily.

    `num_envs` environments share one table; for independent tables `vmap` over keys.

    Args:
      env: gymnax environment with `Discrete` observations and actions.
      env_params: its parameters; a Markov decision process for `TabularEnvironment`.
      num_envs: N, environments stepped together.
      num_steps: T, steps of each environment per update; the table is updated after each.
      learning_rate: α.
      epsilon: ε, probability of a random action.
      anneal_updates: updates over which α and ε fall linearly to zero; inf keeps them.
      discount: γ, per step.
      q: starting point `[S, A]`; None starts at zero.

    Example:
      >>> import jaxrl
      >>> learner = jaxrl.QLearning(*jaxrl.envs.make("FrozenLake-misc"), num_envs=8)
      >>> state, metrics = jaxrl.train(learner, jax.random.key(0), 2)
      >>> state.q.shape
      (16, 4)

    Source: Watkins & Dayan (1992), Q-learning; Sutton & Barto (2018), section 6.5. Deviation: several environments
    update the table at once, as `jaxrl.ops.table_update` does.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    num_envs: int = static(1, low=1)
    num_steps: int = static(100, low=1)
    learning_rate: float = leaf(0.1, low=0, high=1, open_low=True)
    epsilon: float = leaf(0.1, low=0, high=1)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    q: jax.Array | None = None

    observation_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)
    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    def init(self, key: jax.Array) -> TabularState:
        """Reset the environments. The key is consumed."""
        return init_table(self, key)

    def act(self, state: TabularState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The best actions `[B]` of states `[B]`, for evaluation."""
        return state.q[obs].argmax(-1)

    def rollout(self, state: TabularState, key: jax.Array) -> tuple[TabularState, Transition]:
        """One ε-greedy step of the N environments. The key is consumed."""
        return explore(self, state, state.q[state.obs], key)

    def learn(self, state: TabularState, batch: Transition, key: jax.Array) -> tuple[TabularState, Metrics]:
        """Update the table by a batch `[N]`. There is no randomness: the key is not used."""
        learning_rate = ops.annealed(self.learning_rate, state.num_updates, self.anneal_updates)
        q = ops.q_learning_update(state.q, batch, learning_rate=learning_rate, discount=self.discount)
        return dataclasses.replace(state, q=q), change(q, state.q, (batch.obs, batch.action))

    def update(self, state: TabularState, key: jax.Array) -> tuple[TabularState, Metrics]:
        """`num_steps` steps, each followed by an update of the table. The key is consumed."""
        return learn_from_steps(self, state, key)
