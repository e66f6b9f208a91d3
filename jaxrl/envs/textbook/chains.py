"""Small processes of the textbook, each with one lesson, and random ones."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.envs.mdp import MDP
from jaxrl.envs.tables import from_successors
from jaxrl.envs.textbook.starts import starting_in


def random_walk(num_states: int = 5, rewards: tuple[float, float] = (0.0, 1.0)) -> MDP:
    """A chain with a terminal state at either end; one action, which steps left or right by a fair coin.

    States 1 to `num_states` are the chain, 0 and `num_states + 1` the ends; an episode begins in the middle.

    Args:
      num_states: of the chain.
      rewards: for reaching the left and the right end.

    Raises:
      ValueError: for no state.

    Example:
      >>> random_walk().num_states
      7

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, examples 6.2 (5 states) and 7.1 (19).
    """
    if num_states < 1:
        raise ValueError(f"num_states={num_states} must be at least 1")
    states = np.arange(num_states + 2)
    successor = np.stack([np.maximum(states - 1, 0), np.minimum(states + 1, num_states + 1)], -1)[:, None]
    reward = np.zeros(successor.shape)
    reward[1, 0, 0], reward[num_states, 0, 1] = rewards
    terminal = np.isin(states, [0, num_states + 1])
    mdp = from_successors(successor, np.full(successor.shape, 0.5), reward, terminal=terminal)
    return starting_in(mdp, (num_states + 1) // 2)


def short_corridor() -> MDP:
    """Three states in a row, the end to their right; in the middle one the actions left and right are swapped.

    States 0, 1, 2, end 3; actions left and right; a step costs one. A policy that cannot tell the states apart does
    best to go right with probability 2 - √2.

    Example:
      >>> short_corridor().num_states
      4

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, example 13.1.
    """
    successor = np.array([[0, 1], [2, 0], [1, 3], [3, 3]])[..., None]
    mdp = from_successors(successor, np.ones((4, 2, 1)), np.full((4, 2), -1.0), terminal=np.arange(4) == 3)
    return starting_in(mdp, 0)


def maximization_bias(num_actions: int = 10) -> MDP:
    """From A (state 0) right (action 0) to the end, or left (1) to B (state 1), whose actions earn -0.1 on average.

    The rewards of B are normal with standard deviation one: their maximum looks better than the end.

    Args:
      num_actions: of B, at least two.

    Raises:
      ValueError: for fewer.

    Example:
      >>> maximization_bias().num_states
      3

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, example 6.7.
    """
    if num_actions < 2:
        raise ValueError(f"num_actions={num_actions} must be at least 2, right and left")
    successor = np.full((3, num_actions, 1), 2)
    successor[0, 1] = 1
    reward, allowed = np.zeros((3, num_actions)), np.ones((3, num_actions), bool)
    reward[1], allowed[0, 2:] = -0.1, False
    mdp = from_successors(successor, np.ones(successor.shape), reward, terminal=np.arange(3) == 2, allowed=allowed)
    noise = jnp.zeros(reward.shape).at[1].set(1.0)
    return starting_in(dataclasses.replace(mdp, reward_noise=noise), 0)


def baird() -> MDP:
    """Seven states; action 0 leads to one of the first six, action 1 to the seventh. There is no reward and no end.

    With `baird_features`, semi-gradient TD of the policy that takes action 1, from steps of one that takes it one time
    in seven, diverges.

    Example:
      >>> baird().num_states
      7

    Source: Baird (1995), Residual Algorithms; Sutton & Barto (2018), section 11.2.
    """
    successor = np.stack([np.arange(6), np.full(6, 6)])[None].repeat(7, axis=0)
    return from_successors(successor, np.full(successor.shape, 1 / 6), np.zeros((7, 2)))


def baird_features(state: jax.Array) -> jax.Array:
    """Features `[..., 8]` of states int `[...]`: the first six are worth 2 w_i + w_8, the seventh w_7 + 2 w_8.

    Example:
      >>> baird_features(jnp.array([0, 6])).tolist()
      [[2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0]]

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, figure 11.1.
    """
    last = state == 6
    own = jax.nn.one_hot(state, 7) * jnp.where(last, 1.0, 2.0)[..., None]
    return jnp.concatenate([own, jnp.where(last, 2.0, 1.0)[..., None]], axis=-1)


def garnet(num_states: int, num_actions: int, num_successors: int, seed: int = 0) -> MDP:
    """A random process: each action leads to `num_successors` different states, probabilities uniform on the simplex.

    Args:
      num_states: S.
      num_actions: A.
      num_successors: K ≤ S.
      seed: of NumPy's generator.

    Returns:
      A process with standard normal rewards and no end.

    Raises:
      ValueError: if K is more than S.

    Example:
      >>> mdp = garnet(10, 2, 3)
      >>> mdp.num_states, mdp.num_actions, mdp.transitions.num_terms
      (10, 2, 3)

    Source: Bhatnagar et al. (2009), Natural Actor-Critic Algorithms, section 6 (GARNET); sampling without replacement:
    Bentley & Floyd (1987), A Sample of Brilliance.
    """
    if num_successors > num_states:
        raise ValueError(f"num_successors={num_successors} must be at most num_states={num_states}")
    random = np.random.default_rng(seed)
    shape = (num_states, num_actions, num_successors)
    successor = np.empty(shape, np.int64)
    for k in range(num_successors):  # Floyd's sampling: a draw that is there already is replaced by the newest state
        last = num_states - num_successors + k
        drawn = random.integers(0, last + 1, shape[:2])
        taken = (successor[..., :k] == drawn[..., None]).any(axis=-1)
        successor[..., k] = np.where(taken, last, drawn)
    probability = random.dirichlet(np.ones(num_successors), shape[:2])
    return from_successors(successor, probability, random.standard_normal(shape[:2]))
