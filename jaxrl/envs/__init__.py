"""Worlds: gymnax environments by name, vectorized stepping, probes, Markov decision processes as tables."""

import importlib
from typing import TYPE_CHECKING, Any

from jaxrl.envs import textbook
from jaxrl.envs.catalog import environment_names, make, origin
from jaxrl.envs.conversions import to_dense, to_fanout
from jaxrl.envs.enumeration import Enumeration, enumerate_environment
from jaxrl.envs.grids import Grid, grid_of
from jaxrl.envs.mdp import MDP
from jaxrl.envs.stages import acting_stages
from jaxrl.envs.tables import from_arrays, from_function, from_gymnasium, from_successors
from jaxrl.envs.transitions import DenseTransitions, FanoutTransitions, FunctionalTransitions, Outcome
from jaxrl.envs.vectorized import action_values, bounded_action, reset, rollout, rollout_with_memory, step

if TYPE_CHECKING:
    from jaxrl.envs import wrappers
    from jaxrl.envs.adapters import LegacyEnvironment
    from jaxrl.envs.gymnasium_bridge import GymnasiumBridge
    from jaxrl.envs.tabular import FollowedEnvironment, TabularEnvironment, allowed_actions, follow

__all__ = [
    "MDP",
    "DenseTransitions",
    "Enumeration",
    "FanoutTransitions",
    "FollowedEnvironment",
    "FunctionalTransitions",
    "Grid",
    "GymnasiumBridge",
    "LegacyEnvironment",
    "Outcome",
    "TabularEnvironment",
    "acting_stages",
    "action_values",
    "allowed_actions",
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
    "rollout_with_memory",
    "step",
    "textbook",
    "to_dense",
    "to_fanout",
    "wrappers",
]

_PLAYED = {
    "FollowedEnvironment": "tabular",
    "TabularEnvironment": "tabular",
    "allowed_actions": "tabular",
    "follow": "tabular",
    "LegacyEnvironment": "adapters",
    "GymnasiumBridge": "gymnasium_bridge",
    "wrappers": "wrappers",
}
"""Names and their modules that need gymnax, which costs more to import than all the rest: only who asks pays."""


def __getattr__(name: str) -> Any:
    if name in _PLAYED:
        module = importlib.import_module(f"jaxrl.envs.{_PLAYED[name]}")
        return module if name == _PLAYED[name] else getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
