"""Off-policy TD with linear features: semi-gradient TD(0), and TD with gradient correction."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import envs, ops
from jaxrl.algorithms.td.steps import learn_from_steps, step
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class GradientTDState:
    """Weights of the value, the correction, and N environments."""

    weights: jax.Array  # [D]
    correction: jax.Array  # [D]
    obs: jax.Array  # int [N]
    env_state: Any
    episode: ops.EpisodeStatistics
    num_updates: jax.Array  # int32 []; schedules read it


@flax.struct.dataclass
class GradientTD:
    """TD with gradient correction (TDC): the value wᵀx(s) of one policy, from steps of another; it does not diverge.

    `correction_rate=0` is semi-gradient TD(0) with importance ratios, which can.

    Args:
      env: gymnax environment with `Discrete` observations and actions.
      env_params: its parameters; a Markov decision process for `TabularEnvironment`.
      features: function of observations `[N]` that gives x `[N, D]`, such as one of `jax.nn.one_hot`.
      policy: `[S, A]`, probabilities of the policy whose value is learned.
      behavior: `[S, A]`, probabilities of the policy that acts.
      num_envs: N, environments stepped together; their steps are averaged.
      num_steps: T, steps of each environment per update; the weights are updated after each.
      learning_rate: α.
      correction_rate: β.
      anneal_updates: updates over which α and β fall linearly to zero; inf keeps them.
      discount: γ, per step.
      weights: starting point `[D]`; None starts at zero.

    Source: Sutton et al. (2009), Fast Gradient-Descent Methods for Temporal-Difference Learning with Linear Function
    Approximation; Sutton & Barto (2018), sections 11.1, 11.2 and 11.7.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    features: Callable[..., jax.Array] = static()  # pyright: ignore[reportGeneralTypeIssues]
    policy: jax.Array  # pyright: ignore[reportGeneralTypeIssues]
    behavior: jax.Array  # pyright: ignore[reportGeneralTypeIssues]
    _: dataclasses.KW_ONLY
    num_envs: int = static(1, low=1)
    num_steps: int = static(100, low=1)
    learning_rate: float = leaf(0.005, low=0, open_low=True)
    correction_rate: float = leaf(0.05, low=0)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    weights: jax.Array | None = None

    observation_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)
    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    def init(self, key: jax.Array) -> GradientTDState:
        """Reset the environments. The key is consumed."""
        obs, env_state = envs.reset(self.env, self.env_params, key, self.num_envs)
        zero = jnp.zeros_like(self.features(obs)[0])
        return GradientTDState(
            weights=zero if self.weights is None else jnp.array(self.weights, zero.dtype),
            correction=jnp.zeros_like(zero),
            obs=obs,
            env_state=env_state,
            episode=ops.init_episodes(self.num_envs),
            num_updates=jnp.zeros((), jnp.int32),
        )

    def rollout(self, state: GradientTDState, key: jax.Array) -> tuple[GradientTDState, Transition]:
        """One step of the N environments by the behavior policy. The key is consumed."""
        action_key, step_key = jax.random.split(key)
        return step(self, state, ops.sample_index(action_key, self.behavior[state.obs]), step_key)

    def learn(self, state: GradientTDState, batch: Transition, key: jax.Array) -> tuple[GradientTDState, Metrics]:
        """Update weights and correction by a batch `[N]`. There is no randomness: the key is not used."""
        rates = tuple(
            ops.annealed(rate, state.num_updates, self.anneal_updates)
            for rate in (self.learning_rate, self.correction_rate)
        )
        ratio = self.policy[batch.obs, batch.action] / self.behavior[batch.obs, batch.action]
        weights, correction = ops.gradient_td_update(
            state.weights,
            state.correction,
            self.features(batch.obs),
            self.features(batch.next_obs),
            batch,
            ratio,
            discount=self.discount,
            learning_rates=(rates[0], rates[1]),
        )
        metrics = {"change": jnp.abs(weights - state.weights).mean()}
        return dataclasses.replace(state, weights=weights, correction=correction), metrics

    def update(self, state: GradientTDState, key: jax.Array) -> tuple[GradientTDState, Metrics]:
        """`num_steps` steps, each followed by an update of the weights. The key is consumed."""
        return learn_from_steps(self, state, key)
