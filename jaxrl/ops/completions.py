"""Equations of language models: advantages of groups, losses of tokens, divergences, and what a mean is over.

Rows are completions: rewards are `[P, G]`, G completions of each of P prompts, and tokens `[B, T]` with B = P G. A
`mask` says which tokens count, the stop token included.
"""

import chex
import jax
import jax.numpy as jnp


def centered(reward: jax.Array) -> jax.Array:
    """Rewards `[P, G]` minus the mean of their group: (1 - 1/G) times the policy gradient, without bias of length.

    A group of equal rewards has advantages of exactly zero, here and below: the mean of G times 0.1 need not be 0.1.

    Example:
      >>> centered(jnp.array([[1.0, 0.0, 0.0, 0.0]])).tolist()
      [[0.75, -0.25, -0.25, -0.25]]

    Source: Liu et al. (2025), Understanding R1-Zero-Like Training, arXiv:2503.20783 (Dr. GRPO).
    """
    advantage = reward - reward.mean(axis=1, keepdims=True)
    return jnp.where(_all_equal(reward), 0.0, advantage)


def leave_one_out(reward: jax.Array) -> jax.Array:
    """Rewards `[P, G]` minus the mean of the others of their group: an unbiased policy gradient.

    Example:
      >>> leave_one_out(jnp.array([[1.0, 0.0, 0.0]])).tolist()
      [[1.0, -0.5, -0.5]]

    Source: Kool, van Hoof & Welling (2019), Buy 4 REINFORCE Samples, Get a Baseline for Free!; Ahmadian et al. (2024),
    Back to Basics, arXiv:2402.14740 (RLOO).
    """
    size = reward.shape[1]
    return centered(reward) * (size / (size - 1))


def batch_leave_one_out(reward: jax.Array) -> jax.Array:
    """Rewards `[P, G]` minus the mean of all others of the batch: REINFORCE with a baseline, for groups of one too.

    Example:
      >>> batch_leave_one_out(jnp.array([[1.0], [0.0], [0.0]])).tolist()
      [[1.0], [-0.5], [-0.5]]

    Source: Williams (1992), Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning;
    the baseline is Kool et al.'s, of the batch.
    """
    return leave_one_out(reward.reshape(1, -1)).reshape(reward.shape)


def group_standardized(reward: jax.Array, epsilon: float = 1e-6) -> jax.Array:
    """Rewards `[P, G]` minus the mean of their group, over its standard deviation (of the population).

    Prompts that are almost always or almost never solved weigh most: no policy gradient of the mean reward.

    Example:
      >>> group_standardized(jnp.array([[1.0, 0.0], [0.1, 0.1]])).round(3).tolist()
      [[1.0, -1.0], [0.0, 0.0]]

    Source: Shao et al. (2024), DeepSeekMath, arXiv:2402.03300 (GRPO).
    """
    return centered(reward) / (reward.std(axis=1, keepdims=True) + epsilon)


def _all_equal(reward: jax.Array) -> jax.Array:
    return reward.max(axis=1, keepdims=True) == reward.min(axis=1, keepdims=True)


def token_clip(
    log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, mask: jax.Array, low: float, high: float
) -> jax.Array:
    """PPO's clipped objective of each token, as a loss `[B, T]`, with two bounds.

        L = -min(ρ A, clip(ρ, 1 - ε_low, 1 + ε_high) A),  ρ = π(y_t) / π_old(y_t)

    Args:
      log_prob: `[B, T]`.
      old_log_prob: `[B, T]`, of the policy that drew them.
      advantage: `[B, T]`, with gradients stopped.
      mask: bool `[B, T]`; not read, as no token looks at another.
      low: ε_low in (0, 1].
      high: ε_high > 0; above ε_low, rare tokens can become likely faster ("clip higher").

    Example:
      >>> x = jnp.zeros((1, 1))
      >>> token_clip(x + 1.0, x, x + 2.0, x == 0, 0.2, 0.25).tolist()
      [[-2.5]]

    Source: Schulman et al. (2017), arXiv:1707.06347, eq. 7; Yu et al. (2025), DAPO, arXiv:2503.14476, for the bounds.
    """
    chex.assert_equal_shape([log_prob, old_log_prob, advantage])
    return _clipped(jnp.exp(log_prob - old_log_prob), advantage, low, high)


def sequence_clip(
    log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, mask: jax.Array, low: float, high: float
) -> jax.Array:
    """The clipped objective of whole completions: one ratio for all of its tokens, as a loss `[B, T]`.

        ρ = (π(y) / π_old(y))^(1/|y|)

    Its mean is meant to be `sequence_mean`; bounds are some 4e-4.

    Args: as `token_clip`; advantages of one row are equal.

    Example:
      >>> x = jnp.zeros((1, 2))
      >>> sequence_clip(jnp.log(jnp.array([[4.0, 1.0]])), x, x + 1.0, x == 0, 0.5, 9.0).tolist()  # √4
      [[-2.0, -2.0]]

    Source: Zheng et al. (2025), Group Sequence Policy Optimization, arXiv:2507.18071, eq. 5 and 7.
    """
    chex.assert_equal_shape([log_prob, old_log_prob, advantage, mask])
    change = jnp.where(mask, log_prob - old_log_prob, 0.0).sum(axis=1, keepdims=True)
    ratio = jnp.exp(change / jnp.maximum(mask.sum(axis=1, keepdims=True), 1))
    return _clipped(jnp.broadcast_to(ratio, log_prob.shape), advantage, low, high)


def weight_clip(
    log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, mask: jax.Array, low: float, high: float
) -> jax.Array:
    """The policy gradient under a clipped importance weight, as a loss `[B, T]`: no token loses its gradient.

        L = -stop(clip(ρ, 1 - ε_low, 1 + ε_high)) A log π(y_t)

    With ε of infinity and one gradient step a batch it is REINFORCE.

    Args: as `token_clip`.

    Example:
      >>> x = jnp.zeros((1, 1))
      >>> weight_clip(x + 1.0, x, x + 2.0, x == 0, 1.0, 0.25).tolist()
      [[-2.5]]

    Source: MiniMax (2025), MiniMax-M1, arXiv:2506.13585 (CISPO).
    """
    chex.assert_equal_shape([log_prob, old_log_prob, advantage])
    ratio = jnp.clip(jnp.exp(log_prob - old_log_prob), 1.0 - low, 1.0 + high)
    return -jax.lax.stop_gradient(ratio) * advantage * log_prob


def _clipped(ratio: jax.Array, advantage: jax.Array, low: float, high: float) -> jax.Array:
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - low, 1.0 + high) * advantage)


def squared_kl(log_prob: jax.Array, old_log_prob: jax.Array, reference_log_prob: jax.Array) -> jax.Array:
    """½ (log π - log π_ref)² of each token `[B, T]`: as a loss it has the gradient of KL(π ‖ π_ref), in its mean.

    Its value is biased. A loss of log π - log π_ref itself would have a gradient of zero mean, and the usual
    estimator e^δ - δ - 1 that of the other divergence; neither is here.

    Args:
      log_prob: `[B, T]`.
      old_log_prob: not read.
      reference_log_prob: `[B, T]`.

    Example:
      >>> squared_kl(jnp.array([[-1.0]]), jnp.array([[-1.0]]), jnp.array([[-3.0]])).tolist()
      [[2.0]]

    Source: Schulman (2020), Approximating KL Divergence (k2); Tang & Munos (2025), On a few pitfalls in KL divergence
    gradient estimation for RL, arXiv:2506.09477.
    """
    return 0.5 * jnp.square(log_prob - reference_log_prob)


def corrected_kl(log_prob: jax.Array, old_log_prob: jax.Array, reference_log_prob: jax.Array) -> jax.Array:
    """ρ (e^δ - δ - 1), δ = log π_ref - log π, of each token `[B, T]`: value and gradient are those of KL(π ‖ π_ref).

    The importance weight ρ = π / π_old makes the gradient right; without it, it is that of KL(π_ref ‖ π).

    Args:
      log_prob: `[B, T]`.
      old_log_prob: `[B, T]`, of the policy that drew the tokens.
      reference_log_prob: `[B, T]`.

    Example:
      >>> corrected_kl(jnp.array([[-1.0]]), jnp.array([[-1.0]]), jnp.array([[-1.0]])).tolist()
      [[0.0]]

    Source: DeepSeek-AI (2025), DeepSeek-V3.2, arXiv:2512.02556; Schulman (2020), Approximating KL Divergence (k3).
    """
    delta = jnp.clip(reference_log_prob - log_prob, -20.0, 20.0)
    return jnp.exp(log_prob - old_log_prob) * (jnp.expm1(delta) - delta)


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
      margin: tokens over which the penalty grows; 0: none.

    Example:
      >>> overlong_penalty(jnp.array([4, 8, 10]), 10, 4).tolist()
      [0.0, -0.5, -1.0]

    Source: Yu et al. (2025), DAPO, arXiv:2503.14476, eq. 13. Deviation: completions of exactly T tokens, which are
    cut, lose all of it; there the bound is passed by longer ones.
    """
    return -jnp.clip((lengths - (longest - margin)) / max(margin, 1), 0.0, 1.0) * (margin > 0)


def preference_loss(margin: jax.Array, beta: jax.Array | float) -> jax.Array:
    """Loss `[B]` of pairs: -log σ(β ((log π - log π_ref)(chosen) - (log π - log π_ref)(rejected))).

    Args:
      margin: `[B]`, the bracket, of whole completions.
      beta: β > 0, how near the policy stays to the reference.

    Example:
      >>> print(preference_loss(jnp.array([0.0]), 0.1).round(4))
      [0.6931]

    Source: Rafailov et al. (2023), Direct Preference Optimization, arXiv:2305.18290, eq. 7.
    """
    return -jax.nn.log_sigmoid(beta * margin)


def pass_at_k(num_right: jax.Array, num_samples: int, k: int) -> jax.Array:
    """Probability that at least one of k completions is right, without bias from n of them: 1 - C(n - c, k) / C(n, k).

    Args:
      num_right: int `[P]`, c of each prompt.
      num_samples: n.
      k: at most n.

    Returns:
      float32 `[P]`.

    Example:
      >>> pass_at_k(jnp.array([0, 1, 4]), 4, 2).tolist()
      [0.0, 0.5, 1.0]

    Source: Chen et al. (2021), Evaluating Large Language Models Trained on Code, arXiv:2107.03374, eq. 1.
    """
    drawn = jnp.arange(k)[None]
    wrong = jnp.maximum(num_samples - num_right[:, None] - drawn, 0)
    return 1.0 - jnp.prod(wrong / (num_samples - drawn), axis=1)
