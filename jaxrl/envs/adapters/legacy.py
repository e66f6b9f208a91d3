"""Environments that are still written for the five values of gymnax 0.x, Craftax among them."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment, spaces

UNLIMITED = 2**30
"""Steps that no episode makes."""
TIME_LIMITS = ("max_steps_in_episode", "max_timesteps")


@flax.struct.dataclass
class LegacyParams:
    """The parameters inside, whose own time limit is out of reach, and the time limit that counts."""

    inner: Any
    max_steps_in_episode: int = UNLIMITED


@flax.struct.dataclass
class TimedState:
    """The state inside, and the steps made."""

    inner: Any
    time: jax.Array


class LegacyEnvironment(environment.Environment):
    """An environment whose `step_env` gives (obs, state, reward, done, info), as one that gives six values.

    There `done` is a natural end or the time limit, and which of them it was is lost. Here the environment inside never
    reaches its limit: its `done` is a natural end, and the limit is kept outside.

    Args:
      env: with `reset_env`, `step_env` (or `reset`, `step`, without auto-reset) and spaces.
      env_params: its parameters.
      time_limit: their field that is the time limit, which the environment inside then does not know; None takes
        `max_steps_in_episode` or `max_timesteps`. Without such a field every end counts as a termination.

    Raises:
      TypeError: for a wrapper that has `step_env` from what it wraps, for its own `step` would reset.
      ValueError: for a time limit that is no field of the parameters.

    Source: Pardo et al. (2018), Time Limits in Reinforcement Learning, arXiv:1712.00378, on why it matters.
    """

    def __init__(self, env: Any, env_params: Any, time_limit: str | None = None) -> None:
        if hasattr(env, "step_env") and not hasattr(type(env), "step_env"):
            raise TypeError(f"env: {type(env).__name__} resets by itself; pass what it wraps, and put wrappers outside")
        if time_limit is None:
            time_limit = next((name for name in TIME_LIMITS if hasattr(env_params, name)), None)
        elif time_limit not in getattr(env_params, "__dataclass_fields__", {}):
            raise ValueError(f"time_limit={time_limit!r} is no field of {type(env_params).__name__}; name one that is")
        self.env = env
        self._params = LegacyParams(env_params)
        if time_limit is not None:
            inner = dataclasses.replace(env_params, **{time_limit: UNLIMITED})
            self._params = LegacyParams(inner, getattr(env_params, time_limit))

    @property
    def name(self) -> str:
        """Of the environment inside."""
        return str(getattr(self.env, "name", type(self.env).__name__))

    @property
    def default_params(self) -> LegacyParams:
        """Those that were given, the time limit outside."""
        return self._params

    def action_space(self, params: Any = None) -> Any:
        """The space inside, as one of gymnax 1.x."""
        return as_space(self.env.action_space((params or self._params).inner))

    def observation_space(self, params: LegacyParams) -> Any:
        """The space inside, as one of gymnax 1.x."""
        return as_space(self.env.observation_space(params.inner))

    def reset_env(self, key: jax.Array, params: LegacyParams) -> tuple[Any, TimedState]:
        """Begin an episode."""
        # Of the class: gymnax's wrappers would give the method of what they wrap.
        reset = self.env.reset_env if hasattr(type(self.env), "reset_env") else self.env.reset
        obs, inner = reset(key, params.inner)
        return obs, TimedState(inner, jnp.zeros((), jnp.int32))

    def step_env(self, key: jax.Array, state: TimedState, action: Any, params: LegacyParams) -> tuple[Any, ...]:
        """One step, without reset and time limit."""
        step = self.env.step_env if hasattr(self.env, "step_env") else self.env.step
        obs, inner, reward, done, info = step(key, state.inner, action, params.inner)
        return obs, TimedState(inner, state.time + 1), reward, jnp.asarray(done, bool), info


def as_space(space: Any) -> Any:
    """A space of any version or suite, told by what it has, as one of gymnax 1.x.

    Raises:
      TypeError: for what is neither integers from zero on nor has bounds and a shape.
    """
    if all(hasattr(space, name) for name in ("low", "high", "shape")):
        dtype = jax.dtypes.canonicalize_dtype(space.dtype)
        low, high = (jnp.asarray(x, dtype) for x in (space.low, space.high))
        return spaces.Box(low, high, tuple(space.shape), dtype)
    if getattr(space, "start", 0):
        raise TypeError(f"env: {space} does not begin at zero; shift it by a wrapper of its own suite")
    if not hasattr(space, "n") or np.ndim(space.n) or getattr(space, "shape", ()) != ():
        raise TypeError(f"env: a space of {type(space).__name__} is neither discrete nor a box")
    return spaces.Discrete(int(space.n))
