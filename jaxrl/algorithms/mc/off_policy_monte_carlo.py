"""Off-policy Monte Carlo by importance sampling."""

import dataclasses
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.algorithms.mc.episodes import MonteCarloState, episode_sums, init_averages, monte_carlo_returns, play
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class OffPolicyMonteCarlo:
    """Off-policy Monte Carlo: q(s, a) of one policy from the episodes of another, weighted by importance ratios.

    Every visit counts. With weighted importance sampling an average is divided by the sum of the ratios (biased, of
    small variance), else by the number of visits (ordinary: unbiased, of a variance that may be infinite).

    Prediction: `policy` is given. Control: `policy=None` learns about the greedy policy of `q`.

    Args:
      env: gymnax environment with `Discrete` observations and actions.
      env_params: its parameters; a Markov decision process for `TabularEnvironment`.
      num_envs: N, episodes of an update.
      num_steps: T, steps of each episode at most; one that is cut goes on with the value of its last observation.
      weighted: whether importance sampling is weighted.
      discount: γ, per step.
      policy: `[S, A]`, probabilities of the policy that is learned about; None: the greedy one.
      behavior: `[S, A]`, probabilities of the policy that acts; None: uniform.
      q: starting point `[S, A]`; None starts at zero.

    Source: Sutton & Barto (2018), Reinforcement Learning, sections 5.5 to 5.7. Deviation: the ratios of an update are
    those of the policy before it.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    num_envs: int = static(16, low=1)
    num_steps: int = static(100, low=1)
    weighted: bool = static(True)
    discount: float = leaf(0.99, low=0, high=1)
    policy: jax.Array | None = None
    behavior: jax.Array | None = None
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

    def policies(self, state: MonteCarloState) -> tuple[jax.Array, jax.Array]:
        """Probabilities `[S, A]` of the policy that is learned about, and of the one that acts."""
        target = jax.nn.one_hot(state.q.argmax(-1), state.q.shape[1]) if self.policy is None else self.policy
        return target, ops.epsilon_greedy(state.q, 1.0) if self.behavior is None else self.behavior

    def rollout(self, state: MonteCarloState, key: jax.Array) -> tuple[MonteCarloState, Transition]:
        """Play one episode in each environment, `[T, N]`; what comes after its end does not count."""
        return state, play(self, self.policies(state)[1], key)

    def learn(self, state: MonteCarloState, batch: Transition, key: jax.Array) -> tuple[MonteCarloState, Metrics]:
        """Average the returns of a batch `[T, N]`. There is no randomness: the key is not used."""
        target, behavior = self.policies(state)
        index, played = (batch.obs, batch.action), ops.first_episode(batch.done)
        value = (target * state.q).sum(-1)
        returns = monte_carlo_returns(batch, value[batch.next_obs], self.discount)
        ratio = ops.following_ratios(jnp.where(played, target[index] / behavior[index], 1.0))
        counts = played.astype(returns.dtype)
        if self.weighted:
            q, total = ops.average_update(state.q, state.total, index, returns, counts * ratio)
        else:
            q, total = ops.average_update(state.q, state.total, index, ratio * returns, counts)
        return MonteCarloState(q, total, state.num_updates + 1), episode_sums(batch, played)

    def update(self, state: MonteCarloState, key: jax.Array) -> tuple[MonteCarloState, Metrics]:
        """One episode in each environment, and what is learned from them. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)
