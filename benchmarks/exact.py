"""Exact values of a process in float64, by NumPy's linear solver: what solvers and learners are scored against."""

import numpy as np


def policy_values(transition: np.ndarray, reward: np.ndarray, policy: np.ndarray, discount: float) -> np.ndarray:
    """v_π `[S]` of a policy `[S, A]`, for transitions `[S, A, S]` and rewards `[S, A]`."""
    matrix = np.eye(len(policy)) - discount * np.einsum("sa,sat->st", policy, transition)
    return np.linalg.solve(matrix, (policy * reward).sum(-1))


def projected_bellman_error(
    transition: np.ndarray,
    reward: np.ndarray,
    policy: np.ndarray,
    discount: float,
    features: np.ndarray,
    weights: np.ndarray,
) -> float:
    """Root mean square over states of the Bellman error of values `features @ weights`, projected on the features."""
    error = (policy * reward).sum(-1) - features @ weights
    error += discount * np.einsum("sa,sat->st", policy, transition) @ (features @ weights)
    return float(np.sqrt(np.mean((features @ np.linalg.pinv(features) @ error) ** 2)))


def best_values(
    transition: np.ndarray, reward: np.ndarray, discount: float, first: np.ndarray | int | None = None
) -> np.ndarray:
    """v* `[S]` by policy iteration; an action is changed only for one that is better by more than rounding.

    The first policy takes the actions `first` `[S]`, or those of the best rewards.
    """
    states = np.arange(len(reward))
    actions = reward.argmax(1) if first is None else np.broadcast_to(first, states.shape)
    for _ in range(1000):
        matrix = np.eye(len(reward)) - discount * transition[states, actions]
        values = np.linalg.solve(matrix, reward[states, actions])
        q = reward + discount * transition @ values
        better = q.max(1) > q[states, actions] + 1e-11 * np.abs(values).max()
        if not better.any():
            return values
        actions = np.where(better, q.argmax(1), actions)
    raise RuntimeError("policy iteration does not end")
