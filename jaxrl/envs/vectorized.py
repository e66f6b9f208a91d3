"""N copies of a gymnax environment, stepped together, with dtypes that never change."""

import dataclasses
import functools
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

    Example:
      >>> import jaxrl
      >>> obs, env_state = reset(*jaxrl.envs.make("CartPole-v1"), jax.random.key(0), 3)
      >>> obs.shape
      (3, 4)
    """
    return _strong(jax.vmap(env.reset, (0, None))(jax.random.split(key, num_envs), env_params))


def step(
    env: Any, env_params: Any, keys: jax.Array, obs: Any, env_state: Any, action: jax.Array, resets: bool = True
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
      resets: whether episodes follow one another; False spares their cost to who plays the first ones only, and what
        comes after an end is then of no episode.

    Returns:
      The next observations and states (of the next episode where one ended), and the transition, whose `next_obs`
      is the true successor. Its `log_prob` is zero: the caller knows better.

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("CartPole-v1")
      >>> obs, env_state = reset(env, env_params, jax.random.key(0), 3)
      >>> keys = jax.random.split(jax.random.key(1), 3)
      >>> obs, env_state, transition = step(env, env_params, keys, obs, env_state, jnp.zeros(3, jnp.int32))
      >>> transition.reward.tolist()
      [1.0, 1.0, 1.0]
    """
    env_action = bounded_action(env.action_space(env_params), action)
    step_one = env.step if resets else functools.partial(_step_without_reset, env)
    next_obs, next_state, reward, terminated, truncated, info = jax.vmap(step_one, (0, 0, 0, None))(
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


def _step_without_reset(env: Any, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
    """What `env.step` gives by the same key, but where an episode ends, its state stays as it was."""
    from gymnax.environments.environment import Environment

    if getattr(type(env), "step", None) is not Environment.step:
        return env.step(key, state, action, params)  # its own may do more
    obs, after, reward, terminated, info = env.step_env(jax.random.split(key)[0], state, action, params)
    truncated = env.is_truncated(after, params)
    # Not on from the end: nobody says that a step from there is defined, or comes back.
    kept = jax.tree.map(functools.partial(jnp.where, jnp.logical_or(terminated, truncated)), state, after)
    return obs, kept, reward, terminated, truncated, info | {"final_observation": obs}


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

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("CartPole-v1")
      >>> start = reset(env, env_params, jax.random.key(0), 3)
      >>> act = lambda obs, key: (jax.random.randint(key, (3,), 0, 2), jnp.full(3, jnp.log(0.5)))
      >>> obs, env_state, batch = rollout(env, env_params, act, *start, jax.random.key(1), 5)
      >>> batch.obs.shape
      (5, 3, 4)
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

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("CartPole-v1")
      >>> begin = (*reset(env, env_params, jax.random.key(0), 3), jnp.zeros(3), jnp.ones(3, bool))
      >>> act = lambda obs, key, memory: (jnp.zeros(3, jnp.int32), jnp.zeros(3), memory[0] + 1.0)  # it counts
      >>> end, batch, start = rollout_with_memory(env, env_params, act, begin, jax.random.key(1), 5)
      >>> end[2].tolist(), start[0].tolist()
      ([5.0, 5.0, 5.0], [True, True, True])
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

    Returns:
      Values `[*shape, S, A]`.

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

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("Pendulum-v1")  # torques from -2 to 2
      >>> bounded_action(env.action_space(env_params), jnp.array([[0.5], [3.0]])).tolist()
      [[1.0], [2.0]]

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
