"""Brax environments."""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces

from jaxrl.envs.adapters.legacy import TimedState


class BraxEnvironment(environment.Environment):
    """A Brax environment without its own wrappers: no episode of theirs, no auto-reset, no cached first state.

    Args:
      env: from `brax.envs.get_environment(name)`.
      episode_length: time limit, steps.

    Raises:
      TypeError: for observations of several parts.

    Source: Freeman et al. (2021), Brax, arXiv:2106.13281.
    """

    def __init__(self, env: Any, episode_length: int = 1000) -> None:
        if not isinstance(env.observation_size, int):
            raise TypeError(f"env: observations of {type(env.unwrapped).__name__} have several parts, not one vector")
        self.env, self.episode_length = env, episode_length
        self.observation_size = env.observation_size  # each look at Brax's own traces a reset

    @property
    def name(self) -> str:
        """Of the environment inside."""
        return type(self.env.unwrapped).__name__

    @property
    def default_params(self) -> environment.EnvParams:
        """The time limit; everything else is the environment's own."""
        return environment.EnvParams(max_steps_in_episode=self.episode_length)

    def action_space(self, params: Any = None) -> Any:
        """From -1 to 1."""
        return spaces.Box(-1.0, 1.0, (self.env.action_size,), jnp.float32)

    def observation_space(self, params: Any) -> Any:
        """A vector."""
        return spaces.Box(-jnp.inf, jnp.inf, (self.observation_size,), jnp.float32)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, TimedState]:
        """Begin an episode."""
        inner = self.env.reset(key)
        return inner.obs, TimedState(inner, jnp.zeros((), jnp.int32))

    def step_env(self, key: jax.Array, state: TimedState, action: Any, params: Any) -> tuple[Any, ...]:
        """One step, without reset and time limit."""
        inner = self.env.step(state.inner, action)
        return inner.obs, TimedState(inner, state.time + 1), inner.reward, inner.done > 0.5, {}
