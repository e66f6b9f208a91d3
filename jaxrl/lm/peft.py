"""Adapters in the layout of the PEFT library: `adapter_config.json` and `adapter_model.safetensors`."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrl.lm import hf_config, safetensors
from jaxrl.lm.hf import sources
from jaxrl.lm.lora import LoRA
from jaxrl.lm.tokenizers import read_json
from jaxrl.networks import Transformer

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
REFUSED = {
    "peft_type": ("LORA",),
    "use_rslora": (False,),
    "use_dora": (False,),
    "bias": ("none",),
    "modules_to_save": (None,),
    "layer_replication": (None,),
    "alora_invocation_tokens": (None,),
    "init_lora_weights": (True, False, "gaussian"),
}
"""Settings, and the values of them that are read here: others change the model, or what adapters mean."""


def save_adapters(directory: Path | str, model: LoRA, params: Any, base: str | None = None) -> None:
    """Write adapters, without the model, to a directory that `load_adapters` and PEFT read.

    GPT-2 stores queries, keys and values as one: three adapters of rank r become one of rank 3 r.

    Args:
      directory: appears when it is complete; it must not exist.
      model: with adapters, of a shape that one of the architectures has.
      params: its parameters.
      base: name or directory of the model, for whoever loads them.

    Raises:
      FileExistsError: if there is something already.
      ValueError: if no supported architecture has the model's shape.

    Source: the layout of the PEFT library.
    """
    directory = Path(directory)
    if directory.exists():
        raise FileExistsError(f"{directory}: it exists; choose another directory")
    family = hf_config.family_of(model.config)
    modules: dict[str, dict[int, Any]] = {}
    for path, source in sources(model.config, family).items():
        adapter = params["lora"].get(path.removesuffix("/kernel")) if path.endswith("/kernel") else None
        if adapter is not None:
            modules.setdefault(source.name.removesuffix(".weight"), {})[source.part or 0] = adapter
    thirds = {source.name.removesuffix(".weight") for source in sources(model.config, family).values() if source.part}
    tensors, ranks = {}, {}
    for module, parts in modules.items():
        a, b = _joined(parts, 3 if module in thirds else 1)
        if a.shape[1] != model.rank:
            ranks[_short(module)] = a.shape[1]
        tensors[f"base_model.model.{module}.lora_A.weight"] = np.ascontiguousarray(a.T)
        tensors[f"base_model.model.{module}.lora_B.weight"] = np.ascontiguousarray(b.T)
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": model.rank,
        "lora_alpha": model.alpha,
        "rank_pattern": ranks,
        "alpha_pattern": {name: rank * model.alpha / model.rank for name, rank in ranks.items()},
        "target_modules": sorted({_short(module) for module in modules}),
        "fan_in_fan_out": family == "gpt2",
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }
    part = directory.with_name(directory.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    (part / CONFIG).write_text(json.dumps(settings, indent=2))
    safetensors.write(part / TENSORS, tensors)
    part.rename(directory)


def _short(module: str) -> str:
    """The last two parts of a name: `mlp.c_proj` is another layer than `attn.c_proj`."""
    return ".".join(module.split(".")[-2:])


def _joined(parts: dict[int, Any], num_parts: int) -> tuple[np.ndarray, np.ndarray]:
    """One pair of factors `[D, R]` and `[R, n out]` of adapters of n layers with one input, each in its own columns."""
    factors = {part: (np.asarray(one["A"]), np.asarray(one["B"])) for part, one in sorted(parts.items())}
    width = next(iter(factors.values()))[1].shape[1]
    a = np.concatenate([a for a, _ in factors.values()], axis=1)
    b = np.zeros((a.shape[1], num_parts * width), a.dtype)
    row = 0
    for part, (_, block) in factors.items():
        b[row : row + len(block), part * width : (part + 1) * width] = block
        row += len(block)
    return a, b


def load_adapters(directory: Path | str, model: Transformer, params: Any) -> tuple[LoRA, Any]:
    """A model with adapters from a directory, and its parameters.

    Args:
      directory: with `adapter_config.json` and `adapter_model.safetensors`.
      model: that they were trained on.
      params: its parameters.

    Raises:
      FileNotFoundError: for a missing file, naming it.
      ValueError: for adapters of another kind or of another model, naming what does not fit.

    Source: as `save_adapters`.
    """
    directory = Path(directory)
    if not (directory / CONFIG).is_file():
        raise FileNotFoundError(f"{directory / CONFIG}: there is no such file; adapters have one")
    settings = read_json(directory / CONFIG)
    for name, allowed in REFUSED.items():
        if settings.get(name, allowed[0]) not in allowed:
            raise ValueError(f"{directory / CONFIG}: {name}={settings[name]!r} is not supported")
    _check_scale(directory, settings)
    tensors = safetensors.read(directory / TENSORS)
    where = sources(model.config, hf_config.family_of(model.config))
    adapters, used = {}, set()
    for path, source in where.items():
        module = f"base_model.model.{source.name.removesuffix('.weight')}"
        names = [f"{module}.lora_{letter}.weight" for letter in "AB"]
        if not path.endswith("/kernel") or names[0] not in tensors or names[1] not in tensors:
            continue
        used |= set(names)
        a, b = tensors[names[0]].T, tensors[names[1]].T
        if source.part is not None:
            size = b.shape[1] // 3
            a, b = _own_rows(a, b[:, source.part * size : (source.part + 1) * size], settings["r"])
        kernel = params["params"]
        for key in path.split("/"):
            kernel = kernel[key]
        if (a.shape[0], b.shape[1]) != kernel.shape or a.shape[1] != b.shape[0] or a.shape[1] != settings["r"]:
            raise ValueError(
                f"{names[0]} and {names[1]} do not fit {path} of shape {list(kernel.shape)} and r={settings['r']}"
            )
        adapters[path.removesuffix("/kernel")] = {"A": jnp.asarray(a), "B": jnp.asarray(b)}
    if extra := sorted(set(tensors) - used):
        raise ValueError(f"{directory}: {extra[0]} has no place in the model")
    targets = tuple(sorted({path.partition("/")[2] for path in adapters}))
    return LoRA(model, settings["r"], float(settings["lora_alpha"]), targets), {**params, "lora": adapters}


def _own_rows(a: np.ndarray, b: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors of one layer of several that are stored as one, without the rows that are of the others."""
    rows = np.flatnonzero(b.any(axis=1))
    if len(b) == rank or len(rows) > rank:
        return a, b
    rows = np.union1d(rows, np.setdiff1d(np.arange(len(b)), rows)[: rank - len(rows)])
    return a[:, rows], b[rows]


def _check_scale(directory: Path, settings: dict[str, Any]) -> None:
    """All adapters are scaled alike, whatever their ranks."""
    ranks, alphas = settings.get("rank_pattern") or {}, settings.get("alpha_pattern") or {}
    for module in {*ranks, *alphas}:
        scale = alphas.get(module, settings["lora_alpha"]) / ranks.get(module, settings["r"])
        if not math.isclose(scale, settings["lora_alpha"] / settings["r"], rel_tol=1e-6):
            raise ValueError(f"{directory / CONFIG}: {module} is scaled by {scale}, unlike the others")
