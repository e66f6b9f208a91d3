"""Names: the one table from which the command line and saved runs take algorithms, functions and networks."""

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from jaxrl import ops
from jaxrl.algorithms import dp, mc, td
from jaxrl.algorithms.pg import PPO
from jaxrl.envs.catalog import nearest

ALGORITHMS: Mapping[str, Any] = {
    "ppo": PPO,
    "q-learning": td.QLearning,
    "double-q-learning": td.DoubleQLearning,
    "sarsa": td.Sarsa,
    "sarsa-lambda": td.SarsaLambda,
    "dyna-q": td.DynaQ,
    "prioritized-sweeping": td.PrioritizedSweeping,
    "monte-carlo": mc.MonteCarlo,
    "off-policy-monte-carlo": mc.OffPolicyMonteCarlo,
}

SOLVERS: Mapping[str, Any] = {
    "value-iteration": dp.ValueIteration,
    "anchored-value-iteration": dp.AnchoredValueIteration,
    "relative-value-iteration": dp.RelativeValueIteration,
    "policy-iteration": dp.PolicyIteration,
    "stochastic-shortest-path": dp.StochasticShortestPath,
    "backward-induction": dp.BackwardInduction,
}

CHOICES: Mapping[str, Mapping[str, Any]] = {
    "network": {"default": None},
    "next_value": {"sampled": ops.sampled_value, "expected": ops.expected_value, "max": ops.max_value},
    "evaluate": {"exact": dp.exact_values, "gmres": dp.gmres_values, "swept": dp.SweptValues()},
    "visit": {
        "replacing": ops.replacing_trace,
        "accumulating": ops.accumulating_trace,
        "dutch": ops.dutch_trace,
    },
    "optimizer": {"adam": ops.adam, "sgd": ops.sgd},
    "policy_loss": {"ppo_clip": ops.ppo_clip},
}
"""For each function or network field, its named values."""


_own: dict[int, tuple[Any, str]] = {}
"""What `resolve` imported, and the name it was asked for, by identity."""


def name_of(value: Any, table: Mapping[str, Any]) -> str | None:
    """The name by which `resolve` gives this very object: of the table, or `MODULE:NAME`; None if there is none."""
    for name, entry in table.items():
        if entry is value:
            return name
    if id(value) in _own:
        return _own[id(value)][1]
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    found = getattr(module, getattr(value, "__qualname__", ""), None)
    return full_name(value) if found is value else None


def full_name(value: Any) -> str:
    """`MODULE:NAME` of a function or class, or of a value's class."""
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
