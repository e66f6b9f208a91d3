"""What is no process, or no discount, certifies nothing; and what is certified holds where rewards cancel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import envs
from jaxrl.envs import textbook
from jaxrl.envs.mdp import MDP
from jaxrl.envs.transitions import DenseTransitions, FanoutTransitions, Outcome
from jaxrl.types import Rule

GAMMA = 0.9


def solve(mdp, tolerance=1e-2):
    return jaxrl.solve(jaxrl.ValueIteration(mdp, discount=GAMMA), tolerance)


def weighted(weight, state, action, event):
    """Two events, the first of a probability that is given."""
    return Outcome(event, jnp.where(event == 1, 1.0, 0.0), jnp.where(event == 0, weight[0], weight[1]))


def leading(successor, state, action, event):
    """Two events of equal probability into states from one on."""
    return Outcome(successor + event, 1.0, 0.5)


@pytest.mark.parametrize("kind", [jaxrl.ValueIteration, jaxrl.RelativeValueIteration])
def test_computed_processes_under_jit(kind):
    fields = {"discount": GAMMA} if kind is jaxrl.ValueIteration else {}

    @jax.vmap
    def rule(weight):
        return jaxrl.solve(kind(envs.from_function(weighted, (2, 1, 2), weight), **fields), 1e-2).rule

    weights = jnp.array([[0.75, 0.25], [-0.5, 1.5], [0.25, 0.25], [0.5, 0.55], [jnp.nan, 1.0]])
    assert rule(weights).tolist() == [Rule.CERTIFIED] + 4 * [Rule.NOT_FINITE]


def test_successors_under_jit_that_are_no_states():
    rule = jax.vmap(lambda first: solve(envs.from_function(leading, (2, 1, 2), first)).rule)(jnp.array([0, 1, -1]))
    assert rule.tolist() == [Rule.CERTIFIED, Rule.NOT_FINITE, Rule.NOT_FINITE]


ROWS = jnp.array([[[[0.4, 0.6]], [[0.0, 1.0]]], [[[0.2, 0.2]], [[0.0, 1.0]]], [[[-0.5, 1.5]], [[0.0, 1.0]]]])


def test_tables_made_by_hand():
    solution = jax.vmap(lambda rows: solve(MDP(DenseTransitions(rows), jnp.ones((2, 1)))))(ROWS)
    assert solution.rule.tolist() == [Rule.CERTIFIED, Rule.NOT_FINITE, Rule.NOT_FINITE]
    assert np.isinf(solution.lower[1:]).all() and np.isinf(solution.upper[1:]).all()
    with pytest.raises(ValueError, match="mdp: the probabilities of state 0, action 0 are negative or do not sum"):
        solve(MDP(DenseTransitions(ROWS[1]), jnp.ones((2, 1))))
    successor = jnp.array([[[0, 2]]])
    with pytest.raises(ValueError, match=r"state 1, action 0 .* lead to no state"):
        solve(MDP(FanoutTransitions(successor, jnp.ones((1, 1, 2))), jnp.ones((2, 1))))


def test_rows_that_do_not_count_may_be_anything():
    rows, reward = ROWS[2], jnp.ones((2, 1))
    solution = solve(MDP(DenseTransitions(rows), reward, terminal=jnp.array([True, False])))
    assert bool(solution.converged) and solution.lower[1] <= 10 <= solution.upper[1]


@pytest.mark.parametrize(
    "kind",
    [jaxrl.ValueIteration, jaxrl.PolicyIteration, jaxrl.AnchoredValueIteration, jaxrl.BackwardInduction],
)
def test_a_discount_out_of_range_under_jit(kind):
    # A finite horizon takes a discount of one.
    rule = jax.vmap(lambda discount: jaxrl.solve(kind(textbook.gridworld_5x5(), discount=discount), 0.1).rule)
    one = Rule.CERTIFIED if kind is jaxrl.BackwardInduction else Rule.NOT_FINITE
    expected = [Rule.CERTIFIED, one, Rule.NOT_FINITE, Rule.NOT_FINITE]
    assert rule(jnp.array([0.9, 1.0, 1.5, -0.5])).tolist() == expected


def event_reward(rewards, state, action, event):
    """One state, events of equal probability."""
    return Outcome(state, rewards[event], 1 / 16)


@pytest.mark.parametrize("rewards", [[10000.0] + [0.1] * 14 + [-10000.0], [0.1] * 14 + [10000.0, -10000.0]])
def test_computed_rewards_that_cancel(rewards):
    solution = solve(envs.from_function(event_reward, (1, 1, 16), jnp.array(rewards)), 1.0)
    assert solution.lower[0] <= 0.875 <= solution.upper[0]  # 1.4 / 16 each step


@pytest.mark.parametrize(
    ("rewards", "policy", "value", "enabled"),
    [
        ([40000.0, 0.1, -40000.0], [0.25, 0.5, 0.25], 0.5, False),
        ([1000000.3, -1000000.0], [0.5, 0.5], 1.5, False),
        ([4e12, 0.1, -4e12], [0.25, 0.5, 0.25], 0.5, True),
    ],
)
def test_rewards_of_a_policy_that_cancel(rewards, policy, value, enabled):
    with jax.enable_x64(enabled):
        mdp = envs.from_arrays(np.ones((1, len(rewards), 1)), [rewards])
        solution = solve(mdp.follow(jnp.array([policy])), 100.0)
        assert solution.lower[0] <= value <= solution.upper[0]
        with pytest.raises(ValueError, match="rounds too coarsely"):
            solve(mdp.follow(jnp.array([policy])), 1e-5)


def test_few_states_and_many_actions():
    # The rows of a policy are averages of a thousand: they round as often.
    policy = jax.nn.softmax(3 * jax.random.normal(jax.random.key(0), (2, 1000)))
    rows = jax.nn.softmax(jax.random.normal(jax.random.key(1), (2, 1000, 2)))
    mdp = envs.from_arrays(
        np.asarray(rows, np.float64) / np.asarray(rows, np.float64).sum(-1, keepdims=True), np.ones((2, 1000))
    )
    solution = solve(mdp.follow(policy), 1.0)
    assert mdp.follow(policy).transitions.num_terms == 2 + 2 * 1000
    assert bool(solution.converged) and np.all(solution.lower <= 10) and np.all(solution.upper >= 10)
