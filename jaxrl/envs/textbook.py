"""The problems of the textbook as Markov decision processes; chapters are those of Sutton & Barto (2018)."""

import numpy as np

from jaxrl.envs.mdp import MDP
from jaxrl.envs.tables import from_arrays, from_successors

MOVES = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]])
"""Up, right, down, left as (row, column)."""


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


def gambler(heads: float = 0.4, goal: int = 100) -> MDP:
    """Stake up to one's capital on a coin until nothing or `goal` is left; reward one at the goal.

    States are the capital, 0 to `goal`, both ends terminal; action a stakes a + 1.

    Args:
      heads: probability of winning the stake.
      goal: capital to reach.

    Example:
      >>> gambler().num_states
      101

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, example 4.3.
    """
    capital, stake = np.arange(goal + 1)[:, None], np.arange(1, goal // 2 + 1)[None]
    allowed = stake <= np.minimum(capital, goal - capital)
    won, lost = np.where(allowed, capital + stake, capital), np.where(allowed, capital - stake, capital)
    probability = np.broadcast_to([heads, 1 - heads], (*won.shape, 2))
    reward = heads * (won == goal)
    terminal = np.isin(np.arange(goal + 1), [0, goal])
    return from_successors(np.stack([won, lost], -1), probability, reward, terminal=terminal, allowed=allowed)


def car_rental(max_cars: int = 20, max_moves: int = 5) -> MDP:
    """Jack's car rental: two locations, Poisson requests (3, 4) and returns (3, 2), cars moved overnight.

    State `n1 * (max_cars + 1) + n2`; action a moves a - `max_moves` cars from the first to the second location. A
    rental earns 10, a move costs 2. The Poisson distributions are whole, not cut.

    Args:
      max_cars: of each location; more are lost.
      max_moves: of one night.

    Example:
      >>> car_rental(max_cars=3).num_states
      16

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, example 4.2.
    """
    size = max_cars + 1
    places = [_rental_place(max_cars, *rates) for rates in ((3.0, 3.0), (4.0, 2.0))]
    n1, n2 = np.divmod(np.arange(size * size), size)
    transition = np.zeros((size * size, 2 * max_moves + 1, size * size))
    reward = np.zeros(transition.shape[:2])
    allowed = np.zeros(reward.shape, bool)
    for action, move in enumerate(range(-max_moves, max_moves + 1)):
        possible = (n1 >= move) & (n2 >= -move)
        allowed[:, action] = possible
        morning = [np.clip(n1 - move, 0, max_cars), np.clip(n2 + move, 0, max_cars)]
        (first, first_rented), (second, second_rented) = places
        both = first[morning[0]][:, :, None] * second[morning[1]][:, None, :]
        transition[:, action] = both.reshape(size * size, -1)
        reward[:, action] = 10 * (first_rented[morning[0]] + second_rented[morning[1]]) - 2 * abs(move)
    return from_arrays(transition, reward, allowed=allowed)


def random_walk(num_states: int = 5, rewards: tuple[float, float] = (0.0, 1.0)) -> MDP:
    """A chain with a terminal state at either end; one action, which steps left or right by a fair coin.

    States 1 to `num_states` are the chain, 0 and `num_states + 1` the ends.

    Args:
      num_states: of the chain.
      rewards: for reaching the left and the right end.

    Example:
      >>> random_walk().num_states
      7

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, examples 6.2 (5 states) and 7.1 (19).
    """
    states = np.arange(num_states + 2)
    successor = np.stack([np.maximum(states - 1, 0), np.minimum(states + 1, num_states + 1)], -1)[:, None]
    reward = np.zeros((num_states + 2, 1))
    reward[1, 0] += 0.5 * rewards[0]
    reward[num_states, 0] += 0.5 * rewards[1]
    terminal = np.isin(states, [0, num_states + 1])
    return from_successors(successor, np.full(successor.shape, 0.5), reward, terminal=terminal)


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
    return from_successors(successor[..., None], np.ones((48, 4, 1)), reward, terminal=np.arange(48) == 47)


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
      >>> garnet(10, 2, 3).transitions.successor.shape
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


def _moved(rows: int, columns: int) -> np.ndarray:
    """Successor `[S, 4]` of each move in a grid; one that would leave it stays."""
    place = np.stack(np.divmod(np.arange(rows * columns), columns), -1)
    row, column = np.clip(place[:, None] + MOVES[None], 0, [rows - 1, columns - 1]).transpose(2, 0, 1)
    return row * columns + column


def _rental_place(max_cars: int, request_rate: float, return_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """For each number of cars in the morning: probabilities of the next morning's, and expected rentals."""
    size = max_cars + 1
    requests, returns = (_poisson(rate, max_cars) for rate in (request_rate, return_rate))
    following, rented = np.zeros((size, size)), np.zeros(size)
    for cars in range(size):
        # P(rentals = k): the Poisson probability below the number of cars, the whole tail at it.
        rentals = np.append(requests[:cars], 1.0 - requests[:cars].sum())
        rented[cars] = rentals @ np.arange(cars + 1)
        for rental, probability in enumerate(rentals):
            left = cars - rental
            brought = np.append(returns[: max_cars - left], 1.0 - returns[: max_cars - left].sum())
            following[cars, left:] += probability * brought
    return following, rented


def _poisson(rate: float, largest: int) -> np.ndarray:
    """Probabilities of 0 to `largest`."""
    return np.exp(-rate) * np.cumprod(np.append(1.0, rate / np.arange(1, largest + 1)))
