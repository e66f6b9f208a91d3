"""Equations: pure functions of arrays, time-major `[T, ...]` with any trailing batch axes."""

from jaxrl.ops.bellman import optimal_actions, rounding_error, sum_error, value_bounds
from jaxrl.ops.distributions import Categorical, Gaussian, SquashedGaussian
from jaxrl.ops.episodes import EpisodeStatistics, episode_metrics, init_episodes
from jaxrl.ops.exploration import (
    FORBIDDEN,
    epsilon_greedy,
    expected_value,
    falling_epsilon,
    greedy,
    max_value,
    sample_index,
    sampled_value,
)
from jaxrl.ops.losses import clipped_value_loss, policy_gradient_loss, ppo_clip
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
from jaxrl.ops.optimizers import adam, annealed, sgd, transform_of
from jaxrl.ops.q_targets import double_backup, max_backup, munchausen_backup
from jaxrl.ops.returns import generalized_advantages, lambda_returns, vtrace
from jaxrl.ops.shuffling import check_minibatches, flat, minimize, permutation, permute_index, scan_minibatches
from jaxrl.ops.sum_tree import find_leaves, init_tree, set_leaves
from jaxrl.ops.tables import (
    average_update,
    double_q_learning_update,
    expected_sarsa_update,
    q_learning_update,
    sarsa_update,
    table_update,
    td_target,
    td_update,
)
from jaxrl.ops.traces import (
    accumulating_trace,
    dutch_trace,
    gradient_td_update,
    replacing_trace,
    trace_update,
    true_online_td_update,
)
from jaxrl.ops.value_models import CategoricalReturns, MeanReturns, QuantileReturns, mean_loss, quantile_loss
from jaxrl.ops.visits import first_episode, first_visits, following_ratios

__all__ = [
    "FORBIDDEN",
    "Categorical",
    "CategoricalReturns",
    "EpisodeStatistics",
    "Gaussian",
    "MeanReturns",
    "QuantileReturns",
    "RewardScaling",
    "RunningStatistics",
    "SquashedGaussian",
    "accumulating_trace",
    "adam",
    "annealed",
    "average_update",
    "check_minibatches",
    "clipped_value_loss",
    "discounted_sums",
    "double_backup",
    "double_q_learning_update",
    "dutch_trace",
    "episode_metrics",
    "epsilon_greedy",
    "expected_sarsa_update",
    "expected_value",
    "falling_epsilon",
    "find_leaves",
    "first_episode",
    "first_visits",
    "flat",
    "following_ratios",
    "generalized_advantages",
    "gradient_td_update",
    "greedy",
    "init_episodes",
    "init_reward_scaling",
    "init_statistics",
    "init_tree",
    "lambda_returns",
    "max_backup",
    "max_value",
    "mean_loss",
    "minimize",
    "munchausen_backup",
    "normalize",
    "optimal_actions",
    "permutation",
    "permute_index",
    "policy_gradient_loss",
    "ppo_clip",
    "q_learning_update",
    "quantile_loss",
    "replacing_trace",
    "rounding_error",
    "sample_index",
    "sampled_value",
    "sarsa_update",
    "scale_rewards",
    "scan_minibatches",
    "set_leaves",
    "sgd",
    "sum_error",
    "table_update",
    "td_target",
    "td_update",
    "trace_update",
    "transform_of",
    "true_online_td_update",
    "update_statistics",
    "value_bounds",
    "vtrace",
]
