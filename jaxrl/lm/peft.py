"""Adapters in the layout of the PEFT library: `adapter_config.json` and `adapter_model.safetensors`."""

import json
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrl.lm import hf_config, safetensors
from jaxrl.lm.hf import Source, sources
from jaxrl.lm.hf_settings import is_integer, is_number, read_json
from jaxrl.lm.lora import LoRA
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

    Example:
      >>> import jax, tempfile
      >>> from jaxrl import networks
      >>> model = LoRA(Transformer(networks.TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2)))
      >>> params = model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32))
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     save_adapters(f"{directory}/new", model, params)
      ...     sorted(path.name for path in Path(directory, "new").iterdir())
      ['adapter_config.json', 'adapter_model.safetensors']

    Source: the layout of the PEFT library.
    """
    where = _sources(model)
    modules: dict[str, dict[int, Any]] = {}
    for path, source in where.items():
        adapter = params["lora"].get(path.removesuffix("/kernel")) if path.endswith("/kernel") else None
        if adapter is not None:
            modules.setdefault(_module(source), {})[source.part or 0] = adapter
    thirds = {_module(source) for source in where.values() if source.part}
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
        "fan_in_fan_out": hf_config.family_of(model.config) == "gpt2",
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }
    with safetensors.new_directory(directory) as part:
        (part / CONFIG).write_text(json.dumps(settings, indent=2))
        safetensors.write(part / TENSORS, tensors)


def _sources(model: Any) -> dict[str, Source]:
    return sources(model.config, hf_config.family_of(model.config))


def _module(source: Source) -> str:
    return source.name.removesuffix(".weight")


def _names(source: Source) -> list[str]:
    """Names of the tensors of an adapter."""
    return [f"base_model.model.{_module(source)}.lora_{letter}.weight" for letter in "AB"]


def _short(module: str) -> str:
    """The last two parts of a name: `mlp.c_proj` is another layer than `attn.c_proj`."""
    return ".".join(module.split(".")[-2:])


def _joined(parts: dict[int, Any], num_parts: int) -> tuple[np.ndarray, np.ndarray]:
    """One pair of factors `[D, R]` and `[R, n out]` of adapters of n layers with one input, each in its own columns."""
    factors = {part: tuple(safetensors.on_host(one[letter]) for letter in "AB") for part, one in sorted(parts.items())}
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

    Returns:
      The model with adapters, and its parameters as `LoRA.adapted` gives them.

    Raises:
      FileNotFoundError: for a missing file, naming it.
      ValueError: for adapters of another kind or of another model, and for damaged files, naming what does not fit.

    Example:
      >>> import jax, tempfile
      >>> from jaxrl import networks
      >>> model = LoRA(Transformer(networks.TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2)))
      >>> params = model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32))
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     save_adapters(f"{directory}/new", model, params)
      ...     again, same = load_adapters(f"{directory}/new", model.model, params)
      >>> again.rank, again.targets == tuple(sorted(model.targets)), same["lora"].keys() == params["lora"].keys()
      (8, True, True)

    Source: as `save_adapters`.
    """
    directory = Path(directory)
    settings = _settings(directory / CONFIG)
    file = directory / TENSORS
    tensors = safetensors.read(file)
    where = {path: source for path, source in _sources(model).items() if path.endswith("/kernel")}
    adapters, used = {}, set()
    for path, source in where.items():
        names = _names(source)
        if not tensors.keys() & set(names):
            continue
        used |= set(names)
        kernel = params["params"]
        for key in path.split("/"):
            kernel = kernel[key]
        a, b = _factors(file, path, source, tensors, kernel.shape, settings["r"])
        adapters[path.removesuffix("/kernel")] = {"A": jnp.asarray(a), "B": jnp.asarray(b)}
    if extra := sorted(set(tensors) - used):
        raise ValueError(f"{file}: {extra[0]} has no place in the model")
    _check_targets(file, settings.get("target_modules"), {_module(source) for source in where.values()}, used)
    targets = tuple(sorted({path.partition("/")[2] for path in adapters}))
    return LoRA(model, settings["r"], float(settings["lora_alpha"]), targets), {**params, "lora": adapters}


def _factors(
    file: Path, path: str, source: Source, tensors: dict[str, np.ndarray], shape: tuple[int, ...], rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """A and B of the kernel at a path, of a shape."""
    names = _names(source)
    if missing := sorted(set(names) - tensors.keys()):
        raise ValueError(f"{file}: {missing[0]} is missing, the other half of an adapter")
    a, b = (tensors[name].T for name in names)
    columns = shape[1] if source.part is None else 3 * shape[1]
    fits = a.ndim == 2 and a.shape[0] == shape[0] and b.shape == (a.shape[1], columns)
    if fits and source.part is not None:
        a, b = _own_rows(a, b[:, source.part * shape[1] : (source.part + 1) * shape[1]], rank)
    if not fits or a.shape[1] != rank:
        raise ValueError(f"{file}: {names[0]} and {names[1]} do not fit {path} of shape {list(shape)} and r={rank}")
    return a, b


def _own_rows(a: np.ndarray, b: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors of one layer of several that are stored as one, without the rows that are of the others."""
    rows = np.flatnonzero(b.any(axis=1))
    if len(b) == rank or len(rows) > rank:
        return a, b
    rows = np.union1d(rows, np.setdiff1d(np.arange(len(b)), rows)[: rank - len(rows)])
    return a[:, rows], b[rows]


def _settings(file: Path) -> dict[str, Any]:
    """What `adapter_config.json` says, if all of it is what is read here."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such file; adapters have one")
    settings = read_json(file)
    for name, allowed in REFUSED.items():
        if settings.get(name, allowed[0]) not in allowed:
            raise ValueError(f"{file}: {name}={settings[name]!r} is not supported")
    ranks, alphas = (settings.get(name) or {} for name in ("rank_pattern", "alpha_pattern"))
    for name, table in (("rank_pattern", ranks), ("alpha_pattern", alphas)):
        if not isinstance(table, dict):
            raise ValueError(f"{file}: {name}={table!r} must be a table")
    for name, rank in {"r": settings.get("r"), **ranks}.items():
        if not is_integer(rank) or rank < 1:
            raise ValueError(f"{file}: the rank {name}={rank!r} must be a positive integer")
    for name, alpha in {"lora_alpha": settings.get("lora_alpha"), **alphas}.items():
        if not is_number(alpha):
            raise ValueError(f"{file}: the scale {name}={alpha!r} must be a number")
    for module in {*ranks, *alphas}:  # all adapters are scaled alike, whatever their ranks
        scale = alphas.get(module, settings["lora_alpha"]) / ranks.get(module, settings["r"])
        if not math.isclose(scale, settings["lora_alpha"] / settings["r"], rel_tol=1e-6):
            raise ValueError(f"{file}: {module} is scaled by {scale}, unlike the others")
    return settings


def _check_targets(file: Path, targets: Any, modules: set[str], used: set[str]) -> None:
    """Refuse files without an adapter of what the settings name, if the model has such a layer."""
    if not used:
        raise ValueError(f"{file}: it has no adapters")
    for target in targets if isinstance(targets, list) else ():  # otherwise a pattern
        meant = [module for module in modules if f".{module}".endswith(f".{target}")]
        if meant and not any(name.split(".lora_")[0].endswith(module) for name in used for module in meant):
            raise ValueError(f"{file}: no tensor is of {target}, which target_modules of {CONFIG} names")
