"""Names: the one table from which the command line and saved runs take algorithms, functions and networks."""

import importlib
from collections.abc import Mapping
from typing import Any

from jaxrl import ops
from jaxrl.algorithms.pg import PPO
from jaxrl.envs.catalog import nearest

ALGORITHMS: Mapping[str, Any] = {"ppo": PPO}

CHOICES: Mapping[str, Mapping[str, Any]] = {
    "network": {"default": None},
    "optimizer": {"adam": ops.adam, "sgd": ops.sgd},
    "policy_loss": {"ppo_clip": ops.ppo_clip},
}
"""For each function or network field, its named values."""


_own: dict[int, tuple[Any, str]] = {}
"""What `resolve` imported, and the name it was asked for, by identity."""


def known_name(value: Any, table: Mapping[str, Any]) -> str | None:
    """The name under which the table has a value, or `resolve` got it; None for any other."""
    for name, entry in table.items():
        if entry is value:
            return name
    return _own[id(value)][1] if id(value) in _own else None


def name_of(value: Any, table: Mapping[str, Any]) -> str:
    """The known name of a function or class, or `MODULE:NAME`."""
    known = known_name(value, table)
    if known is not None:
        return known
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def resolve(field: str, name: str, table: Mapping[str, Any]) -> Any:
    """What a name stands for.

    Args:
      field: named in the error.
      name: of the table, or `MODULE:NAME` of an importable module.
      table: names and what they stand for.

    Raises:
      ValueError: for an unknown name, with the nearest ones.
    """
    if name in table:
        return table[name]
    if ":" not in name:
        raise ValueError(f"{field}: unknown name {name!r} (your own is MODULE:NAME); {nearest(name, list(table))}")
    module, _, attribute = name.partition(":")
    try:
        value = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{field}: cannot import {name!r}: {error}") from None
    if not callable(value) and not hasattr(value, "apply"):
        raise ValueError(f"{field}: {name!r} is a {type(value).__name__}, neither a function, a class nor a network")
    _own[id(value)] = (value, name)
    return value
