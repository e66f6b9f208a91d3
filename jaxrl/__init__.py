"""jaxrl: a JAX-accelerated, vectorized reinforcement-learning engine."""

from jaxrl import envs, networks, ops
from jaxrl.algorithms.dp import PolicyIteration, ValueIteration
from jaxrl.algorithms.pg import PPO, PPOState
from jaxrl.engine import Evaluation, Fit, check, evaluate, fit, load, run, solve, train
from jaxrl.types import Algorithm, Metrics, Rule, Solution, Transition, leaf, static

__all__ = [
    "PPO",
    "Algorithm",
    "Evaluation",
    "Fit",
    "Metrics",
    "PPOState",
    "PolicyIteration",
    "Rule",
    "Solution",
    "Transition",
    "ValueIteration",
    "check",
    "envs",
    "evaluate",
    "fit",
    "leaf",
    "load",
    "networks",
    "ops",
    "run",
    "solve",
    "static",
    "train",
]
