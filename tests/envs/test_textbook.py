"""The textbook's problems against the exact values of the books, in float64."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import envs, ops
from jaxrl.algorithms.dp import gmres_values
from jaxrl.envs import textbook
from tests.helpers import discounted, policy_values, stick_on_20, undiscounted


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64():
        yield


def test_gridworld_4x4_of_the_random_policy_and_the_best():
    values = policy_values(textbook.gridworld_4x4(), np.full((16, 4), 0.25)).reshape(4, 4)
    expected = [[0, -14, -20, -22], [-14, -18, -20, -20], [-20, -20, -18, -14], [-22, -20, -14, 0]]
    np.testing.assert_allclose(values, expected, atol=1e-9)
    steps = np.minimum(*(np.add.outer(a, a) for a in (np.arange(4), 3 - np.arange(4))))
    np.testing.assert_allclose(undiscounted(textbook.gridworld_4x4()).values.reshape(4, 4), -steps, atol=1e-9)


@pytest.mark.parametrize(
    ("sweeps", "found"),  # at states 1, 2, 3, 5, 6, which are all there are up to symmetry
    [
        (1, [-1] * 5),
        (2, [-1.75, -2, -2, -2, -2]),
        (3, [-2.4375, -2.9375, -3, -2.875, -3]),
        (10, [-6.1380, -8.3524, -8.9673, -7.7374, -8.4278]),
    ],
)
def test_sweeps_of_the_random_policy_are_the_books_figures(sweeps, found):
    followed = textbook.gridworld_4x4().follow(jnp.full((16, 4), 0.25))
    values = jnp.zeros(16)
    for _ in range(sweeps):
        values = followed.q_values(values, 1.0)[:, 0]
    np.testing.assert_allclose(values[jnp.array([1, 2, 3, 5, 6])], found, atol=1e-9 if sweeps < 10 else 5e-5)
    np.testing.assert_allclose(values, values[::-1], atol=1e-12)


def test_the_best_values_of_the_4x4_gridworld_take_three_sweeps_and_a_look():
    mdp, values = textbook.gridworld_4x4(), jnp.zeros(16)
    for sweep in range(1, 5):
        values, before = mdp.q_values(values, 1.0).max(-1), values
        assert bool((values == before).all()) == (sweep == 4)


def test_gridworld_5x5_of_the_random_policy():
    followed = textbook.gridworld_5x5().follow(jnp.full((25, 4), 0.25))
    values = np.asarray(discounted(followed, 0.9).values).reshape(5, 5)
    book = [
        [3.3090, 8.7893, 4.4276, 5.3224, 1.4922],
        [1.5216, 2.9923, 2.2501, 1.9076, 0.5474],
        [0.0508, 0.7382, 0.6731, 0.3582, -0.4031],
        [-0.9736, -0.4355, -0.3549, -0.5856, -1.1831],
        [-1.8577, -1.3452, -1.2293, -1.4229, -1.9752],
    ]
    np.testing.assert_allclose(values, book, atol=5.1e-5)


GAMBLER = {
    0.4: {
        1: 0.0020656248,
        10: 0.0434634975,
        12: 0.0576591942,
        13: 0.0652393749,
        25: 0.16,
        37: 0.2464887913,
        38: 0.2578590623,
        50: 0.4,
        51: 0.4030984372,
        62: 0.4864887913,
        63: 0.4978590623,
        75: 0.64,
        76: 0.6446476557,
        99: 0.9643329672,
    },
    0.25: {25: 0.0625, 50: 0.25, 75: 0.4375, 99: 0.8379723929},
    0.55: {1: 1 - 0.45 / 0.55, 50: 0.9999560992},
}


@pytest.mark.parametrize("heads", GAMBLER)
def test_gambler(heads):
    values = undiscounted(textbook.gambler(heads)).values
    for capital, expected in GAMBLER[heads].items():
        np.testing.assert_allclose(values[capital], expected, atol=1e-10)


def test_a_gambler_with_the_better_coin_is_timid():
    assert np.asarray(undiscounted(textbook.gambler(0.55)).policy)[1:100].tolist() == [0] * 99  # stakes of one


def test_gamblers_optimal_stakes_are_the_books_spikes():
    best = np.asarray(undiscounted(textbook.gambler()).optimal_actions)
    smallest = [int(np.flatnonzero(best[s])[0]) + 1 for s in range(1, 100)]
    book = [*range(1, 13), *[25 - s for s in range(13, 25)], 25, *[s - 25 for s in range(26, 38)]]
    book += [*[50 - s for s in range(38, 50)], 50, *[s - 50 for s in range(51, 63)], *[75 - s for s in range(63, 75)]]
    book += [25, *[s - 75 for s in range(76, 88)], *[100 - s for s in range(88, 100)]]
    assert smallest == book
    counts = best[1:100].sum(1)
    alone = {*range(1, 13), 25, 50, 75, *range(88, 100)}
    assert {s for s in range(1, 100) if counts[s - 1] == 1} == alone
    assert {s for s in range(1, 100) if counts[s - 1] == 3} == {*range(26, 38), *range(63, 75)}


STICK_FROM = {  # dealer ace, 2, …, 10
    0: [17, 13, 13, 12, 12, 12, 17, 17, 17, 17],
    1: [19, 18, 18, 18, 18, 18, 18, 18, 19, 19],
}


def blackjack_state(total, ace, dealer):
    return (total - 12) * 20 + ace * 10 + dealer - 1


def test_blackjack_of_the_policy_that_sticks_on_20():
    values = policy_values(textbook.blackjack(), stick_on_20())
    np.testing.assert_allclose(values[blackjack_state(13, 1, 2)], -0.2772042, atol=1e-7)
    np.testing.assert_allclose(values[blackjack_state(12, 0, 1)], -0.6401658, atol=1e-7)
    np.testing.assert_allclose(values @ np.asarray(textbook.blackjack().start), -0.3501111, atol=1e-7)


def test_blackjack_optimal():
    mdp = textbook.blackjack()
    solution = undiscounted(mdp)
    values, best = np.asarray(solution.values), np.asarray(solution.optimal_actions)
    found = [values[blackjack_state(*s)] for s in ((13, 1, 2), (20, 0, 10), (21, 0, 10), (12, 0, 1))]
    np.testing.assert_allclose(found, [0.0466361, 0.4349578, 0.8885757, -0.5185386], atol=1e-7)
    np.testing.assert_allclose(values @ np.asarray(mdp.start), -0.0431131, atol=1e-7)
    q = mdp.q_values(solution.values, 1.0)[blackjack_state(16, 0, 10)]
    np.testing.assert_allclose(q, [-0.5757818, -0.5693072], atol=1e-7)
    for ace, sums in STICK_FROM.items():
        for dealer, lowest in enumerate(sums, start=1):
            sticks = [best[blackjack_state(t, ace, dealer), 0] for t in range(12, 22)]
            assert sticks == [t >= lowest for t in range(12, 22)], (ace, dealer)


@pytest.mark.parametrize(
    ("options", "best", "stick_20"),
    [({"sab": False}, -0.0465560, -0.3535540), ({"sab": False, "natural": True}, -0.0257292, None)],
)
def test_blackjack_by_gymnasiums_other_rules(options, best, stick_20):
    mdp = textbook.blackjack(**options)
    np.testing.assert_allclose(undiscounted(mdp).values @ mdp.start, best, atol=1e-7)
    if stick_20 is not None:
        np.testing.assert_allclose(policy_values(mdp, stick_on_20()) @ np.asarray(mdp.start), stick_20, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "steps"),
    [({}, 15), ({"num_moves": 8}, 7), ({"num_moves": 9}, 7), ({"num_moves": 8, "gusty": True}, 10.9646)],
)
def test_windy_gridworld(options, steps):
    np.testing.assert_allclose(undiscounted(textbook.windy_gridworld(**options)).values[30], -steps, atol=5e-5)


def epsilon_soft_solution(mdp, epsilon):
    """Best values over ε-soft policies and what they prefer: every action is mixed with the uniform one."""
    rest = envs.to_dense(mdp)
    probability, reward = np.asarray(rest.transitions.probability), np.asarray(rest.reward)
    mixed = (1 - epsilon) * probability + epsilon * probability.mean(1, keepdims=True)
    earned = (1 - epsilon) * reward + epsilon * reward.mean(1, keepdims=True)
    solution = undiscounted(envs.from_arrays(mixed, earned, terminal=rest.terminal))
    return solution.values, np.asarray(solution.policy)


def epsilon_soft_value(mdp, epsilon, state):
    return epsilon_soft_solution(mdp, epsilon)[0][state]


def test_windy_gridworld_with_exploration():
    np.testing.assert_allclose(epsilon_soft_value(textbook.windy_gridworld(), 0.1, 30), -17.0483, atol=5e-5)
    np.testing.assert_allclose(epsilon_soft_value(textbook.windy_gridworld(8), 0.1, 30), -8.187, atol=5e-4)
    np.testing.assert_allclose(epsilon_soft_value(textbook.windy_gridworld(9), 0.1, 30), -8.167, atol=5e-4)


def exploring_value(mdp, epsilon, state, first):
    """Value of the ε-greedy policy of the exact action values; ties go to the first action, or share alike."""
    q = np.asarray(mdp.q_values(undiscounted(mdp).values, 1.0)).round(9)
    best = np.eye(q.shape[1])[q.argmax(-1)] if first else np.asarray(ops.greedy(jnp.asarray(q)))
    return policy_values(mdp, (1 - epsilon) * best + epsilon / q.shape[1])[state]


def test_exploration_around_the_best_actions():
    np.testing.assert_allclose(exploring_value(textbook.windy_gridworld(), 0.1, 30, False), -17.0533, atol=5e-5)
    for epsilon, first, shared in ((0.1, -45.803, -50.800), (0.05, -28.811, -29.893), (0.01, -16.067, -16.105)):
        np.testing.assert_allclose(exploring_value(textbook.cliff_walking(), epsilon, 36, True), first, atol=5e-4)
        np.testing.assert_allclose(exploring_value(textbook.cliff_walking(), epsilon, 36, False), shared, atol=5e-4)


@pytest.mark.parametrize(("discount", "value"), [(0.99, -12.247898), (0.9, -7.458134)])
def test_cliff_walking_discounted(discount, value):
    np.testing.assert_allclose(discounted(textbook.cliff_walking(), discount).values[36], value, atol=1e-6)


def test_the_best_soft_policy_of_the_cliff_walks_one_row_away():
    _, greedy = epsilon_soft_solution(textbook.cliff_walking(), 0.1)
    state, path = 36, [36]
    mdp = textbook.cliff_walking()
    successor = np.asarray(mdp.transitions.successor)[0]
    while not mdp.terminal[state] and len(path) < 50:
        state = int(successor[greedy[state], state])
        path.append(state)
    assert len(path) - 1 == 15
    assert set(range(13, 23)) <= set(path), "along the second row"


@pytest.mark.parametrize(("epsilon", "value"), [(0.1, -20.7077), (0.05, -17.5192), (0.01, -15.4408)])
def test_cliff_walking_with_exploration(epsilon, value):
    np.testing.assert_allclose(undiscounted(textbook.cliff_walking()).values[36], -13, atol=1e-9)
    np.testing.assert_allclose(epsilon_soft_value(textbook.cliff_walking(), epsilon, 36), value, atol=5e-5)


def test_cliff_walking_is_gymnasiums():
    theirs = envs.from_gymnasium(gymnasium.make("CliffWalking-v1").unwrapped.P)
    np.testing.assert_allclose(
        discounted(theirs, 0.9).values[:48], discounted(textbook.cliff_walking(), 0.9).values[:48], atol=1e-9
    )
    slippery = envs.from_gymnasium(gymnasium.make("CliffWalking-v1", is_slippery=True).unwrapped.P)
    np.testing.assert_allclose(undiscounted(slippery).values[36], -64.7092, atol=5e-5)
    np.testing.assert_allclose(discounted(slippery, 0.99).values[36], -46.3527, atol=5e-5)


def test_taxi():
    mdp = textbook.taxi()
    values = np.asarray(undiscounted(mdp).values)
    starts = np.flatnonzero(mdp.start)
    assert len(starts) == 300
    np.testing.assert_allclose(values[starts].mean(), 2379 / 300, atol=1e-9)
    np.testing.assert_allclose([values[starts].min(), values[starts].max()], [3, 15], atol=1e-9)
    np.testing.assert_allclose([values[:500].min(), values[:500].max()], [3, 20], atol=1e-9)
    for discount, mean in ((0.95, 1.7299300), (0.9, -1.2633231)):
        np.testing.assert_allclose(np.asarray(discounted(mdp, discount).values)[starts].mean(), mean, atol=1e-7)
    theirs = envs.from_gymnasium(gymnasium.make("Taxi-v4").unwrapped.P)
    np.testing.assert_allclose(discounted(theirs, 0.9).values[:500], discounted(mdp, 0.9).values[:500], atol=1e-9)


def test_random_walks():
    np.testing.assert_allclose(undiscounted(textbook.random_walk()).values[1:-1], np.arange(1, 6) / 6, atol=1e-9)
    nineteen = undiscounted(textbook.random_walk(19, (-1.0, 1.0))).values[1:-1]
    np.testing.assert_allclose(nineteen, np.arange(-9, 10) / 10, atol=1e-9)


@pytest.mark.parametrize(
    ("right", "value"), [(2 - np.sqrt(2), -11.656854), (0.95, -44.2105), (0.05, -82.1053), (0.5, -12)]
)
def test_short_corridor_of_a_blind_policy(right, value):
    policy = np.tile([1 - right, right], (4, 1))
    np.testing.assert_allclose(policy_values(textbook.short_corridor(), policy)[0], value, atol=5e-5)
    np.testing.assert_allclose(value, (2 * right - 4) / (right * (1 - right)), rtol=1e-5)


def test_access_control_for_the_average_reward():
    solution = jaxrl.solve(jaxrl.RelativeValueIteration(textbook.access_control()), tolerance=1e-9)
    np.testing.assert_allclose(solution.values, 2.7476419506, atol=2e-9)
    best = np.asarray(solution.optimal_actions).reshape(11, 4, 2)
    accepts = best[1:, :, 1]
    assert accepts[:, 2:].all()  # priorities 4 and 8 whenever a server is free
    assert accepts[:, 1].tolist() == [free >= 4 for free in range(1, 11)]
    assert not accepts[:, 0].any()


def test_small_fixtures_of_other_books():
    puterman = envs.from_arrays([[[0.5, 0.5], [0, 1]], [[0, 1], [0, 1]]], [[5, 10], [-1, -np.inf]])
    solution = discounted(puterman, 0.95)
    np.testing.assert_allclose(solution.values, [-8.571428571428, -20], atol=1e-9)
    assert solution.policy.tolist() == [0, 0]
    two = envs.from_arrays([[[0.5, 0.5], [0, 1]], [[0.8, 0.2], [0.1, 0.9]]], [[5, 10], [-1, 2]])
    np.testing.assert_allclose(discounted(two, 0.9).values, [42.4418605, 36.0465116], atol=1e-6)
    assert discounted(two, 0.9).policy.tolist() == [1, 0]
    np.testing.assert_allclose(discounted(two, 0.99).values, [392.2991071, 386.1607143], atol=1e-6)
    grow, cut = [[0.1, 0.9, 0], [0.1, 0, 0.9], [0.1, 0, 0.9]], [[1, 0, 0]] * 3
    forest = envs.from_arrays(np.stack([grow, cut], 1), [[0, 0], [0, 1], [4, 2]])
    for discount, values in ((0.9, [26.244, 29.484, 33.484]), (0.96, [74.6496, 78.1056, 82.1056])):
        solution = discounted(forest, discount)
        np.testing.assert_allclose(solution.values, values, atol=1e-9)
        assert solution.policy.tolist() == [0, 0, 0]
    storm = envs.from_arrays([[[0, 0.9, 0.1]], [[0.9, 0, 0.1]], [[0, 0, 1]]], [[-10], [-10], [0]], terminal=[0, 0, 1])
    np.testing.assert_allclose(undiscounted(storm).values[:2], -100, atol=1e-9)


def test_a_long_chain_without_a_discount_is_exact_where_residuals_mislead():
    # Residual < 1e-6 stops 4e-3 away from v = i/200.
    states = np.arange(201)
    successor = np.stack([np.maximum(states - 1, 0), np.minimum(states + 1, 200)], -1)[:, None]
    reward = np.zeros((201, 1, 2))
    reward[199, 0, 1] = 1
    chain = envs.from_successors(successor, np.full((201, 1, 2), 0.5), reward, terminal=np.isin(states, [0, 200]))
    np.testing.assert_allclose(undiscounted(chain).values[1:-1], states[1:-1] / 200, atol=1e-9)
    for size, sweeps, error in ((201, 40_987, 4.05e-3), (101, 13_055, 1.0e-3)):

        @jax.jit
        def swept(last=size - 1):
            def step(carry):
                values, _, count = carry
                inner = 0.5 * (values[:-2] + values[2:])
                after = values.at[1:-1].set(inner)
                return after, jnp.abs(after - values).max(), count + 1

            start = jnp.zeros(last + 1).at[-1].set(1.0)  # what reaching the end is worth
            return jax.lax.while_loop(lambda carry: carry[1] >= 1e-6, step, (start, jnp.ones(()), 0))

        values, _, count = swept()
        assert int(count) == sweeps
        np.testing.assert_allclose(np.abs(values - np.arange(size) / (size - 1)).max(), error, rtol=0.02)
    krylov = jaxrl.StochasticShortestPath(chain, evaluate=gmres_values)
    np.testing.assert_allclose(jaxrl.solve(krylov, tolerance=1e-2).values[1:-1], states[1:-1] / 200, atol=1e-2)
