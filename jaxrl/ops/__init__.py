"""Equations: pure functions of arrays, time-major `[T, ...]` with any trailing batch axes."""

from jaxrl.ops.bellman import optimal_actions, rounding_error, value_bounds
from jaxrl.ops.distributions import Categorical, Gaussian
from jaxrl.ops.episodes import EpisodeStatistics, episode_metrics, init_episodes
from jaxrl.ops.losses import clipped_value_loss, ppo_clip
from jaxrl.ops.normalization import (
    RewardScaling,
    RunningStatistics,
    discounted_sums,
    init_reward_scaling,
    init_statistics,
    normalize,
    scale_rewards,
    update_statistics,
)
from jaxrl.ops.optimizers import adam, sgd
from jaxrl.ops.returns import generalized_advantages, lambda_returns
from jaxrl.ops.shuffling import permutation, permute_index, scan_minibatches

__all__ = [
    "Categorical",
    "EpisodeStatistics",
    "Gaussian",
    "RewardScaling",
    "RunningStatistics",
    "adam",
    "clipped_value_loss",
    "discounted_sums",
    "episode_metrics",
    "generalized_advantages",
    "init_episodes",
    "init_reward_scaling",
    "init_statistics",
    "lambda_returns",
    "normalize",
    "optimal_actions",
    "permutation",
    "permute_index",
    "ppo_clip",
    "rounding_error",
    "scale_rewards",
    "scan_minibatches",
    "sgd",
    "update_statistics",
    "value_bounds",
]
