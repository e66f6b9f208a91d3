"""Returns and advantages against arithmetic by hand and against loops written from the equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import ops
from jaxrl.ops.returns import _in_pairs, _step_by_step


def loop_lambda_returns(reward, discounts, next_value, lambda_):
    """The recursion of Sutton & Barto, section 12.8, one trajectory, one step at a time."""
    result = np.zeros(len(reward))
    following = next_value[-1]
    for t in range(len(reward) - 1, -1, -1):
        following = reward[t] + discounts[t] * ((1 - lambda_[t]) * next_value[t] + lambda_[t] * following)
        result[t] = following
    return result


def loop_advantages(reward, value, next_value, terminated, truncated, discount, gae_lambda):
    """Σ_l (γλ)^l δ_{t+l} summed forward up to the episode's end: no recursion shared with ours."""
    num_steps = len(reward)
    delta = [reward[t] + discount * (not terminated[t]) * next_value[t] - value[t] for t in range(num_steps)]
    advantage = np.zeros(num_steps)
    for t in range(num_steps):
        for l in range(t, num_steps):
            advantage[t] += (discount * gae_lambda) ** (l - t) * delta[l]
            if terminated[l] or truncated[l]:
                break
    return advantage


def random_trajectories(seed, num_steps=17, num_envs=5):
    generator = np.random.default_rng(seed)
    reward, value, next_value = generator.normal(size=(3, num_steps, num_envs)).astype(np.float32)
    terminated, truncated = generator.random((2, num_steps, num_envs)) < 0.15
    # Within an episode the successor of t is the observation at t+1; at its end it is another one.
    done = (terminated | truncated)[:-1]
    next_value[:-1] = np.where(done, next_value[:-1], value[1:])
    return reward, value, next_value, terminated, truncated


def test_lambda_returns_by_hand():
    # γ = 1/2 except at t=1, where the episode terminated; λ = 1/2, cut there too.
    # t=2: 3 + ½[½·8 + ½·8] = 7          (the last step bootstraps its own successor's value)
    # t=1: 2 + 0            = 2
    # t=0: 1 + ½[½·6 + ½·2] = 3
    result = ops.lambda_returns(
        jnp.array([1.0, 2.0, 3.0]),
        jnp.array([0.5, 0.0, 0.5]),
        jnp.array([6.0, 7.0, 8.0]),
        jnp.array([0.5, 0.0, 0.5]),
    )
    np.testing.assert_allclose(result, [3.0, 2.0, 7.0], rtol=1e-6)


def test_lambda_returns_equal_a_loop_for_any_parameters():
    generator = np.random.default_rng(0)
    reward, next_value = generator.normal(size=(2, 23, 4)).astype(np.float32)
    discounts, lambda_ = generator.random((2, 23, 4)).astype(np.float32)
    result = ops.lambda_returns(*map(jnp.asarray, (reward, discounts, next_value, lambda_)))
    for n in range(4):
        expected = loop_lambda_returns(reward[:, n], discounts[:, n], next_value[:, n], lambda_[:, n])
        np.testing.assert_allclose(result[:, n], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lambda_", [0.0, 1.0])
def test_lambda_zero_is_td_and_lambda_one_is_monte_carlo(lambda_):
    reward, discounts, next_value = jnp.array([1.0, 2.0, 4.0]), jnp.full(3, 0.5), jnp.array([8.0, 16.0, 32.0])
    result = ops.lambda_returns(reward, discounts, next_value, jnp.full(3, lambda_))
    # TD(0): 1 + 4, 2 + 8, 4 + 16.  Monte Carlo: 4 + 16 = 20, 2 + 10 = 12, 1 + 6 = 7.
    np.testing.assert_allclose(result, [5.0, 10.0, 20.0] if lambda_ == 0 else [7.0, 12.0, 20.0], rtol=1e-6)


def test_lambda_returns_of_one_step_and_of_any_trailing_axes():
    one = ops.lambda_returns(
        jnp.ones((1, 2, 3)), jnp.full((1, 2, 3), 0.5), jnp.full((1, 2, 3), 4.0), jnp.ones((1, 2, 3))
    )
    np.testing.assert_allclose(one, np.full((1, 2, 3), 3.0))


def test_lambda_returns_refuse_shapes_that_would_broadcast():
    with pytest.raises(AssertionError):
        ops.lambda_returns(jnp.ones((3, 2)), jnp.ones((3, 2)), jnp.ones((3, 1)), jnp.ones((3, 2)))


def test_advantages_by_hand_at_a_time_limit():
    # γ = λ = ½; three steps, the second cut by the time limit: its δ bootstraps, its trace is cut.
    # δ_2 = 1 + ½·2 - 3 = -1            A_2 = -1
    # δ_1 = 1 + ½·6 - 1 =  3            A_1 = 3            (not 3 + ¼·(-1))
    # δ_0 = 1 + ½·1 - 2 = -½            A_0 = -½ + ¼·3 = ¼
    advantage, target = ops.generalized_advantages(
        jnp.ones(3),
        jnp.array([2.0, 1.0, 3.0]),
        jnp.array([1.0, 6.0, 2.0]),
        jnp.zeros(3, bool),
        jnp.array([False, True, False]),
        discount=0.5,
        gae_lambda=0.5,
    )
    np.testing.assert_allclose(advantage, [0.25, 3.0, -1.0], rtol=1e-6)
    np.testing.assert_allclose(target, [2.25, 4.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize(("discount", "gae_lambda"), [(0.9, 0.95), (1.0, 1.0), (0.9, 0.0), (0.0, 0.7)])
def test_advantages_equal_a_forward_sum(discount, gae_lambda):
    reward, value, next_value, terminated, truncated = random_trajectories(1)
    advantage, target = ops.generalized_advantages(
        *map(jnp.asarray, (reward, value, next_value, terminated, truncated)),
        discount=discount,
        gae_lambda=gae_lambda,
    )
    for n in range(reward.shape[1]):
        columns = (x[:, n] for x in (reward, value, next_value, terminated, truncated))
        expected = loop_advantages(*columns, discount, gae_lambda)
        np.testing.assert_allclose(advantage[:, n], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(target, advantage + value, rtol=1e-5, atol=1e-6)


def test_advantages_of_one_environment_do_not_depend_on_its_siblings():
    trajectories = [jnp.asarray(x) for x in random_trajectories(2)]
    perturbed = [x.at[:, 1].set(~x[:, 1] if x.dtype == bool else x[:, 1] + 1.0) for x in trajectories]
    before, after = (ops.generalized_advantages(*x, discount=0.9, gae_lambda=0.9)[0] for x in (trajectories, perturbed))
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    assert not np.allclose(before[:, 1], after[:, 1])


def test_gradients_flow_through_every_argument():
    arguments = [jnp.full(3, 0.5)] * 4
    gradients = jax.grad(lambda *a: ops.lambda_returns(*a).sum(), argnums=(0, 1, 2, 3))(*arguments)
    assert all(np.abs(g).sum() > 0 for g in gradients)


def test_vtrace_against_the_papers_sum():
    # IMPALA, eq. 1, as a double loop: v_s = V_s + Σ_t γ^(t-s) Π_{i<t} c_i ρ_t δ_t, cut where an episode ends.
    keys = jax.random.split(jax.random.key(0), 6)
    reward, value, next_value = (np.asarray(jax.random.normal(key, (9,))) for key in keys[:3])
    ratio = np.asarray(jnp.exp(jax.random.normal(keys[3], (9,))))
    terminated, truncated = (np.asarray(jax.random.bernoulli(key, 0.2, (9,))) for key in keys[4:])
    gamma, lambda_, clip = 0.9, 0.8, 1.5
    delta = np.minimum(ratio, clip) * (reward + gamma * (1 - terminated) * next_value - value)
    expected, advantage = value.copy(), np.zeros(9)
    for s in range(9):
        weight = 1.0
        for t in range(s, 9):
            expected[s] += weight * delta[t]
            weight *= gamma * lambda_ * min(1.0, ratio[t]) * (1 - terminated[t]) * (1 - truncated[t])
    for s in range(9):
        goes_on = s < 8 and not (terminated[s] or truncated[s])
        following = next_value[s] + (expected[s + 1] - value[s + 1] if goes_on else 0.0)
        target = reward[s] + gamma * (1 - terminated[s]) * following
        advantage[s] = min(ratio[s], clip) * (target - value[s])
    rates = dict(discount=gamma, trace_lambda=lambda_, clip=clip)
    found = ops.vtrace(reward, value, next_value, ratio, (terminated, truncated), **rates)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1], advantage, rtol=1e-4, atol=1e-5)


def test_vtrace_on_policy_is_the_lambda_return():
    keys = jax.random.split(jax.random.key(1), 4)
    reward, value, next_value = (jax.random.normal(key, (9, 2)) for key in keys[:3])
    ends = jax.random.bernoulli(keys[3], 0.3, (2, 9, 2))
    next_value = next_value.at[:-1].set(jnp.where(ends.any(0)[:-1], next_value[:-1], value[1:]))  # the same states
    target, _ = ops.vtrace(reward, value, next_value, jnp.ones((9, 2)), tuple(ends), discount=0.9, trace_lambda=0.7)
    _, expected = ops.generalized_advantages(reward, value, next_value, *ends, discount=0.9, gae_lambda=0.7)
    np.testing.assert_allclose(target, expected, atol=1e-5)


def test_a_network_of_another_precision():
    """Values in bfloat16 and rewards in float32 make returns in float32."""
    ones = jnp.ones((3, 2))
    for returns in (
        ops.lambda_returns(ones, 0.5 * ones, ones.astype(jnp.bfloat16), ones),
        ops.vtrace(ones, *[ones.astype(jnp.bfloat16)] * 2, ones, (ones > 1, ones > 1), discount=0.5)[0],
    ):
        assert returns.dtype == jnp.float32


@pytest.mark.parametrize("num_steps", [1, 2, 17, 128])
def test_steps_in_pairs_equal_one_after_the_other(num_steps):
    # What accelerators run, on whatever this is; with cuts, and with every γ and λ at once.
    generator = np.random.default_rng(num_steps)
    reward, next_value = generator.normal(size=(2, num_steps, 3)).astype(np.float32)
    discounts, lambda_ = generator.random((2, num_steps, 3)).astype(np.float32)
    discounts[generator.random(discounts.shape) < 0.2] = 0
    lambda_[generator.random(lambda_.shape) < 0.2] = 0
    arguments = tuple(map(jnp.asarray, (reward, discounts, next_value, lambda_)))
    one, pairs = _step_by_step(*arguments), _in_pairs(*arguments)
    np.testing.assert_allclose(one, pairs, rtol=1e-5, atol=1e-5)
    slope = [jax.grad(lambda *x, f=f: (f(*x) ** 2).sum(), argnums=(0, 1, 2, 3))(*arguments) for f in FORMS]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4), *slope)


FORMS = (_step_by_step, _in_pairs)
