"""Samples from replay: steps, steps of n, and sequences, by chance or by priority; each costs O(batch)."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.buffers.ring import Replay, following
from jaxrl.types import Transition

CANDIDATES = 8
"""Rows drawn for each sample. Rows of last observations are no steps: the first candidate that is a step is taken."""


@flax.struct.dataclass
class Experience:
    """Samples of several steps: `r_t + γ r_{t+1} + …` and where they led.

    Args:
      obs: `[B, ...]`.
      action: `[B, ...]`, of the first step.
      reward: `[B]`, discounted sum.
      discounts: `[B]`, γ^n (1 - terminated) of the n steps that were summed.
      next_obs: `[B, ...]`, the true observation after them.
    """

    obs: Any
    action: jax.Array
    reward: jax.Array
    discounts: jax.Array
    next_obs: Any


def sample_rows(replay: Replay, key: jax.Array, batch_size: int) -> jax.Array:
    """Rows of uniformly random steps, with replacement.

    Uniform over environments, and over the rows of each: probabilities are right to 2^-32. Should all candidates of a
    sample be last observations, the newest step is taken: that it is likelier by at most 2^-8 for this is the price
    of O(B).

    Args:
      replay: with at least one step of each environment.
      key: consumed.
      batch_size: B.

    Returns:
      Rows, int32 `[B]`.

    Example:
      As `n_step`.

    Source: Lin (1992), Self-Improving Reactive Agents Based on Reinforcement Learning, Planning and Teaching.
    """
    # One draw for all, and products: integers below a bound of each row's own cost five times as much.
    draws = jax.random.bits(key, (1 + CANDIDATES, batch_size), jnp.uint32)
    env = below(draws[0], len(replay.position))
    # The newest rows lie before the head, which moves; the oldest one is the head itself once the ring is full.
    row = (replay.position[env][None] - 1 - below(draws[1:], replay.filled[env][None])) % replay.num_rows
    index = env[None] * replay.num_rows + row
    chosen = jnp.argmax(replay.is_step[index], axis=0)
    index = jnp.take_along_axis(index, chosen[None], axis=0)[0]
    return jnp.where(replay.is_step[index], index, newest_step(replay, env))


def below(bits: jax.Array, bound: Any) -> jax.Array:
    """Integers int32 `[...]` in [0, bound): bits times bound over 2^32, exact without integers of 64 bits.

    Args:
      bits: uint32 `[...]`, random.
      bound: positive, below 2^31.

    Returns:
      Each integer with probability 1 / bound, to 2^-32.

    Example:
      >>> below(jnp.array([0, 2**31, 2**32 - 1], jnp.uint32), 10).tolist()
      [0, 5, 9]

    Source: Lemire (2019), Fast Random Integer Generation in an Interval, without the rejection.
    """
    bound = jnp.asarray(bound, jnp.uint32)
    high, low, bound_high, bound_low = bits >> 16, bits & 0xFFFF, bound >> 16, bound & 0xFFFF
    middle = high * bound_low + (low * bound_low >> 16)
    carry = low * bound_high + (middle & 0xFFFF)
    return (high * bound_high + (middle >> 16) + (carry >> 16)).astype(jnp.int32)


def newest_step(replay: Replay, env: jax.Array) -> jax.Array:
    """Rows of the last steps of environments `[B]`: before the head, or before the last observation there."""
    last = following(replay, env * replay.num_rows + replay.position[env], -1)
    return jnp.where(replay.is_step[last], last, following(replay, last, -1))


def sample_by_priority(replay: Replay, key: jax.Array, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """Rows of steps in proportion to their priorities, one from each of B equal parts of their sum.

    Probabilities are right to 6e-8: a priority below that part of the sum may never be drawn.

    Args:
      replay: with priorities, and at least one step.
      key: consumed.
      batch_size: B.

    Returns:
      Rows, int32 `[B]`, and importance weights 1 / (n p) over the largest of them `[B]`, to be raised to a power β: n
      and the sum of all priorities are the same for all.

    Example:
      As `prioritize`.

    Source: Schaul et al. (2016), Prioritized Experience Replay, section 3.4 and appendix B.2.1, arXiv:1511.05952.
    """
    tree: Any = replay.tree
    fraction = (jnp.arange(batch_size) + jax.random.uniform(key, (batch_size,))) / batch_size
    row, priority = ops.find_leaves(tree, jnp.minimum(fraction, 1.0 - jnp.finfo(fraction.dtype).eps))
    return row, priority.min() / priority


def prioritize(replay: Replay, row: jax.Array, priority: jax.Array) -> Replay:
    """New priorities `[B]` of rows `[B]`.

    Args:
      replay: with priorities.
      row: from `sample_by_priority`.
      priority: positive; a row of priority zero would never be sampled again.

    Returns:
      The replay, in which new steps have the largest priority so far.

    Example:
      >>> import jaxrl
      >>> dqn = jaxrl.DQN(*jaxrl.envs.make("CartPole-v1"), prioritized=True, num_envs=2, warmup=10, capacity=100)
      >>> replay = dqn.init(jax.random.key(0)).memory.replay
      >>> row, weight = sample_by_priority(replay, jax.random.key(1), 4)
      >>> prioritize(replay, row, jnp.full(4, 2.0)).max_priority.tolist()
      2.0

    Source: Schaul et al. (2016), Prioritized Experience Replay, algorithm 1, arXiv:1511.05952.
    """
    tree: Any = replay.tree
    max_priority: Any = replay.max_priority
    tree, max_priority = ops.set_leaves(tree, row, priority), jnp.maximum(max_priority, priority.max())
    return dataclasses.replace(replay, tree=tree, max_priority=max_priority)


def n_step(replay: Replay, row: jax.Array, num_steps: int, discount: jax.Array | float) -> Experience:
    """Discounted rewards of up to `num_steps` steps from given rows on, and the observations after them.

    The sum stops at the end of an episode and at the newest step: its successor is then that of fewer steps, with the
    discount that belongs to them, so that every target is right.

    Args:
      replay: the ring.
      row: `[B]`, of steps, from `sample_rows`.
      num_steps: n ≥ 1, static.
      discount: γ.

    Returns:
      The experience `[B]`.

    Example:
      >>> import jaxrl
      >>> dqn = jaxrl.DQN(*jaxrl.envs.make("CartPole-v1"), num_envs=2, warmup=10, capacity=100)
      >>> replay = dqn.init(jax.random.key(0)).memory.replay
      >>> experience = n_step(replay, sample_rows(replay, jax.random.key(1), 4), 3, discount=0.99)
      >>> experience.next_obs.shape, bool((experience.reward <= 1 + 0.99 + 0.99**2).all())
      ((4, 4), True)

    Source: Sutton & Barto (2018), Reinforcement Learning, eq. 7.1.
    """
    reward, discounts = jnp.zeros(len(row)), jnp.ones(len(row))
    at, running = row, jnp.ones(len(row), bool)
    for _ in range(num_steps):
        reward = reward + jnp.where(running, discounts * replay.reward[at], 0.0)
        discounts = jnp.where(running, discount * discounts * (1.0 - replay.terminated[at]), discounts)
        ended = replay.terminated[at] | replay.truncated[at]
        at = jnp.where(running, following(replay, at), at)
        running = running & ~ended & replay.is_step[at]
    return Experience(
        obs=jax.tree.map(lambda x: x[row], replay.obs),
        action=replay.action[row],
        reward=reward,
        discounts=discounts,
        next_obs=jax.tree.map(lambda x: x[at], replay.obs),
    )


def sequence(replay: Replay, row: jax.Array, length: int) -> tuple[Transition, jax.Array]:
    """The steps from given rows on, and which of them count.

    Those after the end of an episode, or after the newest step, do not count; they repeat the last one that does.

    Args:
      replay: the ring.
      row: `[B]`, of steps, from `sample_rows`.
      length: T, static.

    Returns:
      Transitions `[T, B, ...]`, and bool `[T, B]`. Every `log_prob` is NaN, for the replay keeps none: a ratio of
      likelihoods cannot be taken of them.

    Example:
      >>> import jaxrl
      >>> dqn = jaxrl.DQN(*jaxrl.envs.make("CartPole-v1"), num_envs=2, warmup=10, capacity=100)
      >>> replay = dqn.init(jax.random.key(0)).memory.replay
      >>> steps, counts = sequence(replay, sample_rows(replay, jax.random.key(1), 4), 3)
      >>> steps.obs.shape, counts.shape
      ((3, 4, 4), (3, 4))

    Source: Hausknecht & Stone (2015), Deep Recurrent Q-Learning for Partially Observable MDPs, bootstrapped random
    updates, arXiv:1507.06527.
    """
    at, counts = [row], [jnp.ones(row.shape, bool)]
    for _ in range(length - 1):
        ended = replay.terminated[at[-1]] | replay.truncated[at[-1]]
        next_row = following(replay, at[-1])
        counts.append(counts[-1] & ~ended & replay.is_step[next_row])
        at.append(jnp.where(counts[-1], next_row, at[-1]))
    rows = jnp.stack(at)
    steps = Transition(
        obs=jax.tree.map(lambda x: x[rows], replay.obs),
        action=replay.action[rows],
        reward=replay.reward[rows],
        terminated=replay.terminated[rows],
        truncated=replay.truncated[rows],
        next_obs=jax.tree.map(lambda x: x[following(replay, rows)], replay.obs),
        log_prob=jnp.full(rows.shape, jnp.nan),
    )
    return steps, jnp.stack(counts)
