"""On-policy Monte Carlo."""

import dataclasses
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.algorithms.mc.episodes import MonteCarloState, episode_sums, init_averages, monte_carlo_returns, play
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class MonteCarlo:
    """Monte Carlo control: q(s, a) is the average of the returns that followed (s, a), the policy ε-greedy.

    An update plays one episode in each of N environments, at most `num_steps` long; one that is cut, by its time limit
    or by `num_steps`, goes on with the value of its last observation. What `num_steps` cuts is counted as `cut`.

    With exploring starts: `exploring_starts=True, epsilon=0`, in an environment that begins in every state. On an
    environment of `jaxrl.envs.follow`, which has one action, `q[:, 0]` is the value of a given policy: Monte Carlo
    prediction, of first or of every visits.

    Args:
      env: gymnax environment with `Discrete` observations and actions.
      env_params: its parameters; a Markov decision process for `TabularEnvironment`.
      num_envs: N, episodes of an update.
      num_steps: T, steps of each episode at most.
      first_visit: whether only the first visit of an episode to a pair counts.
      exploring_starts: whether the first action of an episode is uniformly random.
      learning_rate: α of a constant step; zero averages over all returns.
      epsilon: ε, probability of a random action.
      anneal_updates: updates over which ε falls linearly to zero; inf keeps it.
      discount: γ, per step.
      q: starting point `[S, A]`; None starts at zero.

    Example:
      >>> import jaxrl
      >>> learner = jaxrl.MonteCarlo(*jaxrl.envs.make("FrozenLake-misc"), num_envs=8)
      >>> state, metrics = jaxrl.train(learner, jax.random.key(0), 2)
      >>> metrics["episodes"].tolist()
      [8.0, 8.0]

    Source: Sutton & Barto (2018), Reinforcement Learning, sections 5.1, 5.3 and 5.4.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    num_envs: int = static(16, low=1)
    num_steps: int = static(100, low=1)
    first_visit: bool = static(True)
    exploring_starts: bool = static(False)
    learning_rate: float = leaf(0.0, low=0, high=1)
    epsilon: float = leaf(0.1, low=0, high=1)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    q: jax.Array | None = None

    observation_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)
    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update, those after the ends of episodes included."""
        return self.num_envs * self.num_steps

    def init(self, key: jax.Array) -> MonteCarloState:
        """An empty table. There is no randomness: the key is not used."""
        return init_averages(self)

    def act(self, state: MonteCarloState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The best actions `[B]` of states `[B]`, for evaluation."""
        return state.q[obs].argmax(-1)

    def policy(self, state: MonteCarloState) -> jax.Array:
        """Probabilities `[S, A]` of the ε-greedy policy."""
        return ops.epsilon_greedy(state.q, ops.annealed(self.epsilon, state.num_updates, self.anneal_updates))

    def rollout(self, state: MonteCarloState, key: jax.Array) -> tuple[MonteCarloState, Transition]:
        """Play one episode in each environment, `[T, N]`; what comes after its end does not count."""
        first = ops.epsilon_greedy(state.q, 1.0) if self.exploring_starts else None
        return state, play(self, self.policy(state), key, first)

    def learn(self, state: MonteCarloState, batch: Transition, key: jax.Array) -> tuple[MonteCarloState, Metrics]:
        """Average the returns of a batch `[T, N]`. There is no randomness: the key is not used."""
        value = (self.policy(state) * state.q).sum(-1)
        returns = monte_carlo_returns(batch, value[batch.next_obs], self.discount)
        played = counts = ops.first_episode(batch.done)
        if self.first_visit:
            pair = batch.obs * state.q.shape[1] + batch.action
            counts &= ops.first_visits(pair, state.q.size)
        index = (batch.obs, batch.action)
        average, total = ops.average_update(state.q, state.total, index, returns, counts.astype(returns.dtype))
        constant = ops.table_update(state.q, index, returns, self.learning_rate, counts)
        q = jnp.where(self.learning_rate > 0, constant, average)
        state = MonteCarloState(q, total, state.num_updates + 1)
        return state, episode_sums(batch, played)

    def update(self, state: MonteCarloState, key: jax.Array) -> tuple[MonteCarloState, Metrics]:
        """One episode in each environment, and what is learned from them. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)
