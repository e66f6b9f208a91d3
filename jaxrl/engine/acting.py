"""Acting with a policy, whether it has a memory or not."""

from typing import Any

import jax


def initial_memory(algorithm: Any, num_envs: int) -> Any:
    """The memory `[N, ...]` before the first observation of N episodes; None for a policy without one."""
    return algorithm.initial_memory(num_envs) if hasattr(algorithm, "initial_memory") else None


def act(algorithm: Any, state: Any, obs: Any, key: jax.Array, memory: Any) -> tuple[Any, Any]:
    """Actions of observations `[N, ...]`, and the next memory. The key is consumed."""
    if memory is None:
        return algorithm.act(state, obs, key), None
    return algorithm.act(state, obs, key, memory)
