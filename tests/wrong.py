"""Small wrong versions, one for each trap, and the thin wrappers under which ours meet the same checks."""

from typing import Any

import flax.struct
import gymnax
import jax
import jax.numpy as jnp
import optax
from gymnax.environments import environment, spaces

import jaxrl
from jaxrl import envs, ops
from jaxrl.engine import session


def done_as_discount(reward, value, next_value, terminated, truncated, *, discount, gae_lambda):
    """A time limit bootstraps nothing."""
    done = terminated | truncated
    target = ops.lambda_returns(reward, discount * (1.0 - done), next_value, gae_lambda * (1.0 - done))
    return target - value, target


def trace_cut_by_termination_only(reward, value, next_value, terminated, truncated, *, discount, gae_lambda):
    """The error of the step is right, and the trace runs on through the time limit."""
    lambdas = gae_lambda * (1.0 - terminated)
    target = ops.lambda_returns(reward, discount * (1.0 - terminated), next_value, lambdas)
    return target - value, target


def truncation_wins(reward, value, next_value, terminated, truncated, *, discount, gae_lambda):
    """With both flags the terminal state's value is bootstrapped."""
    terminated = terminated & ~truncated
    return ops.generalized_advantages(
        reward, value, next_value, terminated, truncated, discount=discount, gae_lambda=gae_lambda
    )


def step_with_reset_successor(env, env_params, keys, obs, env_state, action):
    """The successor is what the auto-reset returned."""
    next_obs, next_state, transition = envs.step(env, env_params, keys, obs, env_state, action)
    return next_obs, next_state, transition.replace(next_obs=next_obs)


class NormalizeAfterTheReset(envs.wrappers.NormalizeObservation):
    """What `step` returns is normalized, the last observation beside it is not."""

    def step_env(self, key, state, action, params):
        return self.env.step_env(key, state, action, params)

    def reset_env(self, key, params):
        return self.env.reset_env(key, params)

    def step(self, key, state, action, params=None):
        obs, *rest = super().step(key, state, action, params)
        return (self._scaled(obs), *rest)

    def reset(self, key, params=None):
        obs, state = super().reset(key, params)
        return self._scaled(obs), state


def step_that_stores_the_clipped(env, env_params, keys, obs, env_state, action):
    """The action is stored as the environment got it."""
    next_obs, next_state, transition = envs.step(env, env_params, keys, obs, env_state, action)
    return next_obs, next_state, transition.replace(action=jnp.clip(action, -1.0, 1.0))


def init_with_constant_key(ppo, key):
    """A key made inside, as in the DQN of which all seeds started with the same weights."""
    state = ppo.init(key)
    return state.replace(params=ppo.model.init(jax.random.key(0), state.obs))


def init_with_one_key(ppo, key):
    """The environments are reset by a key that the initialization has split already."""
    obs, env_state = envs.reset(ppo.env, ppo.env_params, key, ppo.num_envs)
    return ppo.init(key).replace(obs=obs, env_state=env_state)


def update_that_normalizes_in_between(ppo, state, key):
    """The statistics take in the batch before it is learned from."""
    rollout_key, learn_key = jax.random.split(key)
    state, batch = ppo.rollout(state, rollout_key)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch.obs)
    state = state.replace(obs_statistics=ops.update_statistics(state.obs_statistics, flat))
    return ppo.learn(state, batch, learn_key)


def update_with_branch(ppo, state, key):
    """It learns every second time."""
    rollout_key, learn_key = jax.random.split(key)
    state, batch = ppo.rollout(state, rollout_key)
    state = state.replace(num_updates=state.num_updates + 1)
    learn = lambda: ppo.learn(state, batch, learn_key)[0]  # noqa: E731
    return jax.lax.cond(state.num_updates % 2 == 0, learn, lambda: state), {}


def schedule_of_gradient_steps(ppo, num_updates):
    """The horizon is in updates, the counter in gradient steps."""
    return ops.transform_of(ppo, num_updates * ppo.num_epochs * ppo.num_minibatches)


def update_with_every_reward(ppo, state, key):
    """The rewards of all steps go out as a metric."""
    rollout_key, learn_key = jax.random.split(key)
    state, batch = ppo.rollout(state, rollout_key)
    state, metrics = ppo.learn(state, batch, learn_key)
    return state, metrics | {"reward": batch.reward}


whole_content = session.Run.content.fget


def content_without_optimizer(run):
    """A save of the parameters, as most are."""
    content = whole_content(run)
    state = content["state"]
    return content | {"state": state.replace(opt_state=jax.tree.map(jnp.zeros_like, state.opt_state))}


def our_clip(bound):
    """PPO's transformation with plain gradient descent of step size one."""
    ppo = jaxrl.PPO(*gymnax.make("CartPole-v1"), max_grad_norm=bound, learning_rate=1.0, optimizer=ops.sgd)
    return ops.transform_of(ppo, jnp.zeros((), jnp.int32))


def element_wise_clip(bound):
    """`optax.clip` under the name of a norm."""
    return optax.chain(optax.clip(bound), optax.sgd(1.0))


def mean_over_environments(episode, reward, done):
    """The mean over all environments, unfinished ones counted as what they have so far."""
    episode, metrics = ops.episode_metrics(episode, reward, done)
    return episode, metrics | {
        "episode_return_sum": jnp.sum(reward),
        "episodes": jnp.float32(reward.shape[1]),
    }


def mean_within_window(algorithm, state, key, num_episodes):
    """The mean of all episodes that finish within 9 steps: the short ones are played more often."""
    del state
    reset_key, step_key = jax.random.split(key)
    env, env_params = algorithm.env, algorithm.env_params
    obs, env_state = envs.reset(env, env_params, reset_key, num_episodes)

    def step(carry, key):
        obs, env_state, episode = carry
        keys, action = jax.random.split(key, num_episodes), jnp.zeros(num_episodes, jnp.int32)
        obs, env_state, transition = envs.step(env, env_params, keys, obs, env_state, action)
        episode, metrics = ops.episode_metrics(episode, transition.reward[None], transition.done[None])
        return (obs, env_state, episode), metrics

    carry = (obs, env_state, ops.init_episodes(num_episodes))
    _, metrics = jax.lax.scan(step, carry, jax.random.split(step_key, 9))
    return metrics["episode_return_sum"].sum() / metrics["episodes"].sum()


def weak_reset(env, env_params, key, num_envs):
    """What gymnax gives, Python scalars and all."""
    return jax.vmap(env.reset, (0, None))(jax.random.split(key, num_envs), env_params)


def our_value_loss(value, target):
    """Ours, with old values of the network's shape."""
    return ops.clipped_value_loss(value, value, target, jnp.inf)


def broadcasting_value_loss(value, target):
    """Half the squared error, of whatever shapes."""
    return 0.5 * jnp.square(value - target)


def our_policy_loss(ratio, advantage):
    """Ours."""
    return ops.ppo_clip(ratio, advantage, 0.2)


def broadcasting_policy_loss(ratio, advantage):
    """The importance-weighted policy gradient, of whatever shapes."""
    return -ratio * advantage


@flax.struct.dataclass
class CoinState(environment.EnvState):
    """Steps made, and the length that the coin gave this episode."""

    time: jax.Array
    length: jax.Array


class CoinLength(environment.Environment):
    """Reward 1 for each of 1 or 9 steps, by a fair coin."""

    @property
    def default_params(self) -> environment.EnvParams:
        return environment.EnvParams(max_steps_in_episode=100)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, CoinState]:
        length = jnp.where(jax.random.bernoulli(key), 9, 1)
        return jnp.zeros(1), CoinState(time=jnp.zeros((), jnp.int32), length=length)

    def step_env(self, key: Any, state: CoinState, action: Any, params: Any) -> tuple[Any, ...]:
        state = state.replace(time=state.time + 1)
        return jnp.zeros(1), state, jnp.ones(()), state.time >= state.length, {}

    def action_space(self, params: Any = None) -> Any:
        return spaces.Discrete(2)

    def observation_space(self, params: Any) -> Any:
        return spaces.Box(0.0, 1.0, (1,))


def by_vtrace(vtrace):
    """V-trace on policy with the arguments of `generalized_advantages`."""

    def advantages(reward, value, next_value, terminated, truncated, *, discount, gae_lambda):
        rates = {"discount": discount, "trace_lambda": gae_lambda}
        return vtrace(reward, value, next_value, jnp.ones_like(reward), (terminated, truncated), **rates)[::-1]

    return advantages


@by_vtrace
def vtrace_of_done(reward, value, next_value, ratio, ends, **rates):
    """A time limit is taken for a termination."""
    done = ends[0] | ends[1]
    return ops.vtrace(reward, value, next_value, ratio, (done, done), **rates)


@by_vtrace
def vtrace_that_leaks(reward, value, next_value, ratio, ends, **rates):
    """Nothing cuts the trace at a time limit."""
    return ops.vtrace(reward, value, next_value, ratio, (ends[0], jnp.zeros_like(ends[1])), **rates)


@by_vtrace
def vtrace_where_truncation_wins(reward, value, next_value, ratio, ends, **rates):
    """Where both flags are set the value of the last observation is counted."""
    return ops.vtrace(reward, value, next_value, ratio, (ends[0] & ~ends[1], ends[1]), **rates)
