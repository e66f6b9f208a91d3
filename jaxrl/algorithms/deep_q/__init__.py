"""Deep Q-learning."""

from jaxrl.algorithms.deep_q.dqn import DQN, DQNState
from jaxrl.algorithms.deep_q.pqn import PQN, PQNState
from jaxrl.algorithms.deep_q.rainbow import rainbow
from jaxrl.algorithms.deep_q.recurrent_pqn import RecurrentPQN, RecurrentPQNState

__all__ = ["DQN", "PQN", "DQNState", "PQNState", "RecurrentPQN", "RecurrentPQNState", "rainbow"]
