"""Dynamic programming against exact answers: the book's values, and linear solves in NumPy."""

import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from benchmarks.exact import best_values
from jaxrl.algorithms.dp import SweptValues, gmres_values, predecessors
from jaxrl.algorithms.dp import exact_values as exact_evaluation
from jaxrl.algorithms.dp.policy_iteration import refine
from jaxrl.algorithms.dp.value_iteration import block_sweep
from jaxrl.envs import textbook
from jaxrl.types import Rule

GRID_5X5 = [
    [21.9775, 24.4194, 21.9775, 19.4194, 17.4775],
    [19.7797, 21.9775, 19.7797, 17.8018, 16.0216],
    [17.8018, 19.7797, 17.8018, 16.0216, 14.4194],
    [16.0216, 17.8018, 16.0216, 14.4194, 12.9775],
    [14.4194, 16.0216, 14.4194, 12.9775, 11.6797],
]


def prioritized(mdp, **fields):
    return jaxrl.PrioritizedValueIteration(mdp, predecessors(mdp), **fields)


ALGORITHMS = {
    "value iteration": jaxrl.ValueIteration,
    "modified policy iteration": functools.partial(jaxrl.PolicyIteration, evaluate=SweptValues(20)),
    "policy iteration": jaxrl.PolicyIteration,
    "GMRES policy iteration": functools.partial(jaxrl.PolicyIteration, evaluate=gmres_values),
}


def dense_arrays(mdp):
    """Transitions `[S, A, S]` and rewards `[S, A]` in float64; -inf is forbidden."""
    mdp = jaxrl.envs.to_dense(mdp)
    transition, reward = np.asarray(mdp.transitions.probability, np.float64), np.asarray(mdp.reward, np.float64)
    return transition, reward if mdp.allowed is None else np.where(mdp.allowed, reward, -np.inf)


def exact_values(mdp, discount):
    """v* by policy iteration with NumPy's linear solver in float64."""
    return best_values(*dense_arrays(mdp), discount)


def solve(mdp, discount, tolerance, **options):
    return jaxrl.solve(jaxrl.ValueIteration(mdp, discount=discount), tolerance, **options)


def assert_certified(solution, values, tolerance):
    """The bounds hold what they promise."""
    assert bool(solution.converged)
    assert np.all(solution.lower <= values) and np.all(values <= solution.upper)
    np.testing.assert_allclose(solution.values, values, rtol=0, atol=tolerance)


def test_gridworld_5x5_in_float64():
    with jax.enable_x64():
        solution = solve(textbook.gridworld_5x5(), 0.9, 1e-10)
        np.testing.assert_allclose(solution.values.reshape(5, 5), GRID_5X5, atol=5e-5)
        np.testing.assert_allclose(solution.values[1], 10 / (1 - 0.9**5), rtol=1e-11)
        assert solution.values.dtype == jnp.float64
    assert jnp.zeros(()).dtype == jnp.float32


def test_car_rental_in_float64():
    with jax.enable_x64():
        solution = solve(textbook.car_rental(), 0.9, 1e-7)
        values = np.asarray(solution.values).reshape(21, 21)
        policy = np.asarray(solution.policy).reshape(21, 21) - 5
    found = [values[0, 0], values[10, 10], values[20, 20], values[20, 0], values[0, 20], values.mean()]
    expected = [421.414063, 574.948324, 636.989607, 554.947706, 567.768509, 563.687164]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    counts = [int((policy == move).sum()) for move in range(-5, 6)]
    assert counts == [0, 3, 9, 14, 17, 270, 33, 29, 23, 17, 26]
    assert policy[0].tolist() == [0] * 8 + [-1, -1, -2, -2, -2] + [-3] * 5 + [-4] * 3
    assert policy[20].tolist() == [5, 5, 5, 5, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "discount", "start"),
    [("4x4", 0.9, 0.068890904889), ("4x4", 0.99, 0.542025932000), ("8x8", 0.95, 0.048250204081)],
)
def test_frozen_lake_of_gymnasium_in_float64(name, discount, start):
    table = gymnasium.make("FrozenLake-v1", map_name=name).unwrapped.P
    with jax.enable_x64():
        solution = solve(jaxrl.envs.from_gymnasium(table), discount, 1e-11)
        np.testing.assert_allclose(solution.values[0], start, atol=1e-11)


def test_optimal_actions_are_a_set():
    # FrozenLake 4x4, γ = 0.99: two actions tie in state 6 (left and right), the rest is the book's answer.
    table = gymnasium.make("FrozenLake-v1").unwrapped.P
    with jax.enable_x64():
        solution = solve(jaxrl.envs.from_gymnasium(table), 0.99, 1e-11)
    sets = [np.flatnonzero(row).tolist() for row in np.asarray(solution.optimal_actions)]
    ends = [0, 1, 2, 3]
    assert sets[:8] == [[0], [3], [3], [3], [0], ends, [0, 2], ends]
    assert sets[8:] == [[3], [1], [0], ends, ends, [2], [1], ends]


def test_taxi_of_gymnasium_keeps_its_500_states_alive():
    table = gymnasium.make("Taxi-v4").unwrapped.P
    with jax.enable_x64():
        mdp = jaxrl.envs.from_gymnasium(table)
        solution = solve(mdp, 0.99, 1e-9)
        starts = [s for s in range(500) if (s // 4) % 5 != 4 and (s // 4) % 5 != s % 4]
        assert mdp.num_states == 501 and len(starts) == 300
        np.testing.assert_allclose(np.asarray(solution.values)[starts].mean(), 6.3274643, atol=1e-7)


def test_policy_evaluation_is_the_solution_of_the_followed_process():
    uniform = jnp.full((25, 4), 0.25)
    with jax.enable_x64():
        solution = solve(textbook.gridworld_5x5().follow(uniform), 0.9, 1e-9)
    expected = [3.3090, 8.7893, 4.4276, 5.3224, 1.4922]
    np.testing.assert_allclose(solution.values[:5], expected, atol=5e-5)


def test_first_sweeps_of_the_4x4_gridworld():
    # Equiprobable policy, γ ≈ 1: after k sweeps the book's values of Figure 4.1.
    mdp = textbook.gridworld_4x4().follow(jnp.full((16, 4), 0.25))
    algorithm = jaxrl.ValueIteration(mdp, discount=1 - 2**-24)
    state = algorithm.init(jax.random.key(0))
    np.testing.assert_allclose(state.backup[1:15], -1.0, rtol=1e-6)
    state, _ = algorithm.update(state, jax.random.key(0))
    np.testing.assert_allclose(state.backup[:4], [0, -1.75, -2, -2], rtol=1e-6)
    state, _ = algorithm.update(state, jax.random.key(0))
    np.testing.assert_allclose(state.backup[:4], [0, -2.4375, -2.9375, -3], rtol=1e-6)


DISCOUNTS = [0.9, 0.99, 0.999, 0.9999]


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_bounds_hold_in_float32(discount):
    # γ is a float32 too: 1 - 0.9999 has four digits left, and the bounds say so.
    with jax.enable_x64():
        values = exact_values(textbook.garnet(200, 4, 5, seed=1), discount)
    tolerance = 2e-6 / (1 - discount) ** 2
    assert_certified(solve(textbook.garnet(200, 4, 5, seed=1), discount, tolerance), values, tolerance)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
@pytest.mark.parametrize("discount", DISCOUNTS)
def test_every_solver_finds_the_values_in_float64(algorithm, discount):
    with jax.enable_x64():
        mdp = textbook.garnet(200, 4, 5, seed=1)
        solution = jaxrl.solve(algorithm(mdp, discount=discount), 1e-4)
        assert_certified(solution, exact_values(mdp, discount), 1e-4)
    assert int(solution.num_updates) <= 40  # the sup rule of value iteration would need 14,298 at 0.999


def test_span_without_the_shift_would_be_wrong():
    # Forest management: where the span is small the plain iterates are far from v*; pymdptoolbox returns those.
    transition = [[[0.1, 0.9, 0.0], [1, 0, 0]], [[0.1, 0.0, 0.9], [1, 0, 0]], [[0.1, 0.0, 0.9], [1, 0, 0]]]
    mdp = jaxrl.envs.from_arrays(transition, [[0, 0], [0, 1], [4, 2]])
    solution = solve(mdp, 0.96, 1e-3)
    np.testing.assert_allclose(solution.values, [74.6496, 78.1056, 82.1056], atol=1e-3)
    assert solution.policy.tolist() == [0, 0, 0]


def test_a_tolerance_that_float32_cannot_prove_is_refused_with_the_smallest():
    mdp = textbook.garnet(50, 2, 3)
    with pytest.raises(ValueError, match=r"tolerance=1e-09: float32 rounds too coarsely .* ask for ") as error:
        solve(mdp, 0.99, 1e-9)
    smallest = float(str(error.value).split("ask for ")[1].split(",")[0])
    assert bool(solve(mdp, 0.99, smallest).converged)


def test_float32_sweeps_under_a_float64_certificate():
    # What float32 proves of itself is far from what it has found: one float64 sweep from its relative values tells.
    single = jaxrl.ValueIteration(textbook.garnet(300, 4, 5), discount=0.99)
    with pytest.raises(ValueError, match="float32 rounds too coarsely"):
        jaxrl.solve(single, tolerance=1e-4)
    key = jax.random.key(0)
    rough, _ = jaxrl.run(single, single.init(key), jax.random.key(1), 100)
    with jax.enable_x64():
        mdp = textbook.garnet(300, 4, 5)
        double = jaxrl.ValueIteration(mdp, discount=0.99, values=rough.backup)
        solution = jaxrl.solve(double, tolerance=1e-4, max_updates=0)
        assert_certified(solution, exact_values(mdp, 0.99), 1e-4)
        assert int(solution.num_updates) == 0
        warm, cold = (jaxrl.solve(d, tolerance=1e-8) for d in (double, double.replace(values=None)))
        assert int(warm.num_updates) < 0.6 * int(cold.num_updates)
    assert rough.backup.dtype == jnp.float32 and jnp.zeros(()).dtype == jnp.float32


def test_given_values_of_terminal_states_do_not_count():
    # 0 → 1, which is the end. From v = (-9.5, -5) both changes would be 5, and 40 "certified".
    mdp = jaxrl.envs.from_arrays([[[0, 1.0]], [[0, 1.0]]], [[0.0], [0.0]], terminal=[False, True])
    solution = jaxrl.solve(jaxrl.ValueIteration(mdp, discount=0.9, values=jnp.array([-9.5, -5.0])), 1e-3)
    np.testing.assert_allclose(solution.values, 0.0, atol=1e-3)
    solution = jaxrl.solve(jaxrl.BackwardInduction(mdp, horizon=3, values=jnp.array([7.0, 5.0])), 1e-3)
    assert solution.values.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"values: must be \[2\]"):
        jaxrl.solve(jaxrl.ValueIteration(mdp, discount=0.9, values=jnp.zeros(3)), 1e-3)


def test_no_average_reward_where_episodes_end():
    with pytest.raises(ValueError, match="no average reward"):
        jaxrl.solve(jaxrl.RelativeValueIteration(textbook.random_walk()), tolerance=1e-3)


def test_policies_that_cannot_be_followed_are_refused_and_under_jit_marked():
    mdp = textbook.access_control()
    accept = jnp.ones(mdp.num_states, jnp.int32)  # not allowed where no server is free
    for policy in (accept, jnp.ones(mdp.reward.shape), jnp.full(mdp.num_states, 2), jnp.full(mdp.reward.shape, 0.5)):
        with pytest.raises(ValueError, match="policy: what state"):
            mdp.follow(policy)
    solution = jax.jit(lambda p: jaxrl.solve(jaxrl.ValueIteration(mdp.follow(p), discount=0.9), 1e-2))(accept)
    assert int(solution.rule) == Rule.NOT_FINITE


def test_the_tolerance_that_is_asked_for_suffices():
    mdp = textbook.garnet(30, 2, 3)
    for solver in (jaxrl.BackwardInduction(mdp, horizon=50), jaxrl.ValueIteration(mdp, discount=0.99)):
        with pytest.raises(ValueError, match="ask for") as refused:
            jaxrl.solve(solver, 1e-9)
        smallest = float(str(refused.value).split("ask for ")[1].split(",")[0])
        assert bool(jaxrl.solve(solver, smallest).converged)


def test_too_few_updates_warn_and_say_what_is_proved():
    with pytest.warns(UserWarning, match="not converged: after 3 updates"):
        solution = solve(textbook.gridworld_5x5(), 0.9, 1e-4, max_updates=3)
    assert not solution.converged and int(solution.rule) == Rule.RUNNING


def test_under_vmap_failure_is_a_value():
    rewards = jnp.array([[[1.0], [0.0]], [[jnp.nan], [0.0]]])
    mdp = jaxrl.envs.from_successors([[[1]], [[0]]], [[[1.0]], [[1.0]]], [[1.0], [0.0]])
    solution = jax.vmap(lambda reward: solve(mdp.replace(reward=reward), 0.9, 1e-3))(rewards)
    assert solution.rule.tolist() == [Rule.CERTIFIED, Rule.NOT_FINITE]


def test_a_batch_of_processes_equals_a_loop():
    mdps = [textbook.garnet(20, 3, 4, seed=seed) for seed in range(5)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *mdps)
    together = jax.vmap(lambda mdp: solve(mdp, 0.95, 1e-3))(batch)
    for index, mdp in enumerate(mdps):
        alone = solve(mdp, 0.95, 1e-3)
        np.testing.assert_allclose(together.values[index], alone.values, atol=2e-3)
        assert together.converged[index]


@pytest.mark.parametrize(
    ("solve", "words"),
    [
        (lambda mdp: jaxrl.solve(jaxrl.ValueIteration(mdp), check_every=1.5), "check_every=1.5 must be an integer"),
        (lambda mdp: jaxrl.solve(jaxrl.PrioritizedValueIteration(mdp, jnp.zeros(2))), r"predecessors: must be \[25"),
        (lambda mdp: textbook.maximization_bias(1), "num_actions=1 must be"),
        (lambda mdp: textbook.random_walk(0), "num_states=0 must be"),
    ],
)
def test_arguments_that_cannot_work_are_refused(solve, words):
    with pytest.raises(ValueError, match=words):
        solve(textbook.gridworld_5x5())


def test_an_evaluation_that_forgets_the_end_certifies_nothing_false():
    mdp = jaxrl.envs.from_arrays([[[0, 1.0]], [[0, 1.0]]], [[5.0], [0.0]], terminal=[False, True])
    values = {"in error": jnp.array([1.9, 1.0]), "right, but for the end": jnp.array([5.0, 1.0])}
    for given in values.values():
        algorithm = jaxrl.PolicyIteration(mdp, discount=0.9, evaluate=lambda followed, discount, v=given: v)
        state, _ = algorithm.update(algorithm.init(jax.random.key(0)), jax.random.key(0))
        solution = algorithm.solution(state, 1e-2)
        assert solution.lower[0] <= 5.0 <= solution.upper[0] and solution.values[1] == 0.0


def test_check_every_changes_only_when_it_looks():
    mdp = textbook.gridworld_5x5()
    often, seldom = solve(mdp, 0.9, 1e-3), solve(mdp, 0.9, 1e-3, check_every=8)
    assert int(often.num_updates) <= int(seldom.num_updates) <= int(often.num_updates) + 8
    np.testing.assert_allclose(often.values, seldom.values, atol=2e-3)


def test_a_discount_of_one_is_refused_also_where_float32_rounds_it_to_one():
    with pytest.raises(ValueError, match=r"discount=1\.0 must be in \[0, 1\); .* StochasticShortestPath"):
        solve(textbook.gridworld_4x4(), 1.0, 1e-3)
    almost = jaxrl.ValueIteration(textbook.gridworld_4x4(), discount=1 - 1e-9)
    with pytest.raises(ValueError, match=r"discount=0\.999999999 must be in \[0, 1\), also in float32; .*Shortest"):
        jaxrl.check(almost)
    with jax.enable_x64():
        jaxrl.check(almost)


@pytest.mark.parametrize("evaluate", [exact_evaluation, gmres_values, SweptValues(20)], ids=["LU", "GMRES", "swept"])
def test_policy_iteration_in_float32_goes_as_far_as_rounding_lets_it_and_stops(evaluate):
    # An evaluation that errs by rounding is refined, so that the bounds end at the rounding of one sweep.
    mdp = textbook.garnet(200, 4, 5, seed=1)
    algorithm = jaxrl.PolicyIteration(mdp, discount=0.9999, evaluate=evaluate)
    with pytest.raises(ValueError, match="ask for") as refused:
        jaxrl.solve(algorithm, 1e-6, max_updates=200)
    smallest = float(str(refused.value).split("ask for ")[1].split(",")[0])
    assert bool(jaxrl.solve(algorithm, smallest, max_updates=200).converged)
    by_sweeps = jaxrl.solve(jaxrl.ValueIteration(mdp, discount=0.9999), smallest, max_updates=2000)
    assert bool(by_sweeps.converged), "no coarser than value iteration"


def test_policy_iteration_improves_the_car_rental_four_times():
    # The book: optimal after four improvements of "move nothing"; v(0, 0) of each policy.
    with jax.enable_x64():
        mdp = textbook.car_rental()
        found = [exact_values(mdp.follow(jnp.full(441, 5)), 0.9)]
        algorithm = jaxrl.PolicyIteration(mdp, discount=0.9, values=found[0])
        state = algorithm.init(jax.random.key(0))
        for _ in range(4):
            found.append(exact_values(mdp.follow(state.policy), 0.9))
            state, _ = algorithm.update(state, jax.random.key(0))
    expected = [407.178963, 418.378875, 421.339925, 421.414048, 421.414063]
    np.testing.assert_allclose([values[0] for values in found], expected, atol=1e-6)


def test_solving_works_inside_jit_with_a_plain_tolerance():
    mdp = textbook.garnet(6, 2, 2)
    inside = jax.jit(lambda mdp: jaxrl.solve(jaxrl.ValueIteration(mdp, discount=0.9), 1e-3))(mdp)
    np.testing.assert_allclose(inside.values, solve(mdp, 0.9, 1e-3).values, rtol=1e-5)


SLOWER = {  # not relative: they take some 1/(1-γ) updates
    "anchored": jaxrl.AnchoredValueIteration,
    "in blocks": functools.partial(jaxrl.ValueIteration, num_blocks=7),
    "prioritized": prioritized,
}


@pytest.mark.parametrize("algorithm", SLOWER.values(), ids=SLOWER)
@pytest.mark.parametrize("discount", [0.9, 0.99])
def test_slower_solvers_find_the_values_too(algorithm, discount):
    with jax.enable_x64():
        mdp = textbook.garnet(50, 4, 5, seed=1)
        solution = jaxrl.solve(algorithm(mdp, discount=discount), 1e-4, max_updates=5000)
        assert_certified(solution, exact_values(mdp, discount), 1e-4)


def test_the_anchor_has_the_papers_weights():
    # k = 1: β = 1 / (1 + γ⁻²); k = 2: β = 1 / (1 + γ⁻² + γ⁻⁴).
    mdp, start = textbook.garnet(20, 2, 3), jnp.linspace(-1, 1, 20)
    solver = jaxrl.AnchoredValueIteration(mdp, discount=0.9, values=start)
    state, values = solver.init(jax.random.key(0)), start
    for k in (1, 2):
        state, _ = solver.update(state, jax.random.key(0))
        beta = 1 / sum(0.9 ** (-2 * i) for i in range(k + 1))
        values = beta * start + (1 - beta) * mdp.q_values(values, 0.9).max(-1)
        np.testing.assert_allclose(state.values, values, rtol=1e-5)


def sweeps_until(step, values, tolerance):
    """Number of sweeps until no value changes by as much."""
    step = jax.jit(step)
    for count in range(1, 10_000):
        values, before = step(values), values
        if float(jnp.abs(values - before).max()) < tolerance:
            return count
    raise AssertionError("does not converge")


def test_sweeps_in_place_are_the_books():
    with jax.enable_x64():
        followed = textbook.gridworld_4x4().follow(jnp.full((16, 4), 0.25))
        zeros = jnp.zeros(16)
        assert sweeps_until(lambda v: followed.q_values(v, 1.0).max(-1), zeros, 1e-4) == 173
        assert sweeps_until(lambda v: block_sweep(followed, v, 1.0, 16), zeros, 1e-4) == 114
        for heads, sweeps, near in ((0.4, 27, 0), (0.55, 2875, 10)):  # 1e-15 is rounding where values are about one
            gambler = textbook.gambler(heads)
            found = sweeps_until(lambda v, mdp=gambler: block_sweep(mdp, v, 1.0, 101), jnp.zeros(101), 1e-15)
            assert abs(found - sweeps) <= near
        for mdp, discount, tolerance, sweeps in (
            (textbook.car_rental(), 0.9, 1e-11, 279),
            (textbook.cliff_walking(), 1.0, 1e-12, 15),
            (textbook.taxi(), 1.0, 1e-12, 19),
        ):
            zeros = jnp.zeros(mdp.num_states)
            found = sweeps_until(lambda v, mdp=mdp, d=discount: mdp.q_values(v, d).max(-1), zeros, tolerance)
            assert found == sweeps


@pytest.mark.parametrize(
    ("discount", "expected", "sweeps"), [(0.99, {1e-3: 3.9e-2, 1e-6: 3.0e-5}, 370), (1.0, {1e-6: 6.8e-5}, 794)]
)
def test_residuals_mislead_where_bounds_do_not(discount, expected, sweeps):
    # FrozenLake 8x8, γ = 0.99: a last change below 1e-3 leaves an error of 3.9e-2, one below 1e-6 3.0e-5.
    table = gymnasium.make("FrozenLake-v1", map_name="8x8").unwrapped.P
    with jax.enable_x64():
        mdp = jaxrl.envs.from_gymnasium(table)
        best = jaxrl.solve(jaxrl.StochasticShortestPath(mdp)).values if discount == 1 else exact_values(mdp, discount)
        sweep = jax.jit(lambda v: mdp.q_values(v, discount).max(-1))
        values, found, change, count = jnp.zeros(64), {}, np.inf, 0
        for below in expected:
            while change >= below:
                values, before, count = sweep(values), values, count + 1
                change = float(jnp.abs(values - before).max())
            found[below] = float(jnp.abs(values - best).max())
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=0.02)
    assert count == sweeps


def test_blocks_that_do_not_divide_the_states_cover_them():
    mdp, values = textbook.garnet(10, 2, 3), jnp.linspace(0, 1, 10)
    whole = mdp.q_values(values, 0.9)
    for layout in (mdp, jaxrl.envs.to_dense(mdp)):
        for begin in (0, 3, 6):
            np.testing.assert_allclose(
                layout.block(begin, 4).q_values(values, 0.9), whole[begin : begin + 4], rtol=1e-5
            )
    for num_blocks in (3, 4, 10, 99):
        swept = np.array(values)
        size = -(-10 // min(num_blocks, 10))
        for begin in range(0, 10, size):
            begin = min(begin, 10 - size)
            swept[begin : begin + size] = np.asarray(mdp.q_values(jnp.asarray(swept), 0.9).max(-1))[
                begin : begin + size
            ]
        np.testing.assert_allclose(block_sweep(mdp, values, 0.9, num_blocks), swept, rtol=1e-5)


def test_states_that_cannot_come_to_an_end_are_refused_and_under_vmap_marked():
    # State 1 stays where it is, whatever one does.
    mdp = jaxrl.envs.from_successors([[[2]], [[1]], [[2]]], np.ones((3, 1, 1)), -np.ones((3, 1)), terminal=[0, 0, 1])
    with pytest.raises(ValueError, match="state 1 cannot come to an end"):
        jaxrl.solve(jaxrl.StochasticShortestPath(mdp))
    rewards = jnp.stack([mdp.reward, 2 * mdp.reward])
    solution = jax.vmap(lambda reward: jaxrl.solve(jaxrl.StochasticShortestPath(mdp.replace(reward=reward))))(rewards)
    assert solution.rule.tolist() == [Rule.IMPROPER] * 2


def test_a_cycle_that_pays_is_reported_as_never_coming_to_an_end():
    # State 0: end at once for nothing, or go to 1 and back and earn 1 each time round. State 2 only ends.
    successor = [[[3], [1]], [[0], [0]], [[3], [3]], [[3], [3]]]
    mdp = jaxrl.envs.from_successors(
        successor, np.ones((4, 2, 1)), [[0, 1], [0, 0], [0, 0], [0, 0]], terminal=[0, 0, 0, 1]
    )
    for check_every in (1, 8):
        with pytest.raises(ValueError, match="state 0 prefers never to come to an end"):
            jaxrl.solve(jaxrl.StochasticShortestPath(mdp), check_every=check_every)
    solution = jax.jit(lambda mdp: jaxrl.solve(jaxrl.StochasticShortestPath(mdp)))(mdp)
    assert int(solution.rule) == Rule.IMPROPER
    assert solution.values.tolist() == [np.inf, np.inf, 0, 0]
    assert np.isneginf(solution.lower).all() and np.isposinf(solution.upper).all()


@pytest.mark.parametrize("size", [30, 1200])
def test_the_first_policy_is_not_one_that_takes_exponentially_long(size):
    # Costs of one. Action 0: forward with 0.6, else back to the start; 1: forward with 0.5, else stay: 2 N steps.
    states = np.arange(size)
    successor = np.stack([np.stack([states + 1, 0 * states], -1), np.stack([states + 1, states], -1)], 1)
    successor = np.concatenate([successor, np.full((1, 2, 2), size)])
    probability = np.tile([[0.6, 0.4], [0.5, 0.5]], (size + 1, 1, 1))
    with jax.enable_x64():
        ends = np.arange(size + 1) == size
        mdp = jaxrl.envs.from_successors(successor, probability, -np.ones((size + 1, 2)), terminal=ends)
        solution = jaxrl.solve(jaxrl.StochasticShortestPath(mdp), tolerance=0.1)
        np.testing.assert_allclose(solution.values, best_values(*dense_arrays(mdp), 1.0, first=1), rtol=1e-9)
    assert -2 * size < float(solution.values[0]) < -1.9 * size


def test_what_a_policy_lacks_is_added_to_its_values():
    # v + (I - γP)⁻¹ (r + γPv - v) is v_π from any v; a share of it takes as much of the error away.
    with jax.enable_x64():
        followed = textbook.random_walk().follow(jnp.zeros(7, jnp.int32))
        exact = np.linalg.solve(np.eye(7) - 0.9 * dense_arrays(followed)[0][:, 0], dense_arrays(followed)[1][:, 0])
        start = jnp.where(followed.terminal, 0.0, jnp.linspace(-1, 1, 7))
        np.testing.assert_allclose(refine(exact_evaluation, followed, 0.9, start), exact, atol=1e-12)
        half = refine(lambda process, discount: 0.5 * exact_evaluation(process, discount), followed, 0.9, start)
        np.testing.assert_allclose(half - exact, 0.5 * (start - exact), atol=1e-12)


def test_nothing_is_proved_before_the_end():
    with pytest.warns(UserWarning, match="after 3 updates the values are proved to inf"):
        solution = jaxrl.solve(jaxrl.BackwardInduction(textbook.cliff_walking(), horizon=100), max_updates=3)
    assert np.isneginf(solution.lower).all() and np.isposinf(solution.upper).all()
    # State 0: end at a cost of 5 by the likelier way, or go round by state 1 for nothing.
    successor = [[[2], [1]], [[2], [2]], [[2], [2]]]
    mdp = jaxrl.envs.from_successors(successor, np.ones((3, 2, 1)), [[-5, 0], [0, 0], [0, 0]], terminal=[0, 0, 1])
    with pytest.warns(UserWarning, match="after 0 updates"):
        solution = jaxrl.solve(jaxrl.StochasticShortestPath(mdp), max_updates=0)
    assert np.isposinf(solution.upper).all() and float(solution.lower[0]) <= -4.99
    np.testing.assert_allclose(jaxrl.solve(jaxrl.StochasticShortestPath(mdp)).values[0], 0.0, atol=1e-6)


def test_a_process_that_is_none_is_refused():
    both = jaxrl.envs.enumerate_environment(*jaxrl.envs.make("FrozenLake-misc"))
    with pytest.raises(TypeError, match=r"mdp: a .* is no Markov decision process; unpack"):
        jaxrl.solve(jaxrl.ValueIteration(both))


def test_an_infinite_field_may_be_beyond_float32():
    jaxrl.check(jaxrl.QLearning(*jaxrl.envs.make("Gridworld4x4"), anneal_updates=1e39))


def test_the_average_reward_of_a_periodic_process_is_found_by_damping():
    # Two states in turn, rewards 1 and 3: 2 on average.
    mdp = jaxrl.envs.from_successors([[[1]], [[0]]], np.ones((2, 1, 1)), [[1.0], [3.0]])
    solution = jaxrl.solve(jaxrl.RelativeValueIteration(mdp, damping=0.5), tolerance=1e-3)
    np.testing.assert_allclose(solution.values, 2.0, atol=1e-3)
