"""Environments by name."""

import difflib
import inspect
import weakref
from typing import Any

import jax
import jax.numpy as jnp

_origins: weakref.WeakKeyDictionary[Any, tuple[str, dict[str, Any]]] = weakref.WeakKeyDictionary()


def environment_names() -> list[str]:
    """Names of all registered gymnax environments, those that the user registered included."""
    import gymnax

    return list(gymnax.registered_envs)


def make(name: str, **options: Any) -> tuple[Any, Any]:
    """Create an environment once; every new one is a new compilation key.

    Args:
      name: a name of `environment_names()`.
      **options: arguments of the environment's constructor and fields of its parameters, by name.

    Returns:
      The environment and its parameters.

    Raises:
      ValueError: for an unknown name or option, with the nearest ones.

    Example:
      >>> env, env_params = make("FrozenLake-misc", map_name="8x8", max_steps_in_episode=50)
      >>> env_params.max_steps_in_episode
      50
    """
    import gymnax
    from gymnax.registration import _registry

    if name not in gymnax.registered_envs:
        raise ValueError(f"env: unknown environment {name!r}; {nearest(name, environment_names())}")
    signature = inspect.signature(_registry[name]).parameters
    constructor = {key: value for key, value in options.items() if key in signature}
    try:
        env, env_params = gymnax.make(name, **constructor)
    except Exception as error:  # gymnax asserts, or downloads
        given = " ".join(f"env.{key}={value!r}" for key, value in constructor.items())
        raise ValueError(f"env: {name} cannot be made {given and f'with {given} '}({error!r})") from error
    changes = {key: value for key, value in options.items() if key not in constructor}
    fields = list(getattr(env_params, "__dataclass_fields__", {}))
    for key in changes:
        if key not in fields:
            raise ValueError(f"env.{key}: {name} has no such option; {nearest(key, [*signature, *fields])}")
    for key, value in changes.items():
        default = getattr(env_params, key)
        if isinstance(default, int | float) and not isinstance(value, int | float):
            raise ValueError(f"env.{key}={value!r} must be a number, as its default {default} is")
        if hasattr(default, "shape"):
            changes[key] = _array_like(key, value, default)
    _origins[env] = (name, options)
    return env, env_params.replace(**changes) if changes else env_params


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
