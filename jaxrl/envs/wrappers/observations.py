"""Other observations, the true last one too."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from jaxrl.envs.wrappers.base import Wrapper

FAR = 1e6
"""Bounds further apart than this are none to scale by."""


class FlattenObservation(Wrapper):
    """Observations as vectors, float32 `[D]`; of a dict or tuple, all parts one after the other.

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("Catch-bsuite")
      >>> FlattenObservation(env).reset(jax.random.key(0), env_params)[0].shape
      (50,)

    Source: our own.
    """

    def observation_space(self, params: Any) -> Any:
        """A `Box` without bounds."""
        obs, _ = jax.eval_shape(self.reset, jax.random.key(0), params)
        return spaces.Box(-jnp.inf, jnp.inf, obs.shape, jnp.float32)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, Any]:
        """Begin an episode."""
        obs, state = self.env.reset_env(key, params)
        return flattened(obs), state

    def step_env(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
        """One step, without reset and time limit."""
        obs, *rest = self.env.step_env(key, state, action, params)
        return (flattened(obs), *rest)


def flattened(obs: Any) -> jax.Array:
    """All parts of an observation, one after the other: float32 `[D]`."""
    return jnp.concatenate([jnp.asarray(x, jnp.float32).reshape(-1) for x in jax.tree.leaves(obs)])


class NormalizeObservation(Wrapper):
    """Bounded observations as numbers in [-1, 1], by the bounds of their `Box` under the default parameters.

    For bounds that are infinite or far off take running statistics: `normalize_observations` of the policy-gradient
    learners.

    Args:
      env: gymnax environment (six values from `step`).

    Raises:
      TypeError: for observations of another space.
      ValueError: for a space without bounds.

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("MountainCar-v0")
      >>> obs, _ = NormalizeObservation(env).reset(jax.random.key(0), env_params)
      >>> bool((abs(obs) <= 1).all())
      True

    Source: our own.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        space = box_of(env)
        low, high = (np.broadcast_to(np.asarray(x, np.float32), space.shape) for x in (space.low, space.high))
        with np.errstate(over="ignore", invalid="ignore"):
            span = high - low
        if not np.all((span > 0) & (span < FAR)):
            raise ValueError(
                f"env: observations of {self.name} have no bounds to go by; use normalize_observations of a learner"
            )
        self.low, self.span = low, span

    def observation_space(self, params: Any) -> Any:
        """A `Box` from -1 to 1."""
        return spaces.Box(-1.0, 1.0, self.low.shape, jnp.float32)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, Any]:
        """Begin an episode."""
        obs, state = self.env.reset_env(key, params)
        return self._scaled(obs), state

    def step_env(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
        """One step, without reset and time limit."""
        obs, *rest = self.env.step_env(key, state, action, params)
        return (self._scaled(obs), *rest)

    def _scaled(self, obs: Any) -> jax.Array:
        return jnp.asarray((obs - self.low) / self.span * 2.0 - 1.0, jnp.float32)


def box_of(env: Any) -> Any:
    """The observation space of an environment under its default parameters.

    Raises:
      TypeError: if it is no box of at least one axis.
    """
    space = env.observation_space(env.default_params)
    if not hasattr(space, "low") or not space.shape:
        raise TypeError(f"env: observations of {env.name} are a {type(space).__name__}, not an array of numbers")
    return space


@flax.struct.dataclass
class StackedState:
    """The state inside, and the last frames `[H, …]`."""

    inner: Any
    frames: jax.Array

    @property
    def time(self) -> jax.Array:
        """Steps made."""
        return self.inner.time


class StackFrames(Wrapper):
    """The last observations side by side, along the last axis; before the first one stand copies of it.

    Args:
      env: gymnax environment (six values from `step`), whose observations are arrays.
      num_frames: how many.

    Raises:
      TypeError: for observations that are no arrays.
      ValueError: for less than one frame.

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("Breakout-MinAtar")
      >>> StackFrames(env, 4).reset(jax.random.key(0), env_params)[0].shape
      (10, 10, 16)

    Source: Mnih et al. (2015), Human-level Control through Deep Reinforcement Learning, methods.
    """

    def __init__(self, env: Any, num_frames: int = 4) -> None:
        super().__init__(env)
        box_of(env)
        if num_frames < 1:
            raise ValueError(f"num_frames={num_frames} must be at least 1")
        self.num_frames = num_frames

    def observation_space(self, params: Any) -> Any:
        """The space inside, so many times along its last axis."""
        space = self.env.observation_space(params)
        low, high = (
            jnp.concatenate([jnp.broadcast_to(jnp.asarray(x), space.shape)] * self.num_frames, axis=-1)
            for x in (space.low, space.high)
        )
        return spaces.Box(low, high, low.shape, space.dtype)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, StackedState]:
        """Begin an episode."""
        obs, inner = self.env.reset_env(key, params)
        frames = jnp.stack([obs] * self.num_frames)
        return self._seen(frames), StackedState(inner, frames)

    def step_env(self, key: jax.Array, state: StackedState, action: Any, params: Any) -> tuple[Any, ...]:
        """One step, without reset and time limit."""
        obs, inner, *rest = self.env.step_env(key, state.inner, action, params)
        frames = jnp.concatenate([state.frames[1:], jnp.asarray(obs, state.frames.dtype)[None]])
        return (self._seen(frames), StackedState(inner, frames), *rest)

    def is_truncated(self, state: StackedState, params: Any) -> jax.Array:
        """By the environment inside."""
        return self.env.is_truncated(state.inner, params)

    def _seen(self, frames: jax.Array) -> jax.Array:
        return jnp.concatenate(list(frames), axis=-1)
