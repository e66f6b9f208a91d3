"""Eligibility traces: what a visit makes of the trace of what is visited."""

import jax
import jax.numpy as jnp

from jaxrl.types import Transition


def accumulating_trace(trace: jax.Array, learning_rate: jax.Array | float) -> jax.Array:
    """Z ← z + 1 for traces `[...]`.

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., eq. 12.5.
    """
    return trace + 1.0


def replacing_trace(trace: jax.Array, learning_rate: jax.Array | float) -> jax.Array:
    """Z ← 1 for traces `[...]`.

    Source: Singh & Sutton (1996), Reinforcement Learning with Replacing Eligibility Traces.
    """
    return jnp.ones_like(trace)


def dutch_trace(trace: jax.Array, learning_rate: jax.Array | float) -> jax.Array:
    """Z ← (1 - α) z + 1 for traces `[...]`.

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., eq. 12.11 for one-hot features.
    """
    return (1.0 - learning_rate) * trace + 1.0


def trace_update(q: jax.Array, trace: jax.Array, td_error: jax.Array, learning_rate: jax.Array | float) -> jax.Array:
    """Q ← q + α δ z. N > 1 traces on one table move an entry by 1 - Π(1 - α z) times their mean error, weighted by z.

    There α z counts as one at most: together they never move an entry beyond that mean.

    Args:
      q: `[S, A]`.
      trace: `[N, S, A]`, eligibility z ≥ 0.
      td_error: `[N]`, δ.
      learning_rate: α in (0, 1].

    Returns:
      `[S, A]`.

    Example:
      >>> trace = jnp.array([1.0, 0.0])[:, None, None]  # the second one has not been here
      >>> trace_update(jnp.zeros((1, 1)), trace, jnp.array([1.0, 5.0]), 0.5).tolist()
      [[0.5]]

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., section 12.2; with traces of zero and one the step
    is that of `table_update`.
    """
    step = jnp.einsum("n,nsa->sa", td_error, trace, precision="highest")
    if len(td_error) == 1:
        return q + learning_rate * step
    total = trace.sum(0)
    part = jnp.where(learning_rate * trace > 1.0, 1.0, learning_rate * trace)
    # 1 - (1 - x)(1 - y) = x + y - x y keeps the digits of small steps, and has a derivative at a step of one.
    moved = jax.lax.reduce(part, jnp.zeros((), part.dtype), lambda x, y: x + y - x * y, (0,))
    return q + moved * step / jnp.where(total > 0, total, 1.0)


def true_online_td_update(
    weights: jax.Array,
    trace: jax.Array,
    old_value: jax.Array,
    features: jax.Array,
    next_features: jax.Array,
    transition: Transition,
    *,
    decay: tuple[jax.Array | float, jax.Array | float],
    learning_rate: jax.Array | float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """True-online TD(λ) of N environments on one weight vector: equal, step by step, to the online λ-return algorithm.

        z ← γλ z + (1 - αγλ zᵀx) x,    w ← w + α (δ + v - v_old) z - α (v - v_old) x

    with v = wᵀx, v' = wᵀx' and δ = r + γ v' - v. The steps of the N environments are averaged.

    Args:
      weights: `[D]`.
      trace: `[N, D]`, zero at the beginning of an episode.
      old_value: `[N]`, the value of `features` by the weights before the last step; zero at the beginning.
      features: `[N, D]`, x.
      next_features: `[N, D]`, x' of the true successors.
      transition: `[N]`.
      decay: γ and λ.
      learning_rate: α.

    Returns:
      Weights, traces, and what `old_value` is next: both zero where an episode ended.

    Source: van Seijen et al. (2016), True Online Temporal-Difference Learning, algorithm 1; Sutton & Barto (2018),
    section 12.5.
    """
    discount, lambda_ = decay
    value, next_value = features @ weights, next_features @ weights
    td_error = transition.reward + discount * (1.0 - transition.terminated) * next_value - value
    fade = discount * lambda_
    overlap = (trace * features).sum(-1)
    trace = fade * trace + (1.0 - learning_rate * fade * overlap)[:, None] * features
    correction = value - old_value
    step = (td_error + correction)[:, None] * trace - correction[:, None] * features
    weights = weights + learning_rate * step.mean(0)
    goes_on = 1.0 - transition.done
    return weights, goes_on[:, None] * trace, goes_on * next_value


def gradient_td_update(
    weights: jax.Array,
    correction: jax.Array,
    features: jax.Array,
    next_features: jax.Array,
    transition: Transition,
    ratio: jax.Array,
    *,
    discount: jax.Array | float,
    learning_rates: tuple[jax.Array | float, jax.Array | float],
) -> tuple[jax.Array, jax.Array]:
    """TD with gradient correction (TDC), off policy and stable; semi-gradient TD(0) where β is zero.

        w ← w + α ρ [δ x - γ x' (hᵀx)],    h ← h + β [ρ δ - hᵀx] x,    δ = r + γ wᵀx' - wᵀx

    Args:
      weights: `[D]`, w.
      correction: `[D]`, h: an estimate of the solution of E[x xᵀ] h = E[ρ δ x].
      features: `[N, D]`, x.
      next_features: `[N, D]`, x' of the true successors.
      transition: `[N]`; steps are averaged over it.
      ratio: `[N]`, ρ = π(a|s) / b(a|s).
      discount: γ.
      learning_rates: α and β.

    Returns:
      New weights and correction.

    Source: Sutton et al. (2009), Fast Gradient-Descent Methods for Temporal-Difference Learning with Linear Function
    Approximation, eqs. 9 and 10; with importance ratios: Maei (2011), Gradient Temporal-Difference Learning Algorithms;
    Sutton & Barto (2018), section 11.7.
    """
    learning_rate, correction_rate = learning_rates
    discounts = discount * (1.0 - transition.terminated)
    td_error = transition.reward + discounts * (next_features @ weights) - features @ weights
    expected = features @ correction
    step = ratio[:, None] * (td_error[:, None] * features - (discounts * expected)[:, None] * next_features)
    correction_step = (ratio * td_error - expected)[:, None] * features
    return weights + learning_rate * step.mean(0), correction + correction_rate * correction_step.mean(0)
