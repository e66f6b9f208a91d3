"""Monte Carlo learners: against loops of the textbook and exact values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import envs, ops
from jaxrl.envs import textbook
from tests.helpers import policy_values, stick_on_20

GAMMA = 0.9


def played(learner, key):
    """An update's transitions as NumPy arrays `[T, N]`, and the table after it."""
    state = learner.init(jax.random.key(0))
    state, batch = learner.rollout(state, key)
    state, metrics = learner.learn(state, batch, key)
    return jax.tree.map(np.asarray, (batch, state, metrics))


def episodes_of(batch):
    """Each environment's first episode as a list of (s, a, r)."""
    for n in range(batch.reward.shape[1]):
        ends = np.flatnonzero(batch.done[:, n])
        assert len(ends), "the episode must end"
        yield [(batch.obs[t, n], batch.action[t, n], batch.reward[t, n]) for t in range(ends[0] + 1)]


@pytest.mark.parametrize("first_visit", [True, False])
def test_prediction_averages_the_returns_of_first_or_of_every_visits(first_visit):
    env, mdp = envs.make("RandomWalk", rewards=(-2.0, 1.0))
    learner = jaxrl.MonteCarlo(env, mdp, num_envs=20, num_steps=200, first_visit=first_visit, discount=GAMMA)
    batch, state, metrics = played(learner, jax.random.key(1))
    returns = [[] for _ in range(7)]
    for episode in episodes_of(batch):
        following, seen = 0.0, []
        for s, _, r in reversed(episode):
            following = r + GAMMA * following
            seen.append((s, following))
        for index, (s, value) in enumerate(seen):
            if not first_visit or s not in [other for other, _ in seen[index + 1 :]]:
                returns[s].append(value)
    for s in range(1, 6):
        np.testing.assert_allclose(state.q[s, 0], np.mean(returns[s]), rtol=1e-4)
        assert state.total[s, 0] == len(returns[s])
    assert metrics["episodes"] == 20 and metrics["cut"] == 0
    lengths = [len(episode) for episode in episodes_of(batch)]
    assert metrics["episode_length_sum"] == sum(lengths)


CONSTANT = {  # α: mean RMS error after 10, 25, 50 and 100 episodes of 1000 runs
    0.01: (0.2124, 0.1829, 0.1451, 0.0966),
    0.02: (0.1975, 0.1533, 0.1101, 0.0832),
    0.03: (0.1884, 0.1395, 0.1056, 0.0930),
    0.04: (0.1819, 0.1346, 0.1096, 0.1061),
}


@pytest.mark.slow
def test_constant_steps_on_the_random_walk_are_the_books_curves():
    env, mdp = envs.make("RandomWalk")
    q = jnp.full((7, 1), 0.5).at[jnp.array([0, 6])].set(0.0)
    truth = jnp.arange(1, 6) / 6

    def run(alpha, key):
        learner = jaxrl.MonteCarlo(
            env, mdp, num_envs=1, num_steps=150, first_visit=False, learning_rate=alpha, discount=1.0, q=q
        )

        def body(state, key):
            state, _ = learner.update(state, key)
            return state, jnp.sqrt(jnp.mean((state.q[1:6, 0] - truth) ** 2))

        return jax.lax.scan(body, learner.init(key), jax.random.split(jax.random.fold_in(key, 1), 100))[1]

    with jax.debug_key_reuse(False):  # the key of init is not used
        keys = jax.random.split(jax.random.key(0), 400)
        rms = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))(jnp.array(list(CONSTANT)), keys).mean(1)
    np.testing.assert_allclose(rms[:, np.array([9, 24, 49, 99])], list(CONSTANT.values()), rtol=0.08)


@pytest.mark.slow
def test_batches_of_episodes_td_errs_less_than_monte_carlo():
    # Figure 6.3: of the same episodes, presented until nothing changes, TD keeps what its Markov model predicts.
    env, mdp = envs.make("RandomWalk")
    truth = jnp.arange(1, 6) / 6
    counts = (5, 25, 100)
    middle = jnp.zeros((7, 1)).at[1:6].set(0.5)  # the book's guess for states that no episode visits

    def run(key):
        def rms(q, seen):
            q = jnp.where(seen, q[1:6, 0], 0.5)
            return jnp.sqrt(jnp.mean((q - truth) ** 2))

        errors = []
        for count, keys in zip(counts, jax.random.split(key, (len(counts), 3)), strict=True):
            init_key, play_key, learn_key = keys
            learner = jaxrl.MonteCarlo(env, mdp, num_envs=count, num_steps=100, first_visit=False, discount=1.0)
            state, batch = learner.rollout(learner.init(init_key), play_key)
            monte_carlo, _ = learner.learn(state, batch, learn_key)
            seen = monte_carlo.total[1:6, 0] > 0
            # Later episodes count for Monte Carlo nothing; their steps are turned into ones between ends.
            first = jnp.cumsum(batch.done, 0) - batch.done == 0
            obs = jnp.where(first, batch.obs, 0)
            one = batch.replace(obs=obs, terminated=batch.terminated | ~first, reward=jnp.where(first, batch.reward, 0))
            one = jax.tree.map(lambda x: x.reshape(-1), one)

            def sweep(_, q, one=one):
                return ops.q_learning_update(q, one, learning_rate=0.5, discount=1.0)

            td = jax.lax.fori_loop(0, 60, sweep, middle)
            errors.append(jnp.stack([rms(td, seen), rms(monte_carlo.q, seen)]))
        return jnp.stack(errors)

    td, monte_carlo = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 60)).mean(0).T
    assert np.all(td < monte_carlo)
    assert np.all(np.diff(td) < 0) and np.all(np.diff(monte_carlo) < 0)


def test_an_episode_that_is_cut_goes_on_with_the_value_of_its_last_observation():
    env, mdp = envs.make("CliffWalking", max_steps_in_episode=3)
    q = jnp.full((48, 4), 100.0)
    learner = jaxrl.MonteCarlo(env, mdp, num_envs=4, num_steps=10, discount=0.5, q=q, first_visit=False)
    batch, state, metrics = played(learner, jax.random.key(1))
    last = batch.obs[2], batch.action[2]
    assert batch.truncated[2].all()
    checked = 0
    for n in range(4):
        if batch.reward[2, n] == -1:
            same = [
                m
                for m in range(4)
                for t in range(3)
                if (batch.obs[t, m], batch.action[t, m]) == (last[0][n], last[1][n])
            ]
            if len(same) == 1:
                np.testing.assert_allclose(state.q[last[0][n], last[1][n]], -1 + 0.5 * 100)
                checked += 1
    assert checked, "some episode must be the only one to visit its last pair"
    assert metrics["episodes"] == 4


@pytest.mark.slow
def test_control_with_exploring_starts_finds_the_books_blackjack_policy():
    env, mdp = envs.make("Blackjack")
    alive = np.arange(200)
    mdp = textbook.starting_in(mdp, alive)
    learner = jaxrl.MonteCarlo(env, mdp, num_envs=512, num_steps=12, exploring_starts=True, epsilon=0.0, discount=1.0)
    state, _ = jaxrl.train(learner, jax.random.key(0), 3000)
    value = policy_values(mdp, state.q.argmax(-1)) @ np.asarray(textbook.blackjack().start)
    assert value > -0.0431131 - 0.004


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [True, False])
def test_importance_sampling_gives_the_value_of_the_other_policy(weighted):
    env, mdp = envs.make("Blackjack")
    state_13 = (13 - 12) * 20 + 10 + 1
    learner = jaxrl.OffPolicyMonteCarlo(
        env,
        textbook.starting_in(mdp, state_13),
        num_envs=256,
        num_steps=12,
        weighted=weighted,
        discount=1.0,
        policy=jax.nn.one_hot(stick_on_20(), 2),
    )
    keys = jax.random.split(jax.random.key(0), 20)
    q = jax.vmap(lambda key: jaxrl.train(learner, key, 100)[0].q[state_13, 1])(keys)
    standard_error = float(q.std()) / np.sqrt(20)
    assert standard_error < 0.01
    assert abs(float(q.mean()) + 0.2772042) < 4 * standard_error


@pytest.mark.slow
def test_weighted_importance_sampling_errs_less_at_first():
    env, mdp = envs.make("Blackjack")
    state_13 = (13 - 12) * 20 + 10 + 1
    mdp = textbook.starting_in(mdp, state_13)
    errors = {}
    options = dict(num_envs=25, num_steps=12, discount=1.0, policy=jax.nn.one_hot(stick_on_20(), 2))
    for weighted in (True, False):
        learner = jaxrl.OffPolicyMonteCarlo(env, mdp, weighted=weighted, **options)
        q = jax.vmap(lambda key, learner=learner: jaxrl.train(learner, key, 1)[0].q[state_13, 1])(
            jax.random.split(jax.random.key(0), 2000)
        )
        errors[weighted] = float(jnp.mean((q + 0.2772042) ** 2))
    assert errors[True] < 0.95 * errors[False]


def test_off_policy_control_never_takes_what_is_not_allowed():
    env, mdp = envs.make("Gambler", goal=8)
    learner = jaxrl.OffPolicyMonteCarlo(env, mdp, num_envs=64, num_steps=20, discount=1.0)
    state, _ = jaxrl.train(learner, jax.random.key(0), 20)
    allowed = np.asarray(mdp.allowed)
    assert np.all(np.asarray(state.q)[~allowed] == np.float32(ops.FORBIDDEN))
    given = learner.replace(q=jnp.zeros_like(state.q)).init(jax.random.key(0))
    assert np.all(np.asarray(given.q)[~allowed] == np.float32(ops.FORBIDDEN))
    with pytest.raises(ValueError, match=r"q: must be"):
        learner.replace(q=jnp.zeros((3, 2))).init(jax.random.key(0))


@pytest.mark.slow
def test_off_policy_control_learns_the_greedy_policy():
    env, mdp = envs.make("Blackjack")
    learner = jaxrl.OffPolicyMonteCarlo(env, mdp, num_envs=512, num_steps=12, discount=1.0)
    state, _ = jaxrl.train(learner, jax.random.key(0), 1500)
    value = policy_values(mdp, state.q.argmax(-1)) @ np.asarray(mdp.start)
    assert value > -0.0431131 - 0.006


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy": jnp.full((16, 4), 0.5)}, "policy: what state"),
        ({"policy": jnp.full((3, 4), 0.25)}, r"policy: must be probabilities \[16, 4\]"),
        ({"behavior": jnp.ones((16, 4))}, "behavior: what state"),
        ({"behavior": jnp.eye(4)[jnp.zeros(16, jnp.int32)]}, "behavior: in state 1 it never takes action 1"),
    ],
)
def test_policies_that_are_none_are_refused(changes, words):
    fields = {"policy": jnp.full((16, 4), 0.25)} | changes
    with pytest.raises(ValueError, match=words):
        jaxrl.check(jaxrl.OffPolicyMonteCarlo(*envs.make("Gridworld4x4"), **fields))


def test_what_policies_do_at_the_end_does_not_matter_and_batches_are_checked_whole():
    env, mdp = envs.make("Gridworld4x4")
    uniform = jnp.full((16, 4), 0.25)
    nothing = jnp.where(mdp.terminal[:, None], 0.0, uniform)
    jaxrl.check(jaxrl.OffPolicyMonteCarlo(env, mdp, policy=uniform, behavior=nothing))
    jaxrl.check(jaxrl.OffPolicyMonteCarlo(env, mdp, policy=jnp.stack([uniform] * 3)))
    with pytest.raises(ValueError, match="policy: what state"):
        jaxrl.check(jaxrl.OffPolicyMonteCarlo(env, mdp, policy=jnp.stack([uniform, 2 * uniform])))
