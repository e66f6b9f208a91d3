"""The field's mistakes with memories, replay and target networks: ours passes each check, the wrong one fails."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrl
from jaxrl import buffers, envs, networks, ops
from jaxrl.algorithms.pg.ppo import bounded_step
from jaxrl.types import Transition
from tests import wrong_deep
from tests.helpers import assert_parameters_differ, leaves_of

T, N, D = 6, 2, 4
CELLS = (nn.GRUCell, nn.OptimizedLSTMCell)


def memory_model(cell):
    model = networks.Recurrent(networks.MLP((D,)), cell(D), networks.Head(1))
    obs, start = jax.random.normal(jax.random.key(0), (T, N, 3)), jnp.zeros((T, N), bool)
    start = start.at[0].set(True).at[2, 0].set(True).at[4, 1].set(True)
    params = model.init(jax.random.key(1), model.initial_carry(N), obs[0], start[0])
    params = jax.tree.map(lambda x: x + 0.3, params)  # heads begin at zero
    # Of an episode before, which the first step must forget; a pair for an LSTM.
    carry = jax.tree.map(jnp.ones_like, model.initial_carry(N))
    return model, params, carry, obs, start


def check_memory_ends_with_the_episode(unroll):
    """Sequences give what single steps give that begin each episode with an empty memory."""
    for cell in CELLS:
        model, params, carry, obs, start = memory_model(cell)
        _, outputs = unroll(model, params, carry, obs, start)
        expected = []
        for t in range(T):
            carry = jax.tree.map(lambda x, t=t: jnp.where(start[t][:, None], 0.0, x), carry)
            carry, output = model.apply(params, carry, obs[t], jnp.zeros(N, bool))
            expected.append(output)
        np.testing.assert_allclose(outputs.reshape(T, N, 1), jnp.stack(expected), atol=1e-6)


def check_a_last_observation_has_its_memory(peek):
    """The value of a true successor is that of the sequence that goes on to it, whatever comes after the reset."""
    for cell in CELLS:
        model, params, carry, obs, start = memory_model(cell)
        carries, _ = networks.unroll(model, params, carry, obs, start)
        successor = jax.random.normal(jax.random.key(2), obs.shape)
        found = peek(model, params, carries, successor).reshape(T, N, 1)
        for t in range(T):
            longer = jnp.concatenate([obs[: t + 1], successor[t][None]])
            starts = jnp.concatenate([start[: t + 1], jnp.zeros((1, N), bool)])
            _, outputs = networks.unroll(model, params, carry, longer, starts)
            np.testing.assert_allclose(found[t], outputs.reshape(t + 2, N, 1)[-1], atol=1e-6)


def check_targets_of_a_memory(targets):
    """Advantages of episodes of three steps, from single steps of the network: each value by the memory that it has."""
    fields = dict(num_envs=4, num_steps=8, num_minibatches=1, hidden_sizes=(8,), discount=0.9, gae_lambda=0.8)
    ppo = jaxrl.RecurrentPPO(*envs.make("Pendulum-v1", max_steps_in_episode=3), **fields)
    state = ppo.init(jax.random.key(0))
    params = jax.tree.map(lambda x: x + 0.1, state.params)
    state = dataclasses.replace(state, learner=dataclasses.replace(state.learner, params=params))
    state, _ = ppo.rollout(state, jax.random.key(1))  # so that the next one begins within an episode
    state, batch = ppo.rollout(state, jax.random.key(2))
    steps, carry, values, next_values = batch.transition, batch.carry, [], []
    for t in range(8):
        carry = jnp.where(batch.start[t][:, None], 0.0, carry)
        carry, (_, value) = ppo.model.apply(params, carry, steps.obs[t], jnp.zeros(4, bool))
        values.append(value)
        next_values.append(ppo.model.apply(params, carry, steps.next_obs[t], jnp.zeros(4, bool))[1][1])
    advantage, expected = np.zeros(4), np.zeros((8, 4))
    for t in reversed(range(8)):
        delta = steps.reward[t] + 0.9 * next_values[t] * (1 - steps.terminated[t]) - values[t]
        advantage = np.asarray(delta + 0.9 * 0.8 * (1 - steps.done[t]) * advantage)
        expected[t] = advantage
    found = targets(ppo, state.learner, batch)
    np.testing.assert_allclose(found.target, expected + np.stack(values), rtol=1e-4, atol=1e-4)
    assert np.asarray(steps.truncated).sum() > 8


def check_q_lambda_with_a_memory(targets):
    """λ-returns of CartPole cut after twelve steps, from single steps of the network, across ends of both kinds."""
    fields = dict(num_envs=4, num_steps=20, num_minibatches=1, hidden_sizes=(8,), discount=0.9, q_lambda=0.8)
    pqn = jaxrl.RecurrentPQN(*envs.make("CartPole-v1", max_steps_in_episode=12), **fields)
    state = pqn.init(jax.random.key(0))
    leaves, tree = jax.tree.flatten(state.params)  # heads begin at zero
    keys = jax.random.split(jax.random.key(3), len(leaves))
    params = [x + jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    state = dataclasses.replace(state, params=jax.tree.unflatten(tree, params))
    state, _ = pqn.rollout(state, jax.random.key(1))  # so that the next one begins within an episode
    state, batch = pqn.rollout(state, jax.random.key(2))
    steps, carry, next_values = batch.transition, batch.carry, []
    for t in range(20):
        carry = jnp.where(batch.start[t][:, None], 0.0, carry)
        carry, _ = pqn.model.apply(state.params, carry, steps.obs[t], jnp.zeros(4, bool))
        next_values.append(pqn.model.apply(state.params, carry, steps.next_obs[t], jnp.zeros(4, bool))[1].max(-1))
    following, expected = np.asarray(next_values[-1]), np.zeros((20, 4))
    for t in reversed(range(20)):
        cut = 0.8 * (1 - steps.done[t])
        bootstrap = (1 - cut) * next_values[t] + cut * following
        following = expected[t] = np.asarray(steps.reward[t] + 0.9 * (1 - steps.terminated[t]) * bootstrap)
    np.testing.assert_allclose(targets(pqn, state, batch), expected, rtol=1e-4, atol=1e-4)
    assert np.asarray(steps.truncated).any() and np.asarray(steps.terminated).any()
    assert not np.asarray(batch.start[0]).all(), "a memory goes on from the rollout before"


def check_a_stop_is_for_good(step):
    """Divergences of 0, 1 and 0 with a bound of ½: one step of the optimizer, not two."""
    ppo = jaxrl.PPO(*envs.make("CartPole-v1"), target_kl=0.5)
    transform = optax.sgd(1.0)
    carry = (jnp.zeros(1), transform.init(jnp.zeros(1)), jnp.ones((), bool))
    for kl in (0.0, 1.0, 0.0):
        carry = step(ppo, transform, carry, jnp.ones(1), jnp.asarray(kl))
    np.testing.assert_array_equal(carry[0], [-1.0])


def distance_from_one(ratio, advantage, clip):
    del advantage, clip
    return jnp.full_like(ratio, jnp.max(jnp.abs(ratio - 1.0)))


def check_first_ratio_is_one_with_a_memory(rollout):
    """Acting and learning see the same memory: with one gradient step on the whole batch all ratios are one."""
    fields = dict(num_envs=4, num_steps=8, num_epochs=1, num_minibatches=1, hidden_sizes=(8,))
    pendulum = envs.make("Pendulum-v1", max_steps_in_episode=3)
    ppo = jaxrl.RecurrentPPO(*pendulum, policy_loss=distance_from_one, normalize_observations=True, **fields)
    state = ppo.init(jax.random.key(0))
    learner = state.learner
    params = jax.tree.map(lambda x: x + 0.1, learner.params)
    state = dataclasses.replace(state, learner=dataclasses.replace(learner, params=params))
    for index in range(3):
        state, batch = rollout(ppo, state, jax.random.key(2 * index))
        state, metrics = ppo.learn(state, batch, jax.random.key(2 * index + 1))
        assert metrics["policy_loss"] < 1e-5


class Table(nn.Module):
    """Action values by the number of the observation."""

    num_actions: int = 2

    @nn.compact
    def __call__(self, obs):
        table = self.param("table", nn.initializers.zeros, (8, self.num_actions))
        return table[obs.reshape(len(obs), -1)[:, 0].astype(jnp.int32)]


def check_q_lambda_by_hand(targets):
    """γ = λ = ½, and values of the successors 8, 4, 2; four environments of three steps.

    Without an end G₂ = 1 + ½·2 = 2, G₁ = 1 + ½(½·4 + ½·2) = 2½, G₀ = 1 + ½(½·8 + ½·2½) = 3⅝. Where the second step ends
    by its time limit G₁ = 1 + ½·4 = 3 and G₀ = 1 + ½(4 + 1½) = 3¾; where it terminates, or both, G₁ = 1 and
    G₀ = 1 + ½(4 + ½) = 3¼.
    """
    pqn = jaxrl.PQN(
        *envs.make("CartPole-v1"),
        network=Table(),
        discount=0.5,
        q_lambda=0.5,
        num_envs=4,
        num_steps=3,
        num_minibatches=1,
    )
    state = pqn.init(jax.random.key(0))
    table = jnp.array([[0.0, 16.0], [8.0, 0.0], [0.0, 4.0], [2.0, 1.0]] + 4 * [[0.0, 0.0]])
    state = dataclasses.replace(state, params={"params": {"table": table}})
    never = jnp.zeros((3, 4), bool)
    batch = Transition(
        obs=jnp.tile(jnp.arange(3.0)[:, None, None], (1, 4, 1)),
        action=jnp.zeros((3, 4), jnp.int32),
        reward=jnp.ones((3, 4)),
        terminated=never.at[1, 2:].set(True),
        truncated=never.at[1, jnp.array([1, 3])].set(True),
        next_obs=jnp.tile(jnp.arange(1.0, 4.0)[:, None, None], (1, 4, 1)),
        log_prob=jnp.zeros((3, 4)),
    )
    expected = [[3.625, 3.75, 3.25, 3.25], [2.5, 3.0, 1.0, 1.0], [2.0] * 4]
    np.testing.assert_allclose(targets(pqn, state, batch), expected)


def small_dqn(env="CartPole-v1", **options):
    sizes = dict(num_envs=3, num_steps=2, batch_size=8, capacity=60, warmup=4, hidden_sizes=(4,))
    return jaxrl.DQN(*envs.make(env), **(sizes | options))


class Still(nn.Module):
    """An actor of one action for all observations."""

    @nn.compact
    def __call__(self, obs):
        return self.param("action", nn.initializers.zeros, (1, 1)) + jnp.zeros((len(obs), 1))


class Level(nn.Module):
    """Two critics that say a number each."""

    @nn.compact
    def __call__(self, obs, action):
        del action
        return self.param("level", nn.initializers.zeros, (2, 1, 1)) + jnp.zeros((2, len(obs), 1))


def check_targets_are_of_the_slow_network(targets):
    """Where it says that all is worth 10, a target is r + γ 10, whatever the learning network thinks."""
    dqn = small_dqn(backup=ops.max_backup, network=Table(), discount=0.5)
    state = dqn.init(jax.random.key(0))
    state = dataclasses.replace(state, target_params=jax.tree.map(lambda x: jnp.full_like(x, 10.0), state.params))
    experience = buffers.Experience(
        jnp.zeros((2, 1)), jnp.zeros(2, int), jnp.ones(2), jnp.full(2, 0.5), jnp.ones((2, 1))
    )
    atoms, weights = targets(dqn, state, experience, jax.random.key(1), jax.random.key(2))
    np.testing.assert_allclose((atoms * weights).sum(-1), 6.0)


def check_importance_undoes_the_priorities(learn):
    """Four steps of priority 1 and four of 4: a batch of 20, their sum, holds each one as often as its priority says.

    All errors are one. Weighed by 1 and by ¼ they make a gradient of (4 + 16/4) / 20 altogether, not of 20 / 20.
    """
    dqn = small_dqn(
        "MountainCar-v0",
        network=Table(3),
        returns=ops.MeanReturns(optax.l2_loss),
        optimizer=ops.sgd,
        learning_rate=1.0,
        max_grad_norm=jnp.inf,
        discount=0.0,
        prioritized=True,
        importance_exponent=1.0,
        num_envs=1,
        batch_size=20,
        warmup=7,
    )
    state = dqn.init(jax.random.key(0))
    replay = buffers.prioritize(state.memory.replay, jnp.arange(7), jnp.array([1.0, 1, 1, 1, 4, 4, 4]))
    state = dataclasses.replace(state, memory=dataclasses.replace(state.memory, replay=replay))
    state, batch = dqn.rollout(state, jax.random.key(1))  # a new step has the largest priority
    new, _ = learn(dqn, state, batch, jax.random.key(2))
    np.testing.assert_allclose(new.params["params"]["table"].sum(), -8.0 / 20.0, rtol=1e-5)


def check_parameters_depend_on_the_seed(init):
    """What is random in the network of one seed is other in that of another one."""
    dqn = small_dqn()
    assert_parameters_differ(init(dqn, jax.random.key(0)), init(dqn, jax.random.key(1)))


def check_slow_critics_are_asked(targets):
    """Critics that say 10 slowly and 20 fast, without noise: r + γ 10."""
    learner = jaxrl.TD3(*envs.make("Pendulum-v1"), actor=Still(), critics=Level(), target_noise=0.0)
    level = lambda x: {"params": {"level": jnp.full((2, 1, 1), x)}}  # noqa: E731
    state = learner.init(jax.random.key(0))
    params, slow = (state.params | {"critics": level(x)} for x in (20.0, 10.0))
    state = dataclasses.replace(state, params=params, target_params=slow)
    some = jnp.zeros((3, 1))
    experience = buffers.Experience(some, some, jnp.ones(3), jnp.full(3, 0.5), some)
    np.testing.assert_allclose(targets(learner, state, experience, jax.random.key(1)), 6.0)


def check_the_target_network_follows(update):
    """After one update it has moved, towards the learning network."""
    dqn = small_dqn(target_rate=0.5)
    state = dqn.init(jax.random.key(0))
    new, _ = update(dqn, state, jax.random.key(1))
    pairs = zip(*(jax.tree.leaves(x) for x in (state.target_params, new.target_params, new.params)), strict=True)
    moved = [(float(jnp.vdot(b - a, c - a)), float(jnp.abs(b - a).max())) for a, b, c in pairs]
    assert any(size > 0 for _, size in moved) and sum(inner for inner, _ in moved) > 0


def two_episodes():
    """Rewards 1, 10, 100 in one environment; the second step ends an episode by its time limit."""
    shape = (3, 1)
    return Transition(
        obs=jnp.array([1.0, 2.0, 7.0]).reshape(shape),
        action=jnp.zeros(shape, jnp.int32),
        reward=jnp.array([1.0, 10.0, 100.0]).reshape(shape),
        terminated=jnp.zeros(shape, bool),
        truncated=jnp.array([False, True, False]).reshape(shape),
        next_obs=jnp.array([2.0, 3.0, 8.0]).reshape(shape),
        log_prob=jnp.zeros(shape),
    )


def check_steps_end_with_the_episode_and_the_ring(n_step):
    """Three steps from the first: 1 + ½·10 and then the true last observation, 3; from the newest: only itself."""
    batch = two_episodes()
    replay = buffers.add_all(buffers.init_replay(jax.tree.map(lambda x: x[0], batch), 20), batch)
    found = n_step(replay, jnp.array([0, 3]), 3, 0.5)
    np.testing.assert_allclose(found.reward, [6.0, 100.0])
    np.testing.assert_allclose(found.discounts, [0.25, 0.5])
    np.testing.assert_allclose(found.next_obs, [3.0, 8.0])


def check_sequences_end_with_the_episode_and_the_ring(sequence):
    """Three steps from the first: 1 and 10 count, then its episode is over; from the newest only itself counts."""
    batch = two_episodes()
    replay = buffers.add_all(buffers.init_replay(jax.tree.map(lambda x: x[0], batch), 20), batch)
    steps, counts = sequence(replay, jnp.array([0, 3]), 3)
    np.testing.assert_array_equal(counts, [[True, True], [True, False], [False, False]])
    np.testing.assert_array_equal(jnp.where(counts, steps.reward, 0.0), [[1.0, 100.0], [10.0, 0.0], [0.0, 0.0]])


def check_the_ring_stays_full(add):
    """A ring of 7 rows after 100 steps: all of its 6 steps are sampled."""
    batch = jax.tree.map(lambda x: x[:1], two_episodes())
    replay = buffers.init_replay(jax.tree.map(lambda x: x[0], batch), 7)
    for time in range(100):
        replay = add(replay, jax.tree.map(lambda x: x[0], batch.replace(reward=jnp.full((1, 1), float(time)))))
    rows = buffers.sample_rows(replay, jax.random.key(0), 500)
    np.testing.assert_array_equal(np.unique(replay.reward[rows]), np.arange(94.0, 100.0))


def check_what_is_sampled_is_a_step(sample_rows):
    """One-step episodes in a full ring: every other row is a last observation, and one of them has lost its step."""
    batch = jax.tree.map(lambda x: x[1:2], two_episodes())  # ends at once
    for num_rows in (3, 4, 7):
        replay = buffers.init_replay(jax.tree.map(lambda x: x[0], batch), num_rows)
        for time in range(20):
            step = batch.replace(obs=jnp.full((1, 1), 2.0 * time), next_obs=jnp.full((1, 1), 2.0 * time + 1))
            replay = buffers.add(replay, jax.tree.map(lambda x: x[0], step))
        rows = sample_rows(replay, jax.random.key(0), 50_000)
        assert replay.is_step[rows].all()
        np.testing.assert_array_equal(replay.obs[buffers.following(replay, rows)], replay.obs[rows] + 1)


def check_what_is_written_again_has_no_old_priority(add):
    """The row of a last observation takes over the place of an old step, not its priority."""
    batch = two_episodes()
    replay = buffers.init_replay(jax.tree.map(lambda x: x[0], batch), 4, prioritized=True)
    for time in range(9):
        replay = add(replay, jax.tree.map(lambda x, t=time: x[t % 3], batch))
        np.testing.assert_array_equal(leaves_of(replay.tree, 4) > 0, replay.is_step)


def check_the_likelihood_of_a_saturated_action(sample):
    """A mean of 12 before the tangent: 2 (log 2 - u - softplus(-2u)) is -2u + 2 log 2, not the logarithm of zero."""
    action, log_prob = sample(ops.SquashedGaussian(jnp.full(1, 12.0), jnp.full(1, -3.0)), jax.random.key(0))
    before = ops.Gaussian(jnp.full(1, 12.0), jnp.full(1, -3.0)).sample(jax.random.key(0))
    normal = ops.Gaussian(jnp.full(1, 12.0), jnp.full(1, -3.0)).log_prob(before)
    assert action > 0.999
    np.testing.assert_allclose(log_prob, normal + 2 * before[0] - 2 * np.log(2.0), rtol=1e-5)
    middle = ops.SquashedGaussian(jnp.linspace(-1.0, 1.0, 9)[:, None], jnp.zeros((9, 1)))
    action, log_prob = sample(middle, jax.random.key(1))
    normal = ops.Gaussian(middle.mean, middle.log_std).log_prob(jnp.arctanh(action))
    np.testing.assert_allclose(log_prob, normal - jnp.log1p(-jnp.square(action[:, 0])), rtol=1e-4, atol=1e-4)


TRAPS = {
    "memory reset late": (check_memory_ends_with_the_episode, networks.unroll, wrong_deep.unroll_reset_one_late),
    "memory kept": (check_memory_ends_with_the_episode, networks.unroll, wrong_deep.unroll_that_never_forgets),
    "bootstrap with a memory": (
        check_a_last_observation_has_its_memory,
        networks.peek,
        wrong_deep.peek_after_the_reset,
    ),
    "ratio with a memory": (
        check_first_ratio_is_one_with_a_memory,
        jaxrl.RecurrentPPO.rollout,
        wrong_deep.rollout_with_done_as_start,
    ),
    "targets with a memory": (
        check_targets_of_a_memory,
        jaxrl.RecurrentPPO.targets,
        wrong_deep.targets_by_the_memory_of_the_step_before,
    ),
    "targets after the reset": (
        check_targets_of_a_memory,
        jaxrl.RecurrentPPO.targets,
        wrong_deep.targets_without_a_memory_of_the_end,
    ),
    "stop": (check_a_stop_is_for_good, bounded_step, wrong_deep.step_that_goes_on_again),
    "Q(λ)": (check_q_lambda_by_hand, jaxrl.PQN.targets, wrong_deep.q_lambda_from_the_wrong_state),
    "Q(λ) at a time limit": (check_q_lambda_by_hand, jaxrl.PQN.targets, wrong_deep.q_lambda_with_done_as_discount),
    "Q(λ) across the reset": (check_q_lambda_by_hand, jaxrl.PQN.targets, wrong_deep.q_lambda_that_leaks),
    "Q(λ) by the memory before": (
        check_q_lambda_with_a_memory,
        jaxrl.RecurrentPQN.targets,
        wrong_deep.targets_by_the_memory_of_the_step_before,
    ),
    "Q(λ) after the reset": (
        check_q_lambda_with_a_memory,
        jaxrl.RecurrentPQN.targets,
        wrong_deep.targets_without_a_memory_of_the_end,
    ),
    "Q(λ) with a memory across the reset": (
        check_q_lambda_with_a_memory,
        jaxrl.RecurrentPQN.targets,
        wrong_deep.q_lambda_with_a_memory_that_leaks,
    ),
    "Q(λ) with a memory at a time limit": (
        check_q_lambda_with_a_memory,
        jaxrl.RecurrentPQN.targets,
        wrong_deep.q_lambda_with_a_memory_and_done_as_discount,
    ),
    "importance": (
        check_importance_undoes_the_priorities,
        jaxrl.DQN.learn,
        wrong_deep.learn_without_importance,
    ),
    "parameters of a seed": (
        check_parameters_depend_on_the_seed,
        jaxrl.DQN.init,
        wrong_deep.init_with_parameters_of_one_key,
    ),
    "slow critics": (check_slow_critics_are_asked, jaxrl.TD3.targets, wrong_deep.targets_of_fast_critics),
    "sequences": (
        check_sequences_end_with_the_episode_and_the_ring,
        buffers.sequence,
        wrong_deep.sequence_of_rows,
    ),
    "what is no step": (
        check_what_is_sampled_is_a_step,
        buffers.sample_rows,
        wrong_deep.sample_rows_with_the_one_before,
    ),
    "successors in a ring": (
        check_steps_end_with_the_episode_and_the_ring,
        buffers.n_step,
        wrong_deep.n_step_to_the_reset,
    ),
    "old priorities": (
        check_what_is_written_again_has_no_old_priority,
        buffers.add,
        wrong_deep.add_that_keeps_priorities,
    ),
    "target network": (
        check_targets_are_of_the_slow_network,
        jaxrl.DQN.targets,
        wrong_deep.targets_of_the_online_network,
    ),
    "target update": (
        check_the_target_network_follows,
        jaxrl.DQN.update,
        wrong_deep.update_whose_target_fires_by_remainder,
    ),
    "n steps": (
        check_steps_end_with_the_episode_and_the_ring,
        buffers.n_step,
        wrong_deep.n_step_across_everything,
    ),
    "full ring": (check_the_ring_stays_full, buffers.add, wrong_deep.add_that_is_never_full),
    "saturated action": (
        check_the_likelihood_of_a_saturated_action,
        ops.SquashedGaussian.sample_and_log_prob,
        wrong_deep.naive_log_prob,
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_ours_passes(name):
    check, ours, _ = TRAPS[name]
    check(ours)


@pytest.mark.parametrize("name", TRAPS)
def test_the_wrong_version_fails(name):
    check, _, wrong_version = TRAPS[name]
    with pytest.raises(AssertionError):
        check(wrong_version)
