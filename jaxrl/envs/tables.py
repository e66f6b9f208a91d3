"""Tables of Markov decision processes from what people have: arrays, successor lists, Gymnasium's dictionaries."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrl.envs.mdp import MDP, DenseMDP, FanoutMDP, FunctionalMDP

ROW_TOLERANCE = 1e-5
"""How far a row of probabilities may be from one; it is divided by its sum then, in float64."""


def from_arrays(transition: Any, reward: Any, *, terminal: Any = None, allowed: Any = None) -> DenseMDP:
    """A dense process from NumPy arrays, or anything that becomes one.

    Args:
      transition: `[S, A, S]`, p(s'|s, a).
      reward: `[S, A]`, or `[S, A, S]` by successor, or `[S]` by state; -inf forbids the action.
      terminal: bool `[S]`; their rows count nothing. None: no episode ends.
      allowed: bool `[S, A]`; None: every action that has a finite reward.

    Returns:
      The process, in float64 under `jax.enable_x64()`, else in float32.

    Raises:
      ValueError: for shapes that do not fit, rows that do not sum to one, negative probabilities, rewards that are NaN
        or infinite, no state; the message names state and action.

    Example:
      >>> from_arrays([[[0.5, 0.5]], [[0.0, 1.0]]], [[1.0], [0.0]]).num_states
      2
    """
    transition = np.asarray(transition, np.float64)
    if transition.ndim != 3 or transition.shape[0] != transition.shape[2] or 0 in transition.shape:
        raise ValueError(f"transition: must be [S, A, S] with at least one state and action, not {transition.shape}")
    num_states, num_actions, _ = transition.shape
    reward = np.asarray(reward, np.float64)
    if reward.shape == (num_states,) and num_actions != num_states:
        reward = np.repeat(reward[:, None], num_actions, axis=1)
    if reward.shape == transition.shape:
        reward = np.where(transition > 0, transition * reward, 0.0).sum(axis=-1)
    terminal, allowed, reward = _masks(reward, (num_states, num_actions), terminal, allowed)
    transition = _rows(transition, terminal, allowed)
    return DenseMDP(jnp.asarray(transition), jnp.asarray(reward), *_optional(terminal, allowed))


def from_successors(
    successor: Any, probability: Any, reward: Any, *, terminal: Any = None, allowed: Any = None
) -> FanoutMDP:
    """A process with a fixed number of successors.

    Args:
      successor: int `[S, A, K]`.
      probability: `[S, A, K]`; padding has probability zero.
      reward: `[S, A]`, or `[S, A, K]` by successor.
      terminal: bool `[S]`, as `from_arrays`.
      allowed: bool `[S, A]`, as `from_arrays`.

    Returns:
      The process.

    Raises:
      ValueError: as `from_arrays`, and for a successor that is no state.

    Example:
      >>> from_successors([[[0, 1]], [[1, 1]]], [[[0.5, 0.5]], [[1.0, 0.0]]], [[1.0], [0.0]]).num_states
      2
    """
    successor, probability = np.asarray(successor), np.asarray(probability, np.float64)
    if successor.shape != probability.shape or successor.ndim != 3 or 0 in successor.shape:
        raise ValueError(
            f"successor, probability: both must be [S, A, K] with at least one state, action and successor, not "
            f"{successor.shape} and {probability.shape}"
        )
    num_states = len(successor)
    wrong = np.argwhere((successor < 0) | (successor >= num_states))
    if len(wrong):
        state, action, k = wrong[0]
        raise ValueError(
            f"successor: state {state}, action {action} leads to {successor[state, action, k]}, but the states are "
            f"0 to {num_states - 1}"
        )
    reward = np.asarray(reward, np.float64)
    if reward.shape == probability.shape:
        reward = np.where(probability > 0, probability * reward, 0.0).sum(axis=-1)
    terminal, allowed, reward = _masks(reward, successor.shape[:2], terminal, allowed)
    probability = _rows(probability, terminal, allowed)
    arrays = jnp.asarray(successor, jnp.int32), jnp.asarray(probability), jnp.asarray(reward)
    return FanoutMDP(*arrays, *_optional(terminal, allowed))


def from_gymnasium(table: Mapping[int, Mapping[int, Sequence[Any]]]) -> FanoutMDP:
    """The process of Gymnasium's toy-text environments, `env.unwrapped.P`.

    A state that only ends episodes becomes terminal. One that is entered both alive and at an end (Taxi's
    destination) stays alive, and the ends lead to one more state, the last.

    Args:
      table: `table[state][action]` is a list of (probability, successor, reward, terminated).

    Returns:
      The process.

    Raises:
      ValueError: as `from_successors`.

    Example:
      >>> table = {0: {0: [(1.0, 1, 5.0, True)]}, 1: {0: [(1.0, 1, 0.0, True)]}}
      >>> from_gymnasium(table).terminal.tolist()
      [False, True]
    """
    if not table:
        raise ValueError("table: holds no state")
    num_states, num_actions = len(table), len(table[0])
    outcomes = [[list(table[s][a]) for a in range(num_actions)] for s in range(num_states)]
    ended = {o[1] for row in outcomes for each in row for o in each if o[3] and o[0] > 0}
    entered = {
        o[1] for s, row in enumerate(outcomes) for each in row for o in each if not o[3] and o[0] > 0 and o[1] != s
    }
    stays = {s for s in ended if all(o[1] == s and o[3] for each in outcomes[s] for o in each)}
    # Terminal: it ends an episode, and its own row shows no life or nobody enters it alive.
    terminal = {s for s in ended if s in stays or s not in entered}
    mixed = ended - terminal
    end, total = num_states, num_states + bool(mixed)
    width = max(1, max(len(each) for row in outcomes for each in row))
    successor = np.tile(np.arange(total)[:, None, None], (1, num_actions, width))
    probability, reward = np.zeros(successor.shape), np.zeros(successor.shape)
    for s, row in enumerate(outcomes):
        for a, each in enumerate(row):
            for k, (p, next_state, r, terminated) in enumerate(each):
                successor[s, a, k] = end if terminated and next_state in mixed else next_state
                probability[s, a, k], reward[s, a, k] = p, r
    if mixed:
        terminal.add(end)
    flags = np.isin(np.arange(total), list(terminal))
    return from_successors(successor, probability, reward, terminal=flags if flags.any() else None)


def to_dense(mdp: MDP) -> DenseMDP:
    """The same process with all transition probabilities, `[S, A, S]`: S² A numbers.

    Example:
      >>> to_dense(from_successors([[[0]]], [[[1.0]]], [[2.0]])).transition.tolist()
      [[[1.0]]]
    """
    if isinstance(mdp, DenseMDP):
        return mdp
    mdp = to_fanout(mdp)
    states, actions = jnp.arange(mdp.num_states), jnp.arange(mdp.num_actions)
    zeros = jnp.zeros((mdp.num_states, mdp.num_actions, mdp.num_states), mdp.probability.dtype)
    index = (states[:, None, None], actions[None, :, None], mdp.successor)
    return DenseMDP(zeros.at[index].add(mdp.probability), mdp.reward, mdp.terminal, mdp.allowed)


def to_fanout(mdp: MDP) -> FanoutMDP:
    """The same process as lists of successors, K as small as the widest row allows.

    Example:
      >>> to_fanout(from_arrays([[[0.0, 1.0]], [[1.0, 0.0]]], [[0.0], [1.0]])).successor.tolist()
      [[[1]], [[0]]]
    """
    if isinstance(mdp, FanoutMDP):
        return mdp
    if isinstance(mdp, FunctionalMDP):
        outcome = mdp.outcomes(jnp.arange(mdp.num_states))
        reward = (outcome.probability * outcome.reward).sum(-1)
        return FanoutMDP(outcome.successor, outcome.probability, reward, mdp.terminal, mdp.allowed)
    width = max(1, int((mdp.transition > 0).sum(-1).max()))
    successor = jnp.argsort(mdp.transition <= 0, axis=-1, stable=True)[..., :width].astype(jnp.int32)
    probability = jnp.take_along_axis(mdp.transition, successor, axis=-1)
    return FanoutMDP(successor, probability, mdp.reward, mdp.terminal, mdp.allowed)


def _masks(reward: np.ndarray, shape: tuple[int, ...], terminal: Any, allowed: Any) -> tuple[Any, Any, np.ndarray]:
    """Terminal states and allowed actions as arrays or None, and the rewards that count."""
    num_states, num_actions = shape
    if reward.shape != shape:
        raise ValueError(f"reward: must be [{num_states}, {num_actions}], by state and action, not {reward.shape}")
    if terminal is not None:
        terminal = np.asarray(terminal, bool)
        if terminal.shape != (num_states,):
            raise ValueError(f"terminal: must be [{num_states}], one for each state, not {terminal.shape}")
    finite = reward != -np.inf
    allowed = finite if allowed is None else np.asarray(allowed, bool)
    if allowed.shape != shape:
        raise ValueError(f"allowed: must be [{num_states}, {num_actions}], one for each state and action")
    alive = np.ones(num_states, bool) if terminal is None else ~terminal
    stuck = np.flatnonzero(alive & ~allowed.any(axis=1))
    if len(stuck):
        raise ValueError(f"allowed: state {stuck[0]} has no action; allow one, or make the state terminal")
    counts = allowed & alive[:, None]
    wrong = np.argwhere(counts & ~np.isfinite(reward))
    if len(wrong):
        state, action = wrong[0]
        raise ValueError(f"reward: state {state}, action {action} has {reward[state, action]}; it must be finite")
    allowed = allowed | ~alive[:, None]
    return terminal, None if allowed.all() else allowed, np.where(counts, reward, 0.0)


def _rows(probability: np.ndarray, terminal: Any, allowed: Any) -> np.ndarray:
    """Probabilities `[S, A, K]` whose rows sum to one, or to zero where nothing follows."""
    counts = np.ones(probability.shape[:2], bool) if allowed is None else allowed.copy()
    if terminal is not None:
        counts &= ~terminal[:, None]
    probability = np.where(counts[..., None], probability, 0.0)
    wrong = np.argwhere(~(probability >= 0))
    if len(wrong):
        state, action, k = wrong[0]
        raise ValueError(
            f"transition: state {state}, action {action} has the probability {probability[state, action, k]}"
        )
    sums = probability.sum(axis=-1)
    wrong = np.argwhere(counts & ~(np.abs(sums - 1) <= ROW_TOLERANCE))
    if len(wrong):
        state, action = wrong[0]
        raise ValueError(
            f"transition: the probabilities of state {state}, action {action} sum to {sums[state, action]:.9g}, "
            f"{abs(sums[state, action] - 1):.2g} away from one"
        )
    return probability / np.where(counts, sums, 1.0)[..., None]


def _optional(*arrays: Any) -> list[Any]:
    return [None if array is None else jnp.asarray(array) for array in arrays]
