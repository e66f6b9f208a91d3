"""The layouts agree, and the constructors refuse what is no Markov decision process."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jaxrl
from jaxrl import envs
from jaxrl.envs import Outcome, textbook
from tests.helpers import policy_values

SIZE = 6


def corridor(params, state, action, event):
    """Left or right on a line; with probability `params` the step does not happen. The last cell ends it."""
    moved = jnp.clip(state + 2 * action - 1, 0, SIZE - 1)
    successor = jnp.where(event == 0, moved, state)
    return Outcome(successor, jnp.where(successor == SIZE - 1, 1.0, -0.1), jnp.where(event == 0, 1 - params, params))


def functional():
    return envs.from_function(corridor, (SIZE, 2, 2), 0.25, terminal=np.arange(SIZE) == SIZE - 1)


def layouts():
    return functional(), envs.to_fanout(functional()), envs.to_dense(functional())


def test_layouts_have_the_same_action_values():
    values = jax.random.normal(jax.random.key(0), (SIZE,))
    first, *others = (mdp.q_values(values, 0.9) for mdp in layouts())
    # From cell 4 to the right: 3/4 · (1 + 0.9 v5) + 1/4 · (-0.1 + 0.9 v4).
    expected = 0.75 * (1 + 0.9 * values[5]) + 0.25 * (-0.1 + 0.9 * values[4])
    np.testing.assert_allclose(first[4, 1], expected, rtol=1e-5)
    np.testing.assert_array_equal(first[5], 0.0)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stochastic", [False, True])
def test_layouts_follow_a_policy_alike(stochastic):
    values, policy = jax.random.normal(jax.random.key(0), (SIZE,)), jnp.array([0, 1, 1, 0, 1, 0])
    chosen = jax.nn.one_hot(policy, 2) * 0.7 + 0.15
    for mdp in layouts():
        q = mdp.q_values(values, 0.9)
        expected = (chosen * q).sum(-1) if stochastic else q[jnp.arange(SIZE), policy]
        followed = mdp.follow(chosen if stochastic else policy)
        assert followed.num_actions == 1
        np.testing.assert_allclose(followed.q_values(values, 0.9)[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_forbidden_actions_are_minus_infinity_in_every_layout():
    mdp = textbook.gambler(goal=8)
    for each in (mdp, envs.to_dense(mdp)):
        q = each.q_values(jnp.zeros(9), 0.9)
        assert np.isneginf(q[1, 1:]).all() and np.isfinite(q[4]).all()


def test_conversions_return_to_where_they_began():
    mdp = textbook.garnet(12, 3, 4)
    again = envs.to_fanout(envs.to_dense(mdp))
    before, after = mdp.transitions, again.transitions
    order = np.argsort(before.successor, axis=0)
    np.testing.assert_array_equal(after.successor, np.take_along_axis(np.asarray(before.successor), order, 0))
    np.testing.assert_allclose(after.probability, np.take_along_axis(np.asarray(before.probability), order, 0))


GOOD = [[[0.5, 0.5]], [[0.0, 1.0]]]


@pytest.mark.parametrize(
    ("transition", "reward", "options", "words"),
    [
        ([[[0.5, 0.4]], [[0, 1]]], [[0], [0]], {}, r"state 0, action 0 sum to 0\.9, 0\.1 away"),
        ([[[0.5, 0.5]], [[1.5, -0.5]]], [[0], [0]], {}, r"state 1, action 0 has the probability -0\.5"),
        ([[[0.5, np.nan]], [[0, 1]]], [[0], [0]], {}, "state 0, action 0 has the probability nan"),
        (GOOD, [[0], [np.nan]], {}, "state 1, action 0 has nan; it must be finite"),
        (GOOD, [[0], [np.inf]], {}, "state 1, action 0 has inf"),
        (GOOD, [[0]], {}, r"reward: must be \[2, 1\]"),
        (np.zeros((0, 2, 0)), np.zeros((0, 2)), {}, "at least one state"),
        (np.ones((2, 1, 3)), np.zeros((2, 1)), {}, r"must be \[S, A, S\]"),
        (GOOD, [[0], [0]], {"terminal": [True]}, r"terminal: must be \[2\]"),
        (GOOD, [[0], [-np.inf]], {}, "state 1 has no action"),
        (GOOD, [[0], [0]], {"allowed": [[True]]}, r"allowed: must be \[2, 1\]"),
        (GOOD, [[0], [0]], {"terminal": [0, 5]}, "terminal: must be True or False"),
        (GOOD, [[0], [0]], {"allowed": [["no"], ["no"]]}, "allowed: must be True or False"),
        ([[[1, 0], [1]]], [[0]], {}, "transition: must be an array of numbers"),
        (GOOD, [[0], [0, 1]], {}, "reward: must be an array of numbers"),
    ],
)
def test_what_is_no_process_is_refused(transition, reward, options, words):
    with pytest.raises(ValueError, match=words):
        envs.from_arrays(transition, reward, **options)


@pytest.mark.parametrize(
    ("successor", "words"),
    [([[[2]], [[0]]], "state 0, action 0 leads to 2, but the states are 0 to 1"), ([[[-1]], [[0]]], "leads to -1")],
)
def test_successors_out_of_range_are_refused(successor, words):
    with pytest.raises(ValueError, match=words):
        envs.from_successors(successor, np.ones((2, 1, 1)), np.zeros((2, 1)))


def test_rows_of_terminal_states_and_forbidden_actions_count_nothing():
    mdp = envs.from_arrays(
        [[[0.5, 0.5], [9.0, 9.0]], [[3.0, 0.0], [0.0, 0.0]]], [[1, -np.inf], [np.nan, 7]], terminal=[False, True]
    )
    np.testing.assert_array_equal(mdp.transitions.probability, [[[0.5, 0.5], [0, 0]], [[0, 0], [0, 0]]])
    np.testing.assert_array_equal(mdp.reward, [[1, 0], [0, 0]])
    np.testing.assert_array_equal(mdp.allowed, [[True, False], [True, True]])


def test_rewards_of_successors_and_of_states():
    by_successor = envs.from_arrays(GOOD, [[[2.0, 4.0]], [[100.0, 1.0]]])
    np.testing.assert_allclose(by_successor.reward, [[3.0], [1.0]])
    two_actions = np.repeat(np.asarray(GOOD), 3, axis=1)
    np.testing.assert_allclose(envs.from_arrays(two_actions, [5.0, 6.0]).reward, [[5.0] * 3, [6.0] * 3])


def test_what_is_certified_is_of_rows_that_sum_to_one():
    # A row that lacks 7e-6 is another process, and γ = 0.999 makes it 200 of 33,400.
    with pytest.raises(ValueError, match="do not sum to one"):
        envs.from_function(lambda p, s, a, e: Outcome(e, jnp.where(s == 0, 100.0, 0.0), p), (3, 1, 3), 0.333331)
    with jax.enable_x64():
        probability = np.full((3, 1, 3), 0.333332)
        for reward in (np.ones((3, 1)), np.ones((3, 1, 3))):
            np.testing.assert_allclose(envs.from_arrays(probability, reward).reward, 1.0, rtol=1e-12)
        almost = jnp.tile(jnp.array([0.25, 0.25, 0.25, 0.249995]), (25, 1))
        followed = envs.textbook.gridworld_5x5().follow(almost)
        solution = jaxrl.solve(jaxrl.ValueIteration(followed, discount=0.999), 1e-6)
        np.testing.assert_allclose(followed.transitions.probability.sum(0), 1.0, rtol=1e-12)
        exact = policy_values(envs.textbook.gridworld_5x5(), almost / almost.sum(-1, keepdims=True), 0.999)
        np.testing.assert_allclose(solution.values, exact, atol=1e-6)


def test_rewards_of_forbidden_outcomes_do_not_matter():
    def outcome(params, state, action, event):
        return Outcome(state, jnp.where(action == 0, 1.0, jnp.nan), 1.0)

    mdp = envs.from_function(outcome, (2, 2, 1), allowed=[[True, False], [True, False]])
    assert mdp.reward.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert mdp.follow(jnp.array([[1.0, 0.0], [1.0, 0.0]])).reward.tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({0: {0: [(1.0, 5, 0.0, True)]}}, "state 0 leads to a state that is none of 0 to 0"),
        ({0: {0: [(1.0, 0, 0.0, True)]}, 2: {0: [(1.0, 0, 0.0, True)]}}, "must be 0 to 1, but 1 is not there"),
    ],
)
def test_gymnasium_tables_with_other_states_are_refused(table, words):
    with pytest.raises(ValueError, match=words):
        envs.from_gymnasium(table)


def test_sizes_and_successors_that_are_no_numbers_of_states_are_refused():
    with pytest.raises(ValueError, match="sizes"):
        envs.from_function(corridor, (0, 1, 3), 0.1)
    with pytest.raises(ValueError, match="successor: must be integers"):
        envs.from_successors([[[0.7]]], [[[1.0]]], [[0.0]])


@pytest.mark.parametrize(
    "policy", [np.zeros(1, int), np.full((10, 4), 0.25), np.full(16, 7), np.full((16, 4), 0.3), np.full(16, 0.5)]
)
def test_what_is_no_policy_of_the_problem_is_refused(policy):
    with pytest.raises(ValueError, match="policy: "):
        envs.textbook.gridworld_4x4().follow(policy)
    with pytest.raises(ValueError, match="policy: "):
        envs.follow(*envs.make("Gridworld4x4"), policy)


def test_probabilities_of_float32_make_rows_of_float64_that_sum_to_one():
    policy = jax.nn.softmax(jax.random.normal(jax.random.key(0), (16, 4)))
    with jax.enable_x64():
        followed = envs.textbook.gridworld_4x4().follow(policy)
        sums = np.asarray(followed.transitions.probability).sum(0)[~np.asarray(followed.terminal)[None]]
        np.testing.assert_allclose(sums, 1.0, rtol=1e-14)


def test_masks_and_ends_may_be_traced():
    def value(stay, last):
        mdp = envs.from_function(corridor, (SIZE, 2, 2), stay, terminal=jnp.arange(SIZE) == last)
        mdp = envs.textbook.starting_in(mdp, 0)
        return mdp.start @ jaxrl.solve(jaxrl.ValueIteration(mdp, discount=0.9), 1e-3).values

    both = jax.vmap(value, (None, 0))(0.1, jnp.array([SIZE - 1, SIZE - 2]))
    alone = [float(value(0.1, last)) for last in (SIZE - 1, SIZE - 2)]
    np.testing.assert_allclose(both, alone, atol=2e-3)


def test_policies_are_taken_as_lists_too():
    mdp = envs.textbook.gridworld_4x4()
    np.testing.assert_array_equal(mdp.follow([1] * 16).reward, mdp.follow(jnp.ones(16, jnp.int32)).reward)
    assert envs.follow(*envs.make("Gridworld4x4"), [1] * 16)[1].policy.shape == (16, 4)


def test_no_episode_begins_at_its_end():
    with pytest.raises(ValueError, match="terminal"):
        envs.textbook.starting_in(envs.textbook.random_walk(), 6)


def test_a_computed_process_whose_rows_do_not_sum_to_one_is_refused():
    with pytest.raises(ValueError, match="state 0, action 0 the probabilities are negative or do not sum"):
        envs.from_function(lambda p, s, a, e: Outcome(s, 0.0, 0.4), (2, 1, 2))


@pytest.mark.parametrize(
    "outcome",
    [
        lambda p, s, a, e: Outcome(s, 0.0, jnp.where(e == 0, 1.5, -0.5)),
        lambda p, s, a, e: Outcome(s + 1, 0.0, 0.5),
        lambda p, s, a, e: Outcome(s, jnp.nan, 0.5),
    ],
    ids=["negative", "no state", "nan"],
)
def test_computed_outcomes_that_cannot_be_are_refused(outcome):
    with pytest.raises(ValueError, match="outcome: of state"):
        envs.from_function(outcome, (2, 1, 2))


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({"terminal": [0, 1]}, r"terminal: must be \[6\]"),
        ({"allowed": np.ones((2, SIZE), bool)}, r"allowed: must be \[6, 2\]"),
        ({"allowed": np.arange(2 * SIZE).reshape(SIZE, 2) > 1}, "allowed: state 0 has no action"),
    ],
)
def test_masks_of_a_computed_process_that_do_not_fit_are_refused(masks, words):
    with pytest.raises(ValueError, match=words):
        envs.from_function(corridor, (SIZE, 2, 2), 0.1, **masks)


def test_computed_processes_take_masks_of_numbers():
    mdp = envs.from_function(corridor, (SIZE, 2, 2), 0.1, terminal=[0] * (SIZE - 1) + [1])
    assert mdp.terminal.dtype == bool
    np.testing.assert_array_equal(envs.to_fanout(mdp).transitions.probability[..., -1], 0)


def test_states_of_gymnasium_that_end_and_earn_stay_alive():
    # An exit: state 1 is entered alive and earns 5 as it ends.
    exit_table = {0: {0: [(1.0, 1, 0.0, False)]}, 1: {0: [(1.0, 1, 5.0, True)]}}
    solution = jaxrl.solve(jaxrl.ValueIteration(envs.from_gymnasium(exit_table), discount=0.9), 1e-3)
    np.testing.assert_allclose(solution.values[:2], [4.5, 5.0], atol=1e-3)
    bandit = envs.from_gymnasium({0: {0: [(1.0, 0, 1.0, True)], 1: [(1.0, 0, 0.0, True)]}})
    np.testing.assert_allclose(jaxrl.solve(jaxrl.ValueIteration(bandit), 1e-3).values[0], 1.0, atol=1e-3)
    with pytest.raises(ValueError, match="table: state 1 must have the actions 0 to 0"):
        envs.from_gymnasium({0: {0: [(1.0, 1, 0.0, True)]}, 1: {}})


def test_episodes_begin_in_states_only():
    for states in (99, [], [0, 99]):
        with pytest.raises(ValueError, match="must be states of the process"):
            textbook.starting_in(textbook.random_walk(), states)


def test_computed_processes_vmap_over_their_parameters():
    stay = jnp.array([0.25, 0.5])
    rewards = jax.vmap(lambda p: envs.from_function(corridor, (SIZE, 2, 2), p).reward)(stay)
    np.testing.assert_allclose(rewards[:, 4, 1], (1 - stay) * 1.0 + stay * -0.1, rtol=1e-6)


def test_garnet_leads_to_different_states_all_alike():
    successor = np.asarray(textbook.garnet(8, 500, 3).transitions.successor).T
    assert all(len(set(row)) == 3 for row in successor.reshape(-1, 3).tolist())
    counts = np.bincount(successor.ravel(), minlength=8)
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_functional_processes_of_equal_functions_share_a_compilation():
    assert jax.tree.structure(functional()) == jax.tree.structure(functional())
    policy = jnp.zeros(SIZE, jnp.int32)
    assert jax.tree.structure(functional().follow(policy)) == jax.tree.structure(functional().follow(policy))
