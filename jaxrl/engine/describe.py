"""An algorithm in words: what `config.json` holds, so that a run can be checked and found again."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl import envs
from jaxrl.engine.checkpoint import write_json
from jaxrl.engine.names import ALGORITHMS, name_of

CONFIG = "config.json"


def describe(algorithm: Any) -> dict[str, Any]:
    """Algorithm and fields as JSON: numbers as they are, functions and environments by name, arrays by digest."""
    fields = {field.name: _value(getattr(algorithm, field.name)) for field in dataclasses.fields(algorithm)}
    name = name_of(type(algorithm), ALGORITHMS)
    return {
        "algorithm": name,
        "steps_per_update": getattr(algorithm, "steps_per_update", 1),
        "fields": fields,
    }


def new_directory(directory: Path) -> Path:
    """Create the directory of a new run.

    Raises:
      ValueError: if it holds anything.
    """
    if directory.is_file():
        raise ValueError(f"out={directory} is a file; choose another directory")
    if directory.exists() and any(directory.iterdir()):
        held = "another run" if (directory / CONFIG).exists() else "other files"
        raise ValueError(f"out={directory} holds {held}; choose another directory, or resume it to go on")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def write(directory: Path, algorithm: Any, extra: dict[str, Any]) -> None:
    """Write the run's `config.json`."""
    write_json(directory / CONFIG, describe(algorithm) | extra)


def read(directory: Path) -> dict[str, Any]:
    """The run's `config.json`.

    Raises:
      ValueError: if the directory holds no run.
    """
    try:
        return json.loads((directory / CONFIG).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{directory} holds no run: there is no {CONFIG}; check the path") from None


def check_same(algorithm: Any, saved: dict[str, Any]) -> None:
    """Refuse to go on with another algorithm or other values.

    Raises:
      ValueError: naming the field.
    """
    now = describe(algorithm)
    if now["algorithm"] != saved["algorithm"]:
        raise ValueError(f"algorithm: the save is of {saved['algorithm']}, not of {now['algorithm']}")
    for name, value in now["fields"].items():
        if value != saved["fields"].get(name):
            raise ValueError(
                f"{name}: the save was made with {saved['fields'].get(name)}, not with {value}; resume with the "
                "saved value, or start a new run"
            )


def flag_values(algorithm_class: Any, saved: dict[str, Any]) -> dict[str, Any]:
    """The saved fields in the form in which the command line's flags have them, and `total_steps`."""
    kinds = {field.name: field.type for field in dataclasses.fields(algorithm_class)}
    values = {name: _flag_value(kinds.get(name), value) for name, value in saved["fields"].items()}
    return values | {"total_steps": saved["num_updates"] * saved["steps_per_update"]}


def _flag_value(kind: Any, value: Any) -> Any:
    if kind is float:
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def _value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    origin = envs.origin(value)
    if origin is not None:
        name, options = origin
        return {"name": name, "options": {key: _value(option) for key, option in options.items()}}
    if hasattr(value, "scope"):  # a linen module: its repr lists every field
        return {"network": repr(value)}
    leaves, structure = jax.tree.flatten(value)
    if callable(value):
        return name_of(value)
    if any(not isinstance(leaf, bool | int | float | np.ndarray | jax.Array) for leaf in leaves):
        return name_of(type(value))  # an environment that the user made
    digest = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        digest.update(np.asarray(leaf).tobytes())
    return {"sha256": digest.hexdigest()[:16]}
