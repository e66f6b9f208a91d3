"""Games and businesses of the textbook; chapters are those of Sutton & Barto (2018)."""

import math

import numpy as np

from jaxrl.envs.mdp import MDP
from jaxrl.envs.tables import from_arrays, from_successors


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
    reward = np.stack([won == goal, np.zeros_like(won)], -1)
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


def access_control(num_servers: int = 10, release: float = 0.06) -> MDP:
    """Customers pay 1, 2, 4 or 8 for a server, in an endless queue; action 1 lets the first one in, 0 does not.

    State `free * 4 + priority`, free servers and the first customer's priority; each busy server becomes free with
    probability `release` in a step. For the average reward.

    Args:
      num_servers: of the queue.
      release: probability.

    Example:
      >>> access_control().num_states
      44

    Source: Sutton & Barto (2018), Reinforcement Learning: An Introduction, example 10.2.
    """
    free, priority = np.divmod(np.arange((num_servers + 1) * 4), 4)
    accepted = np.array([0, 1])[None] * (free > 0)[:, None]
    left = free[:, None] - accepted  # [S, A]
    transition = np.zeros((len(free), 2, num_servers + 1, 4))
    for servers in range(num_servers + 1):
        busy = num_servers - servers
        released = [math.comb(busy, k) * release**k * (1 - release) ** (busy - k) for k in range(busy + 1)]
        transition[left == servers, servers:] = np.array(released)[None, :, None] / 4
    allowed = np.stack([np.ones(len(free), bool), free > 0], -1)
    return from_arrays(transition.reshape(len(free), 2, -1), accepted * 2.0 ** priority[:, None], allowed=allowed)


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
