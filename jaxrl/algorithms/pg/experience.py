"""What the policy-gradient learners share: their state, acting by a network, and the statistics that they keep."""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import envs, networks, ops
from jaxrl.types import Metrics, Transition


@flax.struct.dataclass
class PolicyState:
    """Everything the next update needs: parameters, environments `[N, ...]`, statistics, the number of updates made."""

    params: Any
    opt_state: Any
    obs: Any  # raw
    env_state: Any
    episode: ops.EpisodeStatistics
    obs_statistics: ops.RunningStatistics | None  # None without normalize_observations
    reward_scaling: ops.RewardScaling | None  # None without normalize_rewards
    num_updates: jax.Array  # int32 []; schedules read it


def model_of(algorithm: Any) -> Any:
    """The network, or the default for the environment's spaces."""
    if algorithm.network is not None:
        return algorithm.network
    env, env_params = algorithm.env, algorithm.env_params
    spaces = env.observation_space(env_params), env.action_space(env_params)
    return networks.default_actor_critic(*spaces, algorithm.hidden_sizes)


def init_state(algorithm: Any, key: jax.Array) -> PolicyState:
    """Reset the environments and initialize the network. The key is consumed."""
    env_key, params_key = jax.random.split(key)
    obs, env_state = envs.reset(algorithm.env, algorithm.env_params, env_key, algorithm.num_envs)
    params = algorithm.params
    if params is None:
        params = model_of(algorithm).init(params_key, obs)
    return first_state(algorithm, params, obs, env_state)


def first_state(algorithm: Any, params: Any, obs: Any, env_state: Any) -> PolicyState:
    """The state before the first update, of parameters that are copied, in environments that are reset."""
    num_updates = jnp.zeros((), jnp.int32)
    obs_statistics = ops.init_statistics(jax.tree.map(lambda x: x[0], obs))
    return PolicyState(
        params=jax.tree.map(jnp.array, params),
        opt_state=ops.transform_of(algorithm, num_updates).init(params),
        obs=obs,
        env_state=env_state,
        episode=ops.init_episodes(algorithm.num_envs),
        obs_statistics=obs_statistics if algorithm.normalize_observations else None,
        reward_scaling=ops.init_reward_scaling(algorithm.num_envs) if algorithm.normalize_rewards else None,
        num_updates=num_updates,
    )


def restart(algorithm: Any, state: PolicyState, key: jax.Array) -> PolicyState:
    """New episodes in all environments. The key is consumed."""
    obs, env_state = envs.reset(algorithm.env, algorithm.env_params, key, algorithm.num_envs)
    scaling = state.reward_scaling
    if scaling is not None:
        scaling = dataclasses.replace(scaling, discounted_sum=jnp.zeros_like(scaling.discounted_sum))
    episode = ops.init_episodes(algorithm.num_envs)
    return dataclasses.replace(state, obs=obs, env_state=env_state, episode=episode, reward_scaling=scaling)


def seen(state: PolicyState, obs: Any) -> Any:
    """Raw observations `[..., *shape]` as the network sees them, by the state's statistics; a mask stays a mask."""
    if state.obs_statistics is None:
        return obs
    normalized = ops.normalize(state.obs_statistics, obs)
    if isinstance(obs, dict) and "action_mask" in obs:
        normalized |= {"action_mask": obs["action_mask"]}
    return normalized


def apply(algorithm: Any, params: Any, state: PolicyState, obs: Any) -> tuple[Any, jax.Array]:
    """Policy and value `[B]` of raw observations `[B, ...]`, under the state's observation statistics."""
    return model_of(algorithm).apply(params, seen(state, obs))


def explore(algorithm: Any, state: PolicyState, obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Actions of the policy for raw observations `[N, ...]`, and their log-probabilities `[N]`. The key is consumed."""
    policy, _ = apply(algorithm, state.params, state, obs)
    action = policy.sample(key)
    return action, policy.log_prob(action)


def rollout(algorithm: Any, state: PolicyState, key: jax.Array) -> tuple[PolicyState, Transition]:
    """Act for `num_steps` steps in `num_envs` environments: the batch is `[T, N, ...]`. The key is consumed."""
    act = functools.partial(explore, algorithm, state)
    start = (state.obs, state.env_state)
    obs, env_state, batch = envs.rollout(algorithm.env, algorithm.env_params, act, *start, key, algorithm.num_steps)
    return dataclasses.replace(state, obs=obs, env_state=env_state), batch


def scaled_rewards(algorithm: Any, state: PolicyState, batch: Transition) -> tuple[PolicyState, Transition]:
    """Rewards `[T, N]` over their running deviation, which takes them in first; untouched without it."""
    if state.reward_scaling is None:
        return state, batch
    scaling, reward = state.reward_scaling, batch.reward
    reward, scaling = ops.scale_rewards(scaling, reward, batch.done, algorithm.discount)
    return dataclasses.replace(state, reward_scaling=scaling), dataclasses.replace(batch, reward=reward)


def learned(state: PolicyState, params: Any, opt_state: Any, batch: Transition) -> tuple[PolicyState, Metrics]:
    """The state after an update from a batch `[T, N, ...]` of unscaled rewards, and sums over its episodes."""
    episode, metrics = ops.episode_metrics(state.episode, batch.reward, batch.done)
    obs_statistics = state.obs_statistics
    if obs_statistics is not None:  # only now: what was learned from is what the policy saw when it acted
        obs_statistics = ops.update_statistics(obs_statistics, ops.flat(batch.obs))
    state = dataclasses.replace(
        state,
        params=params,
        opt_state=opt_state,
        episode=episode,
        obs_statistics=obs_statistics,
        num_updates=state.num_updates + 1,
    )
    return state, metrics


def descend(
    algorithm: Any, state: PolicyState, gradient: Any, batch: Transition, losses: Metrics
) -> tuple[PolicyState, Metrics]:
    """One step of the optimizer along a gradient of the losses of a batch `[T, N, ...]`."""
    transform = ops.transform_of(algorithm, state.num_updates)
    updates, opt_state = transform.update(gradient, state.opt_state, state.params)
    state, metrics = learned(state, optax.apply_updates(state.params, updates), opt_state, batch)
    return state, metrics | losses
