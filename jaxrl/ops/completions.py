"""Equations of language models: advantages of groups, and what a mean over tokens is over.

Rows are completions: rewards are `[P, G]`, G completions of each of P prompts, and tokens `[B, T]` with B = P G. A
`mask` says which tokens count, the stop token included.
"""

import jax
import jax.numpy as jnp


def centered(reward: jax.Array) -> jax.Array:
    """Rewards `[P, G]` minus the mean of their group: (1 - 1/G) times the policy gradient, without bias of length.

    A group of equal rewards has advantages of exactly zero, here and below: the mean of G times 0.1 need not be 0.1.

    Returns:
      `[P, G]`.

    Raises:
      ValueError: for groups of one.

    Example:
      >>> centered(jnp.array([[1.0, 0.0, 0.0, 0.0]])).tolist()
      [[0.75, -0.25, -0.25, -0.25]]

    Source: Liu et al. (2025), Understanding R1-Zero-Like Training, arXiv:2503.20783 (Dr. GRPO).
    """
    if reward.shape[1] < 2:
        raise ValueError("group_size=1: there is nothing to compare with; choose ops.batch_leave_one_out as advantage")
    advantage = reward - reward.mean(axis=1, keepdims=True)
    return jnp.where(_all_equal(reward), 0.0, advantage)


def leave_one_out(reward: jax.Array) -> jax.Array:
    """Rewards `[P, G]` minus the mean of the others of their group: an unbiased policy gradient.

    Returns:
      `[P, G]`.

    Raises:
      ValueError: for groups of one.

    Example:
      >>> leave_one_out(jnp.array([[1.0, 0.0, 0.0]])).round(3).tolist()
      [[1.0, -0.5, -0.5]]

    Source: Kool, van Hoof & Welling (2019), Buy 4 REINFORCE Samples, Get a Baseline for Free!; Ahmadian et al. (2024),
    Back to Basics, arXiv:2402.14740 (RLOO).
    """
    size = reward.shape[1]
    return centered(reward) * (size / (size - 1))


def batch_leave_one_out(reward: jax.Array) -> jax.Array:
    """Rewards `[P, G]` minus the mean of all others of the batch: REINFORCE with a baseline, for groups of one too.

    Returns:
      `[P, G]`.

    Raises:
      ValueError: for a batch of one.

    Example:
      >>> batch_leave_one_out(jnp.array([[1.0], [0.0], [0.0]])).round(3).tolist()
      [[1.0], [-0.5], [-0.5]]

    Source: Williams (1992), Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning;
    the baseline is Kool et al.'s, of the batch.
    """
    return leave_one_out(reward.reshape(1, -1)).reshape(reward.shape)


def group_standardized(reward: jax.Array, epsilon: float = 1e-6) -> jax.Array:
    """Rewards `[P, G]` minus the mean of their group, over its standard deviation (of the population).

    Prompts that are almost always or almost never solved weigh most: no policy gradient of the mean reward.

    Args:
      reward: `[P, G]`.
      epsilon: added to the standard deviation.

    Returns:
      `[P, G]`.

    Raises:
      ValueError: for groups of one.

    Example:
      >>> group_standardized(jnp.array([[1.0, 0.0], [0.1, 0.1]])).round(3).tolist()
      [[1.0, -1.0], [0.0, 0.0]]

    Source: Shao et al. (2024), DeepSeekMath, arXiv:2402.03300 (GRPO).
    """
    return centered(reward) / (reward.std(axis=1, keepdims=True) + epsilon)


def _all_equal(reward: jax.Array) -> jax.Array:
    return reward.max(axis=1, keepdims=True) == reward.min(axis=1, keepdims=True)


def token_mean(mask: jax.Array) -> jax.Array:
    """Weights `[B, T]` that sum to one over all tokens that count: long completions weigh more.

    Example:
      >>> token_mean(jnp.array([[True, True, True], [True, False, False]])).tolist()
      [[0.25, 0.25, 0.25], [0.25, 0.0, 0.0]]

    Source: Yu et al. (2025), DAPO, arXiv:2503.14476, section 3.3.
    """
    return mask / jnp.maximum(mask.sum(), 1).astype(jnp.float32)


def sequence_mean(mask: jax.Array) -> jax.Array:
    """Weights `[B, T]` that sum to one over each completion, and then over them: a token of a long one weighs less.

    Example:
      >>> sequence_mean(jnp.array([[True, True], [True, False]])).tolist()
      [[0.25, 0.25], [0.5, 0.0]]

    Source: Shao et al. (2024), DeepSeekMath, arXiv:2402.03300, eq. 3.
    """
    lengths = jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
    return mask / (lengths * jnp.maximum(mask.any(axis=1).sum(), 1)).astype(jnp.float32)


def constant(mask: jax.Array) -> jax.Array:
    """Weights `[B, T]` of 1 / (B T) for every token that counts: the sum over a completion, times 1 / T.

    Of B only the completions that have tokens.

    Example:
      >>> constant(jnp.array([[True, True], [True, False]])).tolist()
      [[0.25, 0.25], [0.25, 0.0]]

    Source: Liu et al. (2025), Understanding R1-Zero-Like Training, arXiv:2503.20783 (Dr. GRPO).
    """
    return mask / (jnp.maximum(mask.any(axis=1).sum(), 1) * mask.shape[1]).astype(jnp.float32)


def overlong_penalty(lengths: jax.Array, longest: int, margin: int) -> jax.Array:
    """What completions `[B]` lose for their length: from 0, `margin` tokens before the longest, to -1.

    Args:
      lengths: tokens of each `[B]`.
      longest: T, most tokens a completion can have.
      margin: tokens over which the penalty grows, at most T; 0: none.

    Returns:
      float32 `[B]`.

    Example:
      >>> overlong_penalty(jnp.array([4, 8, 10]), 10, 4).tolist()
      [0.0, -0.5, -1.0]

    Source: Yu et al. (2025), DAPO, arXiv:2503.14476, eq. 13.
    """
    return jnp.clip((longest - margin - lengths) / max(margin, 1), -1.0, 0.0) * (margin > 0)


def pass_at_k(num_right: jax.Array, num_samples: int, k: int) -> jax.Array:
    """Probability that at least one of k completions is right, without bias from n of them: 1 - C(n - c, k) / C(n, k).

    Args:
      num_right: int `[P]`, c of each prompt.
      num_samples: n.
      k: at least 1 and at most n.

    Returns:
      float32 `[P]`.

    Raises:
      ValueError: for another k.

    Example:
      >>> pass_at_k(jnp.array([0, 1, 4]), 4, 2).tolist()
      [0.0, 0.5, 1.0]

    Source: Chen et al. (2021), Evaluating Large Language Models Trained on Code, arXiv:2107.03374, eq. 1.
    """
    if not 1 <= k <= num_samples:
        raise ValueError(f"k={k} must be at least 1 and at most the {num_samples} samples of each prompt")
    drawn = jnp.arange(k)[None]
    wrong = jnp.maximum(num_samples - num_right[:, None] - drawn, 0)
    return 1.0 - jnp.prod(wrong / (num_samples - drawn), axis=1)
