"""REINFORCE, actor-critic and V-trace against exact policy gradients, the book's boxes, and the exact optimum."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import envs, networks, ops
from jaxrl.envs import textbook

SIZES = {"num_envs": 256, "num_steps": 200, "hidden_sizes": (), "max_grad_norm": jnp.inf}
LOGITS = jnp.array([[0.3, -0.2], [-0.5, 0.4], [0.1, 0.6], [0.0, 0.0]])
OTHERS = jnp.array([[-0.3, 0.2], [0.4, 0.3], [0.0, 0.9], [0.0, 0.0]])  # those of a policy that acted


def corridor():
    return envs.TabularEnvironment(), textbook.short_corridor()


def process(logits):
    """π `[S, A]`, its transitions `[S, S]` and rewards `[S]` in the corridor."""
    mdp = envs.to_dense(textbook.short_corridor())
    policy = jax.nn.softmax(logits)
    step = jnp.einsum("sa,sat->st", policy, mdp.transitions.probability)
    return policy, step, (policy * mdp.reward).sum(-1)


def exact_values(logits, discount=1.0):
    """v_π `[S]` of the softmax of a table."""
    _, step, reward = process(logits)
    return jnp.linalg.solve(jnp.eye(len(logits)) - discount * step, reward)


def visits(logits):
    """Mean number of visits of an episode to each state, `[S]`, zero at the end."""
    mdp, (_, step, _) = textbook.short_corridor(), process(logits)
    alive = 1.0 - mdp.terminal
    inside = step * alive[:, None] * alive[None]
    return jnp.linalg.solve(jnp.eye(len(logits)) - inside.T, mdp.start * alive)


def expected_gradient(logits, discount, acting=None):
    """Σ_s μ(s) Σ_a ∇π(a|s) q_π(s, a) `[S, A]`: γ in the values, not in the visits μ of the policy that acts."""
    mdp = envs.to_dense(textbook.short_corridor())
    following = jnp.einsum("sat,t->sa", mdp.transitions.probability, exact_values(logits, discount))
    q = mdp.reward + discount * following
    weight = visits(logits if acting is None else acting)[:, None]
    return jax.grad(lambda logits: (weight * jax.nn.softmax(logits) * q).sum())(logits)


def table_params(algorithm, logits, value):
    """Parameters of the default network whose preferences are `logits` and whose values are `value` `[S]`."""
    params = algorithm.init(jax.random.key(0)).params
    heads = {"heads": {"policy": {"kernel": logits.T}, "value": {"kernel": value[None]}}}
    assert jax.tree.map(jnp.shape, params["params"]) == jax.tree.map(jnp.shape, heads), "a table, and nothing else"
    return {"params": heads}


def mean_and_error(gradients):
    """Mean over batches, and its standard error."""
    return gradients.mean(0), gradients.std(0, ddof=1) / np.sqrt(len(gradients))


def policy_gradients(algorithm, value, num_batches=64, logits=LOGITS, acting=LOGITS, scale=None):
    """Gradients of the tables of preferences and values `[num_batches, S, A + 1]`, from batches of another policy."""
    params = table_params(algorithm, logits, value)
    algorithm = algorithm.replace(params=table_params(algorithm, acting, value))

    @jax.jit
    def gradients(key):
        init_key, run_key = jax.random.split(key)

        def one(state, key):
            state, batch = algorithm.rollout(state, key)
            gradient = jax.grad(algorithm.loss, has_aux=True)(params, state, batch)[0]
            heads = gradient["params"]["heads"]
            tables = -jnp.concatenate([heads["policy"]["kernel"], heads["value"]["kernel"]]).T
            return state, tables if scale is None else tables * scale(algorithm, state, params, batch)

        return jax.lax.scan(one, algorithm.init(init_key), jax.random.split(run_key, num_batches))[1]

    return np.asarray(gradients(jax.random.key(1)), np.float64)


def assert_close(found, expected, scale=1.0, slack=1e-6):
    """Within four standard errors, which are small beside what is to be found."""
    mean, error = mean_and_error(scale * found)
    np.testing.assert_array_less(np.abs(mean - expected), 4 * error + slack)
    assert np.all(error < 0.05 * np.abs(expected).max()), "the interval says something"


def test_without_a_discount_the_expectation_is_the_gradient_of_the_value():
    start = textbook.short_corridor().start
    exact = jax.grad(lambda logits: start @ exact_values(logits))(LOGITS)
    np.testing.assert_allclose(expected_gradient(LOGITS, 1.0), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("discount", [1.0, 0.8])
@pytest.mark.parametrize("baseline", [False, True])
def test_reinforce_follows_the_exact_gradient(baseline, discount):
    algorithm = jaxrl.Reinforce(*corridor(), baseline=baseline, value_coef=0.0, discount=discount, **SIZES)
    values = 0.5 * exact_values(LOGITS, discount)  # any baseline will do
    assert_close(policy_gradients(algorithm, values)[..., :2], expected_gradient(LOGITS, discount))


def test_a_baseline_makes_the_gradient_less_noisy():
    noise = [
        mean_and_error(
            policy_gradients(
                jaxrl.Reinforce(*corridor(), baseline=baseline, discount=1.0, **SIZES), exact_values(LOGITS)
            )
        )[1][:3, :2].mean()
        for baseline in (True, False)
    ]
    assert noise[0] < 0.8 * noise[1]


@pytest.mark.parametrize("discount", [1.0, 0.8])
@pytest.mark.parametrize("gae_lambda", [0.0, 1.0])
def test_actor_critic_with_the_exact_values_follows_the_exact_gradient(gae_lambda, discount):
    # It averages over the steps of endless play, where an episode has so many steps on average.
    rates = {"gae_lambda": gae_lambda, "entropy_coef": 0.0, "discount": discount}
    algorithm = jaxrl.ActorCritic(*corridor(), **rates, **SIZES)
    found = policy_gradients(algorithm, exact_values(LOGITS, discount))[8:, :, :2]
    assert_close(found, expected_gradient(LOGITS, discount), float(visits(LOGITS).sum()), slack=1e-3)


def root_mean_square(algorithm, state, params, batch):
    """Of the advantages of a batch: what the loss divides them by."""
    policy, value = state_outputs(algorithm, params, batch.obs)
    next_value = state_outputs(algorithm, params, batch.next_obs)[1]
    ratio = jnp.exp(policy.log_prob(batch.action.reshape(-1)) - batch.log_prob.reshape(-1)).reshape(value.shape)
    rates = {"discount": algorithm.discount, "trace_lambda": algorithm.trace_lambda, "clip": algorithm.ratio_clip}
    flags = (batch.terminated, batch.truncated)
    return jnp.sqrt(jnp.square(ops.vtrace(batch.reward, value, next_value, ratio, flags, **rates)[1]).mean())


def state_outputs(algorithm, params, obs):
    policy, value = networks.default_actor_critic(
        algorithm.env.observation_space(algorithm.env_params), algorithm.env.action_space(algorithm.env_params), ()
    ).apply(params, obs.reshape(-1))
    return policy, value.reshape(obs.shape)


def test_vtrace_follows_the_exact_gradient_of_the_policy_that_did_not_act():
    rates = {"trace_lambda": 0.0, "ratio_clip": jnp.inf, "entropy_coef": 0.0, "value_coef": 0.0, "discount": 0.8}
    algorithm = jaxrl.VTraceActorCritic(*corridor(), num_minibatches=1, **rates, **SIZES)
    value = exact_values(LOGITS, 0.8)
    found = policy_gradients(algorithm, value, acting=OTHERS, scale=root_mean_square)[8:, :, :2]
    expected = expected_gradient(LOGITS, 0.8, acting=OTHERS)
    assert np.abs(expected - expected_gradient(OTHERS, 0.8)).max() > 0.2 * np.abs(expected).max()
    assert_close(found, expected, float(visits(OTHERS).sum()), slack=1e-3)


def test_the_true_values_are_where_vtrace_stands_still():
    rates = {"trace_lambda": 0.0, "ratio_clip": jnp.inf, "entropy_coef": 0.0, "value_coef": 1.0, "discount": 0.8}
    algorithm = jaxrl.VTraceActorCritic(*corridor(), num_minibatches=1, **rates, **SIZES)
    moved = {}
    for name, logits in (("true", LOGITS), ("of the policy that acted", OTHERS)):
        found = policy_gradients(algorithm, exact_values(logits, 0.8), acting=OTHERS)[8:, :3, 2]
        mean, error = mean_and_error(found)
        moved[name] = np.abs(mean / error)
    assert moved["true"].max() < 4 < 10 < moved["of the policy that acted"].max()


def test_one_step_actor_critic_is_the_books_box():
    # Section 13.5: δ = R + γ v(S') - v(S); w += α_w δ ∇v; θ += α_θ δ ∇ln π. A table, α_θ = 0.2, α_w = 0.4.
    env, mdp = corridor()
    mdp = mdp.replace(max_steps_in_episode=3)  # terminations, time limits, and both at once
    learner = jaxrl.ActorCritic(
        *(env, mdp),
        num_envs=1,
        num_steps=1,
        hidden_sizes=(),
        entropy_coef=0.0,
        value_coef=2.0,
        max_grad_norm=jnp.inf,
        optimizer=ops.sgd,
        learning_rate=0.2,
        discount=0.9,
    )
    state, theta, w = learner.init(jax.random.key(0)), np.zeros((4, 2)), np.zeros(4)
    rollout, learn, ends = jax.jit(jaxrl.ActorCritic.rollout), jax.jit(jaxrl.ActorCritic.learn), set()
    for step in range(60):
        between, batch = rollout(learner, state, jax.random.key(step))
        state, _ = learn(learner, between, batch, jax.random.key(0))
        s, a, r, next_s = (np.asarray(x)[0, 0] for x in (batch.obs, batch.action, batch.reward, batch.next_obs))
        terminated, truncated = bool(batch.terminated[0, 0]), bool(batch.truncated[0, 0])
        ends.add((terminated, truncated))
        delta = r + 0.9 * (not terminated) * w[next_s] - w[s]
        probability = np.exp(theta[s]) / np.exp(theta[s]).sum()
        w[s] += 0.4 * delta
        theta[s] += 0.2 * delta * (np.eye(2)[a] - probability)
        heads = state.params["params"]["heads"]
        np.testing.assert_allclose(heads["policy"]["kernel"].T, theta, atol=1e-5)
        np.testing.assert_allclose(heads["value"]["kernel"][0], w, atol=1e-5)
    assert len(ends) > 2, "steps in between, ends and time limits"


def constant(obs):
    """The features that the book's corridor allows: the same for all states."""
    return jnp.ones((len(obs), 1))


CORRIDOR_LEARNERS = {
    "reinforce": functools.partial(jaxrl.Reinforce, baseline=False, num_envs=64, num_steps=200),
    "reinforce with a baseline": functools.partial(jaxrl.Reinforce, num_envs=64, num_steps=200),
    "actor-critic": functools.partial(
        jaxrl.ActorCritic, num_envs=64, num_steps=100, entropy_coef=0.0, max_grad_norm=jnp.inf
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CORRIDOR_LEARNERS.values(), ids=CORRIDOR_LEARNERS)
def test_the_short_corridors_best_policy_is_found(kind):
    # p* = 2 - √2 goes right; example 13.1. The mean of the last policies, of ten seeds.
    linear = networks.ActorCritic(2, True, nn.Sequential((constant,)), bias=False)
    learner = kind(*corridor(), network=linear, discount=1.0, learning_rate=0.02, anneal_updates=300.0)

    @jax.vmap
    def right(key):
        params = jaxrl.train(learner, key, 300)[0].params["params"]
        return jax.nn.softmax(params["heads"]["policy"]["kernel"][:, 0])[1]

    found = np.asarray(right(jax.random.split(jax.random.key(0), 10)))
    np.testing.assert_allclose(np.median(found), 2 - np.sqrt(2), atol=0.02)
    value = (2 * found - 4) / (found * (1 - found))
    assert np.median(value) > -11.656854 - 0.05


def test_only_first_episodes_count():
    # Episodes of at most two steps in batches of six: what is learned and counted is that of the first two.
    env, mdp = corridor()
    mdp = mdp.replace(max_steps_in_episode=2)
    learner = jaxrl.Reinforce(env, mdp, num_envs=8, num_steps=6, hidden_sizes=(), baseline=False, discount=1.0)
    state = learner.init(jax.random.key(0))
    state, batch = learner.rollout(state, jax.random.key(1))
    assert bool((batch.done.sum(0) == 3).all())
    short = jax.tree.map(lambda x: x[:2], batch)
    whole, _ = jax.grad(learner.loss, has_aux=True)(state.params, state, batch)
    first, _ = jax.grad(learner.loss, has_aux=True)(state.params, state, short)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), whole, first)
    _, metrics = learner.learn(state, batch, jax.random.key(2))
    assert [float(metrics[name]) for name in ("episodes", "episode_length_sum")] == [8.0, 16.0]


@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("limit", [2, 10])
def test_a_baseline_goes_on_where_an_episode_is_cut(baseline, limit):
    # Two steps from the start that only push against the wall, cut by the time limit or by the batch, γ = ½.
    # With values v(s) = 8: G_1 = -1 + ½ 8 = 3, G_0 = -1 + ½ 3 = ½. Without: G_1 = -1, G_0 = -3/2.
    env, mdp = corridor()
    learner = jaxrl.Reinforce(
        env, mdp.replace(max_steps_in_episode=limit), num_envs=1, num_steps=2, hidden_sizes=(), baseline=baseline
    ).replace(discount=0.5)
    left = jnp.array([[40.0, -40.0]] * 4)
    state = learner.init(jax.random.key(0)).replace(params=table_params(learner, left, jnp.full(4, 8.0)))
    state, batch = learner.rollout(state, jax.random.key(1))
    assert bool(batch.truncated[-1, 0]) == (limit == 2) and not batch.terminated.any()
    _, metrics = learner.loss(state.params, state, batch)
    # ln π = 0 makes the policy's loss zero whatever the returns; the values' loss shows them: ½ (v - G)².
    expected = 0.5 * ((8 - 3) ** 2 + (8 - 0.5) ** 2) / 2 if baseline else 0.0
    np.testing.assert_allclose(metrics["value_loss"], expected, rtol=1e-5)
