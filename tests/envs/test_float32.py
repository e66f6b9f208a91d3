"""The reference problems in float32 against float64, whose values other tests compare with the books."""

import functools

import jax
import numpy as np
import pytest

import jaxrl
from jaxrl import envs
from jaxrl.envs import textbook

PROBLEMS = {
    "gridworld 4x4": (textbook.gridworld_4x4, (1,)),
    "gridworld 5x5": (textbook.gridworld_5x5, (0.9,)),
    "car rental": (textbook.car_rental, (0.9,)),
    "gambler": (textbook.gambler, (1,)),
    "blackjack": (textbook.blackjack, (1,)),
    "windy": (functools.partial(textbook.windy_gridworld, num_moves=8, gusty=True), (1,)),
    "cliff": (textbook.cliff_walking, (0.9, 0.99, 1)),
    "taxi": (textbook.taxi, (0.9, 0.95, 1)),
    "random walk": (functools.partial(textbook.random_walk, 19, (-1.0, 1.0)), (1,)),
}
WORLDS = {
    "FrozenLake-misc": {"map_name": "4x4"},
    "FrozenLake-misc 8x8": {"map_name": "8x8"},
    "FourRooms-misc": {},
    "Catch-bsuite": {},
    "DeepSea-bsuite": {"size": 10},
}


@jax.jit
def discounted(mdp, discount):
    """v* as well as the dtype has it, by 3000 sweeps."""
    solver = jaxrl.ValueIteration(mdp, discount=discount)
    return swept(solver, 3000)


@jax.jit
def undiscounted(mdp):
    """The same without a discount, by policy iteration."""
    return swept(jaxrl.StochasticShortestPath(mdp), 50)


def swept(solver, num_updates):
    init_key, run_key = jax.random.split(jax.random.key(0))
    state, _ = jaxrl.run(solver, solver.init(init_key), run_key, num_updates)
    return solver.solution(state, 1.0).values


def values(mdp, discounts):
    """v* for each discount, `[γ, S]`."""
    return np.stack([undiscounted(mdp) if d == 1 else discounted(mdp, d) for d in discounts])


QUICK = ("gridworld 5x5", "cliff")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in PROBLEMS])
def test_problems_of_the_textbook(name):
    make, discounts = PROBLEMS[name]
    single = values(make(), discounts)
    with jax.enable_x64():
        double = values(make(), discounts)
    assert single.dtype == np.float32 and double.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-7 * np.abs(double).max())  # zero is a value too


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_enumerated_environments(name):
    discounts = (0.9, 0.99, 0.999, 1)

    def start_values():
        mdp, _ = envs.enumerate_environment(*envs.make(name.split()[0], **WORLDS[name]))
        return values(mdp, discounts) @ np.asarray(mdp.start)

    single = start_values()
    with jax.enable_x64():
        double = start_values()
    np.testing.assert_allclose(single, double, rtol=1e-5)


def test_rows_sum_to_one_in_float32_too():
    # Three nearest thirds sum to 1 + 3e-8: at γ = 1 the best policy would go round for ever to earn from that.
    mdp = envs.from_successors([[[0, 1, 1]], [[0, 0, 0]]], np.full((2, 1, 3), 1 / 3), np.zeros((2, 1)))
    assert np.asarray(mdp.transitions.probability, np.float64).sum(0).tolist() == [[1.0, 1.0]]


def test_the_average_reward_of_access_control():
    average = jax.jit(lambda mdp: swept(jaxrl.RelativeValueIteration(mdp), 3000))(textbook.access_control())
    np.testing.assert_allclose(average, 2.7476419506, rtol=1e-5)
