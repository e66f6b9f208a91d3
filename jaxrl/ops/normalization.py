"""Running statistics of observations and returns, merged batch by batch without cancellation."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class RunningStatistics:
    """Mean and variance of everything seen so far.

    Args:
      count: float32 `[]`, number of samples.
      mean: pytree of float32 `[*shape]`.
      variance: pytree of float32 `[*shape]`, biased (divided by `count`); one before the first sample.

    Source: as `update_statistics`.
    """

    count: jax.Array
    mean: Any
    variance: Any


def init_statistics(example: Any) -> RunningStatistics:
    """Statistics of nothing: mean zero, variance one, so that `normalize` changes nothing.

    Args:
      example: a pytree of arrays with the shape of one sample, `[*shape]`.

    Source: our own convention for the empty case.
    """
    zeros = jax.tree.map(lambda x: jnp.zeros(jnp.shape(x), jnp.float32), example)
    return RunningStatistics(jnp.zeros((), jnp.float32), zeros, jax.tree.map(jnp.ones_like, zeros))


def update_statistics(statistics: RunningStatistics, batch: Any) -> RunningStatistics:
    """Merge a batch of samples into the statistics.

    Args:
      statistics: of samples of shape `[*shape]`.
      batch: pytree of `[B, *shape]`, any number dtype.

    Returns:
      The statistics of both together.

    Example:
      >>> statistics = update_statistics(init_statistics(jnp.zeros(())), jnp.array([1.0, 3.0]))
      >>> float(statistics.mean), float(statistics.variance)
      (2.0, 1.0)

    Source: Chan, Golub & LeVeque (1979), Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, eq. 2.1.
    """
    batch_count = float(len(jax.tree.leaves(batch)[0]))
    count = statistics.count + batch_count
    weight = batch_count / count

    def merge(mean: jax.Array, variance: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = x.astype(jnp.float32)
        delta = x.mean(axis=0) - mean
        # At count 0 the prior variance of one has weight zero.
        merged = (1 - weight) * variance + weight * x.var(axis=0) + weight * (1 - weight) * jnp.square(delta)
        return mean + weight * delta, merged

    leaves, structure = jax.tree.flatten(statistics.mean)
    merged = map(merge, leaves, jax.tree.leaves(statistics.variance), jax.tree.leaves(batch))
    mean, variance = (jax.tree.unflatten(structure, part) for part in zip(*merged, strict=True))
    return RunningStatistics(count, mean, variance)


def normalize(statistics: RunningStatistics, x: Any, *, clip: float = 10.0) -> Any:
    """Subtract the mean, divide by the standard deviation, clip; what is true or false, as a mask is, stays.

    Args:
      statistics: of samples of shape `[*shape]`.
      x: pytree of `[..., *shape]`.
      clip: bound of the result's absolute value, in standard deviations.

    Returns:
      Pytree of float32 `[..., *shape]`, and the bools that it had.

    Example:
      >>> normalize(RunningStatistics(jnp.array(9.0), jnp.array(1.0), jnp.array(4.0)), jnp.array([3.0, 99.0])).tolist()
      [1.0, 10.0]

    Source: Huang et al. (2022), The 37 Implementation Details of Proximal Policy Optimization, observation
    normalization and clipping of continuous control.
    """

    def scale(x: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
        if x.dtype == bool:
            return x
        shape = (1,) * (x.ndim - mean.ndim) + mean.shape  # explicit: rank promotion is an error in our tests
        z = (x - mean.reshape(shape)) * jax.lax.rsqrt(variance.reshape(shape) + 1e-8)
        return jnp.clip(z, -clip, clip)

    return jax.tree.map(scale, x, statistics.mean, statistics.variance)


def standardized(x: jax.Array) -> jax.Array:
    """Numbers `[...]` less their mean, over their standard deviation.

    Example:
      >>> standardized(jnp.array([1.0, 3.0])).tolist()
      [-1.0, 1.0]

    Source: Huang et al. (2022), The 37 Implementation Details of Proximal Policy Optimization, detail 7.
    """
    return (x - x.mean()) / (x.std() + 1e-8)


def weighted_standardized(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Numbers `[...]` less their weighted mean, over their weighted standard deviation.

    Args:
      x: `[...]`.
      weight: `[...]`, sums to one; what has none is not looked at.

    Example:
      >>> weighted_standardized(jnp.array([1.0, 3.0, 99.0]), jnp.array([0.5, 0.5, 0.0]))[:2].tolist()
      [-1.0, 1.0]

    Source: as `standardized`.
    """
    mean = (weight * x).sum()
    return (x - mean) / (jnp.sqrt((weight * jnp.square(x - mean)).sum()) + 1e-8)


@flax.struct.dataclass
class RewardScaling:
    """What `scale_rewards` carries from batch to batch.

    Args:
      statistics: of the discounted sums of rewards.
      discounted_sum: float32 `[N]`, the sums in progress.

    Source: as `scale_rewards`.
    """

    statistics: RunningStatistics
    discounted_sum: jax.Array


def init_reward_scaling(num_envs: int) -> RewardScaling:
    """Scaling before the first reward of `num_envs` environments, sums `[num_envs]`. Source: as `scale_rewards`."""
    return RewardScaling(init_statistics(jnp.zeros(())), jnp.zeros(num_envs))


def scale_rewards(
    scaling: RewardScaling, reward: jax.Array, done: jax.Array, discount: jax.Array | float, *, clip: float = 10.0
) -> tuple[jax.Array, RewardScaling]:
    """Divide rewards by the standard deviation of their discounted sums, this batch included.

    Args:
      scaling: from the batch before.
      reward: `[T, N]`.
      done: `[T, N]` bool, end of an episode for either reason.
      discount: γ in [0, 1].
      clip: bound of a scaled reward's absolute value: rewards that never differ have no deviation.

    Returns:
      Scaled rewards `[T, N]`, and what to pass with the next batch.

    Example:
      >>> reward, done = jnp.array([[3.0], [-3.0]]), jnp.array([[True], [True]])  # sums 3 and -3: deviation 3
      >>> print(scale_rewards(init_reward_scaling(1), reward, done, 0.99)[0].ravel())
      [ 1. -1.]

    Source: Engstrom et al. (2020), Implementation Matters in Deep Policy Gradients, arXiv:2005.12729,
    "reward scaling". Deviations: the sum restarts at episode ends, and all rewards of a batch are divided alike.
    """
    carry, sums = discounted_sums(scaling.discounted_sum, reward, done, discount)
    statistics = update_statistics(scaling.statistics, sums.reshape(-1))
    scaled = jnp.clip(reward * jax.lax.rsqrt(statistics.variance + 1e-8), -clip, clip)
    return scaled, RewardScaling(statistics, carry)


def discounted_sums(
    initial: jax.Array, reward: jax.Array, done: jax.Array, discount: jax.Array | float
) -> tuple[jax.Array, jax.Array]:
    """Discounted sums of past rewards, `R_t = r_t + γ (1 - done_{t-1}) R_{t-1}`.

    Args:
      initial: `[...]` γ(1 - done)R left by the steps before.
      reward: `[T, ...]`.
      done: `[T, ...]` bool, end of an episode for either reason.
      discount: γ in [0, 1].

    Returns:
      What to pass as `initial` next time `[...]`, and the sums `[T, ...]`.

    Example:
      >>> discounted_sums(jnp.zeros(()), jnp.ones(3), jnp.array([False, True, False]), 0.5)[1].tolist()
      [1.0, 1.5, 1.0]

    Source: Engstrom et al. (2020), Implementation Matters in Deep Policy Gradients, arXiv:2005.12729, Algorithm 1.
    """

    def step(carry: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        reward, done = inputs
        total = carry + reward
        return discount * (1.0 - done) * total, total

    return jax.lax.scan(step, initial, (reward, done))
