"""Double Q-learning."""

import dataclasses
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.algorithms.td.steps import TabularState, change, explore, init_table, learn_from_steps
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class DoubleQLearning:
    """Double Q-learning: of two tables one chooses the best next action and the other one values it.

    A coin tells which of them learns from a step; acting is ε-greedy by their sum. The state's `q` is `[2, S, A]`.

    Args:
      env: gymnax environment with `Discrete` observations and actions.
      env_params: its parameters; a Markov decision process for `TabularEnvironment`.
      num_envs: N, environments stepped together.
      num_steps: T, steps of each environment per update; a table is updated after each.
      learning_rate: α.
      epsilon: ε, probability of a random action.
      anneal_updates: updates over which α and ε fall linearly to zero; inf keeps them.
      discount: γ, per step.
      q: starting point `[2, S, A]`; None starts at zero.

    Source: van Hasselt (2010), Double Q-learning; Sutton & Barto (2018), section 6.7.
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
        return init_table(self, key, (2,))

    def act(self, state: TabularState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The best actions `[B]` of states `[B]` by both tables, for evaluation."""
        return state.q.sum(0)[obs].argmax(-1)

    def rollout(self, state: TabularState, key: jax.Array) -> tuple[TabularState, Transition]:
        """One ε-greedy step of the N environments. The key is consumed."""
        return explore(self, state, state.q[0, state.obs] + state.q[1, state.obs], key)

    def learn(self, state: TabularState, batch: Transition, key: jax.Array) -> tuple[TabularState, Metrics]:
        """Update by a batch `[N]` the table that a coin chooses. The key is consumed."""
        learning_rate = ops.annealed(self.learning_rate, state.num_updates, self.anneal_updates)
        second = jax.random.bernoulli(key, 0.5, batch.reward.shape)
        q = ops.double_q_learning_update(state.q, batch, second, learning_rate=learning_rate, discount=self.discount)
        learner = second.astype(jnp.int32)
        return dataclasses.replace(state, q=q), change(q, state.q, (learner, batch.obs, batch.action))

    def update(self, state: TabularState, key: jax.Array) -> tuple[TabularState, Metrics]:
        """`num_steps` steps, each followed by an update of a table. The key is consumed."""
        return learn_from_steps(self, state, key)
