"""An environment around another."""

from typing import Any

import jax
from gymnax.environments import environment


class Wrapper(environment.Environment):
    """An environment around another, which it leaves as it is; base of the others here.

    It calls `reset_env`, `step_env` and `is_truncated` of the environment inside. An own `step` of that one is passed
    by: of gymnax's, DeepSea alone has one, which carries totals of its statistics from an episode to the next.

    Args:
      env: gymnax environment (six values from `step`).

    Raises:
      TypeError: for what is no gymnax environment, as gymnax's own wrappers, whose steps would be passed by.

    Source: our own.
    """

    def __init__(self, env: Any) -> None:
        if not isinstance(env, environment.Environment):
            raise TypeError(
                f"env: {type(env).__name__} is no gymnax environment; put gymnax's own wrappers outside of these"
            )
        self.env = env

    @property
    def name(self) -> str:
        """Of the environment inside."""
        return self.env.name

    @property
    def default_params(self) -> Any:
        """Of the environment inside."""
        return self.env.default_params

    def action_space(self, params: Any = None) -> Any:
        """Of the environment inside."""
        return self.env.action_space(params)

    def observation_space(self, params: Any) -> Any:
        """Of the environment inside."""
        return self.env.observation_space(params)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[Any, Any]:
        """Begin an episode."""
        return self.env.reset_env(key, params)

    def step_env(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
        """One step, without reset and time limit."""
        return self.env.step_env(key, state, action, params)

    def is_truncated(self, state: Any, params: Any) -> jax.Array:
        """By the environment inside."""
        return self.env.is_truncated(state, params)
