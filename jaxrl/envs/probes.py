"""Probe environments: each isolates one thing that a learner must get right, and has an exact answer.

A learner that passes a probe and fails the next one has its bug in what they differ by. The first five are
Andy Jones's; the others separate a time limit from a termination, which those five cannot. Not imported by
`jaxrl`: `from jaxrl.envs import probes`.

Source: Jones (2021), Debugging RL, Without the Agonizing Pain, section "Probe environments".
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces

Reward = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


@flax.struct.dataclass
class ProbeState(environment.EnvState):
    """Steps made, and the episode's sign."""

    time: jax.Array
    """int32 `[]`."""
    sign: jax.Array
    """float32 `[]`, drawn from {-1, 1} at the reset; zero in a probe without one."""


@flax.struct.dataclass
class ProbeParams(environment.EnvParams):
    """What may be changed without a new compilation."""

    max_steps_in_episode: int = 10
    scale: float = 1.0
    """Factor of every reward, and so of every value."""


class Probe(environment.Environment):
    """An episode of a few steps, with an observation `[1]` in [-1, 1].

    The observation is the sign, which flips each step, or without a sign the time modulo `num_steps`.

    Args:
      reward: function of (sign, time, action), all before the step. Pass module-level functions.
      num_steps: steps after which an episode terminates.
      terminates: whether it does; otherwise only the time limit ends it.
      signed: whether the episode draws a sign.
      num_actions: of a discrete action; zero gives one continuous action in [-1, 1].
    """

    def __init__(
        self,
        reward: Reward,
        *,
        num_steps: int = 1,
        terminates: bool = True,
        signed: bool = False,
        num_actions: int = 2,
    ):
        self.reward = reward
        self.num_steps = num_steps
        self.terminates = terminates
        self.signed = signed
        self.actions = num_actions

    @property
    def default_params(self) -> ProbeParams:
        """A time limit that no terminating probe reaches, and rewards of scale one."""
        return ProbeParams()

    def reset_env(self, key: jax.Array, params: ProbeParams) -> tuple[jax.Array, ProbeState]:
        """Begin an episode; the sign is fair."""
        sign = jax.random.rademacher(key, (), jnp.float32) * float(self.signed)
        state = ProbeState(time=jnp.zeros((), jnp.int32), sign=sign)
        return self.observe(key, state, None, params), state

    def step_env(
        self, key: jax.Array, state: ProbeState, action: jax.Array, params: ProbeParams
    ) -> tuple[jax.Array, ProbeState, jax.Array, jax.Array, dict[str, Any]]:
        """One step, without reset and time limit."""
        reward = params.scale * self.reward(state.sign, state.time, jnp.reshape(action, ()))
        state = ProbeState(time=state.time + 1, sign=-state.sign)
        terminated = (state.time >= self.num_steps) & self.terminates
        return self.observe(key, state, action, params), state, reward, terminated, {}

    def observe(self, key: Any, state: ProbeState, action: Any, params: ProbeParams) -> jax.Array:
        """Return the observation `[1]`."""
        del key, action, params
        seen = state.sign if self.signed else (state.time % self.num_steps).astype(jnp.float32)
        return seen[None]

    def action_space(self, params: ProbeParams | None = None) -> Any:
        """`Discrete`, or `Box` of one dimension."""
        del params
        return spaces.Discrete(self.actions) if self.actions else spaces.Box(-1.0, 1.0, (1,))

    def observation_space(self, params: ProbeParams) -> Any:
        """`Box` of one dimension."""
        del params
        return spaces.Box(-1.0, float(max(1, self.num_steps - 1)), (1,))


def constant_reward(num_actions: int = 2) -> tuple[Probe, ProbeParams]:
    """One step, reward 1: the value of observation 0 is 1. Fails: the value loss or its optimizer."""
    return Probe(_one, num_actions=num_actions), ProbeParams()


def observed_reward(num_actions: int = 2) -> tuple[Probe, ProbeParams]:
    """One step, reward = observation = ±1: the value is the observation. Fails: the value's gradient."""
    return Probe(_sign, signed=True, num_actions=num_actions), ProbeParams()


def delayed_reward(num_actions: int = 2) -> tuple[Probe, ProbeParams]:
    """Two steps, reward 1 at the second: values γ and 1 of observations 0 and 1. Fails: discounting."""
    return Probe(_last, num_steps=2, num_actions=num_actions), ProbeParams()


def rewarded_action(num_actions: int = 2) -> tuple[Probe, ProbeParams]:
    """One step, reward 1 for action 1 and -1 for others, or -(a - ½)²: the best action is 1, or ½.

    Fails: the policy's loss, or its sign.
    """
    return Probe(_action if num_actions else _near_half, num_actions=num_actions), ProbeParams()


def rewarded_matching(num_actions: int = 2) -> tuple[Probe, ProbeParams]:
    """One step, the sign tells the best action: 1 where it is positive and 0 elsewhere, or half of the sign.

    Fails: the batch pairs observations with the actions or advantages of others.
    """
    reward = _matching if num_actions else _near_half_of_sign
    return Probe(reward, signed=True, num_actions=num_actions), ProbeParams()


def time_limit(max_steps: int = 1, num_actions: int = 2) -> tuple[Probe, ProbeParams]:
    """Reward 1 for ever, cut after `max_steps`: the value is 1/(1-γ).

    Fails: a time limit is taken for a termination, which gives 1 where `max_steps` is one.
    """
    return Probe(_one, terminates=False, num_actions=num_actions), ProbeParams(max_steps_in_episode=max_steps)


def time_limit_successor(num_actions: int = 2) -> tuple[Probe, ProbeParams]:
    """Rewards +1, -1, +1, ... for ever, cut after one step: values ±1/(1+γ) of observations ±1.

    v(+1) = 1 + γ v(-1) and v(-1) = -v(+1). Bootstrapping from the observation after the reset, a fair sign of
    mean value zero, gives ±1 instead. Fails: the successor is taken after the reset.
    """
    probe = Probe(_sign, terminates=False, signed=True, num_actions=num_actions)
    return probe, ProbeParams(max_steps_in_episode=1)


def terminated_and_truncated(num_actions: int = 2) -> tuple[Probe, ProbeParams]:
    """One step, reward 1, both flags at once: termination wins, the value is 1. Fails: any other reading."""
    return Probe(_one, num_actions=num_actions), ProbeParams(max_steps_in_episode=1)


def _one(sign: jax.Array, time: jax.Array, action: jax.Array) -> jax.Array:
    del sign, time, action
    return jnp.ones(())


def _sign(sign: jax.Array, time: jax.Array, action: jax.Array) -> jax.Array:
    del time, action
    return sign


def _last(sign: jax.Array, time: jax.Array, action: jax.Array) -> jax.Array:
    del sign, action
    return (time == 1).astype(jnp.float32)


def _action(sign: jax.Array, time: jax.Array, action: jax.Array) -> jax.Array:
    del sign, time
    return jnp.where(action == 1, 1.0, -1.0)


def _matching(sign: jax.Array, time: jax.Array, action: jax.Array) -> jax.Array:
    return sign * _action(sign, time, action)


def _near_half(sign: jax.Array, time: jax.Array, action: jax.Array) -> jax.Array:
    del sign, time
    return -jnp.square(action - 0.5)


def _near_half_of_sign(sign: jax.Array, time: jax.Array, action: jax.Array) -> jax.Array:
    del time
    return -jnp.square(action - 0.5 * sign)
