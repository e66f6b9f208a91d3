"""Worlds: gymnax environments by name, vectorized stepping, probes, Markov decision processes as tables."""

from jaxrl.envs import textbook
from jaxrl.envs.catalog import environment_names, make, origin
from jaxrl.envs.conversions import to_dense, to_fanout
from jaxrl.envs.mdp import MDP, DenseTransitions, FanoutTransitions, FunctionalTransitions, Outcome
from jaxrl.envs.tables import from_arrays, from_function, from_gymnasium, from_successors
from jaxrl.envs.vectorized import bounded_action, reset, rollout, step

__all__ = [
    "MDP",
    "DenseTransitions",
    "FanoutTransitions",
    "FunctionalTransitions",
    "Outcome",
    "bounded_action",
    "environment_names",
    "from_arrays",
    "from_function",
    "from_gymnasium",
    "from_successors",
    "make",
    "origin",
    "reset",
    "rollout",
    "step",
    "textbook",
    "to_dense",
    "to_fanout",
]
