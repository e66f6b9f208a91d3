"""Policy gradients."""

from jaxrl.algorithms.pg.actor_critic import ActorCritic
from jaxrl.algorithms.pg.experience import PolicyState
from jaxrl.algorithms.pg.ppo import PPO
from jaxrl.algorithms.pg.recurrent_ppo import RecurrentPPO, RecurrentState
from jaxrl.algorithms.pg.reinforce import Reinforce
from jaxrl.algorithms.pg.vtrace import VTraceActorCritic

__all__ = ["PPO", "ActorCritic", "PolicyState", "RecurrentPPO", "RecurrentState", "Reinforce", "VTraceActorCritic"]
