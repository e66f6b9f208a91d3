"""What the off-policy actor-critics share: their state, and a step of the optimizer."""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import ops
from jaxrl.algorithms import replaying
from jaxrl.types import Stage


@flax.struct.dataclass
class OffPolicyState:
    """Everything the next update needs."""

    params: Any  # of actor, critics and, where there is one, the temperature
    target_params: Any
    opt_state: Any  # by the same names
    memory: replaying.Memory
    num_learned: jax.Array  # int32 []; calls of `learn`, which schedules count


def begin(algorithm: Any, key: jax.Array, others: dict[str, Any]) -> OffPolicyState:
    """Networks of continuous actions, other parameters, and a replay of random actions. The key is consumed."""
    memory_key, actor_key, critic_key = jax.random.split(key, 3)
    memory = replaying.begin(algorithm, memory_key)
    params = algorithm.params
    if params is None:
        actor, critics = algorithm.models
        action = jnp.zeros((algorithm.num_envs, algorithm.num_actions))
        params = {"actor": actor.init(actor_key, memory.obs), "critics": critics.init(critic_key, memory.obs, action)}
        params |= others
    return init_state(algorithm, params, memory)


def init_state(algorithm: Any, params: Any, memory: replaying.Memory) -> OffPolicyState:
    """The state before the first update, of parameters that are copied."""
    params, num_learned = jax.tree.map(jnp.array, params), jnp.zeros((), jnp.int32)
    transform = ops.transform_of(algorithm, num_learned)
    opt_state = {name: transform.init(part) for name, part in params.items()}
    target_params = jax.tree.map(jnp.array, algorithm.target_of(params))
    return OffPolicyState(params, target_params, opt_state, memory, num_learned)


def gradient_step(algorithm: Any, state: OffPolicyState, gradient: dict[str, Any]) -> OffPolicyState:
    """Along a gradient of some of the parameters, by name."""
    transform = ops.transform_of(algorithm, replaying.num_updates(algorithm, state))
    params, opt_state = dict(state.params), dict(state.opt_state)
    for name, slope in gradient.items():
        updates, opt_state[name] = transform.update(slope, opt_state[name], params[name])
        params[name] = optax.apply_updates(params[name], updates)
    return dataclasses.replace(state, params=params, opt_state=opt_state)


def descend(algorithm: Any, state: OffPolicyState, gradient: dict[str, Any]) -> OffPolicyState:
    """The end of a call of `learn` that has one step: along a gradient of all parameters."""
    return follow(algorithm, gradient_step(algorithm, state, gradient))


def follow(algorithm: Any, state: OffPolicyState) -> OffPolicyState:
    """The end of a call of `learn`: the target networks go τ of the way to what they follow."""
    followed = algorithm.target_of(state.params)
    target_params = optax.incremental_update(followed, state.target_params, algorithm.target_rate)
    return dataclasses.replace(state, target_params=target_params, num_learned=state.num_learned + 1)


def learning_stages(
    algorithm: Any, state: OffPolicyState, key: jax.Array, gradient: dict[str, Stage]
) -> dict[str, Stage]:
    """Acting, replay and optimizer, for the profiler, with the gradients between them. The key is consumed."""
    act_key, sample_key = jax.random.split(key)
    slope, light = jax.tree.map(jnp.zeros_like, state.params), dataclasses.replace(state, memory=None)
    part, times = functools.partial(Stage, within="learn"), algorithm.num_steps
    return {
        **replaying.stages(algorithm, state, act_key),
        "sample": part(replaying.draw, (algorithm, state.memory.replay, sample_key), times),
        **gradient,
        "optimizer": part(descend, (algorithm, light, slope), times, carry=1),
    }
