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


def name_of(value: Any, table: Mapping[str, Any] | None = None) -> str:
    """The name of a function, class or module instance: from the table, or `MODULE:NAME`."""
    tables = [table] if table is not None else list(CHOICES.values())
    for entries in tables:
        for name, entry in entries.items():
            if entry is value:
                return name
    return f"{value.__module__}:{value.__qualname__}"


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
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{field}: cannot import {name!r}: {error}") from None
