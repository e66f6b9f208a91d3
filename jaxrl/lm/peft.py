"""Adapters in the layout of the PEFT library: `adapter_config.json` and `adapter_model.safetensors`."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrl.lm import hf_config, safetensors
from jaxrl.lm.hf import Source, sources
from jaxrl.lm.lora import LoRA
from jaxrl.networks import Transformer

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
REFUSED = {"use_rslora": False, "use_dora": False, "bias": "none", "modules_to_save": None, "peft_type": "LORA"}
"""Settings and the only values of them that are read here."""


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
    modules: dict[str, list[tuple[Source, str]]] = {}
    for path, source in sources(model.config, family).items():
        if path.endswith("/kernel") and path.removesuffix("/kernel") in params["lora"]:
            modules.setdefault(source.name.removesuffix(".weight"), []).append((source, path.removesuffix("/kernel")))
    tensors, patterns = {}, {}
    for module, parts in modules.items():
        adapters = [params["lora"][path] for _, path in sorted(parts, key=lambda part: part[0].part or 0)]
        a, b = _joined([np.asarray(one["A"]) for one in adapters], [np.asarray(one["B"]) for one in adapters])
        if len(adapters) > 1:
            patterns[module.rpartition(".")[2]] = len(adapters)
        tensors[f"base_model.model.{module}.lora_A.weight"] = np.ascontiguousarray(a.T)
        tensors[f"base_model.model.{module}.lora_B.weight"] = np.ascontiguousarray(b.T)
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": model.rank,
        "lora_alpha": model.alpha,
        "rank_pattern": {name: count * model.rank for name, count in patterns.items()},
        "alpha_pattern": {name: count * model.alpha for name, count in patterns.items()},
        "target_modules": sorted({module.rpartition(".")[2] for module in modules}),
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


def _joined(a: list[np.ndarray], b: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """One pair of factors of several layers with one input: `[D, n r]` and `[n r, n out]`, blocks on the diagonal."""
    if len(a) == 1:
        return a[0], b[0]
    blocks = np.zeros((sum(x.shape[0] for x in b), sum(x.shape[1] for x in b)), b[0].dtype)
    row = column = 0
    for x in b:
        blocks[row : row + x.shape[0], column : column + x.shape[1]] = x
        row, column = row + x.shape[0], column + x.shape[1]
    return np.concatenate(a, axis=1), blocks


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
    settings = json.loads((directory / CONFIG).read_text())
    for name, value in REFUSED.items():
        if settings.get(name, value) != value:
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
            b = b[:, source.part * size : (source.part + 1) * size]
        kernel = params["params"]
        for key in path.split("/"):
            kernel = kernel[key]
        if (a.shape[0], b.shape[1]) != kernel.shape or a.shape[1] != b.shape[0]:
            raise ValueError(f"{names[0]} and {names[1]} do not fit {path} of shape {list(kernel.shape)}")
        adapters[path.removesuffix("/kernel")] = {"A": jnp.asarray(a), "B": jnp.asarray(b)}
    if extra := sorted(set(tensors) - used):
        raise ValueError(f"{directory}: {extra[0]} has no place in the model")
    targets = tuple(sorted({path.partition("/")[2] for path in adapters}))
    return LoRA(model, settings["r"], float(settings["lora_alpha"]), targets), {"lora": adapters, **params}


def _check_scale(directory: Path, settings: dict[str, Any]) -> None:
    """All adapters are scaled alike, whatever their ranks."""
    ranks, alphas = settings.get("rank_pattern") or {}, settings.get("alpha_pattern") or {}
    for module in {*ranks, *alphas}:
        scale = alphas.get(module, settings["lora_alpha"]) / ranks.get(module, settings["r"])
        if scale != settings["lora_alpha"] / settings["r"]:
            raise ValueError(f"{directory / CONFIG}: {module} is scaled by {scale}, unlike the others")
