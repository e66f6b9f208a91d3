"""Names: the one table from which the command line and saved runs take algorithms, functions and networks."""

import ast
import dataclasses
import importlib
import sys
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import optax

from jaxrl import ops
from jaxrl.algorithms import dp, mc, td
from jaxrl.algorithms.deep_q import DQN, PQN, RecurrentPQN
from jaxrl.algorithms.deep_q.rainbow import RAINBOW
from jaxrl.algorithms.lm import DPO, GRPO, Pretraining, TokenPPO, grpo
from jaxrl.algorithms.off_policy import SAC, TD3, DiscreteSAC
from jaxrl.algorithms.off_policy.sac import TQC
from jaxrl.algorithms.off_policy.td3 import DDPG
from jaxrl.algorithms.pg import PPO, ActorCritic, RecurrentPPO, Reinforce, VTraceActorCritic
from jaxrl.envs.catalog import nearest

ALGORITHMS: Mapping[str, Any] = {
    "reinforce": Reinforce,
    "actor-critic": ActorCritic,
    "one-step-actor-critic": ActorCritic,
    "vtrace-actor-critic": VTraceActorCritic,
    "ppo": PPO,
    "recurrent-ppo": RecurrentPPO,
    "dqn": DQN,
    "rainbow": DQN,
    "pqn": PQN,
    "recurrent-pqn": RecurrentPQN,
    "td3": TD3,
    "ddpg": TD3,
    "sac": SAC,
    "tqc": SAC,
    "discrete-sac": DiscreteSAC,
    "q-learning": td.QLearning,
    "double-q-learning": td.DoubleQLearning,
    "sarsa": td.Sarsa,
    "sarsa-lambda": td.SarsaLambda,
    "dyna-q": td.DynaQ,
    "prioritized-sweeping": td.PrioritizedSweeping,
    "monte-carlo": mc.MonteCarlo,
    "off-policy-monte-carlo": mc.OffPolicyMonteCarlo,
    "pretraining": Pretraining,
    "fine-tuning": Pretraining,
    "grpo": GRPO,
    "dr-grpo": GRPO,
    "rloo": GRPO,
    "dapo": GRPO,
    "gspo": GRPO,
    "cispo": GRPO,
    "language-reinforce": GRPO,
    "token-ppo": TokenPPO,
    "dpo": DPO,
}

VARIANTS: Mapping[str, dict[str, Any]] = {
    "one-step-actor-critic": {"num_steps": 1},
    "rainbow": RAINBOW,
    "ddpg": DDPG,
    "tqc": TQC,
    "fine-tuning": {"answers_only": True},
    "dr-grpo": grpo.DR_GRPO,
    "rloo": grpo.RLOO,
    "dapo": grpo.DAPO,
    "gspo": grpo.GSPO,
    "cispo": grpo.CISPO,
    "language-reinforce": grpo.REINFORCE,
}
"""Algorithms that are another one with these fields."""

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
    "optimizer": {"adam": ops.adam, "adamw": ops.adamw, "sgd": ops.sgd},
    "policy_loss": {
        "ppo_clip": ops.ppo_clip,
        "token_clip": ops.token_clip,
        "sequence_clip": ops.sequence_clip,
        "weight_clip": ops.weight_clip,
    },
    "advantage": {
        "group_standardized": ops.group_standardized,
        "centered": ops.centered,
        "leave_one_out": ops.leave_one_out,
        "batch_leave_one_out": ops.batch_leave_one_out,
    },
    "aggregate": {"token_mean": ops.token_mean, "sequence_mean": ops.sequence_mean, "constant": ops.constant},
    "kl_loss": {"none": None, "squared_kl": ops.squared_kl, "corrected_kl": ops.corrected_kl},
    "backup": {"max": ops.max_backup, "double": ops.double_backup, "munchausen": ops.munchausen_backup},
    "returns": {
        "mean": ops.MeanReturns(),
        "mean-squared": ops.MeanReturns(optax.l2_loss),
        "categorical": ops.CategoricalReturns(),
        "quantile": ops.QuantileReturns(),
    },
    "critic_loss": {"mean": ops.mean_loss, "quantile": ops.quantile_loss},
    "actor": {"default": None},
    "critics": {"default": None},
    "cell": {"gru": nn.GRUCell, "lstm": nn.OptimizedLSTMCell},
}
"""For each function or network field, its named values."""


_own: dict[int, tuple[Any, str]] = {}
"""What `resolve` imported, and the name it was asked for, by identity."""


def name_of(value: Any, table: Mapping[str, Any]) -> str | None:
    """The name by which `resolve` gives this very object, or one equal to it; None if there is none.

    Of the table, of the table with numbers as in `categorical(0, 100)`, or `MODULE:NAME`.
    """
    alike = {name: entry for name, entry in table.items() if type(entry) is type(value)}
    for name, entry in table.items():
        if entry is value or (name in alike and dataclasses.is_dataclass(entry) and entry == value):
            return name
    if alike and dataclasses.is_dataclass(value) and not isinstance(value, type):
        numbers = [getattr(value, field.name) for field in dataclasses.fields(value)]
        if all(isinstance(number, int | float) for number in numbers):
            return f"{next(iter(alike))}({', '.join(map(repr, numbers))})"
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
      name: of the table, with numbers as in `categorical(0, 100)` where it stands for something that has them, or
        `MODULE:NAME` of an importable module.
      table: names and what they stand for.

    Raises:
      ValueError: for an unknown name, with the nearest ones, and for numbers that do not fit.
    """
    if name in table:
        return table[name]
    base, opened, numbers = name.partition("(")
    if opened and dataclasses.is_dataclass(table.get(base)):
        try:
            return type(table[base])(*ast.literal_eval(f"({numbers.removesuffix(')')},)"))
        except (ValueError, SyntaxError, TypeError) as error:
            raise ValueError(f"{field}={name}: {error}") from None
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
