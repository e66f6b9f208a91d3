"""jaxrl: a JAX-accelerated, vectorized reinforcement-learning engine."""

from jaxrl import envs, networks, ops
from jaxrl.algorithms.pg import PPO, PPOState
from jaxrl.engine import Evaluation, Fit, check, evaluate, fit, load, run, train
from jaxrl.types import Algorithm, Metrics, Transition, leaf, static

__all__ = [
    "PPO",
    "Algorithm",
    "Evaluation",
    "Fit",
    "Metrics",
    "PPOState",
    "Transition",
    "check",
    "envs",
    "evaluate",
    "fit",
    "leaf",
    "load",
    "networks",
    "ops",
    "run",
    "static",
    "train",
]
