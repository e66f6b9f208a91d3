"""Tasks and models in words, as `config.json` holds them, and made again from them."""

import dataclasses
import importlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import lm, networks
from jaxrl.engine.names import full_name, resolve


def in_words(field: str, value: Any) -> dict[str, Any] | None:
    """What `config.json` says of an algorithm's `task`, `model` or `sampling`; None for one of your own."""
    if field == "sampling":
        return _in_words(value) if isinstance(value, lm.Sampling) else None
    return task_in_words(value) if field == "task" else model_in_words(value)


def sampling_fields(fields: dict[str, Any]) -> dict[str, lm.Sampling]:
    """The field `sampling` of a run's fields in words, where it has one of its own."""
    words = fields.get("sampling")
    return {} if words is None else {"sampling": _from_words(words)}


def task_in_words(task: Any) -> dict[str, Any] | None:
    """Name and options of a task, and the function that judges it; None for a task of your own.

    Args:
      task: of `lm.tasks`.
    """
    if isinstance(task, lm.tasks.Judged):
        inner = task_in_words(task.task)
        return None if inner is None else inner | {"reward": full_name(task.reward)}
    found = lm.tasks.origin(task)
    if found is None:
        return None
    name, options = found
    words = {"name": name, "options": {key: _plain(value) for key, value in options.items()}}
    return words | ({"digest": task.digest} if hasattr(task, "digest") else {})


def task_of(words: dict[str, Any]) -> Any:
    """The task that `task_in_words` described.

    Raises:
      ValueError: for a file that is gone, and for a function that cannot be imported.
    """
    task = lm.tasks.make(words["name"], **words["options"])
    if getattr(task, "digest", None) != words.get("digest"):
        raise ValueError(f"task: {words['options']['path']} is not as it was when the run began; restore the file")
    return lm.tasks.Judged(task, resolve("reward", words["reward"], {})) if "reward" in words else task


def model_in_words(model: Any) -> dict[str, Any] | None:
    """Shape of a transformer, with or without adapters; None for a model of your own.

    Args:
      model: `networks.Transformer` or `lm.LoRA`.
    """
    if isinstance(model, lm.LoRA):
        return {"lora": {"rank": model.rank, "alpha": model.alpha, "targets": list(model.targets)}} | (
            model_in_words(model.model) or {}
        )
    return {"transformer": _in_words(model.config)} if isinstance(model, networks.Transformer) else None


def model_of(words: dict[str, Any]) -> Any:
    """The model that `model_in_words` described."""
    model = networks.Transformer(_from_words(words["transformer"]))
    if "lora" not in words:
        return model
    lora = words["lora"]
    return lm.LoRA(model, lora["rank"], lora["alpha"], tuple(lora["targets"]))


def _plain(value: Any) -> Any:
    return np.asarray(value).item() if isinstance(value, np.generic) or hasattr(value, "dtype") else value


def _in_words(value: Any) -> Any:
    """A dataclass by its class and fields, a function by its name, a data type by its own, a tuple as a list."""
    if isinstance(value, tuple):
        return [_in_words(item) for item in value]
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _in_words(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class": full_name(value), "fields": fields}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return {"dtype": np.dtype(value).name}
    named = getattr(value, "dtype", None)
    return {"dtype": named.name} if isinstance(named, np.dtype) else {"function": _public_name(value)}


def _public_name(function: Any) -> str:
    """Where users find a function: modules that JAX keeps to itself change."""
    name = getattr(function, "__name__", "")
    return f"flax.linen:{name}" if getattr(nn, name, None) is function else full_name(function)


def _from_words(words: Any) -> Any:
    if isinstance(words, list):
        return tuple(map(_from_words, words))
    if not isinstance(words, dict):
        return words
    if "dtype" in words:
        return jnp.dtype(words["dtype"])
    module, _, name = words.get("class", words.get("function", "")).partition(":")
    found = getattr(importlib.import_module(module), name)
    if "function" in words:
        return found
    return found(**{key: _from_words(value) for key, value in words["fields"].items()})
