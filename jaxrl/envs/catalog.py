"""Environments by name."""

import dataclasses
import difflib
import functools
import inspect
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.envs import textbook
from jaxrl.envs.mdp import MDP

TEXTBOOK: Mapping[str, Callable[..., MDP]] = {
    "AccessControl": textbook.access_control,
    "Baird": textbook.baird,
    "Blackjack": textbook.blackjack,
    "CarRental": textbook.car_rental,
    "CliffWalking": textbook.cliff_walking,
    "Gambler": textbook.gambler,
    "Gridworld4x4": textbook.gridworld_4x4,
    "Gridworld5x5": textbook.gridworld_5x5,
    "MaximizationBias": textbook.maximization_bias,
    "RandomWalk": textbook.random_walk,
    "ShortCorridor": textbook.short_corridor,
    "Taxi": textbook.taxi,
    "WindyGridworld": textbook.windy_gridworld,
}
"""Problems of the textbook by name: the environment plays the process that the function gives."""

_origins: weakref.WeakKeyDictionary[Any, tuple[str, dict[str, Any]]] = weakref.WeakKeyDictionary()


def environment_names() -> list[str]:
    """Names of all registered gymnax environments, the user's own included, and of the textbook's problems."""
    import gymnax

    return [*gymnax.registered_envs, *TEXTBOOK]


def make(name: str, **options: Any) -> tuple[Any, Any]:
    """Create an environment once; every new one is a new compilation key.

    Args:
      name: a name of `environment_names()`, or `SUITE:NAME` of another suite: `brax:…`, `craftax:…`, `jumanji:…`,
        `xland:…`.
      **options: arguments of the environment's constructor, or of the textbook's function, and fields of its
        parameters, by name; of another suite, those of its own function, and `max_steps_in_episode`.

    Returns:
      The environment and its parameters, which are the Markov decision process if it is one of the textbook.

    Raises:
      ValueError: for an unknown name or option, with the nearest ones, and for a value of the wrong kind.
      ModuleNotFoundError: without the package of a suite, with the command that installs it.

    Example:
      >>> env, env_params = make("FrozenLake-misc", map_name="8x8", max_steps_in_episode=50)
      >>> env_params.max_steps_in_episode
      50
    """
    make_one, signature = _maker(name, options)
    constructor = {key: value for key, value in options.items() if key in signature}
    env, env_params = make_one(**constructor)
    changes = {key: value for key, value in options.items() if key not in constructor}
    fields = list(getattr(env_params, "__dataclass_fields__", {}))
    for key in changes:
        if key not in fields:
            raise ValueError(f"env.{key}: {name} has no such option; {nearest(key, [*signature, *fields])}")
    for key, value in changes.items():
        default: Any = getattr(env_params, key)
        _check_number(key, value, default)
        if hasattr(default, "shape"):
            changes[key] = _array_like(key, value, default)
    _origins[env] = (name, options)
    return env, dataclasses.replace(env_params, **changes) if changes else env_params


def _maker(name: str, options: Mapping[str, Any]) -> tuple[Callable[..., tuple[Any, Any]], Collection[str]]:
    """What makes an environment and its parameters, and the names of the options that it takes."""
    if name in environment_names():
        from gymnax.registration import _registry

        signature = inspect.signature(TEXTBOOK.get(name) or _registry[name]).parameters
        return functools.partial(_make_own, name), signature
    if ":" not in name:
        raise ValueError(f"env: unknown environment {name!r}; {nearest(name, environment_names())}")
    from jaxrl.envs.adapters import make_from_suite

    # The suite's own function refuses what it does not know; the time limit alone is kept outside of it.
    return functools.partial(make_from_suite, name), options.keys() - {"max_steps_in_episode"}


def _make_own(name: str, **options: Any) -> tuple[Any, Any]:
    """A problem of the textbook, or an environment that is registered with gymnax."""
    import gymnax

    try:
        if name in TEXTBOOK:
            from jaxrl.envs.tabular import TabularEnvironment

            return TabularEnvironment(), TEXTBOOK[name](**options)
        return gymnax.make(name, **options)
    except Exception as error:  # gymnax asserts, or downloads
        given = " ".join(f"env.{key}={value!r}" for key, value in options.items())
        raise ValueError(f"env: {name} cannot be made {given and f'with {given} '}({error!r})") from error


def _check_number(key: str, value: Any, default: Any) -> None:
    """Refuse what is not of the default's kind: numbers may be whole where it is not."""
    kinds: dict[Any, tuple[Any, str]] = {
        bool: (bool, "True or False"),
        int: (int, "an integer"),
        float: (int | float, "a number"),
    }
    if type(default) in kinds:
        kind, words = kinds[type(default)]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"env.{key}={value!r} must be {words}, as its default {default} is")
    if key == "max_steps_in_episode" and isinstance(value, int) and value < 1:
        raise ValueError(f"env.{key}={value!r} must be at least 1")


def _array_like(key: str, value: Any, default: Any) -> jax.Array:
    try:
        array = jnp.asarray(value, default.dtype)
    except (TypeError, ValueError):
        array = None
    if array is None or array.shape != default.shape:
        raise ValueError(f"env.{key}={value!r} must be numbers of shape {default.shape}, as its default is")
    return array


def origin(env: Any) -> tuple[str, dict[str, Any]] | None:
    """Name and options that `make` made an environment from; None for anything else."""
    try:
        return _origins.get(env)
    except TypeError:  # neither hashable nor weakly referable: no environment
        return None


def nearest(word: str, words: list[str]) -> str:
    """A sentence that offers the words most like `word`, or all of them if none is."""
    lower = {candidate.lower(): candidate for candidate in words}
    close = difflib.get_close_matches(word.lower(), lower, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(lower[c] for c in close)}?" if close else f"there are: {', '.join(words)}"
