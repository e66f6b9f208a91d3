"""jaxrl: a JAX-accelerated, vectorized reinforcement-learning engine."""

from jaxrl import envs, networks, ops
from jaxrl.algorithms.dp import (
    AnchoredValueIteration,
    BackwardInduction,
    PolicyIteration,
    PrioritizedValueIteration,
    RelativeValueIteration,
    StochasticShortestPath,
    ValueIteration,
)
from jaxrl.algorithms.mc import MonteCarlo, OffPolicyMonteCarlo
from jaxrl.algorithms.pg import PPO, PPOState
from jaxrl.algorithms.td import (
    DoubleQLearning,
    DynaQ,
    GradientTD,
    PrioritizedSweeping,
    QLearning,
    Sarsa,
    SarsaLambda,
    TrueOnlineTD,
)
from jaxrl.engine import Evaluation, Fit, check, evaluate, fit, load, run, solve, train
from jaxrl.types import Algorithm, Metrics, Rule, Solution, Transition, leaf, static

__all__ = [
    "PPO",
    "Algorithm",
    "AnchoredValueIteration",
    "BackwardInduction",
    "DoubleQLearning",
    "DynaQ",
    "Evaluation",
    "Fit",
    "GradientTD",
    "Metrics",
    "MonteCarlo",
    "OffPolicyMonteCarlo",
    "PPOState",
    "PolicyIteration",
    "PrioritizedSweeping",
    "PrioritizedValueIteration",
    "QLearning",
    "RelativeValueIteration",
    "Rule",
    "Sarsa",
    "SarsaLambda",
    "Solution",
    "StochasticShortestPath",
    "Transition",
    "TrueOnlineTD",
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
