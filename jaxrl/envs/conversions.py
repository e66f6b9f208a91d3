"""The same process with its transitions stored in another way; rows of terminal states become zero."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from jaxrl.envs.mdp import MDP
from jaxrl.envs.transitions import DenseTransitions, FanoutTransitions, FunctionalTransitions


def to_dense(mdp: MDP) -> MDP:
    """The same process with all transition probabilities, `[S, A, S]`: S² A numbers.

    Example:
      >>> from jaxrl.envs import from_successors
      >>> to_dense(from_successors([[[0]]], [[[1.0]]], [[2.0]])).transitions.probability.tolist()
      [[[1.0]]]
    """
    if isinstance(mdp.transitions, DenseTransitions):
        return mdp
    fanout: Any = to_fanout(mdp).transitions
    states, actions = jnp.arange(mdp.num_states), jnp.arange(mdp.num_actions)
    zeros = jnp.zeros((*mdp.reward.shape, mdp.num_states), fanout.probability.dtype)
    index = (states[None, None], actions[None, :, None], fanout.successor)
    probability, reward = zeros.at[index].add(fanout.probability), None
    if fanout.reward is not None:  # of successors that stand there twice, their mean
        reward = zeros.at[index].add(fanout.probability * fanout.reward) / jnp.where(probability > 0, probability, 1.0)
    return dataclasses.replace(mdp, transitions=DenseTransitions(probability, reward))


def to_fanout(mdp: MDP) -> MDP:
    """The same process as lists of successors, K as small as the widest row allows.

    Example:
      >>> from jaxrl.envs import from_arrays
      >>> mdp = to_fanout(from_arrays([[[0.0, 1.0]], [[1.0, 0.0]]], [[0.0], [1.0]]))
      >>> mdp.transitions.successor.tolist()
      [[[1, 0]]]
    """
    transitions = mdp.transitions
    if isinstance(transitions, FanoutTransitions):
        return mdp
    if isinstance(transitions, FunctionalTransitions):
        outcomes = transitions.all_outcomes()
        alive = 1.0 if mdp.terminal is None else ~mdp.terminal[None, None]
        probability, reward = (
            outcomes.probability * alive,
            jnp.broadcast_to(outcomes.reward, outcomes.probability.shape),
        )
        return dataclasses.replace(mdp, transitions=FanoutTransitions(outcomes.successor, probability, reward))
    width = max(1, int((transitions.probability > 0).sum(-1).max()))
    successor = jnp.argsort(transitions.probability <= 0, axis=-1, stable=True)[..., :width].astype(jnp.int32)
    probability = jnp.take_along_axis(transitions.probability, successor, axis=-1)
    reward = transitions.reward
    if reward is not None:
        reward = jnp.take_along_axis(reward, successor, axis=-1).T
    return dataclasses.replace(mdp, transitions=FanoutTransitions(successor.T, probability.T, reward))
