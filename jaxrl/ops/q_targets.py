"""Rules of what follows an experience: one function for each, a field of `jaxrl.DQN`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def taken(outputs: jax.Array, action: jax.Array) -> jax.Array:
    """What a network says about the actions taken. Selected, since XLA's CPU backend is slow at a gather's gradient.

    Args:
      outputs: `[B, A, ...]`.
      action: int32 `[B]`.

    Returns:
      `[B, ...]`.

    Example:
      >>> taken(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1, 0])).tolist()
      [2.0, 3.0]

    Source: Mnih et al. (2015), Human-level Control through Deep Reinforcement Learning, algorithm 1: q(s, a).
    """
    is_taken = jax.nn.one_hot(action, outputs.shape[1], dtype=bool)
    return jnp.where(jax.lax.expand_dims(is_taken, range(2, outputs.ndim)), outputs, 0.0).sum(1)


QFunction = Callable[[Any], jax.Array]
"""From observations `[B, ...]` to action values `[B, A]`."""


def max_backup(experience: Any, online: QFunction, target: QFunction) -> tuple[jax.Array, jax.Array]:
    """The best action by the target network follows: R + d max_a q_target(s', a).

    Args:
      experience: with `reward`, `discounts` `[B]` and `next_obs` `[B, ...]`: `jaxrl.buffers.Experience`.
      online: the learning network; not used here.
      target: the slow one.

    Returns:
      The policy at `next_obs` `[B, A]`, and what is added to the reward `[B]`.

    Source: Mnih et al. (2015), Human-level Control through Deep Reinforcement Learning, algorithm 1.
    """
    q = target(experience.next_obs)
    return jax.nn.one_hot(q.argmax(-1), q.shape[-1]), jnp.zeros(len(q))


def double_backup(experience: Any, online: QFunction, target: QFunction) -> tuple[jax.Array, jax.Array]:
    """The best action by the learning network follows, judged by the other: R + d q_target(s', argmax_a q(s', a)).

    Arguments and results, `[B, A]` and `[B]`, are those of `max_backup`.

    Source: van Hasselt, Guez & Silver (2016), Deep Reinforcement Learning with Double Q-learning, eq. 4,
    arXiv:1509.06461.
    """
    q = online(experience.next_obs)
    return jax.nn.one_hot(q.argmax(-1), q.shape[-1]), jnp.zeros(len(q))


def munchausen_backup(experience: Any, online: QFunction, target: QFunction) -> tuple[jax.Array, jax.Array]:
    """R + α τ log π(a|s) + d Σ_a' π(a'|s') (q(s', a') - τ log π(a'|s')), with π the softmax of q_target / τ.

    α = 0.9, τ = 0.03, and τ log π is kept above -1, as published; for one step, since the bonus is that of the first.
    Arguments and results, `[B, A]` and `[B]`, are those of `max_backup`.

    Source: Vieillard, Pietquin & Geist (2020), Munchausen Reinforcement Learning, eq. 3, arXiv:2007.14430.
    """
    alpha, temperature, lowest = 0.9, 0.03, -1.0
    log_policy = jax.nn.log_softmax(target(experience.obs) / temperature)
    log_prob = taken(log_policy, experience.action)
    next_log_policy = jax.nn.log_softmax(target(experience.next_obs) / temperature)
    policy = jnp.exp(next_log_policy)
    entropy = -(policy * next_log_policy).sum(-1)
    bonus = alpha * jnp.clip(temperature * log_prob, lowest, 0.0) + experience.discounts * temperature * entropy
    return policy, bonus
