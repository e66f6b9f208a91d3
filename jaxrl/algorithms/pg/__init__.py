"""Policy gradients."""

from jaxrl.algorithms.pg.ppo import PPO, PPOState

__all__ = ["PPO", "PPOState"]
