"""Dynamic programming: algorithms that know the Markov decision process."""

from jaxrl.algorithms.dp.certificate import SweepState
from jaxrl.algorithms.dp.policy_iteration import PolicyIteration, SweptValues, exact_values, gmres_values
from jaxrl.algorithms.dp.value_iteration import ValueIteration

__all__ = ["PolicyIteration", "SweepState", "SweptValues", "ValueIteration", "exact_values", "gmres_values"]
