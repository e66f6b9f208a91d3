"""Actor-critics from replay."""

from jaxrl.algorithms.off_policy.discrete_sac import DiscreteSAC
from jaxrl.algorithms.off_policy.learning import OffPolicyState
from jaxrl.algorithms.off_policy.sac import SAC, tqc
from jaxrl.algorithms.off_policy.td3 import TD3, ddpg

__all__ = ["SAC", "TD3", "DiscreteSAC", "OffPolicyState", "ddpg", "tqc"]
