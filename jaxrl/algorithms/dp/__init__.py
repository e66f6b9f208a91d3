"""Dynamic programming: algorithms that know the Markov decision process."""

from jaxrl.algorithms.dp.anchored_value_iteration import AnchoredState, AnchoredValueIteration
from jaxrl.algorithms.dp.backward_induction import BackwardInduction, BackwardState
from jaxrl.algorithms.dp.certificate import SweepState
from jaxrl.algorithms.dp.policy_iteration import PolicyIteration, SweptValues, exact_values, gmres_values
from jaxrl.algorithms.dp.prioritized_value_iteration import PrioritizedValueIteration, predecessors
from jaxrl.algorithms.dp.relative_value_iteration import RelativeValueIteration
from jaxrl.algorithms.dp.stochastic_shortest_path import ProperState, StochasticShortestPath, proper_policy
from jaxrl.algorithms.dp.value_iteration import ValueIteration

__all__ = [
    "AnchoredState",
    "AnchoredValueIteration",
    "BackwardInduction",
    "BackwardState",
    "PolicyIteration",
    "PrioritizedValueIteration",
    "ProperState",
    "RelativeValueIteration",
    "StochasticShortestPath",
    "SweepState",
    "SweptValues",
    "ValueIteration",
    "exact_values",
    "gmres_values",
    "predecessors",
    "proper_policy",
]
