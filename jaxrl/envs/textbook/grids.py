"""Grids of the textbook; chapters are those of Sutton & Barto (2018)."""

import numpy as np

from jaxrl.envs.mdp import MDP
from jaxrl.envs.tables import from_successors
from jaxrl.envs.textbook.starts import starting_in

MOVES = np.array([[-1, 0], [0, 1], [1, 0], [0, -1], [-1, 1], [1, 1], [1, -1], [-1, -1], [0, 0]])
"""Up, right, down, left, the diagonals, and staying, as (row, column)."""


def gridworld_4x4() -> MDP:
    """Two opposite corners are terminal, every step costs one; actions up, right, down, left.

    Example:
      >>> gridworld_4x4().num_states
      16

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, example 4.1.
    """
    successor = _moved(4, 4)
    terminal = np.isin(np.arange(16), [0, 15])
    return from_successors(successor[..., None], np.ones((16, 4, 1)), np.full((16, 4), -1.0), terminal=terminal)


def gridworld_5x5() -> MDP:
    """From A every action earns 10 and leads to A', from B 5 and B'; bumping into the edge costs one. No end.

    Example:
      >>> gridworld_5x5().terminal is None
      True

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, examples 3.5 and 3.8.
    """
    successor = _moved(5, 5)
    reward = np.where(successor == np.arange(25)[:, None], -1.0, 0.0)
    for state, (target, bonus) in {1: (21, 10.0), 3: (13, 5.0)}.items():
        successor[state], reward[state] = target, bonus
    return from_successors(successor[..., None], np.ones((25, 4, 1)), reward)


def cliff_walking() -> MDP:
    """A 4 x 12 grid, start in the lower left corner (state 36), goal in the lower right (47), between them a cliff.

    A step costs one; stepping off the cliff costs 100 and leads back to the start.

    Example:
      >>> cliff_walking().num_states
      48

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, example 6.6.
    """
    successor = _moved(4, 12)
    fallen = (successor > 36) & (successor < 47)
    reward = np.where(fallen, -100.0, -1.0)
    successor = np.where(fallen, 36, successor)
    mdp = from_successors(successor[..., None], np.ones((48, 4, 1)), reward, terminal=np.arange(48) == 47)
    return starting_in(mdp, 36)


def windy_gridworld(num_moves: int = 4, gusty: bool = False) -> MDP:
    """A 7 x 10 grid with an upward wind in columns 3 to 8; start at the left (30), goal 37, each step costs one.

    Args:
      num_moves: 4, 8 with diagonals (King's moves), or 9 with staying.
      gusty: whether the wind is one stronger or weaker, a third of the time each, where it blows.

    Raises:
      ValueError: for another number of moves.

    Example:
      >>> windy_gridworld().num_states
      70

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, example 6.5, exercises 6.9 and 6.10.
    """
    if num_moves not in (4, 8, 9):
        raise ValueError(f"num_moves={num_moves} must be 4, 8 or 9")
    row, column = np.divmod(np.arange(70), 10)
    wind = np.array([0, 0, 0, 1, 1, 1, 2, 2, 1, 0])[column]
    gusts = np.array([-1, 0, 1] if gusty else [0])
    blown = wind[:, None] + gusts[None] * (wind > 0)[:, None]  # [S, K]
    moves = MOVES[:num_moves]
    next_row = np.clip(row[:, None, None] + moves[None, :, :1] - blown[:, None], 0, 6)
    next_column = np.clip(column[:, None] + moves[None, :, 1], 0, 9)[..., None]
    successor = next_row * 10 + next_column
    probability = np.full(successor.shape, 1 / len(gusts))
    reward = np.full(successor.shape[:2], -1.0)
    return starting_in(from_successors(successor, probability, reward, terminal=np.arange(70) == 37), 30)


TAXI_MAP = ("|R: | : :G|", "| : | : : |", "| : : : : |", "| | : | : |", "|Y| : |B: |")
TAXI_PLACES = ((0, 0), (0, 4), (4, 0), (4, 3))
"""Red, green, yellow, blue, as (row, column)."""


def taxi() -> MDP:
    """Pick a passenger up at one of four places and drop them at another, on a 5 x 5 grid with walls.

    State `((row * 5 + column) * 5 + passenger) * 4 + destination`, passenger 4 is in the taxi; state 500 is the end.
    Actions down, up, right, left, pick up, drop off. A step costs one, a delivery earns 20, a wrong pick-up or drop-off
    costs ten. An episode begins with the passenger waiting at a place that is not the destination.

    Example:
      >>> taxi().num_states
      501

    Source: Dietterich (2000), Hierarchical Reinforcement Learning with the MAXQ Value Function Decomposition; the map
    and rewards of Gymnasium's Taxi-v3.
    """
    successor, reward = np.full((501, 6, 1), 500), np.full((501, 6), -1.0)
    for state in range(500):
        rest, goal = divmod(state, 4)
        place, passenger = divmod(rest, 5)
        row, column = divmod(place, 5)
        here = TAXI_PLACES.index((row, column)) if (row, column) in TAXI_PLACES else -1
        right, left = TAXI_MAP[row][2 * column + 2] == ":", TAXI_MAP[row][2 * column] == ":"
        moved = [(min(row + 1, 4), column), (max(row - 1, 0), column), (row, column + right), (row, column - left)]
        for action, (next_row, next_column) in enumerate(moved):
            successor[state, action] = ((next_row * 5 + next_column) * 5 + passenger) * 4 + goal
        picked, dropped = passenger < 4 and here == passenger, passenger == 4 and here >= 0
        successor[state, 4] = (place * 5 + (4 if picked else passenger)) * 4 + goal
        successor[state, 5] = (place * 5 + (here if dropped else passenger)) * 4 + goal
        if passenger == 4 and here == goal:
            successor[state, 5] = 500
        reward[state, 4] = -1.0 if picked else -10.0
        reward[state, 5] = (20.0 if here == goal else -1.0) if dropped else -10.0
    passenger, goal = np.divmod(np.arange(500), 4)[0] % 5, np.arange(500) % 4
    waiting = np.flatnonzero((passenger != 4) & (passenger != goal))
    mdp = from_successors(successor, np.ones(successor.shape), reward, terminal=np.arange(501) == 500)
    return starting_in(mdp, waiting)


def _moved(rows: int, columns: int) -> np.ndarray:
    """Successor `[S, 4]` of each move in a grid; one that would leave it stays."""
    place = np.stack(np.divmod(np.arange(rows * columns), columns), -1)
    row, column = np.clip(place[:, None] + MOVES[None, :4], 0, [rows - 1, columns - 1]).transpose(2, 0, 1)
    return row * columns + column
