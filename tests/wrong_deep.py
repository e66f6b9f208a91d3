"""Small wrong versions of what is recurrent or learns from replay, one for each trap."""

import dataclasses
from unittest import mock

import jax
import jax.numpy as jnp

from jaxrl import buffers, networks, ops
from jaxrl.algorithms.pg.ppo import bounded_step


def unroll_reset_one_late(model, params, carry, obs, start):
    """The done of the step before is taken for the start of the step itself, shifted once too often."""
    return networks.unroll(model, params, carry, obs, jnp.roll(start, 1, axis=0).at[0].set(start[0]))


def unroll_that_never_forgets(model, params, carry, obs, start):
    """One memory for all episodes of a rollout."""
    return networks.unroll(model, params, carry, obs, start.at[1:].set(False))


def rollout_with_done_as_start(algorithm, state, key):
    """What is stored as the start of a step is that it ends its episode."""
    state, batch = algorithm.rollout(state, key)
    return state, dataclasses.replace(batch, start=batch.transition.done)


def peek_after_the_reset(model, params, carries, obs):
    """The true last observation with the memory of an episode that has just begun."""
    return networks.peek(model, params, jax.tree.map(jnp.zeros_like, carries), obs)


def q_lambda_from_the_wrong_state(pqn, state, batch):
    """The value of the state itself where that of its successor belongs."""
    value = pqn.model.apply(state.params, ops.flat(batch.obs)).max(-1).reshape(batch.reward.shape)
    discounts = pqn.discount * (1.0 - batch.terminated)
    return ops.lambda_returns(batch.reward, discounts, value, pqn.q_lambda * (1.0 - batch.done))


def targets_of_the_online_network(dqn, state, experience, noise, slow_noise):
    """The slow network is kept, and never asked."""
    state = dataclasses.replace(state, target_params=state.params)
    return dqn.targets(state, experience, noise, slow_noise)


def targets_of_fast_critics(learner, state, *rest):
    """The slow networks are kept, and never asked."""
    return learner.targets(dataclasses.replace(state, target_params=learner.target_of(state.params)), *rest)


def learn_without_importance(dqn, state, batch, key):
    """Experience is sampled by priority, and weighed as if it were not."""
    sample = buffers.sample_by_priority
    alike = lambda replay, key, size: (sample(replay, key, size)[0], jnp.ones(size))  # noqa: E731
    with mock.patch.object(buffers, "sample_by_priority", alike):
        return dqn.learn(state, batch, key)


def init_with_parameters_of_one_key(dqn, key):
    """The worlds differ from seed to seed, the networks do not."""
    state = dqn.init(key)
    params = dqn.model.init(jax.random.key(0), state.memory.obs)
    return dataclasses.replace(state, params=params, target_params=params)


def sequence_of_rows(replay, row, length):
    """Rows that follow are taken for steps that follow, and all of them count."""
    steps, counts = buffers.sequence(replay, row, length)
    rows = jnp.stack([buffers.following(replay, row, t) for t in range(length)])
    return steps.replace(obs=replay.obs[rows], reward=replay.reward[rows]), jnp.ones_like(counts)


def update_whose_target_fires_by_remainder(dqn, state, key):
    """The target network is copied when the count of steps, which goes up by N, is a multiple of a period."""
    before = state.target_params
    state, metrics = dqn.update(state, key)
    steps = state.num_learned * dqn.num_envs
    fires = steps % 5 == 0  # with three environments and two steps: at every fifth update only
    target = jax.tree.map(lambda new, old: jnp.where(fires, new, old), state.params, before)
    return dataclasses.replace(state, target_params=target), metrics


def n_step_across_everything(replay, row, num_steps, discount):
    """Rows that follow are taken for steps that follow."""
    reward, discounts, at = jnp.zeros(len(row)), jnp.ones(len(row)), row
    for _ in range(num_steps):
        reward, discounts = reward + discounts * replay.reward[at], discounts * discount
        at = buffers.following(replay, at)
    next_obs = jax.tree.map(lambda x: x[at], replay.obs)
    obs = jax.tree.map(lambda x: x[row], replay.obs)
    return buffers.Experience(obs, replay.action[row], reward, discounts, next_obs)


def add_that_is_never_full(replay, transition):
    """`filled` counts up to where the head wraps, and begins anew."""
    new = buffers.add(replay, transition)
    return dataclasses.replace(new, filled=new.position)


def naive_log_prob(distribution, key):
    """The slope of the tangent from the tangent, which rounds to one."""
    normal = ops.Gaussian(distribution.mean, distribution.log_std)
    before = normal.sample(key)
    action = jnp.tanh(before)
    return action, normal.log_prob(before) - jnp.log(1.0 - jnp.square(action)).sum(-1)


def targets_with_other_memories(algorithm, learner, batch, change):
    """Those of the true successors are changed."""
    peek = networks.peek
    other = lambda model, params, carries, obs: peek(model, params, jax.tree.map(change, carries), obs)  # noqa: E731
    with mock.patch.object(networks, "peek", other):
        return algorithm.targets(learner, batch)


def targets_by_the_memory_of_the_step_before(algorithm, learner, batch):
    """The memories are shifted: that of a step has not seen its observation."""
    shift = lambda x: jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])  # noqa: E731
    return targets_with_other_memories(algorithm, learner, batch, shift)


def targets_without_a_memory_of_the_end(algorithm, learner, batch):
    """A true last observation is seen as the first one of an episode."""
    return targets_with_other_memories(algorithm, learner, batch, jnp.zeros_like)


def q_lambda_with_a_memory_that_leaks(pqn, state, batch):
    """The trace runs on into the next episode."""
    returns = ops.lambda_returns
    leaking = lambda reward, discounts, value, cut: returns(  # noqa: E731
        reward, discounts, value, jnp.full_like(cut, pqn.q_lambda)
    )
    with mock.patch.object(ops, "lambda_returns", leaking):
        return pqn.targets(state, batch)


def q_lambda_with_a_memory_and_done_as_discount(pqn, state, batch):
    """A time limit is taken for a termination."""
    steps = batch.transition
    return pqn.targets(state, dataclasses.replace(batch, transition=steps.replace(terminated=steps.done)))


def step_that_goes_on_again(ppo, transform, carry, gradient, kl):
    """Each minibatch is judged by itself."""
    return bounded_step(ppo, transform, (*carry[:2], jnp.ones((), bool)), gradient, kl)


def q_lambda(pqn, state, batch, discounts, lambda_):
    next_value = pqn.model.apply(state.params, ops.flat(batch.next_obs)).max(-1).reshape(batch.reward.shape)
    return ops.lambda_returns(batch.reward, discounts, next_value, lambda_)


def q_lambda_with_done_as_discount(pqn, state, batch):
    """A time limit is taken for a termination."""
    return q_lambda(pqn, state, batch, pqn.discount * (1.0 - batch.done), pqn.q_lambda * (1.0 - batch.done))


def q_lambda_that_leaks(pqn, state, batch):
    """Only terminations cut the trace."""
    return q_lambda(pqn, state, batch, pqn.discount * (1.0 - batch.terminated), pqn.q_lambda * (1.0 - batch.terminated))


def sample_rows_with_the_one_before(replay, key, batch_size):
    """A row that is no step is replaced by the one before it, which may have lost its own."""
    row = jax.random.randint(key, (batch_size,), 0, replay.num_rows)
    return jnp.where(replay.is_step[row], row, buffers.following(replay, row, -1))


def n_step_to_the_reset(replay, row, num_steps, discount):
    """What follows an end is where the environment was reset to."""
    found = buffers.n_step(replay, row, num_steps, discount)
    after = buffers.following(replay, row, num_steps)
    return dataclasses.replace(found, next_obs=replay.obs[after])


def add_that_keeps_priorities(replay, transition):
    """Only the step's own row gets a new priority."""
    new = buffers.add(replay, transition)
    here = jnp.arange(len(replay.position)) * replay.num_rows + replay.position
    return dataclasses.replace(new, tree=ops.set_leaves(replay.tree, here, jnp.full(len(here), replay.max_priority)))
