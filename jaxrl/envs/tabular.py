"""Markov decision processes as gymnax environments, and any small environment played by a fixed policy."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces

from jaxrl import ops
from jaxrl.envs.mdp import MDP
from jaxrl.envs.refusals import check_policy


@flax.struct.dataclass
class TabularState(environment.EnvState):
    """Where the episode is."""

    state: jax.Array
    """int32 `[]`."""


def allowed_actions(state: TabularState, mdp: MDP) -> jax.Array:
    """What an `MDP` allows where an episode is, bool `[A]`: the `mask` of `envs.wrappers.MaskActions`.

    Args:
      state: of a `TabularEnvironment`.
      mdp: its process.

    Example:
      >>> import jaxrl
      >>> env, mdp = jaxrl.envs.make("Gambler")
      >>> _, state = env.reset(jax.random.key(0), mdp)
      >>> allowed_actions(state, mdp).shape == (mdp.num_actions,)
      True

    Source: our own.
    """
    return jnp.ones(mdp.num_actions, bool) if mdp.allowed is None else mdp.allowed[state.state]


class TabularEnvironment(environment.Environment):
    """Plays a Markov decision process; the process is its `env_params`, so that learners vmap over processes.

    The observation is the state, an int32. An action that is not allowed does what the first allowed one does. Create
    one environment and keep it: each one is a compilation of its own.

    Example:
      >>> import jaxrl
      >>> env, mdp = TabularEnvironment(), jaxrl.envs.textbook.cliff_walking()
      >>> obs, state = env.reset(jax.random.key(0), mdp)
      >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 0, mdp)
      >>> int(obs), float(reward)
      (24, -1.0)
    """

    @property
    def name(self) -> str:
        """Of the class: the process has no name."""
        return "Tabular"

    @property
    def default_params(self) -> MDP:
        """There is no default process.

        Raises:
          ValueError: always.
        """
        raise ValueError("env_params: TabularEnvironment plays the Markov decision process that is its env_params")

    def reset_env(self, key: jax.Array, params: MDP) -> tuple[jax.Array, TabularState]:
        """Draw a first state."""
        state = ops.sample_index(key, params.start_probability)
        return state, TabularState(time=_zero(), state=state)

    def step_env(
        self, key: jax.Array, state: TabularState, action: jax.Array, params: MDP
    ) -> tuple[jax.Array, TabularState, jax.Array, jax.Array, dict[str, Any]]:
        """One step, without reset and time limit."""
        successor_key, noise_key = jax.random.split(key)
        action = jnp.asarray(action, jnp.int32)
        if params.allowed is not None:
            row = params.allowed[state.state]
            action = jnp.where(row[action], action, jnp.argmax(row))
        successor, reward = params.transitions.sample(successor_key, state.state, action)
        if reward is None:
            reward = params.reward[state.state, action]
        if params.reward_noise is not None:
            reward = reward + params.reward_noise[state.state, action] * jax.random.normal(noise_key)
        terminated = jnp.zeros((), bool) if params.terminal is None else params.terminal[successor]
        successor = jnp.asarray(successor, jnp.int32)
        return successor, TabularState(state.time + 1, successor), jnp.asarray(reward, jnp.float32), terminated, {}

    def observe(self, key: Any, state: TabularState, action: Any, params: MDP) -> jax.Array:
        """The state."""
        del key, action, params
        return state.state

    def action_space(self, params: MDP | None = None) -> Any:
        """`Discrete`."""
        return spaces.Discrete(0 if params is None else params.num_actions)

    def observation_space(self, params: MDP) -> Any:
        """`Discrete`."""
        return spaces.Discrete(params.num_states)


def _zero() -> Any:
    """The time at the beginning; gymnax declares an int and means an array."""
    return jnp.zeros((), jnp.int32)


@flax.struct.dataclass
class FollowedParams(environment.EnvParams):
    """Parameters of the environment inside, and the policy that plays it."""

    inner: Any = None
    policy: Any = None
    """`[S, A]` probabilities."""


@flax.struct.dataclass
class FollowedState(environment.EnvState):
    """State of the environment inside, and its observation, by which the policy acts."""

    inner: Any
    obs: jax.Array


class FollowedEnvironment(environment.Environment):
    """An environment with discrete observations that a fixed policy plays: its one action is to go on.

    What learns action values of it evaluates the policy: `q[:, 0]` is v_π.

    Args:
      env: gymnax environment with a `Discrete` observation space and a `Discrete` action space.
    """

    def __init__(self, env: Any):
        self.env = env

    @property
    def name(self) -> str:
        """Of the environment inside."""
        return self.env.name

    @property
    def default_params(self) -> FollowedParams:
        """There is no default policy.

        Raises:
          ValueError: always.
        """
        raise ValueError("env_params: make them by jaxrl.envs.follow(env, env_params, policy)")

    def reset_env(self, key: jax.Array, params: FollowedParams) -> tuple[jax.Array, FollowedState]:
        """Reset the environment inside."""
        obs, inner = self.env.reset_env(key, params.inner)
        return obs, FollowedState(time=_zero(), inner=inner, obs=obs)

    def step_env(
        self, key: jax.Array, state: FollowedState, action: jax.Array, params: FollowedParams
    ) -> tuple[jax.Array, FollowedState, jax.Array, jax.Array, dict[str, Any]]:
        """One step by the policy, without reset and time limit."""
        del action
        policy_key, step_key = jax.random.split(key)
        chosen = ops.sample_index(policy_key, params.policy[state.obs])
        obs, inner, reward, terminated, info = self.env.step_env(step_key, state.inner, chosen, params.inner)
        return obs, FollowedState(state.time + 1, inner, obs), reward, terminated, info

    def is_truncated(self, state: FollowedState, params: FollowedParams) -> jax.Array:
        """The time limit of the environment inside."""
        return self.env.is_truncated(state.inner, params.inner)

    def observe(self, key: Any, state: FollowedState, action: Any, params: FollowedParams) -> jax.Array:
        """The observation of the environment inside."""
        del key, action, params
        return state.obs

    def action_space(self, params: FollowedParams | None = None) -> Any:
        """One action."""
        del params
        return spaces.Discrete(1)

    def observation_space(self, params: FollowedParams) -> Any:
        """That of the environment inside."""
        return self.env.observation_space(params.inner)


def follow(env: Any, env_params: Any, policy: jax.Array) -> tuple[FollowedEnvironment, FollowedParams]:
    """An environment played by a policy, so that control learners evaluate it.

    Args:
      env: gymnax environment with a `Discrete` observation space.
      env_params: its parameters.
      policy: `[S, A]` probabilities, or actions int `[S]`.

    Returns:
      The environment, with one action, and its parameters; the policy is a leaf of them.

    Raises:
      ValueError: for a policy of another shape, or one that is no distribution or not allowed in some state.

    Example:
      >>> import jaxrl
      >>> env, env_params = follow(*jaxrl.envs.make("FrozenLake-misc"), jnp.full((16, 4), 0.25))
      >>> env.action_space(env_params).n
      1
    """
    policy = jnp.asarray(policy)
    num_actions = env.action_space(env_params).n
    masks = (getattr(env_params, name, None) for name in ("allowed", "terminal"))
    check_policy("policy", policy, (env.observation_space(env_params).n, num_actions), *masks)
    if policy.ndim == 1:
        policy = jax.nn.one_hot(policy, num_actions)
    return FollowedEnvironment(env), FollowedParams(env_params.max_steps_in_episode, env_params, policy)
