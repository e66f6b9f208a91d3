"""Where episodes begin."""

import dataclasses
from typing import Any

import jax.core
import jax.numpy as jnp
import numpy as np

from jaxrl.envs.mdp import MDP


def starting_in(mdp: MDP, states: Any) -> MDP:
    """The same process, whose episodes begin in one of these states, all alike.

    Args:
      mdp: the process.
      states: int, or int `[...]`.

    Raises:
      ValueError: for none, for one that is no state, and for a terminal one.

    Example:
      >>> from jaxrl.envs import from_arrays
      >>> starting_in(from_arrays([[[0, 1]], [[0, 1]]], [[1], [0]]), 1).start.tolist()
      [0.0, 1.0]
    """
    chosen = np.isin(np.arange(mdp.num_states), states)
    if chosen.sum() != len(np.unique(states)) or not chosen.any():
        raise ValueError(f"states={states}: must be states of the process, 0 to {mdp.num_states - 1}")
    known = mdp.terminal is not None and not isinstance(mdp.terminal, jax.core.Tracer)
    if known and np.any(chosen & np.asarray(mdp.terminal)):
        raise ValueError(f"states={states}: no episode can begin in a terminal state")
    return dataclasses.replace(mdp, start=jnp.asarray(chosen / chosen.sum(), mdp.reward.dtype))
