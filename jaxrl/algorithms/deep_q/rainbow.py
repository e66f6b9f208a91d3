"""Rainbow: DQN with everything."""

from typing import Any

from jaxrl import ops
from jaxrl.algorithms.deep_q.dqn import DQN

RAINBOW: dict[str, Any] = {
    "dueling": True,
    "noisy": True,
    "prioritized": True,
    "num_backup_steps": 3,
    "returns": ops.CategoricalReturns(),
    "epsilon": 0.0,
    "explore_updates": 0.0,
}
"""What `rainbow` changes."""


def rainbow(env: Any, env_params: Any, **changes: Any) -> DQN:
    """Rainbow: double, dueling, noisy, prioritized, three steps, C51.

    Args:
      env: as for `DQN`.
      env_params: as for `DQN`.
      **changes: other fields, and others of these.

    Example:
      >>> import jaxrl
      >>> learner = rainbow(*jaxrl.envs.make("CartPole-v1"), returns=ops.CategoricalReturns(0.0, 100.0))
      >>> learner.num_backup_steps
      3

    Source: Hessel et al. (2018), Rainbow, arXiv:1710.02298. Deviations: those of `DQN`.
    """
    return DQN(env, env_params, **(RAINBOW | changes))
