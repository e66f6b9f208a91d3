"""Dynamic programming: algorithms that know the Markov decision process."""

from jaxrl.algorithms.dp.certificate import SweepState
from jaxrl.algorithms.dp.modified_policy_iteration import ModifiedPolicyIteration
from jaxrl.algorithms.dp.policy_iteration import PolicyIteration, exact_values, gmres_values
from jaxrl.algorithms.dp.value_iteration import ValueIteration

__all__ = [
    "ModifiedPolicyIteration",
    "PolicyIteration",
    "SweepState",
    "ValueIteration",
    "exact_values",
    "gmres_values",
]
