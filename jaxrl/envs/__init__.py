"""Worlds: gymnax environments by name, vectorized stepping, probes, Markov decision processes as tables."""

from typing import TYPE_CHECKING, Any

from jaxrl.envs import textbook
from jaxrl.envs.catalog import environment_names, make, origin
from jaxrl.envs.conversions import to_dense, to_fanout
from jaxrl.envs.enumeration import Enumeration, enumerate_environment
from jaxrl.envs.grids import Grid, grid_of
from jaxrl.envs.mdp import MDP
from jaxrl.envs.tables import from_arrays, from_function, from_gymnasium, from_successors
from jaxrl.envs.transitions import DenseTransitions, FanoutTransitions, FunctionalTransitions, Outcome
from jaxrl.envs.vectorized import action_values, bounded_action, reset, rollout, step

if TYPE_CHECKING:
    from jaxrl.envs.tabular import FollowedEnvironment, TabularEnvironment, follow

__all__ = [
    "MDP",
    "DenseTransitions",
    "Enumeration",
    "FanoutTransitions",
    "FollowedEnvironment",
    "FunctionalTransitions",
    "Grid",
    "Outcome",
    "TabularEnvironment",
    "action_values",
    "bounded_action",
    "enumerate_environment",
    "environment_names",
    "follow",
    "from_arrays",
    "from_function",
    "from_gymnasium",
    "from_successors",
    "grid_of",
    "make",
    "origin",
    "reset",
    "rollout",
    "step",
    "textbook",
    "to_dense",
    "to_fanout",
]

_PLAYED = ("FollowedEnvironment", "TabularEnvironment", "follow")
"""They need gymnax, which costs more to import than all the rest: only who asks for them pays."""


def __getattr__(name: str) -> Any:
    if name in _PLAYED:
        from jaxrl.envs import tabular

        return getattr(tabular, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
