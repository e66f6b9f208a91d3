"""True-online TD(λ) with linear features."""

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
class TrueOnlineTDState:
    """Weights of the value, N environments and their traces."""

    weights: jax.Array  # [D]
    trace: jax.Array  # [N, D]
    old_value: jax.Array  # [N]
    obs: Any  # [N, ...]
    env_state: Any
    episode: ops.EpisodeStatistics
    num_updates: jax.Array  # int32 []; schedules read it


@flax.struct.dataclass
class TrueOnlineTD:
    """True-online TD(λ): the value wᵀx(s) of the policy that plays an environment of one action.

    Args:
      env: gymnax environment with one action, such as `jaxrl.envs.follow` makes.
      env_params: its parameters.
      features: function of observations `[N, ...]` that gives x `[N, D]`, such as one of `jax.nn.one_hot`.
      num_envs: N, environments stepped together; their steps are averaged.
      num_steps: T, steps of each environment per update; the weights are updated after each.
      lambda_: λ.
      learning_rate: α.
      anneal_updates: updates over which α falls linearly to zero; inf keeps it.
      discount: γ, per step.
      weights: starting point `[D]`; None starts at zero.

    Source: van Seijen et al. (2016), True Online Temporal-Difference Learning; Sutton & Barto (2018), section 12.5.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    features: Callable[..., jax.Array] = static()  # pyright: ignore[reportGeneralTypeIssues]
    _: dataclasses.KW_ONLY
    num_envs: int = static(1, low=1)
    num_steps: int = static(100, low=1)
    lambda_: float = leaf(0.8, low=0, high=1)
    learning_rate: float = leaf(0.05, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    weights: jax.Array | None = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    def init(self, key: jax.Array) -> TrueOnlineTDState:
        """Reset the environments. The key is consumed.

        Raises:
          ValueError: for an environment with more than one action.
        """
        actions = self.env.action_space(self.env_params).n
        if actions != 1:
            raise ValueError(
                f"env: TrueOnlineTD evaluates a policy, but the environment has {actions} actions; choose the "
                "policy by jaxrl.envs.follow(env, env_params, policy)"
            )
        obs, env_state = envs.reset(self.env, self.env_params, key, self.num_envs)
        trace = jnp.zeros_like(self.features(obs))
        return TrueOnlineTDState(
            weights=jnp.zeros_like(trace[0]) if self.weights is None else jnp.array(self.weights, trace.dtype),
            trace=trace,
            old_value=jnp.zeros(self.num_envs),
            obs=obs,
            env_state=env_state,
            episode=ops.init_episodes(self.num_envs),
            num_updates=jnp.zeros((), jnp.int32),
        )

    def rollout(self, state: TrueOnlineTDState, key: jax.Array) -> tuple[TrueOnlineTDState, Transition]:
        """One step of the N environments. The key is consumed."""
        return step(self, state, jnp.zeros(self.num_envs, jnp.int32), key)

    def learn(self, state: TrueOnlineTDState, batch: Transition, key: jax.Array) -> tuple[TrueOnlineTDState, Metrics]:
        """Update the weights by a batch `[N]`. There is no randomness: the key is not used."""
        weights, trace, old_value = ops.true_online_td_update(
            state.weights,
            state.trace,
            state.old_value,
            self.features(batch.obs),
            self.features(batch.next_obs),
            batch,
            decay=(self.discount, self.lambda_),
            learning_rate=ops.annealed(self.learning_rate, state.num_updates, self.anneal_updates),
        )
        metrics = {"change": jnp.abs(weights - state.weights).mean()}
        return dataclasses.replace(state, weights=weights, trace=trace, old_value=old_value), metrics

    def update(self, state: TrueOnlineTDState, key: jax.Array) -> tuple[TrueOnlineTDState, Metrics]:
        """`num_steps` steps, each followed by an update of the weights. The key is consumed."""
        return learn_from_steps(self, state, key)
