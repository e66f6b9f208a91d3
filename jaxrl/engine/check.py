"""The values of concrete fields, before anything is traced."""

import dataclasses
import typing
from typing import Any

import jax.core
import numpy as np


def check(algorithm: Any) -> None:
    """Refuse an algorithm whose fields cannot work, in one sentence.

    Traced fields pass: only their values at run time could be wrong. Arrays (a vmapped hyperparameter) are checked
    whole. Every host function calls this; call it yourself before your own `jit`.

    Args:
      algorithm: the algorithm.

    Raises:
      ValueError: for a number that is not finite or out of its range, naming the field.
      TypeError: for a value of the wrong kind, or an action space that the algorithm does not fit.

    Example:
      >>> import gymnax, jaxrl
      >>> jaxrl.check(jaxrl.PPO(*gymnax.make("CartPole-v1"), discount=1.5))
      Traceback (most recent call last):
      ...
      ValueError: discount=1.5 must be in [0, 1]
    """
    types = typing.get_type_hints(type(algorithm))  # resolves annotations that are strings
    for field in dataclasses.fields(algorithm):
        if "low" in field.metadata:
            _check_number(field, types[field.name], getattr(algorithm, field.name))
    supported = getattr(algorithm, "action_spaces", None)
    if supported is not None:
        space = type(algorithm.env.action_space(algorithm.env_params)).__name__
        if space not in supported:
            raise TypeError(
                f"env: {type(algorithm).__name__} acts in {' and '.join(supported)} action spaces, but "
                f"{algorithm.env.name} has a {space} one; choose another algorithm or environment"
            )


def _check_number(field: Any, kind: Any, value: Any) -> None:
    metadata = field.metadata
    wanted = {float: ("a number", "iuf"), int: ("an integer", "iu"), tuple[int, ...]: ("integers", "iu")}.get(kind)
    if wanted is None or isinstance(value, jax.core.Tracer):
        return
    numbers = np.asarray(value)
    if numbers.dtype.kind not in wanted[1] and numbers.size:
        raise TypeError(f"{field.name}={value!r} must be {wanted[0]}")
    low, high = metadata["low"], metadata["high"]
    open_low = metadata.get("open_low", False)
    inside = (numbers > low if open_low else numbers >= low) & (numbers <= high)
    if not metadata.get("infinite", False):
        inside &= np.isfinite(numbers)
    if not np.all(inside):
        raise ValueError(f"{field.name}={value} must be {_range(low, high, open_low)}")


def _range(low: float, high: float, open_low: bool) -> str:
    if np.isinf(high):
        kind = "positive" if open_low and low == 0 else f"{'above' if open_low else 'at least'} {low:g}"
        return f"{kind} and finite" if not np.isinf(low) else "finite"
    return f"in {'(' if open_low else '['}{low:g}, {high:g}]"
