"""Temporal differences: learning from every step."""

from jaxrl.algorithms.td.double_q_learning import DoubleQLearning
from jaxrl.algorithms.td.dyna_q import DynaQ, DynaQState
from jaxrl.algorithms.td.gradient_td import GradientTD, GradientTDState
from jaxrl.algorithms.td.prioritized_sweeping import PrioritizedSweeping, PrioritizedSweepingState
from jaxrl.algorithms.td.q_learning import QLearning
from jaxrl.algorithms.td.sarsa import Sarsa, SarsaState
from jaxrl.algorithms.td.sarsa_lambda import SarsaLambda, SarsaLambdaState
from jaxrl.algorithms.td.steps import TabularState
from jaxrl.algorithms.td.true_online_td import TrueOnlineTD, TrueOnlineTDState

__all__ = [
    "DoubleQLearning",
    "DynaQ",
    "DynaQState",
    "GradientTD",
    "GradientTDState",
    "PrioritizedSweeping",
    "PrioritizedSweepingState",
    "QLearning",
    "Sarsa",
    "SarsaLambda",
    "SarsaLambdaState",
    "SarsaState",
    "TabularState",
    "TrueOnlineTD",
    "TrueOnlineTDState",
]
