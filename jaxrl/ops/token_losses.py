"""Losses of tokens: policies, divergences from a reference, preferences. Rows are completions, `[B, T]`."""

import chex
import jax
import jax.numpy as jnp


def token_clip(
    log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, mask: jax.Array, low: float, high: float
) -> tuple[jax.Array, jax.Array]:
    """PPO's clipped objective of each token, as a loss `[B, T]`, with two bounds.

        L = -min(ρ A, clip(ρ, 1 - ε_low, 1 + ε_high) A),  ρ = π(y_t) / π_old(y_t)

    Args:
      log_prob: `[B, T]`.
      old_log_prob: `[B, T]`, of the policy that drew them.
      advantage: `[B, T]`, with gradients stopped.
      mask: bool `[B, T]`; not read, as no token looks at another.
      low: ε_low in (0, 1].
      high: ε_high > 0; above ε_low, rare tokens can become likely faster ("clip higher").

    Returns:
      Losses `[B, T]`, and the ratios `[B, T]` that the bounds are of. A token that π no longer draws, of
      log-probability -inf, has ratio 0 and no gradient.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> x = jnp.zeros((1, 1))
      >>> token_clip(jnp.log(x + 4.0), x, x + 2.0, x == 0, 0.2, 0.25)[0].tolist()
      [[-2.5]]

    Source: Schulman et al. (2017), arXiv:1707.06347, eq. 7; Yu et al. (2025), DAPO, arXiv:2503.14476, for the bounds.
    """
    chex.assert_equal_shape([log_prob, old_log_prob, advantage, mask])
    return _clipped(jnp.exp(log_prob - old_log_prob), advantage, low, high)


def sequence_clip(
    log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, mask: jax.Array, low: float, high: float
) -> tuple[jax.Array, jax.Array]:
    """The clipped objective of whole completions: one ratio for all of its tokens, as a loss `[B, T]`.

        ρ = (π(y) / π_old(y))^(1/|y|)

    Its mean is meant to be `sequence_mean`; bounds are some 4e-4.

    Args: as `token_clip`, but the mask is read; advantages of one row are equal.

    Returns:
      Losses and ratios `[B, T]`, those of a row alike; they are as `token_clip`'s where π no longer draws one of its
      tokens.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> x = jnp.zeros((1, 2))
      >>> sequence_clip(jnp.log(jnp.array([[4.0, 1.0]])), x, x + 1.0, x == 0, 0.5, 9.0)[0].tolist()  # √4
      [[-2.0, -2.0]]

    Source: Zheng et al. (2025), Group Sequence Policy Optimization, arXiv:2507.18071, eq. 5 and 7.
    """
    chex.assert_equal_shape([log_prob, old_log_prob, advantage, mask])
    change = jnp.where(mask, log_prob - old_log_prob, 0.0).sum(axis=1, keepdims=True)
    ratio = jnp.exp(change / jnp.maximum(mask.sum(axis=1, keepdims=True), 1))
    return _clipped(jnp.broadcast_to(ratio, log_prob.shape), advantage, low, high)


def weight_clip(
    log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, mask: jax.Array, low: float, high: float
) -> tuple[jax.Array, jax.Array]:
    """The policy gradient under a clipped importance weight, as a loss `[B, T]`: no token loses its gradient.

        L = -stop(clip(ρ, 1 - ε_low, 1 + ε_high)) A log π(y_t)

    With ε of infinity and one gradient step a batch it is REINFORCE.

    Args: as `token_clip`.

    Returns:
      Losses and ratios `[B, T]`. A token that π no longer draws, of log-probability -inf, has no loss: log π has no
      gradient there.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> x = jnp.zeros((1, 1))
      >>> weight_clip(x - 3.0, x - 4.0, x + 2.0, x == 0, 1.0, 0.25)[0].tolist()  # 1.25 times 2 times 3
      [[7.5]]

    Source: MiniMax (2025), MiniMax-M1, arXiv:2506.13585 (CISPO).
    """
    chex.assert_equal_shape([log_prob, old_log_prob, advantage, mask])
    ratio = jax.lax.stop_gradient(jnp.exp(log_prob - old_log_prob))
    finite = jnp.where(log_prob == -jnp.inf, 0.0, log_prob)  # 0 times -inf would be NaN
    return -jnp.clip(ratio, 1.0 - low, 1.0 + high) * advantage * finite, ratio


def _clipped(ratio: jax.Array, advantage: jax.Array, low: float, high: float) -> tuple[jax.Array, jax.Array]:
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - low, 1.0 + high) * advantage), ratio


def squared_kl(log_prob: jax.Array, old_log_prob: jax.Array, reference_log_prob: jax.Array) -> jax.Array:
    """½ (log π - log π_ref)² of each token `[B, T]`: as a loss of tokens that π drew, of the gradient of a divergence.

    The mean of its gradient over tokens from π is that of KL(π ‖ π_ref), of the next token given those before it;
    what a token does to the divergence of later ones is left out, which only a reward sees. It is right for the first
    gradient step on a batch alone: `corrected_kl` stays so when π has moved from the policy that drew it. Its value
    is not the divergence's. A loss of log π - log π_ref itself would have a gradient of zero mean, and the usual
    estimator e^δ - δ - 1 that of KL(π_ref ‖ π); neither is here.

    Args:
      log_prob: `[B, T]`.
      old_log_prob: not read.
      reference_log_prob: `[B, T]`.

    Returns:
      `[B, T]`.

    Example:
      >>> squared_kl(jnp.array([[-1.0]]), jnp.array([[-1.0]]), jnp.array([[-3.0]])).tolist()
      [[2.0]]

    Source: Schulman (2020), Approximating KL Divergence (k2); Tang & Munos (2025), On a few pitfalls in KL divergence
    gradient estimation for RL, arXiv:2506.09477.
    """
    return 0.5 * jnp.square(log_prob - reference_log_prob)


def corrected_kl(log_prob: jax.Array, old_log_prob: jax.Array, reference_log_prob: jax.Array) -> jax.Array:
    """ρ (e^δ - δ - 1), δ = log π_ref - log π, of each token `[B, T]`: an estimate of KL(π ‖ π_ref) and its gradient.

    The means of both over tokens from π_old are exact for the next token given those before it, also when π is no
    longer π_old; those before it stay π_old's, and what a token does to the divergence of later ones is left out. The
    importance weight ρ = π / π_old makes the gradient right: without it, it is that of KL(π_ref ‖ π). δ is clipped to
    [-20, 20].

    Args:
      log_prob: `[B, T]`.
      old_log_prob: `[B, T]`, of the policy that drew the tokens.
      reference_log_prob: `[B, T]`.

    Returns:
      `[B, T]`.

    Example:
      >>> corrected_kl(jnp.array([[-1.0]]), jnp.array([[-1.0]]), jnp.array([[-1.0]])).tolist()
      [[0.0]]

    Source: DeepSeek-AI (2025), DeepSeek-V3.2, arXiv:2512.02556; Schulman (2020), Approximating KL Divergence (k3).
    """
    delta = jnp.clip(reference_log_prob - log_prob, -20.0, 20.0)
    return jnp.exp(log_prob - old_log_prob) * (jnp.expm1(delta) - delta)


def preference_loss(margin: jax.Array, beta: jax.Array | float) -> jax.Array:
    """Loss `[B]` of pairs: -log σ(β ((log π - log π_ref)(chosen) - (log π - log π_ref)(rejected))).

    Args:
      margin: `[B]`, the bracket, of whole completions.
      beta: β > 0, how near the policy stays to the reference.

    Returns:
      `[B]`; its exponential, e^-loss, is the probability that the chosen one is preferred.

    Example:
      >>> print(preference_loss(jnp.array([0.0]), 0.1).round(4))
      [0.6931]

    Source: Rafailov et al. (2023), Direct Preference Optimization, arXiv:2305.18290, eq. 7.
    """
    return -jax.nn.log_sigmoid(beta * margin)
