"""N copies of a gymnax environment, stepped together, with dtypes that never change."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.types import Transition


def _strong(tree: Any) -> Any:
    """Drop weak types: a carry that starts weak would compile the second call anew."""
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, jnp.asarray(x).dtype), tree)


def _like(tree: Any, example: Any) -> Any:
    return jax.tree.map(lambda x, e: jnp.asarray(x).astype(e.dtype), tree, example)


def reset(env: Any, env_params: Any, key: jax.Array, num_envs: int) -> tuple[Any, Any]:
    """Reset `num_envs` copies.

    Args:
      env: a gymnax environment.
      env_params: its parameters.
      key: consumed.
      num_envs: N.

    Returns:
      Observations and environment states, pytrees of `[N, ...]`.
    """
    return _strong(jax.vmap(env.reset, (0, None))(jax.random.split(key, num_envs), env_params))


def step(
    env: Any, env_params: Any, keys: jax.Array, obs: Any, env_state: Any, action: jax.Array
) -> tuple[Any, Any, Transition]:
    """Step N copies; those whose episode ends are reset.

    Args:
      env: a gymnax environment.
      env_params: its parameters.
      keys: `[N]` keys, consumed. Split them outside of the loop over time: one batch of random bits is
        cheaper than T small ones.
      obs: `[N, ...]` current observations.
      env_state: `[N, ...]` current states.
      action: `[N]` or `[N, A]` as the policy sampled it; a continuous one is brought into bounds here.

    Returns:
      The next observations and states (of the next episode where one ended), and the transition, whose `next_obs`
      is the true successor. Its `log_prob` is zero: the caller knows better.
    """
    env_action = bounded_action(env.action_space(env_params), action)
    next_obs, next_state, reward, terminated, truncated, info = jax.vmap(env.step, (0, 0, 0, None))(
        keys, env_state, env_action, env_params
    )
    reward = jnp.asarray(reward, jnp.float32).reshape(len(action))  # some environments return int32 or [1]
    transition = Transition(
        obs=obs,
        action=action,
        reward=reward,
        terminated=jnp.asarray(terminated, bool).reshape(len(action)),
        truncated=jnp.asarray(truncated, bool).reshape(len(action)),
        next_obs=_like(info["final_observation"], obs),
        log_prob=jnp.zeros(len(action)),
    )
    return _like(next_obs, obs), _like(next_state, env_state), transition


def rollout(
    env: Any,
    env_params: Any,
    act: Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]],
    obs: Any,
    env_state: Any,
    key: jax.Array,
    num_steps: int,
) -> tuple[Any, Any, Transition]:
    """Act for `num_steps` steps in N environments.

    Args:
      env: a gymnax environment.
      env_params: its parameters.
      act: function of (observations `[N, ...]`, key) that gives actions and their log-probabilities `[N]`.
      obs: `[N, ...]` current observations.
      env_state: `[N, ...]` current states.
      key: consumed.
      num_steps: T.

    Returns:
      The next observations and states, and the transitions `[T, N, ...]`.
    """
    num_envs = len(jax.tree.leaves(obs)[0])
    # One split for all: each one is a program of its own, which costs compile time.
    keys = jax.random.split(key, (num_steps, num_envs + 1))

    def body(carry: tuple[Any, Any], keys: jax.Array) -> tuple[tuple[Any, Any], Transition]:
        action, log_prob = act(carry[0], keys[0])
        obs, env_state, transition = step(env, env_params, keys[1:], *carry, action)
        return (obs, env_state), dataclasses.replace(transition, log_prob=log_prob)

    (obs, env_state), batch = jax.lax.scan(body, (obs, env_state), keys)
    return obs, env_state, batch


def rollout_with_memory(
    env: Any,
    env_params: Any,
    act: Callable[[Any, jax.Array, tuple[Any, jax.Array]], tuple[jax.Array, jax.Array, Any]],
    begin: tuple[Any, Any, Any, jax.Array],
    key: jax.Array,
    num_steps: int,
) -> tuple[tuple[Any, Any, Any, jax.Array], Transition, jax.Array]:
    """Act for `num_steps` steps in N environments, remembering.

    Args:
      env: a gymnax environment.
      env_params: its parameters.
      act: function of (observations `[N, ...]`, key, memory) that gives actions, their log-probabilities `[N]`, and the
        next memory; the memory comes with whether each observation is the first one of its episode, bool `[N]`.
      begin: current observations, states, memory and starts, `[N, ...]`.
      key: consumed.
      num_steps: T.

    Returns:
      The same four after the steps, the transitions `[T, N, ...]`, and where episodes start, bool `[T, N]`.
    """
    keys = jax.random.split(key, (num_steps, len(begin[-1]) + 1))

    def body(carry: tuple[Any, ...], keys: jax.Array) -> tuple[tuple[Any, ...], tuple[Transition, jax.Array]]:
        obs, env_state, memory, start = carry
        action, log_prob, memory = act(obs, keys[0], (memory, start))
        obs, env_state, transition = step(env, env_params, keys[1:], obs, env_state, action)
        transition = dataclasses.replace(transition, log_prob=log_prob)
        return (obs, env_state, memory, transition.done), (transition, start)

    end, (batch, start) = jax.lax.scan(body, begin, keys)
    return end, batch, start


def action_values(env: Any, env_params: Any, given: jax.Array | None = None, shape: tuple[int, ...] = ()) -> jax.Array:
    """Action values to begin with `[*shape, S, A]`: zero or given ones, and `ops.FORBIDDEN` for what is not allowed.

    Args:
      env: gymnax environment with `Discrete` observations and actions.
      env_params: its parameters; the masks of an `MDP` are read.
      given: `[*shape, S, A]`, copied.
      shape: of the tables.

    Raises:
      ValueError: for given values of another shape.
    """
    shape = (*shape, env.observation_space(env_params).n, env.action_space(env_params).n)
    if given is not None and jnp.shape(given) != shape:
        raise ValueError(f"q: must be {list(shape)}, one for each state and action, not {jnp.shape(given)}")
    q = jnp.zeros(shape) if given is None else jnp.array(given, jnp.zeros(()).dtype)
    allowed = getattr(env_params, "allowed", None)
    return q if allowed is None else jnp.where(jnp.broadcast_to(allowed, shape), q, ops.FORBIDDEN)


def bounded_action(action_space: Any, action: jax.Array) -> jax.Array:
    """What the environment gets for an action of the policy.

    A bounded continuous action is clipped to [-1, 1] and mapped linearly onto [low, high]; an unbounded one and
    a discrete one pass untouched. The stored action stays the policy's own, because a clipped one has
    another likelihood.

    Args:
      action_space: gymnax space.
      action: `[N]` or `[N, A]`.

    Returns:
      `[N, *action_space.shape]`.

    Source: clipping at the environment as in Huang et al. (2022), The 37 Implementation Details of Proximal Policy
    Optimization, continuous actions, detail 5; the linear map onto the bounds is our own.
    """
    if hasattr(action_space, "n"):
        return action
    low = jnp.broadcast_to(jnp.asarray(action_space.low, jnp.float32), action_space.shape)
    high = jnp.broadcast_to(jnp.asarray(action_space.high, jnp.float32), action_space.shape)
    action = action.reshape(len(action), *action_space.shape)
    finite = (jnp.isfinite(low) & jnp.isfinite(high))[None]
    # jnp.where is evaluated on both sides: keep infinities out of the arithmetic.
    safe_low, safe_high = jnp.where(finite, low[None], -1.0), jnp.where(finite, high[None], 1.0)
    scaled = safe_low + 0.5 * (jnp.clip(action, -1.0, 1.0) + 1.0) * (safe_high - safe_low)
    return jnp.where(finite, scaled, jnp.clip(action, low[None], high[None]))
