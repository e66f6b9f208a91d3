"""Processes enumerated from gymnax environments: exact values, and agreement with what the environments do."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jaxrl
from jaxrl import envs
from jaxrl.envs.recipes import RECIPES
from tests.helpers import discounted, policy_values, undiscounted


def enumerated(name, **options):
    return envs.enumerate_environment(*envs.make(name, **options))


def start_value(mdp, solution):
    return float(mdp.start @ solution.values)


def value_of(mdp, policy, discount):
    return start_value(mdp, discounted(mdp.follow(policy), discount))


def uniform(mdp):
    return jnp.full(mdp.reward.shape, 1 / mdp.num_actions)


FROZEN_LAKE = {
    "4x4": {0.9: 0.068890904889, 0.95: 0.180471578397, 0.99: 0.542025932, 0.999: 0.785533256655, 1: 14 / 17},
    "8x8": {0.9: 0.006411114262, 0.95: 0.048250204081, 0.99: 0.4146403618, 0.999: 0.892635494945, 1: 1.0},
}


@pytest.mark.parametrize("map_name", FROZEN_LAKE)
def test_frozen_lake(map_name):
    with jax.enable_x64():
        mdp, states = enumerated("FrozenLake-misc", map_name=map_name)
        np.testing.assert_array_equal(states.position, np.arange(mdp.num_states))
        for discount, value in FROZEN_LAKE[map_name].items():
            solution = undiscounted(mdp) if discount == 1 else discounted(mdp, discount)
            np.testing.assert_allclose(start_value(mdp, solution), value, atol=1e-9)


@pytest.mark.parametrize(("map_name", "horizon", "value"), [("4x4", 100, 0.7441902878), ("8x8", 200, 0.9132201502)])
def test_frozen_lake_with_its_time_limit(map_name, horizon, value):
    with jax.enable_x64():
        mdp, _ = enumerated("FrozenLake-misc", map_name=map_name)
        assert mdp.max_steps_in_episode == horizon
        solution = jaxrl.solve(jaxrl.BackwardInduction(mdp, horizon=horizon), tolerance=1e-9)
        np.testing.assert_allclose(start_value(mdp, solution), value, atol=1e-10)


def test_frozen_lake_of_the_random_policy_and_without_chance():
    with jax.enable_x64():
        for size, long, discounted_value in (("4x4", 0.0139397962, 0.0123561373), ("8x8", 0.0019037133, 0.0010996148)):
            mdp, _ = enumerated("FrozenLake-misc", map_name=size)
            for discount, value in ((1.0, long), (0.99, discounted_value)):
                random = np.asarray(mdp.start) @ policy_values(mdp, uniform(mdp), discount)
                np.testing.assert_allclose(random, value, atol=1e-10)
        for size, steps in (("4x4", 6), ("8x8", 14)):
            mdp, _ = enumerated("FrozenLake-misc", map_name=size, is_slippery=False)
            np.testing.assert_allclose(start_value(mdp, discounted(mdp, 0.99)), 0.99 ** (steps - 1), atol=1e-9)


def test_all_values_and_ties_of_frozen_lake():
    values = [0.542026, 0.498803, 0.470696, 0.456852, 0.558451, 0, 0.358348, 0]
    values += [0.591799, 0.643080, 0.615208, 0, 0, 0.741720, 0.862837, 0]
    with jax.enable_x64():
        mdp, _ = enumerated("FrozenLake-misc")
        np.testing.assert_allclose(discounted(mdp, 0.99).values, values, atol=5e-7)
        mdp, _ = enumerated("FrozenLake-misc", map_name="8x8")
        best = np.asarray(discounted(mdp, 0.99).optimal_actions)[~np.asarray(mdp.terminal)]
        assert (best.sum(-1) > 1).sum() == 7


def test_what_is_greedy_for_the_best_soft_values_of_the_lake_is_not_the_best():
    # The README's note: 1.76 % of the value is lost, without any learning, from ε = 0.1 on; nothing at 0.05.
    with jax.enable_x64():
        mdp, _ = enumerated("FrozenLake-misc")
        best = start_value(mdp, discounted(mdp, 0.99))
        for epsilon, lost in ((0.05, 0.0), (0.1, 0.0176114), (0.3, 0.0176114), (0.5, 0.0176114), (1.0, 0.0176114)):
            dense = envs.to_dense(mdp)
            chance, reward = np.asarray(dense.transitions.probability), np.asarray(dense.reward)
            mixed, earned = ((1 - epsilon) * x + epsilon * x.mean(1, keepdims=True) for x in (chance, reward))
            soft = discounted(envs.from_arrays(mixed, earned, terminal=mdp.terminal), 0.99)
            greedy = np.asarray(mdp.q_values(soft.values, 0.99)).round(9).argmax(-1)
            np.testing.assert_allclose(
                1 - np.asarray(mdp.start) @ policy_values(mdp, greedy, 0.99) / best, lost, atol=1e-6
            )


def test_the_first_greedy_action_of_the_exact_values_goes_round_for_ever():
    # 8x8, γ = 1: v* = 1, but the first of the tied actions stays in column 0. Ours must be proper.
    with jax.enable_x64():
        mdp, _ = enumerated("FrozenLake-misc", map_name="8x8")
        solution = undiscounted(mdp)
        naive = jnp.round(mdp.q_values(solution.values, 1.0), 9).argmax(-1)
        start = np.flatnonzero(mdp.start)
        assert reaches_the_end(mdp, naive)[start] == 0.0
        np.testing.assert_allclose(reaches_the_end(mdp, solution.policy)[start], 1.0, atol=1e-6)
        assert np.asarray(solution.optimal_actions)[np.arange(64), naive].all(), "tied, and still improper"
        small, _ = enumerated("FrozenLake-misc")  # on 4x4 it does come to an end
        naive = jnp.round(small.q_values(undiscounted(small).values, 1.0), 9).argmax(-1)
        np.testing.assert_allclose(policy_values(small, naive)[0], 14 / 17, atol=1e-9)


def reaches_the_end(mdp, policy):
    """Probability of coming to an end within 100,000 steps, `[S]`."""
    step = envs.to_dense(mdp.follow(policy)).transitions.probability[:, 0]
    step = step + jnp.diag(mdp.terminal.astype(step.dtype))
    for _ in range(17):
        step = step @ step
    return np.asarray(step @ mdp.terminal.astype(step.dtype))


def test_four_rooms():
    with jax.enable_x64():
        mdp, _ = enumerated("FourRooms-misc")
        assert mdp.num_states == 104
        alive = ~np.asarray(mdp.terminal)
        for discount, value, mean in (
            (0.9, 0.0861861180, 0.3377076),
            (0.95, 0.2864543786, 0.5425866),
            (0.99, 0.7745474176, 0.8734950),
        ):
            solution = discounted(mdp, discount)
            np.testing.assert_allclose(start_value(mdp, solution), value, atol=1e-9)
            np.testing.assert_allclose(np.asarray(solution.values)[alive].mean(), mean, atol=1e-7)
        np.testing.assert_allclose(start_value(mdp, undiscounted(mdp)), 1.0, atol=1e-9)
        np.testing.assert_allclose(value_of(mdp, uniform(mdp), 0.99), 0.0530956157, atol=1e-9)
        algorithm = jaxrl.PolicyIteration(mdp, discount=0.99)
        assert int(jaxrl.solve(algorithm, tolerance=1e-6).num_updates) <= 4
        limited = jaxrl.solve(jaxrl.BackwardInduction(mdp, horizon=500), tolerance=1e-9)
        np.testing.assert_allclose(start_value(mdp, limited), 1.0, atol=1e-12)
        steps = mdp.replace(reward=-jnp.ones_like(mdp.reward))
        np.testing.assert_allclose(start_value(mdp, undiscounted(steps)), -26.71049416, atol=1e-7)
        certain, _ = enumerated("FourRooms-misc", fail_prob=0.0)
        steps = certain.replace(reward=-jnp.ones_like(certain.reward))
        np.testing.assert_allclose(start_value(certain, undiscounted(steps)), -14, atol=1e-9)


def test_catch():
    with jax.enable_x64():
        mdp, _ = enumerated("Catch-bsuite")
        np.testing.assert_allclose(start_value(mdp, undiscounted(mdp)), 1.0, atol=1e-9)
        np.testing.assert_allclose(start_value(mdp, discounted(mdp, 0.99)), 0.9227446944, atol=1e-9)
        np.testing.assert_allclose(value_of(mdp, uniform(mdp), 0.99), -0.5536468, atol=1e-6)
        random = np.asarray(mdp.start) @ policy_values(mdp, uniform(mdp))
        np.testing.assert_allclose(random, -0.6, atol=1e-9)


@pytest.mark.parametrize(
    ("size", "value", "random"),
    [
        (8, 0.9224084347, -0.00109375),
        pytest.param(10, 0.9039554550, -0.0040234375, marks=pytest.mark.slow),
        pytest.param(20, 0.8170639707, None, marks=pytest.mark.slow),
    ],
)
def test_deep_sea(size, value, random):
    with jax.enable_x64():
        mdp, _ = enumerated("DeepSea-bsuite", size=size)
        np.testing.assert_allclose(start_value(mdp, undiscounted(mdp)), 0.99, atol=1e-9)
        np.testing.assert_allclose(start_value(mdp, discounted(mdp, 0.99)), value, atol=1e-9)
        if random is not None:
            found = np.asarray(mdp.start) @ policy_values(mdp, uniform(mdp))
            np.testing.assert_allclose(found, random, atol=1e-9)


def test_chains():
    with jax.enable_x64():
        mdp, _ = enumerated("UmbrellaChain-bsuite")
        np.testing.assert_allclose(start_value(mdp, undiscounted(mdp)), 1.0, atol=1e-9)
        mdp, _ = enumerated("DiscountingChain-bsuite")
        np.testing.assert_allclose(start_value(mdp, undiscounted(mdp)), np.float32(1.1), atol=1e-9)  # its own float32


def test_meta_maze_counts_cells_times_goals():
    mdp, states = enumerated("MetaMaze-misc")
    alive = ~np.asarray(mdp.terminal)
    cells = len(envs.make("MetaMaze-misc")[0].coords)
    assert alive.sum() == cells * (cells - 1) + 1  # at the goal only where an episode begins there
    assert set(map(tuple, np.asarray(states.goal)[alive])) == set(map(tuple, np.asarray(states.pos)[alive]))
    np.testing.assert_allclose(mdp.start.sum(), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "FrozenLake-misc",
        "FourRooms-misc",
        "UmbrellaChain-bsuite",
        "DiscountingChain-bsuite",
        "Catch-bsuite",
        "MetaMaze-misc",
    ],
)
def test_chances_are_those_of_the_environment(name):
    # 2000 steps from each of a few states, and from the one where most is left to chance: where they lead, by a
    # chi-square test.
    env, env_params = envs.make(name)
    mdp, states = envs.enumerate_environment(env, env_params)
    numbers = {bytes(np.concatenate([np.ravel(x) for x in key]).astype(np.float64)): s for s, key in keyed(env, states)}
    alive = np.ones(mdp.num_states, bool) if mdp.terminal is None else ~np.asarray(mdp.terminal)
    step = jax.jit(jax.vmap(lambda key, state: env.step_env(key, state, 1, env_params)[1:4], (0, None)))
    possible = (np.asarray(mdp.transitions.probability)[:, 1] > 0).sum(0) * alive
    for state in {*np.flatnonzero(alive)[:: max(1, alive.sum() // 5)], possible.argmax()}:
        keys = jax.random.split(jax.random.key(int(state)), 2000)
        following, rewards, _ = step(keys, jax.tree.map(lambda x, s=state: x[s], states))
        error = 5 * float(np.std(rewards)) / np.sqrt(2000) + 1e-6
        np.testing.assert_allclose(np.mean(rewards), mdp.reward[state, 1], atol=error)
        if mdp.transitions.reward is not None:  # by chance
            rewarded = np.asarray(mdp.transitions.probability)[:, 1, state] > 0
            assert set(np.asarray(mdp.transitions.reward)[rewarded, 1, state]) == set(np.asarray(rewards).ravel())
        counts = np.zeros(mdp.num_states)
        for _, key in keyed(env, following):
            counts[numbers[bytes(np.concatenate([np.ravel(x) for x in key]).astype(np.float64))]] += 1
        expected = np.asarray(envs.to_dense(mdp).transitions.probability)[state, 1] * 2000
        assert counts[expected == 0].sum() == 0
        if (expected > 0).sum() > 1:
            possible = expected[expected > 0].astype(np.float64)
            assert scipy.stats.chisquare(counts[expected > 0], possible * 2000 / possible.sum()).pvalue > 1e-4


def keyed(env, states):
    """Number and the fields that tell states apart; a known end has the same fields as the live state it was."""
    fields = [np.asarray(v) for k, v in vars(states).items() if k not in RECIPES[env.name].ignored]
    for s in range(len(fields[0])):
        yield s, [field[s] for field in fields]


def test_the_greedy_policy_earns_in_the_environment_what_the_process_says():
    # With the time limit, by backward induction; 20,000 episodes by the best action of each time.
    env, env_params = envs.make("FrozenLake-misc")
    mdp, _ = envs.enumerate_environment(env, env_params)
    solver = jaxrl.BackwardInduction(mdp, horizon=100)
    state, _ = jaxrl.train(solver, jax.random.key(0), 100)
    obs, env_state = envs.reset(env, env_params, jax.random.key(1), 20_000)

    def step(carry, inputs):
        key, policy = inputs
        obs, env_state, playing, earned = carry
        action = policy[obs]
        obs, env_state, transition = envs.step(env, env_params, jax.random.split(key, 20_000), obs, env_state, action)
        return (obs, env_state, playing & ~transition.done, earned + playing * transition.reward), None

    start = (obs, env_state, jnp.ones(20_000, bool), jnp.zeros(20_000))
    keys = jax.random.split(jax.random.key(2), 100)
    (_, _, _, earned), _ = jax.lax.scan(step, start, (keys, state.policies))
    assert abs(float(earned.mean()) - 0.7441902878) < 4 * float(earned.std()) / np.sqrt(20_000)


def test_chance_away_from_the_start_is_refused():
    # The wind blows at random, but not in the column where episodes begin.
    env, mdp = envs.make("WindyGridworld", gusty=True)
    with pytest.raises(ValueError, match="a step of Tabular draws random numbers"):
        envs.enumerate_environment(env, mdp)


def test_worlds_that_cannot_be_enumerated_are_refused():
    with pytest.raises(ValueError, match="more than max_states=50 states"):
        envs.enumerate_environment(*envs.make("FourRooms-misc"), max_states=50)
    with pytest.raises(ValueError, match=r"a reset of .* draws random numbers"):
        envs.enumerate_environment(*gymnax.make("CartPole-v1"))
    with pytest.raises(ValueError, match="deterministic=True"):
        envs.enumerate_environment(*envs.make("DeepSea-bsuite", deterministic=False))
