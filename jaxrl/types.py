"""The protocol of every algorithm and the records that travel through it.

Axis letters, used in every docstring: `T` time, `N` environments, `B` flat batch, `S` states, `A` actions,
`K` successors, `D` width. Arrays at index t hold (obs_t, action_t, the reward that action_t caused, the true
successor).
"""

import dataclasses
import enum
import math
import operator
import typing
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import flax.struct
import jax

State = TypeVar("State")
Metrics = dict[str, jax.Array]


class Algorithm(Protocol[State]):
    """An initial carry and a scan body; everything else is written once, for all algorithms.

    An implementation is a final, frozen `flax.struct.dataclass`. Floats and arrays are leaves: they may be
    traced, vmapped and changed without a retrace. Everything else is static.

    What an algorithm may have besides, and the engine then uses:
      env, env_params: fields; the command line passes them first, and `evaluate` plays in them.
      act(state, obs, key): actions of observations `[B, ...]`, for `evaluate`.
      initial_memory(num_envs): what `act(state, obs, key, memory)` then takes, and gives beside the actions.
      explore(state, obs, key): actions to learn from and their log-probabilities, for `train_on_host`.
      steps_per_update: environment steps of one update; without it an update counts as one step.
      observation_spaces, action_spaces: names of the gymnax spaces that it learns in, for `check`.
      reads_masks: False for one that would do what an `action_mask` forbids, for `check`.
      params: a field; the starting point of its parameters.
      solution(state, tolerance): what is proved so far, for `solve`.
      stages(state, key): the parts of an update, each a `Stage`, by name, for `profile`.
    """

    def init(self, key: jax.Array) -> State:
        """Return the initial state; `update` returns the same structure, shapes and dtypes."""
        ...

    def update(self, state: State, key: jax.Array) -> tuple[State, Metrics]:
        """Return the next state and a flat dict of float32 scalars. The key is consumed."""
        ...


@flax.struct.dataclass
class Transition:
    """One step of experience, or with leading axes `[T, N]` or `[B]` many of them."""

    obs: Any
    """Observation before the action: a pytree of `[..., *obs_shape]`."""
    action: jax.Array
    """The action as the policy sampled it (unclipped when continuous), `[...]` or `[..., A]`."""
    reward: jax.Array
    """Reward caused by the action, float32 `[...]`."""
    terminated: jax.Array
    """Natural end of the episode: nothing is bootstrapped. Bool `[...]`."""
    truncated: jax.Array
    """Time limit: the value of `next_obs` is bootstrapped, traces are cut. Bool `[...]`."""
    next_obs: Any
    """The true successor, also at the last step of an episode (`final_observation`)."""
    log_prob: jax.Array
    """Log-probability of `action` under the policy that sampled it, float32 `[...]`."""

    @property
    def done(self) -> jax.Array:
        """End of the episode for either reason: cuts traces, never a bootstrap discount."""
        return self.terminated | self.truncated


@flax.struct.dataclass
class Sequences:
    """What was seen `[T, N, ...]`, where episodes start `[T, N]`, and the memory before the first step `[N, ...]`.

    Source: our own.
    """

    transition: Transition
    start: jax.Array
    carry: Any


class Rule(enum.IntEnum):
    """Why a solver stopped; on a `Solution` it is an int32, so that it may be traced."""

    RUNNING = 0
    """Not yet: more updates can narrow the bounds."""
    CERTIFIED = 1
    """The values are proved to be within the tolerance."""
    ROUNDING = 2
    """The bounds are as narrow as the dtype allows, wider than the tolerance."""
    NOT_FINITE = 3
    """A value, or the bound of one, is infinite or NaN, or the process is none: rows that are no distributions."""
    IMPROPER = 4
    """Without a discount: from some state no policy surely comes to an end, or it pays never to."""


@flax.struct.dataclass
class Stage:
    """A part of an update, which `profile` runs and times by itself."""

    function: Callable[..., Any] = flax.struct.field(pytree_node=False)
    """A pure function, jitted by whoever times it."""
    arguments: tuple[Any, ...]
    """What an update gives it; large arrays belong here, not into the function."""
    times: int = flax.struct.field(pytree_node=False, default=1)
    """How often an update does this. Parts of one stage with equal numbers are taken to alternate, and are timed in one
    loop, too; so are those of several stages that have that number themselves."""
    carry: int | None = flax.struct.field(pytree_node=False, default=None)
    """Which argument it gives anew, alone or as the first of a pair, and gets the next time; None: none."""
    within: str | None = flax.struct.field(pytree_node=False, default=None)
    """The stage that this one is a part of; None: of the update itself."""


@flax.struct.dataclass
class Solution:
    """What is proved about a Markov decision process: `lower ≤ v ≤ upper` for every state, rounding included."""

    values: jax.Array
    """Between the bounds, `[S]`: their midpoints, or the values of `policy` where a solver knows them."""
    lower: jax.Array
    """`[S]`."""
    upper: jax.Array
    """`[S]`."""
    policy: jax.Array
    """A best action, int32 `[S]`: the first one where any will do."""
    optimal_actions: jax.Array
    """The actions that the bounds cannot tell from the best, bool `[S, A]`."""
    num_updates: jax.Array
    """Updates made, int32 `[]`."""
    residual: jax.Array
    """Largest change of a value in the last update, `[]`; for an average reward the spread of the changes."""
    smallest_tolerance: jax.Array
    """A tolerance that the dtype can certify, `[]`: the width of the bounds that is due to rounding."""
    rule: jax.Array
    """A `Rule`, int32 `[]`."""

    @property
    def converged(self) -> jax.Array:
        """Whether the values are proved to be within the tolerance."""
        return self.rule == Rule.CERTIFIED


def steps_per_update(algorithm: Any) -> int:
    """Environment steps of one update; 1 for an algorithm that does not say."""
    return getattr(algorithm, "steps_per_update", 1)


def first_steps(algorithm: Any) -> int:
    """Environment steps before the first update: the random ones that a replay begins with, of all environments."""
    return getattr(algorithm, "warmup", 0) * getattr(algorithm, "num_envs", 1)


def env_steps(algorithm: Any, num_updates: Any) -> Any:
    """Environment steps of so many updates, with those before the first one."""
    return first_steps(algorithm) + num_updates * steps_per_update(algorithm)


def whole_number(name: str, value: Any, least: int = 0) -> int:
    """A number that counts something.

    Raises:
      ValueError: if it is none, or less than `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise ValueError(f"{name}={value!r} must be an integer, at least {least}")
    return number


def static(default: Any = dataclasses.MISSING, *, low: float = -math.inf, high: float = math.inf) -> Any:
    """A static field of an algorithm: it takes part in the compilation key.

    Args:
      default: the default value; without it the field is required.
      low: smallest allowed value of a number, inclusive; `jaxrl.check` refuses others.
      high: largest allowed value of a number, inclusive.

    Returns:
      A dataclass field.
    """
    return flax.struct.field(pytree_node=False, default=default, metadata={"low": low, "high": high})


def leaf(
    default: float | None,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    infinite: bool | None = None,
    remedy: str | None = None,
) -> Any:
    """A float field of an algorithm: a leaf, so it may be traced, vmapped and changed without a retrace.

    Args:
      default: the default value; None, for a field that may be None, which then changes the program.
      low: smallest allowed value; `jaxrl.check` refuses smaller ones before anything is traced.
      high: largest allowed value, inclusive.
      open_low: whether `low` itself is refused too (a learning rate must be positive).
      open_high: whether `high` itself is refused too.
      infinite: whether infinity is allowed; None: if it is the default.
      remedy: what to do instead of a value out of range, said by `jaxrl.check`.

    Returns:
      A dataclass field.
    """
    metadata: dict[str, Any] = {"low": low, "high": high, "open_low": open_low, "open_high": open_high}
    metadata["remedy"] = remedy
    metadata["infinite"] = default is not None and math.isinf(default)
    if infinite is not None:
        metadata["infinite"] = infinite
    return flax.struct.field(default=default, metadata=metadata)


def field_types(algorithm_class: Any) -> dict[str, Any]:
    """Types of a dataclass's fields by name, annotations that are strings resolved where that is possible."""
    try:
        return typing.get_type_hints(algorithm_class)
    except NameError:  # a name that is imported for the type checker only
        return {field.name: field.type for field in dataclasses.fields(algorithm_class)}
