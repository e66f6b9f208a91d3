"""Tables of Markov decision processes from what people have: arrays, successor lists, Gymnasium's dictionaries."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from jaxrl import ops
from jaxrl.envs.mdp import MDP
from jaxrl.envs.refusals import counts, expected_reward, masks, numbers, optional, rows
from jaxrl.envs.transitions import DenseTransitions, FanoutTransitions, FunctionalTransitions, Outcome


def from_arrays(transition: Any, reward: Any, *, terminal: Any = None, allowed: Any = None) -> MDP:
    """A dense process from NumPy arrays, or anything that becomes one.

    Args:
      transition: `[S, A, S]`, p(s'|s, a).
      reward: `[S, A]`, or `[S, A, S]` by successor, or `[S]` by state; -inf forbids the action.
      terminal: bool `[S]`; their rows count nothing. None: no episode ends.
      allowed: bool `[S, A]`; None: every action whose reward is not -inf.

    Returns:
      The process, in float64 under `jax.enable_x64()`, else in float32.

    Raises:
      ValueError: for shapes that do not fit, rows that do not sum to one, negative probabilities, rewards that are NaN
        or infinite, no state; the message names state and action.

    Example:
      >>> from_arrays([[[0.5, 0.5]], [[0.0, 1.0]]], [[1.0], [0.0]]).num_states
      2
    """
    transition, reward = numbers("transition", transition), numbers("reward", reward)
    if transition.ndim != 3 or transition.shape[0] != transition.shape[2] or 0 in transition.shape:
        raise ValueError(f"transition: must be [S, A, S] with at least one state and action, not {transition.shape}")
    num_states, num_actions, _ = transition.shape
    if reward.ndim == 1:
        reward = np.repeat(reward[:, None], num_actions, axis=1)
    reward, by_successor = expected_reward(transition, reward)
    terminal, allowed, reward = masks(reward, (num_states, num_actions), terminal, allowed)
    transitions = DenseTransitions(jnp.asarray(rows(transition, terminal, allowed)), by_successor)
    return MDP(transitions, jnp.asarray(reward), *optional(terminal, allowed))


def from_successors(successor: Any, probability: Any, reward: Any, *, terminal: Any = None, allowed: Any = None) -> MDP:
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
    successor, probability = numbers("successor", successor, None), numbers("probability", probability)
    if successor.shape != probability.shape or successor.ndim != 3 or 0 in successor.shape:
        raise ValueError(
            f"successor, probability: both must be [S, A, K] with at least one state, action and successor, not "
            f"{successor.shape} and {probability.shape}"
        )
    if not np.issubdtype(successor.dtype, np.integer):
        raise ValueError(f"successor: must be integers, the numbers of states, not {successor.dtype}")
    num_states = len(successor)
    wrong = np.argwhere((successor < 0) | (successor >= num_states))
    if len(wrong):
        state, action, k = wrong[0]
        raise ValueError(
            f"successor: state {state}, action {action} leads to {successor[state, action, k]}, but the states are "
            f"0 to {num_states - 1}"
        )
    reward, by_successor = expected_reward(probability, numbers("reward", reward))
    terminal, allowed, reward = masks(reward, successor.shape[:2], terminal, allowed)
    probability = jnp.asarray(rows(probability, terminal, allowed))
    by_successor = None if by_successor is None else by_successor.T
    transitions = FanoutTransitions(jnp.asarray(successor.T, jnp.int32), probability.T, by_successor)
    return MDP(transitions, jnp.asarray(reward), *optional(terminal, allowed))


def from_gymnasium(table: Mapping[int, Mapping[int, Sequence[Any]]]) -> MDP:
    """The process of Gymnasium's toy-text environments, `env.unwrapped.P`.

    A state that only ends episodes becomes terminal. One that is entered both alive and at an end (Taxi's
    destination) stays alive, and the ends lead to one more state, the last. Gymnasium says nowhere which state an
    episode begins in: one that is only ever entered by an end counts as terminal, also if it is a start; give such a
    process to `from_successors`.

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
    missing = sorted(set(range(len(table))) - set(table))
    if missing:
        raise ValueError(f"table: the states must be 0 to {len(table) - 1}, but {missing[0]} is not there")
    num_states, num_actions = len(table), len(table[0])
    ragged = [s for s in range(num_states) if sorted(table[s]) != list(range(num_actions))]
    if ragged:
        raise ValueError(f"table: state {ragged[0]} must have the actions 0 to {num_actions - 1}, as state 0 has")
    outcomes = [[list(table[s][a]) for a in range(num_actions)] for s in range(num_states)]
    lost = [s for s, row in enumerate(outcomes) if any(o[1] not in table for each in row for o in each)]
    if lost:
        raise ValueError(f"table: state {lost[0]} leads to a state that is none of 0 to {num_states - 1}")
    ended = {o[1] for row in outcomes for each in row for o in each if o[3] and o[0] > 0}
    entered = {
        o[1] for s, row in enumerate(outcomes) for each in row for o in each if not o[3] and o[0] > 0 and o[1] != s
    }
    alone = {s for s in ended if all(o[1] == s and o[3] for each in outcomes[s] for o in each)}
    earns = {s for s in alone if any(o[2] != 0 and o[0] > 0 for each in outcomes[s] for o in each)}
    # Terminal: it ends an episode, and its own row shows no life or nobody enters it alive. A row that only ends and
    # earns is one of an exit or a bandit.
    terminal = {s for s in ended if s not in earns and (s in alone or s not in entered)}
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


def from_function(
    outcome: Callable[..., Outcome],
    sizes: tuple[int, int, int],
    params: Any = None,
    *,
    terminal: Any = None,
    allowed: Any = None,
) -> MDP:
    """A process whose transitions are computed: it stores `[S, A]` rewards and nothing that grows with the successors.

    Traceable: `params` may be vmapped over.

    Args:
      outcome: function of (params, state, action, event), all int32 `[]` but the first, that gives an `Outcome`.
      sizes: S, A and E, the numbers of states, actions, and random events of each action.
      params: passed to the function, a pytree.
      terminal: bool `[S]`; None: no episode ends. Not checked if it is traced.
      allowed: bool `[S, A]`; None: every action. As `terminal`.

    Returns:
      The process.

    Raises:
      ValueError: for sizes that are not positive; for masks of other shapes, and for a state without an allowed action;
        if the probabilities of a state and action are negative or do not sum to one within rounding, if a successor
        is no state, or if a reward is not finite: under `jit` the expected reward is NaN instead.

    Example:
      >>> def coin(heads, state, action, event):
      ...     return Outcome(event, jnp.where(event == 1, 1.0, 0.0), jnp.where(event == 1, heads, 1 - heads))
      >>> from_function(coin, (2, 1, 2), 0.25).reward.tolist()
      [[0.25], [0.25]]
    """
    if len(sizes) != 3 or not all(isinstance(n, (int, np.integer)) and n > 0 for n in sizes):
        raise ValueError(f"sizes={sizes}: must be three positive integers, the numbers of states, actions and events")
    transitions = FunctionalTransitions(outcome, *sizes, params)
    if any(isinstance(mask, jax.core.Tracer) for mask in (terminal, allowed)):
        terminal, allowed = (None if mask is None else jnp.asarray(mask, bool) for mask in (terminal, allowed))
    else:
        terminal, allowed, _ = masks(np.zeros(sizes[:2]), sizes[:2], terminal, allowed)
    reward, largest, right = _totals(transitions, counts(sizes[:2], terminal, allowed))
    if not isinstance(right, jax.core.Tracer) and not right.all():
        state, action = np.argwhere(~np.asarray(right))[0]
        raise ValueError(
            f"outcome: of state {state}, action {action} the probabilities are negative or do not sum to one, a reward "
            f"is not finite, or a successor is none of the states 0 to {sizes[0] - 1}"
        )
    error = ops.sum_error(largest, sizes[2] + 3)  # what they are sums of may be larger than they are
    return MDP(transitions, reward, *optional(terminal, allowed), reward_error=error)


@jax.jit
def _totals(transitions: FunctionalTransitions, counted: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Expected rewards `[S, A]`, NaN where wrong; the largest sum of their sizes `[]`; what is right `[S, A]`."""

    def add(event: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        outcome = transitions.outcomes(event)  # one event at a time: all together would be E times the memory
        part = outcome.probability.astype(carry[0].dtype) * outcome.reward
        return carry[0] + part, carry[1] + jnp.abs(part)

    zeros = jnp.zeros((transitions.num_actions, transitions.num_states))
    reward, sizes = jax.lax.fori_loop(0, transitions.num_events, add, (zeros, zeros))
    right = transitions.are_distributions() & jnp.isfinite(reward.T)
    reward = jnp.where(counted, jnp.where(right, reward.T, jnp.nan), 0.0)
    return reward, jnp.where(counted, sizes.T, 0.0).max(), right | ~counted
