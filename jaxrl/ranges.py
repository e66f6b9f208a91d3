"""Ranges and kinds that the fields of a record declare by `static` and `leaf`."""

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from jaxrl.types import field_types

NESTED = ("task", "sampling")
"""Fields that hold records of their own."""


def check_fields(record: Any, prefix: str = "") -> None:
    """Refuse concrete values of another kind than their fields', or out of their ranges.

    Args:
      record: a dataclass, and with it the `task` and the `sampling` that it holds.
      prefix: stands before names of fields, as `task.`.

    Raises:
      ValueError: for a number that is not finite or out of its range, naming the field.
      TypeError: for a value of the wrong kind.

    Example:
      >>> from jaxrl import lm
      >>> check_fields(lm.tasks.Judged(lm.tasks.Parity(1), len))
      Traceback (most recent call last):
      ...
      ValueError: task.num_bits=1 must be at least 2 and finite

    Source: our own.
    """
    kinds = field_types(type(record))
    for field in dataclasses.fields(record):
        name, value, kind = prefix + field.name, getattr(record, field.name), kinds[field.name]
        if field.name in NESTED and dataclasses.is_dataclass(value) and not isinstance(value, type):
            check_fields(value, f"{name}.")
        if "low" not in field.metadata or isinstance(value, jax.core.Tracer):
            continue
        kind, optional = _without_none(kind)
        if value is None and optional:
            continue
        _check_kind(name, kind, value)
        if kind in (int, float, tuple[int, ...]):
            _check_range(name, field.metadata, value, np.dtype(np.float64))
        if kind is float:  # as JAX will have it: 1 - 1e-9 is one in float32
            _check_range(name, field.metadata, value, jnp.result_type(float))


def _without_none(kind: Any) -> tuple[Any, bool]:
    """The kind X of `X | None`, and whether it is one."""
    if typing.get_origin(kind) not in (types.UnionType, typing.Union):
        return kind, False
    choices = [choice for choice in typing.get_args(kind) if choice is not type(None)]
    optional = len(choices) < len(typing.get_args(kind))
    return (choices[0] if len(choices) == 1 else kind), optional


def _check_kind(name: str, kind: Any, value: Any) -> None:
    """Refuse a value of the wrong kind; static ones must be plain Python, since they are hashed."""
    if kind is float:
        right = jnp.issubdtype(np.asarray(value).dtype, np.number)
    elif kind is tuple[int, ...]:
        right = isinstance(value, tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in value)
    elif kind in (int, bool, str):
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    else:
        right = typing.get_origin(kind) is not Callable or callable(value)
    if not right:
        words = {float: "a number", int: "an integer", bool: "True or False", str: "a string"}
        words[tuple[int, ...]] = "a tuple of integers"
        raise TypeError(f"{name}={value!r} must be {words.get(kind, 'a function')}")


def _check_range(name: str, bounds: Any, value: Any, dtype: np.dtype) -> None:
    with np.errstate(over="ignore"):  # infinity may be allowed
        numbers = np.asarray(value).astype(dtype)
    low, high = bounds["low"], bounds["high"]
    open_low, open_high = (bounds.get(end, False) for end in ("open_low", "open_high"))
    inside = (numbers > low if open_low else numbers >= low) & (numbers < high if open_high else numbers <= high)
    if not bounds.get("infinite", False):
        inside &= np.isfinite(numbers)
    if not np.all(inside):
        allowed = _range(low, high, open_low, open_high) + (
            "" if bounds.get("infinite") or np.isfinite(high) else " and finite"
        )
        remedy = bounds.get("remedy")
        allowed += "" if dtype == np.float64 else f", also in {dtype}"
        raise ValueError(f"{name}={value} must be {allowed}{f'; {remedy}' if remedy else ''}")


def _range(low: float, high: float, open_low: bool, open_high: bool) -> str:
    if np.isfinite(high):
        return f"in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    if np.isinf(low):
        return "a number"
    return "positive" if open_low and low == 0 else f"{'above' if open_low else 'at least'} {low:g}"
