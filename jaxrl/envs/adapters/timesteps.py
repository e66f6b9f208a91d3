"""Environments that give time steps with a discount: Jumanji and XLand-MiniGrid."""

import abc
import copy
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment, spaces

from jaxrl.envs.adapters.legacy import UNLIMITED


@flax.struct.dataclass
class TimeStepState:
    """The state inside, the steps made, and whether the last of them ran into the time limit inside."""

    inner: Any
    time: jax.Array
    limited: jax.Array


@flax.struct.dataclass
class TimeStepParams:
    """The parameters inside, and a time limit besides that of the environment's own."""

    inner: Any = None
    max_steps_in_episode: int = UNLIMITED


class TimeStepEnvironment(environment.Environment, abc.ABC):
    """What the suites share: the last step of an episode has discount zero if it ended, else its time was up.

    Args:
      env: the environment of the suite.
      params: its parameters, if the suite has any.

    Source: Muldal et al. (2019), dm_env: a Python Interface for Reinforcement Learning Environments.
    """

    def __init__(self, env: Any, params: Any = None) -> None:
        self.env, self._params = env, TimeStepParams(params)

    @property
    def name(self) -> str:
        """Of the environment inside."""
        return type(self.env).__name__

    @property
    def default_params(self) -> TimeStepParams:
        """Those that were given."""
        return self._params

    def observation_space(self, params: Any) -> Any:
        """A box without bounds, or a tuple of those of its parts; `FlattenObservation` makes a vector of it."""
        obs, _ = jax.eval_shape(self.reset, jax.random.key(0), params)  # its trace is kept, that of reset_env is not
        boxes = [spaces.Box(-jnp.inf, jnp.inf, x.shape, x.dtype) for x in jax.tree.leaves(obs)]
        return boxes[0] if jax.tree.structure(obs) == jax.tree.structure(0) else spaces.Tuple(boxes)

    def is_truncated(self, state: TimeStepState, params: Any) -> jax.Array:
        """By the time limit inside, or the one besides."""
        return state.limited | (state.time >= params.max_steps_in_episode)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[Any, TimeStepState]:
        """Begin an episode."""
        inner, timestep = self._reset(key, params)
        return timestep.observation, TimeStepState(inner, jnp.zeros((), jnp.int32), jnp.zeros((), bool))

    def step_env(self, key: jax.Array, state: TimeStepState, action: Any, params: Any) -> tuple[Any, ...]:
        """One step, without reset."""
        inner, timestep = self._step(state.inner, action, params)
        ended = timestep.discount == 0
        state = TimeStepState(inner, state.time + 1, timestep.last() & ~ended)
        return timestep.observation, state, timestep.reward, timestep.last() & ended, {}

    @abc.abstractmethod
    def _reset(self, key: jax.Array, params: Any) -> tuple[Any, Any]:
        """A new state of the suite's, and its first time step."""

    @abc.abstractmethod
    def _step(self, inner: Any, action: Any, params: Any) -> tuple[Any, Any]:
        """The next state of the suite's, and its time step."""


class JumanjiEnvironment(TimeStepEnvironment):
    """A Jumanji environment.

    Most of them call it a termination when their time is up. Here the environment inside never reaches its limit; it is
    kept outside.

    Args:
      env: from `jumanji.make(name)`.

    Raises:
      TypeError: for several agents, each with a reward or discount of its own.

    Source: Bonnet et al. (2024), Jumanji, arXiv:2306.09884.
    """

    def __init__(self, env: Any) -> None:
        for name in ("reward_spec", "discount_spec"):
            shape = getattr(getattr(env, name, None), "shape", ())
            if shape != ():
                raise TypeError(f"env: {type(env).__name__} has a {name[:-5]} of shape {shape}; take one of one agent")
        limit = getattr(env, "time_limit", None)
        super().__init__(copy.copy(env))
        if limit is not None:
            self.env.time_limit = UNLIMITED
            self._params = TimeStepParams(None, int(limit))

    def action_space(self, params: Any = None) -> Any:
        """Discrete, or a box.

        Raises:
          TypeError: for an action of several discrete parts.
        """
        spec = self.env.action_spec
        if hasattr(spec, "num_values") and np.ndim(spec.num_values) == 0:
            return spaces.Discrete(int(spec.num_values))
        if hasattr(spec, "num_values"):
            raise TypeError(f"env: actions of {self.name} have {np.size(spec.num_values)} discrete parts, not one")
        return spaces.Box(jnp.asarray(spec.minimum), jnp.asarray(spec.maximum), tuple(spec.shape), spec.dtype)

    def _reset(self, key: jax.Array, params: Any) -> tuple[Any, Any]:
        return self.env.reset(key)

    def _step(self, inner: Any, action: Any, params: Any) -> tuple[Any, Any]:
        return self.env.step(inner, action)


class XLandEnvironment(TimeStepEnvironment):
    """An XLand-MiniGrid environment.

    Args:
      env: the first of what `xminigrid.make(name)` gives.
      params: the second.

    Source: Nikulin et al. (2023), XLand-MiniGrid, arXiv:2312.12044.
    """

    def action_space(self, params: Any = None) -> Any:
        """Discrete."""
        return spaces.Discrete(int(self.env.num_actions((params or self._params).inner)))

    def _reset(self, key: jax.Array, params: Any) -> tuple[Any, Any]:
        timestep = self.env.reset(params.inner, key)
        return timestep, timestep

    def _step(self, inner: Any, action: Any, params: Any) -> tuple[Any, Any]:
        timestep = self.env.step(params.inner, inner, action)
        return timestep, timestep
