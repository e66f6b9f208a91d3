"""jaxrl: a JAX-accelerated, vectorized reinforcement-learning engine."""

from jaxrl import envs, networks, ops
from jaxrl.algorithms.pg import PPO, PPOState
from jaxrl.engine import Evaluation, check, evaluate, run, train
from jaxrl.types import Algorithm, Metrics, Transition, leaf, static

__all__ = [
    "PPO",
    "Algorithm",
    "Evaluation",
    "Metrics",
    "PPOState",
    "Transition",
    "check",
    "envs",
    "evaluate",
    "leaf",
    "networks",
    "ops",
    "run",
    "static",
    "train",
]
