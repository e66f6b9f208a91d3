"""What is no Markov decision process, in one sentence each; and what remains of one."""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

ROW_TOLERANCE = 1e-5
"""How far a row of probabilities may ever be from one."""


def sum_to_one(sums: jax.Array, num_terms: int) -> jax.Array:
    """Whether sums `[...]` of so many probabilities are one within rounding."""
    return jnp.abs(sums - 1) <= min(ROW_TOLERANCE, (num_terms + 6) * float(jnp.finfo(sums.dtype).eps))


def numbers(name: str, values: Any, dtype: Any = np.float64) -> np.ndarray:
    """An array of numbers; a ragged list is none."""
    try:
        return np.asarray(values, dtype)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: must be an array of numbers; {error}") from error


def expected_reward(probability: np.ndarray, reward: np.ndarray) -> tuple[np.ndarray, jax.Array | None]:
    """Rewards `[S, A]`, and `[S, A, K]` if they were given by successor and depend on it."""
    if reward.shape != probability.shape:
        return reward, None
    possible = probability > 0
    counted, sums = np.where(possible, reward, 0.0), probability.sum(axis=-1)
    expected = (probability * counted).sum(axis=-1) / np.where(sums > 0, sums, 1.0)  # as `rows` divides them
    lowest, highest = np.where(possible, reward, np.inf).min(-1), np.where(possible, reward, -np.inf).max(-1)
    return expected, jnp.asarray(counted) if np.any(lowest < highest) else None


def masks(reward: np.ndarray, shape: tuple[int, ...], terminal: Any, allowed: Any) -> tuple[Any, Any, np.ndarray]:
    """Terminal states and allowed actions as arrays or None, and the rewards that count."""
    num_states, num_actions = shape
    if reward.shape != shape:
        raise ValueError(f"reward: must be [{num_states}, {num_actions}], by state and action, not {reward.shape}")
    if terminal is not None:
        terminal = flags("terminal", terminal)
        if terminal.shape != (num_states,):
            raise ValueError(f"terminal: must be [{num_states}], one for each state, not {terminal.shape}")
    finite = reward != -np.inf
    allowed = finite if allowed is None else flags("allowed", allowed)
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


def flags(name: str, values: Any) -> np.ndarray:
    """An array of bools, or of zeros and ones; nothing else, for a list of numbers of states would be all true."""
    values = np.asarray(values)
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise ValueError(f"{name}: must be True or False for each state, not numbers of states or words")
    return values.astype(bool)


def rows(probability: np.ndarray, terminal: Any, allowed: Any) -> np.ndarray:
    """Probabilities `[S, A, K]` in JAX's dtype, whose rows sum to one, or to zero where nothing follows.

    What the dtype rounds away goes to the largest entry: three nearest thirds in float32 sum to more than one, and
    without a discount the best policy would be the slowest, to earn from that at every step.
    """
    taken = counts(probability.shape[:2], terminal, allowed)
    probability = np.where(taken[..., None], probability, 0.0)
    wrong = np.argwhere(~(probability >= 0))
    if len(wrong):
        state, action, k = wrong[0]
        raise ValueError(
            f"transition: state {state}, action {action} has the probability {probability[state, action, k]}"
        )
    sums = probability.sum(axis=-1)
    check_sums(sums, taken)
    rounded = (probability / np.where(taken, sums, 1.0)[..., None]).astype(jnp.zeros(()).dtype)
    largest = rounded.argmax(axis=-1)[..., None]
    missing = (taken - rounded.sum(axis=-1, dtype=np.float64))[..., None]
    np.put_along_axis(rounded, largest, np.take_along_axis(rounded, largest, -1) + missing, -1)
    return rounded


def counts(shape: tuple[int, ...], terminal: Any, allowed: Any) -> Any:
    """Bool `[S, A]`: where an action is taken; the masks are arrays, of NumPy or traced, or None."""
    taken = np.ones(shape, bool) if allowed is None else allowed
    return taken if terminal is None else taken & ~terminal[:, None]


def check_sums(sums: np.ndarray, counted: np.ndarray) -> None:
    """Refuse rows `[S, A]` that count and do not sum to one; those that do are divided by their sums, in float64."""
    wrong = np.argwhere(counted & ~(np.abs(sums - 1) <= ROW_TOLERANCE))
    if len(wrong):
        state, action = wrong[0]
        raise ValueError(
            f"transition: the probabilities of state {state}, action {action} sum to {sums[state, action]:.9g}, "
            f"{abs(sums[state, action] - 1):.2g} away from one"
        )


def check_policy(name: str, policy: Any, shape: tuple[int, ...], allowed: Any = None, terminal: Any = None) -> None:
    """Refuse what is no policy of `shape` = (S, A): actions int `[S]`, or probabilities `[S, A]`.

    Args:
      name: of the field, for the message.
      policy: checked by its shape alone under `jit`.
      shape: S and A.
      allowed: bool `[S, A]` or None.
      terminal: bool `[S]` or None; what the policy does there does not matter.

    Raises:
      ValueError: naming the first state that is wrong.
    """
    if jnp.shape(policy) not in (shape, shape[:1]):
        raise ValueError(
            f"{name}: must be actions [{shape[0]}] or probabilities [{shape[0]}, {shape[1]}], not {jnp.shape(policy)}"
        )
    if any(isinstance(x, jax.core.Tracer) for x in (policy, allowed, terminal)):
        return
    policy = np.asarray(policy)
    if policy.ndim == 1:
        if not np.issubdtype(policy.dtype, np.integer):
            raise ValueError(f"{name}: actions must be integers, not {policy.dtype}")
        policy = policy[:, None] == np.arange(shape[1])
    right = (policy >= 0).all(-1) & (np.abs(policy.sum(-1) - 1) < ROW_TOLERANCE)
    right &= True if allowed is None else (np.asarray(allowed) | (policy == 0)).all(-1)
    right |= False if terminal is None else np.asarray(terminal)
    if not right.all():
        raise ValueError(f"{name}: what state {right.argmin()} does is not allowed, or no distribution")


def check_process(mdp: Any) -> None:
    """Refuse a process, not traced, in which a row that counts is none of probabilities of states.

    Raises:
      ValueError: naming the first state and action.
    """
    wrong = np.argwhere(~np.asarray(mdp.are_distributions()))
    if len(wrong):
        state, action = wrong[0]
        raise ValueError(
            f"mdp: the probabilities of state {state}, action {action} are negative or do not sum to one, or lead to "
            f"no state"
        )


def optional(*arrays: Any) -> list[Any]:
    """Arrays of JAX; None stays."""
    return [None if array is None else jnp.asarray(array) for array in arrays]
