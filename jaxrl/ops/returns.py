"""Returns and advantages, all of them one reverse recursion."""

import chex
import jax
import jax.numpy as jnp


def lambda_returns(reward: jax.Array, discounts: jax.Array, next_value: jax.Array, lambda_: jax.Array) -> jax.Array:
    """λ-returns of a batch of trajectories.

        G_t = r_t + d_t [(1 - λ_t) v_{t+1} + λ_t G_{t+1}],    G_T := v_T

    λ=0 gives TD(0) targets, λ=1 Monte Carlo returns, and `G - value` is GAE(λ). Pass d_t = γ(1 - terminated_t),
    λ_t = λ(1 - done_t), and `next_value` at the true successor: a termination then bootstraps nothing, a time
    limit bootstraps its own last observation, and no return leaks into the episode before.

    Args:
      reward: `[T, ...]` reward for the action at t.
      discounts: `[T, ...]` in [0, 1], zero where the episode terminated.
      next_value: `[T, ...]` value of the true successor of step t (after an auto-reset not `value[t+1]`).
      lambda_: `[T, ...]` in [0, 1], zero where the episode ended for either reason.

    Returns:
      `[T, ...]` returns. Gradients flow through every argument: stop them at the caller.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> ones = jnp.ones(3)
      >>> lambda_returns(ones, 0.5 * ones, jnp.zeros(3), ones).tolist()
      [1.75, 1.5, 1.0]

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., section 12.8 (γ and λ that vary with time).
    Deviation: on accelerators, where a turn of a loop costs a launch, steps are combined in pairs, after Blelloch
    (1990), Prefix Sums and Their Applications; on a CPU they follow one another. Both agree to rounding.
    """
    chex.assert_equal_shape([reward, discounts, next_value, lambda_])
    inputs = (reward, discounts, next_value, lambda_)
    inputs = [x.astype(jnp.result_type(*inputs)) for x in inputs]  # a network may be of another precision
    return jax.lax.platform_dependent(*inputs, cpu=_step_by_step, default=_in_pairs)


def _step_by_step(reward: jax.Array, discounts: jax.Array, next_value: jax.Array, lambda_: jax.Array) -> jax.Array:
    """The recursion as it is written."""

    def step(following: jax.Array, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        reward, discount, next_value, lambda_ = inputs
        return_ = reward + discount * ((1.0 - lambda_) * next_value + lambda_ * following)
        return return_, return_

    return jax.lax.scan(step, next_value[-1], (reward, discounts, next_value, lambda_), reverse=True)[1]


def _in_pairs(reward: jax.Array, discounts: jax.Array, next_value: jax.Array, lambda_: jax.Array) -> jax.Array:
    """The same as G_t = b_t + a_t G_{t+1}: two steps are one with a_t a_{t+1} and b_t + a_t b_{t+1}."""
    weight = discounts * lambda_
    known = reward + discounts * (1.0 - lambda_) * next_value
    known = known.at[-1].add(weight[-1] * next_value[-1])

    def pair(later: tuple[jax.Array, jax.Array], earlier: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return later[0] * earlier[0], earlier[1] + earlier[0] * later[1]

    return jax.lax.associative_scan(pair, (weight, known), reverse=True)[1]


def generalized_advantages(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    *,
    discount: jax.Array | float,
    gae_lambda: jax.Array | float,
) -> tuple[jax.Array, jax.Array]:
    """Generalized advantage estimation, exact at terminations and at time limits.

        A_t = δ_t + γλ(1 - done_t) A_{t+1},    δ_t = r_t + γ(1 - terminated_t) v_{t+1} - v_t

    Args:
      reward: `[T, ...]`.
      value: `[T, ...]` value of the observation at t.
      next_value: `[T, ...]` value of the true successor of step t.
      terminated: `[T, ...]` bool, natural end.
      truncated: `[T, ...]` bool, time limit. Both flags may be true; termination then wins.
      discount: γ in [0, 1], per step.
      gae_lambda: λ in [0, 1].

    Returns:
      Advantages and value targets (`advantage + value`), each `[T, ...]`.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> ones, never = jnp.ones(2), jnp.zeros(2, bool)
      >>> advantage, target = generalized_advantages(ones, ones, ones, never, never, discount=0.5, gae_lambda=1.0)
      >>> target.tolist()  # 1 + (1 + 1/2)/2, and 1 + 1/2
      [1.75, 1.5]

    Source: Schulman et al. (2016), High-Dimensional Continuous Control Using Generalized Advantage Estimation,
    arXiv:1506.02438, eq. 16; the treatment of time limits follows Pardo et al. (2018), arXiv:1712.00378.
    """
    discounts = discount * (1.0 - terminated)
    lambdas = gae_lambda * (1.0 - (terminated | truncated))
    target = lambda_returns(reward, discounts, next_value, lambdas)
    return target - value, target


def vtrace(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    ratio: jax.Array,
    ends: tuple[jax.Array, jax.Array],
    *,
    discount: jax.Array | float,
    trace_lambda: jax.Array | float = 1.0,
    clip: jax.Array | float = 1.0,
) -> tuple[jax.Array, jax.Array]:
    """V-trace: values and advantages of a policy from the steps of another one.

        v_t = V_t + A_t,    A_t = ρ_t δ_t + γ c_t A_{t+1},    ρ_t = min(clip, ratio_t),    c_t = λ min(1, ratio_t)

    with δ_t = r_t + γ V_{t+1} - V_t; the advantage is ρ_t (r_t + γ v_{t+1} - V_t). On policy, with a clip of at least
    one, v_t is the λ-return.

    Args:
      reward: `[T, ...]`.
      value: `[T, ...]`, V of the observation at t.
      next_value: `[T, ...]`, V of the true successor of step t.
      ratio: `[T, ...]`, π(a|s) / b(a|s).
      ends: terminated and truncated, `[T, ...]` bool each.
      discount: γ in [0, 1], per step.
      trace_lambda: λ in [0, 1].
      clip: bound of ρ; where it is below a ratio, v is the value of a policy between the two.

    Returns:
      Values v and advantages, `[T, ...]` each.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> ones, never = jnp.ones(2), jnp.zeros(2, bool)
      >>> target, advantage = vtrace(ones, ones, ones, 0.5 * ones, (never, never), discount=0.5)
      >>> target.tolist()  # 1 + (1 + 1/2 - 1)/2 · (1 + 1/4), and 1 + 1/4
      [1.3125, 1.25]

    Source: Espeholt et al. (2018), IMPALA, eqs. 1 and 4, arXiv:1802.01561.
    """
    chex.assert_equal_shape([reward, value, next_value, ratio])
    terminated, truncated = ends
    discounts, goes_on = discount * (1.0 - terminated), 1.0 - (terminated | truncated)
    weight = jnp.minimum(ratio, clip)
    delta = reward + discounts * next_value - value
    # The same recursion as `lambda_returns`, of corrected errors and nothing beyond the batch.
    zeros = jnp.zeros_like(reward)
    correction = lambda_returns(weight * delta, discounts, zeros, trace_lambda * jnp.minimum(ratio, 1.0) * goes_on)
    following = jnp.concatenate([correction[1:], zeros[:1]])
    return value + correction, weight * (delta + discounts * goes_on * following)
