"""Temporal-difference learners: step by step against loops of the textbook, and its learning curves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from benchmarks.exact import projected_bellman_error
from benchmarks.tabular_rows import bairds_learner
from jaxrl import envs, ops
from jaxrl.envs import textbook
from tests.helpers import policy_values

ALPHA, GAMMA, EPSILON = 0.3, 0.9, 0.3


def cliff(**options):
    """The cliff from its start and from above its goal, with a time limit that is reached: all boundaries occur."""
    env, mdp = envs.make("CliffWalking", max_steps_in_episode=7, **options)
    return env, textbook.starting_in(mdp, [35, 36])


def walk():
    return envs.make("RandomWalk")


def steps_of(algorithm, num_steps, seed=0):
    """All transitions of one environment with the tables after them, and the actions that Sarsa's targets drew."""

    def body(state, key):
        rollout_key, learn_key = jax.random.split(key)
        between, batch = algorithm.rollout(state, rollout_key)
        state, _ = algorithm.learn(between, batch, learn_key)
        return state, (jax.tree.map(lambda x: x[0], batch), state.q)

    state = algorithm.init(jax.random.key(seed))
    _, (batch, tables) = jax.jit(
        lambda s: jax.lax.scan(body, s, jax.random.split(jax.random.key(seed + 1), num_steps))
    )(state)
    assert min(np.asarray(flags).sum() for flags in (batch.terminated, batch.truncated)) > 2, "boundaries must occur"
    return jax.tree.map(np.asarray, batch), np.asarray(tables)


def rows(batch):
    fields = (batch.obs, batch.action, batch.reward, batch.terminated, batch.truncated, batch.next_obs)
    return list(zip(*fields, strict=True))


def test_q_learning_against_the_textbook():
    learner = jaxrl.QLearning(*cliff(), learning_rate=ALPHA, epsilon=EPSILON, discount=GAMMA)
    batch, tables = steps_of(learner, 300)
    q = np.zeros((48, 4))
    for (s, a, r, terminated, _, s2), found in zip(rows(batch), tables, strict=True):
        q[s, a] += ALPHA * (r + GAMMA * (1 - terminated) * q[s2].max() - q[s, a])
        np.testing.assert_allclose(found, q, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 3])
def test_expected_sarsa_of_n_steps_against_the_textbook(n):
    learner = jaxrl.Sarsa(
        *cliff(),
        next_value=ops.expected_value,
        num_backup_steps=n,
        learning_rate=ALPHA,
        epsilon=EPSILON,
        discount=GAMMA,
    )
    batch, tables = steps_of(learner, 300)
    q, window = np.zeros((48, 4)), []
    for (s, a, r, terminated, truncated, s2), found in zip(rows(batch), tables, strict=True):
        window.append((s, a, r))
        best = q[s2] == q[s2].max()
        policy = (1 - EPSILON) * best / best.sum() + EPSILON / 4
        bootstrap = (1 - terminated) * (policy * q[s2]).sum()
        updates = []
        if len(window) == n or terminated or truncated:
            for begin in range(len(window) if terminated or truncated else 1):
                rewards = [step[2] for step in window[begin:]]
                target = sum(GAMMA**i * x for i, x in enumerate(rewards)) + GAMMA ** len(rewards) * bootstrap
                updates.append((*window[begin][:2], target))
        merged = {}
        for state, action, target in updates:  # targets that meet in one entry: 1 - (1-α)^c of their mean
            merged.setdefault((state, action), []).append(target)
        for pair, targets in merged.items():
            q[pair] += (1 - (1 - ALPHA) ** len(targets)) * (np.mean(targets) - q[pair])
        window = [] if terminated or truncated else window[-(n - 1) :] if n > 1 else []
        np.testing.assert_allclose(found, q, rtol=1e-4, atol=1e-4)


def test_sarsa_draws_its_target_where_the_step_led_and_acts_where_it_is():
    env, mdp = cliff()
    learner = jaxrl.Sarsa(env, mdp, learning_rate=1.0, epsilon=0.0, discount=1.0)
    q = jnp.zeros((48, 4)).at[:, 0].set(jnp.arange(48.0) + 100)  # greedy everywhere: action 0, with the state's number
    state = learner.replace(q=q).init(jax.random.key(0))
    for _ in range(7):
        between, batch = learner.rollout(state, jax.random.key(1))
        before, state = state, learner.learn(between, batch, jax.random.key(2))[0]
        s, s2 = int(batch.obs[0]), int(batch.next_obs[0])
        np.testing.assert_allclose(state.q[s, 0], -1 + before.q[s2, 0])
    assert bool(batch.truncated[0]) and int(state.obs[0]) == 36 and s2 != 36


@pytest.mark.parametrize("visit", [ops.replacing_trace, ops.accumulating_trace, ops.dutch_trace])
@pytest.mark.parametrize("watkins", [False, True])
def test_traces_against_the_textbook(visit, watkins):
    learner = jaxrl.SarsaLambda(
        *cliff(),
        next_value=ops.max_value,
        visit=visit,
        watkins=watkins,
        lambda_=0.7,
        learning_rate=0.1,
        epsilon=EPSILON,
        discount=GAMMA,
    )
    batch, tables = steps_of(learner, 300)
    q, z = np.zeros((48, 4)), np.zeros((48, 4))
    steps = rows(batch)
    for index, ((s, a, r, terminated, truncated, s2), found) in enumerate(zip(steps, tables, strict=True)):
        before = q.copy()
        error = r + GAMMA * (1 - terminated) * q[s2].max() - q[s, a]
        z[s, a] = {"replacing_trace": 1, "accumulating_trace": z[s, a] + 1, "dutch_trace": 0.9 * z[s, a] + 1}[
            visit.__name__
        ]
        q = q + 0.1 * error * z
        z = z * GAMMA * 0.7
        if terminated or truncated:
            z[:] = 0
        elif watkins and index + 1 < len(steps):
            following = steps[index + 1][1]  # the action taken next, chosen by the table before the update
            z *= before[s2, following] == before[s2].max()
        np.testing.assert_allclose(found, q, rtol=1e-3, atol=1e-3)


def test_traces_of_lambda_zero_are_one_step_sarsa():
    options = dict(next_value=ops.expected_value, learning_rate=ALPHA, epsilon=EPSILON, discount=GAMMA)
    one_step = steps_of(jaxrl.Sarsa(*cliff(), **options), 200)
    traces = steps_of(jaxrl.SarsaLambda(*cliff(), lambda_=0.0, **options), 200)
    np.testing.assert_allclose(traces[1], one_step[1], rtol=1e-4, atol=1e-4)


def test_true_online_td_of_one_hot_features_is_dutch_traces_with_a_correction():
    # Against the online λ-return algorithm: after each step, all weights of the episode anew by truncated λ-returns.
    env, mdp = walk()
    learner = jaxrl.TrueOnlineTD(env, mdp, one_hot7, lambda_=0.8, learning_rate=0.2, discount=0.9)

    def body(state, key):
        between, batch = learner.rollout(state, key)
        return learner.learn(between, batch, key)[0], (jax.tree.map(lambda x: x[0], batch), between.weights)

    state = learner.init(jax.random.key(0))
    end, (batch, weights) = jax.lax.scan(body, state, jax.random.split(jax.random.key(3), 60))
    batch, weights = jax.tree.map(np.asarray, (batch, weights))
    done = np.flatnonzero(batch.done)
    first = slice(0, done[0] + 1)
    states, following = batch.obs[first], batch.next_obs[first]
    rewards, terminated = batch.reward[first], batch.terminated[first]
    history = [np.zeros(7)]  # weights w^t_t of every time, for the values that bootstrap
    for horizon in range(1, len(states) + 1):
        w = np.zeros(7)
        for t in range(horizon):
            target = lambda_return(t, horizon, rewards, terminated, following, history)
            w[states[t]] += 0.2 * (target - w[states[t]])
        history.append(w)
    after = weights[done[0] + 1] if done[0] + 1 < 60 else end.weights
    np.testing.assert_allclose(after, history[-1], rtol=1e-4, atol=1e-5)


def lambda_return(t, horizon, rewards, terminated, following, history):
    """The truncated λ-return of step t, at a horizon: values are those of the weights one step before."""
    total = 0.0
    for n in range(1, horizon - t + 1):
        bootstrap = (1 - terminated[t + n - 1]) * history[t + n - 1][following[t + n - 1]]
        n_step = sum(0.9**i * rewards[t + i] for i in range(n)) + 0.9**n * bootstrap
        last = n == horizon - t
        total += n_step * (0.8 ** (n - 1) * (1.0 if last else 0.2))
    return total


def one_hot7(state):
    return jax.nn.one_hot(state, 7)


def baird_sweeps(count, correction_rate=0.0):
    """Expected updates over all seven states by the policy that always takes action 1."""
    states = jnp.arange(7)
    batch = jaxrl.Transition(
        obs=states,
        action=jnp.ones(7, jnp.int32),
        reward=jnp.zeros(7),
        terminated=jnp.zeros(7, bool),
        truncated=jnp.zeros(7, bool),
        next_obs=jnp.full(7, 6),
        log_prob=jnp.zeros(7),
    )
    features = textbook.baird_features(states)
    update = functools.partial(
        ops.gradient_td_update,
        features=features,
        next_features=textbook.baird_features(batch.next_obs),
        transition=batch,
        ratio=jnp.ones(7),
        discount=0.99,
        learning_rates=(0.01, correction_rate),
    )
    start = (jnp.array([1.0, 1, 1, 1, 1, 1, 10, 1]), jnp.zeros(8))
    return jax.lax.fori_loop(0, count, lambda _, wh: update(*wh), start)[0]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, (1.025371, 9.999829, 1.075771)),
        (100, (3.894886, 9.971199, 9.627054)),
        (1000, (114.433716, 6.850030, 335.001209)),
    ],
)
def test_semi_gradient_td_diverges_on_bairds_example_as_computed(count, expected):
    weights = np.asarray(baird_sweeps(count))
    np.testing.assert_allclose(weights[:6], expected[0], rtol=1e-4)
    np.testing.assert_allclose(weights[6:], expected[1:], rtol=1e-4)


def test_the_semi_gradient_update_of_bairds_example_has_an_eigenvalue_that_grows():
    features = np.asarray(textbook.baird_features(jnp.arange(7)), np.float64)
    update = features.T @ (0.99 * np.tile(features[6], (7, 1)) - features) / 7
    np.testing.assert_allclose(np.linalg.eigvals(update).real.max(), 0.23925, atol=5e-6)


def bairds_error(weights):
    """Of the target policy, which always leads to the last state and earns nothing."""
    features = np.asarray(textbook.baird_features(jnp.arange(7)), np.float64)
    always = np.tile(np.eye(7)[6], (7, 1, 1))
    return projected_bellman_error(always, np.zeros((7, 1)), np.ones((7, 1)), 0.99, features, weights)


@pytest.mark.slow
def test_gradient_correction_keeps_bairds_weights_bounded():
    def trained(key, rate):
        rates = dict(learning_rate=0.005, correction_rate=rate)
        learner = bairds_learner(*envs.make("Baird"), num_steps=1000, **rates)
        return jaxrl.train(learner, key, 20)[0].weights

    learn = jax.jit(jax.vmap(trained, (0, None)))
    semi, corrected = (
        np.asarray(learn(jax.random.split(jax.random.key(0), 10), rate), np.float64) for rate in (0.0, 0.05)
    )
    assert np.abs(semi).max(1).min() > 1e3, "semi-gradient TD diverges"
    assert np.abs(corrected).max() < 50
    start = bairds_error(np.array([1.0, 1, 1, 1, 1, 1, 10, 1]))
    assert np.median([bairds_error(w) for w in corrected]) < 0.3 * start


@pytest.mark.slow
def test_planning_learns_the_cliff_from_few_steps():
    # 3000 steps; without planning Q-learning is far from done.
    env, mdp = envs.make("CliffWalking")
    options = dict(learning_rate=0.5, discount=0.95, num_steps=3000)
    for learner in (
        jaxrl.DynaQ(env, mdp, num_plans=20, **options),
        jaxrl.PrioritizedSweeping(env, mdp, num_plans=20, **options),
    ):
        keys = jax.random.split(jax.random.key(0), 5)
        q = jax.vmap(lambda key, learner=learner: jaxrl.train(learner, key, 1)[0].q)(keys)
        values = [policy_values(mdp, one.argmax(-1), 0.95)[36] for one in q]
        exact = jaxrl.solve(jaxrl.ValueIteration(mdp, discount=0.95), tolerance=1e-2).values[36]
        np.testing.assert_allclose(np.median(values), exact, atol=0.02)


def curves(learner, num_runs, num_steps, measure, seed=0):
    """`measure(state)`, rewards and ends after every step of many runs, `[runs, steps]` each."""

    def one(key):
        init_key, steps_key = jax.random.split(key)

        def body(state, key):
            rollout_key, learn_key = jax.random.split(key)
            between, batch = learner.rollout(state, rollout_key)
            state, _ = learner.learn(between, batch, learn_key)
            return state, (measure(state), batch.reward[0], batch.done[0], batch.obs[0], batch.action[0])

        return jax.lax.scan(body, learner.init(init_key), jax.random.split(steps_key, num_steps))[1]

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(seed), num_runs)))


def after_episodes(values, done, counts):
    """Mean over runs of a value after so many episodes."""
    ends = np.cumsum(done, axis=1)
    assert (ends[:, -1] >= max(counts)).all()
    return [
        np.mean([row[np.searchsorted(end, count)] for row, end in zip(values, ends, strict=True)]) for count in counts
    ]


WALK = {  # α: mean RMS error after 10, 25, 50 and 100 episodes of 1000 runs
    0.15: (0.0946, 0.0579, 0.0676, 0.0694),
    0.1: (0.1282, 0.0569, 0.0508, 0.0562),
    0.05: (0.1746, 0.1099, 0.0539, 0.0357),
}


@pytest.mark.slow
def test_td_on_the_random_walk_is_the_books_curve():
    env, mdp = walk()
    truth = jnp.arange(1, 6) / 6
    q = jnp.full((7, 1), 0.5).at[jnp.array([0, 6])].set(0.0)
    learner = jaxrl.Sarsa(env, mdp, discount=1.0, q=q)
    for alpha, expected in WALK.items():
        rms, _, done, *_ = curves(
            learner.replace(learning_rate=alpha), 400, 2500, lambda s: jnp.sqrt(jnp.mean((s.q[1:6, 0] - truth) ** 2))
        )
        # The reference has a standard error of about 1 %, and so have these 400 runs, less than 2 %.
        np.testing.assert_allclose(after_episodes(rms, done, (10, 25, 50, 100)), expected, rtol=0.08)


def batch_estimates(batch, num_episodes):
    """Batch Monte Carlo and batch TD on the walk: each repeated over the first episodes until nothing moves."""
    initial = jnp.full(7, 0.5).at[jnp.array([0, 6])].set(0.0)
    played = ops.first_episode(batch.done)
    counts = played & (jnp.arange(played.shape[1]) < num_episodes)[None]
    returns = jnp.broadcast_to(jnp.where(played, batch.reward, 0.0).sum(0), played.shape)  # of every visit: γ = 1
    mean, _ = ops.average_update(initial, jnp.zeros(7), (batch.obs,), returns, counts.astype(jnp.float32))

    def sweep(_, values):
        target = ops.td_target(batch, values[batch.next_obs], 1.0)
        return ops.table_update(values, (batch.obs,), target, 0.5, counts)

    return mean, jax.lax.fori_loop(0, 300, sweep, initial)


@pytest.mark.slow
def test_batch_td_is_below_batch_monte_carlo_on_the_random_walk():
    # Figure 6.3: an order without a number, for every count of episodes.
    env, mdp = walk()
    learner = jaxrl.MonteCarlo(env, mdp, num_envs=25, num_steps=100, discount=1.0)

    def errors(key):
        batch = learner.rollout(learner.init(key), key)[1]
        estimates = jax.lax.map(lambda count: batch_estimates(batch, count), jnp.array([1, 2, 5, 10, 15, 20, 25]))
        return [jnp.sqrt(jnp.mean((values[:, 1:6] - jnp.arange(1, 6)[None] / 6) ** 2, axis=1)) for values in estimates]

    monte_carlo, td = jax.tree.map(np.asarray, jax.jit(jax.vmap(errors))(jax.random.split(jax.random.key(0), 100)))
    np.testing.assert_allclose(td[:, 0], monte_carlo[:, 0], atol=0.01)  # one episode: every state leads to its end
    better = (monte_carlo - td)[:, 1:]
    assert (better.mean(0) > 2 * better.std(0, ddof=1) / np.sqrt(100)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "alpha", "expected"), [(1, 0.8, 0.346), (2, 0.6, 0.280), (4, 0.4, 0.267), (8, 0.2, 0.285), (16, 0.1, 0.328)]
)
def test_n_step_td_on_19_states_is_the_books_figure(n, alpha, expected):
    env, mdp = envs.make("RandomWalk", num_states=19, rewards=(-1.0, 1.0))
    truth = jnp.arange(-9, 10) / 10
    learner = jaxrl.Sarsa(env, mdp, num_backup_steps=n, learning_rate=alpha, discount=1.0)
    rms, _, done, *_ = curves(learner, 300, 4000, lambda s: jnp.sqrt(jnp.mean((s.q[1:20, 0] - truth) ** 2)))
    mean = np.mean(after_episodes(rms, done, range(1, 11)))
    np.testing.assert_allclose(mean, expected, atol=0.012)  # four standard errors of 100 runs


@pytest.mark.slow
def test_the_best_step_of_td_lambda_on_19_states_is_the_books_figure():
    # Figure 12.6: the least error is about that of four steps, 0.27, at λ = 0.8.
    env, mdp = envs.make("RandomWalk", num_states=19, rewards=(-1.0, 1.0))
    truth = jnp.arange(-9, 10) / 10
    learner = jaxrl.SarsaLambda(env, mdp, lambda_=0.8, visit=ops.accumulating_trace, discount=1.0)
    means = []
    for alpha in (0.2, 0.3, 0.4):
        one = learner.replace(learning_rate=alpha)
        rms, _, done, *_ = curves(one, 300, 4000, lambda s: jnp.sqrt(jnp.mean((s.q[1:20, 0] - truth) ** 2)))
        means.append(np.mean(after_episodes(rms, done, range(1, 11))))
    assert np.argmin(means) == 1, "the best one lies between"
    np.testing.assert_allclose(min(means), 0.27, atol=0.012)


CLIFF = {  # mean return of episodes 100 to 500, and q of the start after them
    "sarsa": (lambda env, mdp, **o: jaxrl.Sarsa(env, mdp, **o), -27.3, -21.3),
    "q-learning": (lambda env, mdp, **o: jaxrl.QLearning(env, mdp, **o), -49.5, -13.0),
    "expected": (lambda env, mdp, **o: jaxrl.Sarsa(env, mdp, next_value=ops.expected_value, **o), -21.1, -17.4),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIFF)
def test_online_returns_on_the_cliff_are_the_books_figure(name):
    make, expected, start = CLIFF[name]
    env, mdp = envs.make("CliffWalking", max_steps_in_episode=100_000)
    learner = make(env, mdp, learning_rate=0.5, epsilon=0.1, discount=1.0)
    value, reward, done, *_ = curves(learner, 60, 22_000, lambda s: s.q[36].max())
    episode = np.cumsum(done, axis=1) - done
    assert (episode[:, -1] >= 500).all()
    counted = (episode >= 100) & (episode < 500)
    returns = np.where(counted, reward, 0.0).sum(1) / 400
    np.testing.assert_allclose(returns.mean(), expected, atol=4 * returns.std() / np.sqrt(60) + 0.1)
    np.testing.assert_allclose(after_episodes(value, done, (500,)), start, atol=1.2)


@pytest.mark.slow
def test_double_q_learning_does_not_fall_for_the_maximum():
    env, mdp = envs.make("MaximizationBias")
    lefts = {}
    for name, kind in (("single", jaxrl.QLearning), ("double", jaxrl.DoubleQLearning)):
        learner = kind(env, mdp, learning_rate=0.1, epsilon=0.1, discount=1.0)
        _, _, done, obs, action = curves(learner, 1000, 620, lambda s: 0.0)
        episode = np.cumsum(done, axis=1) - done
        first = obs == 0
        lefts[name] = [
            100 * np.mean(action[first & (episode < count) & (episode >= count - 5)] == 1)
            for count in (10, 25, 50, 100, 200, 300)
        ]
    np.testing.assert_allclose(lefts["single"], [81.3, 93.4, 84.0, 47.5, 16.6, 11.9], atol=6)
    np.testing.assert_allclose(lefts["double"], [47.5, 25.6, 14.6, 9.3, 7.6, 6.9], atol=6)
    assert all(a > b for a, b in zip(lefts["single"], lefts["double"], strict=True))
    assert lefts["double"][-1] < 12


@pytest.mark.parametrize(("alpha", "tolerance"), [(0.5, 0.0), (0.1, 1e-6)])
def test_independent_runs_are_those_of_separate_calls(alpha, tolerance):
    # Bit for bit where α error is exact. Elsewhere LLVM contracts q + α error to one rounding (a fused multiply-add) in
    # one of the two programs; without that instruction (XLA_FLAGS=--xla_cpu_max_isa=AVX) every bit is equal too.
    env, env_params = envs.make("FrozenLake-misc")
    learner = jaxrl.QLearning(env, env_params, num_steps=200, learning_rate=alpha)
    train = jax.jit(lambda key: jaxrl.train(learner, key, 3)[0].q)
    together = jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), 16))
    assert float(jnp.abs(together).max()) > 0
    for one, key in zip(together, jax.random.split(jax.random.key(0), 16), strict=True):
        np.testing.assert_allclose(one, train(key), rtol=tolerance, atol=0)


def test_true_online_td_refuses_a_world_without_a_policy():
    with pytest.raises(ValueError, match=r"the environment has 4 actions; choose the policy by jaxrl\.envs\.follow"):
        jaxrl.TrueOnlineTD(*cliff(), one_hot7).init(jax.random.key(0))


def test_learners_refuse_worlds_without_a_table():
    with pytest.raises(TypeError, match="QLearning needs Discrete observation spaces, but CartPole-v1 has a Box one"):
        jaxrl.check(jaxrl.QLearning(*envs.make("CartPole-v1")))


def test_several_traces_on_one_table():
    # One fresh trace beside faded ones moves its entry by α; fresh ones alone are the batch update of one step.
    fresh = jnp.concatenate([jnp.ones((1, 1, 1)), jnp.full((15, 1, 1), 1e-20)])
    errors = jnp.concatenate([jnp.ones(1), jnp.zeros(15)])
    np.testing.assert_allclose(ops.trace_update(jnp.zeros((1, 1)), fresh, errors, 0.5), 0.5, rtol=1e-6)
    random = np.random.default_rng(0)
    state, action, error = random.integers(0, 3, 8), random.integers(0, 2, 8), random.normal(size=8).astype(np.float32)
    trace = np.zeros((8, 3, 2), np.float32)
    trace[np.arange(8), state, action] = 1
    q = jnp.asarray(random.normal(size=(3, 2)), jnp.float32)
    together = ops.trace_update(q, jnp.asarray(trace), jnp.asarray(error), 0.3)
    index = (jnp.asarray(state), jnp.asarray(action))
    np.testing.assert_allclose(together, ops.table_update(q, index, q[index] + error, 0.3), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        ops.trace_update(jnp.zeros((1, 1)), jnp.full((2, 1, 1), 1e-5), jnp.ones(2), 0.1), 2e-6, rtol=1e-4
    )
    beyond = jnp.zeros((2, 1, 1)).at[0].set(30.0)  # accumulated: not beyond the error
    np.testing.assert_allclose(ops.trace_update(jnp.zeros((1, 1)), beyond, jnp.ones(2), 0.1), 1.0)
    # A single half-faded one among many that are not there: the textbook's α δ z.
    half = jnp.zeros((4, 1, 1)).at[2].set(0.5)
    np.testing.assert_allclose(ops.trace_update(jnp.zeros((1, 1)), half, jnp.full(4, 2.0), 0.3), 0.3, rtol=1e-6)
