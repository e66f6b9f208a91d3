"""Which worlds are grids, and where their states lie."""

from typing import Any, NamedTuple

import numpy as np

from jaxrl.envs.textbook.grids import MOVES


class Grid(NamedTuple):
    """A world on a grid."""

    shape: tuple[int, int]
    """Rows and columns."""
    place: np.ndarray
    """int `[S, 2]`: row and column of each state; -1: nowhere."""
    moves: np.ndarray
    """int `[A, 2]`: the step of each action as (rows, columns)."""


TEXTBOOK_SHAPES = {
    "Gridworld4x4": (4, 4),
    "Gridworld5x5": (5, 5),
    "CliffWalking": (4, 12),
    "WindyGridworld": (7, 10),
}


def grid_of(name: str, env: Any, env_params: Any, states: Any = None) -> Grid | None:
    """The grid of a world; None for a world that is no grid.

    Args:
      name: of the environment, as `make` takes it.
      env: the environment.
      env_params: its parameters.
      states: from `enumerate_environment`, for FourRooms; without them it is no grid.

    Example:
      >>> grid_of("CliffWalking", None, None).shape
      (4, 12)
    """
    if name in TEXTBOOK_SHAPES:
        rows, columns = TEXTBOOK_SHAPES[name]
        moves = MOVES[: 4 if env_params is None else env_params.num_actions]
        return Grid((rows, columns), _row_major(rows, columns), moves)
    if name == "FrozenLake-misc":
        left_down_right_up = MOVES[[3, 2, 1, 0]]
        return Grid((env.nrow, env.ncol), _row_major(env.nrow, env.ncol), left_down_right_up)
    if name == "FourRooms-misc" and states is not None and not env_params.resample_goal_pos:
        return Grid(env.env_map.shape, np.asarray(states.pos), MOVES[:4])
    return None


def _row_major(rows: int, columns: int) -> np.ndarray:
    return np.stack(np.divmod(np.arange(rows * columns), columns), -1)
