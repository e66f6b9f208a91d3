"""Checkpoints in the Hugging Face layout: a directory of a configuration, tensors, and a tokenizer."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.lm import hf_config, safetensors
from jaxrl.lm.hf_settings import read_json
from jaxrl.networks import Transformer, TransformerConfig

INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
)
IGNORED = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
"""Ends of names of what old checkpoints store and every model can compute."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a parameter stands in a checkpoint.

    Args:
      name: of the tensor.
      transposed: whether it is stored `[out, in]`, the other way round than ours.
      part: which third of its last axis it is: GPT-2 stores queries, keys and values as one.
    """

    name: str
    transposed: bool = False
    part: int | None = None

    def stored(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the tensor that holds a parameter of a shape."""
        whole = shape if self.part is None else (*shape[:-1], 3 * shape[-1])
        return whole[::-1] if self.transposed else whole

    def read(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The parameter, as a view."""
        tensor = tensors[self.name]
        if self.part is not None:
            size = tensor.shape[-1] // 3
            tensor = tensor[..., self.part * size : (self.part + 1) * size]
        return tensor.T if self.transposed else tensor


def sources(config: TransformerConfig, family: str) -> dict[str, Source]:
    """Where each parameter stands, by its path with slashes.

    Args:
      config: the shape.
      family: `gpt2`, `llama`, `qwen2` or `qwen3`.

    Example:
      >>> config = TransformerConfig(vocab_size=8, width=8, num_layers=1, num_heads=2)
      >>> sources(config, "llama")["blocks_0/mlp_in/kernel"]
      Source(name='model.layers.0.mlp.gate_proj.weight', transposed=True, part=None)

    Source: the module names of the transformers library.
    """
    gpt2 = family == "gpt2"
    found = {"embedding": Source("transformer.wte.weight" if gpt2 else "model.embed_tokens.weight")}
    found["norm/scale"] = Source("transformer.ln_f.weight" if gpt2 else "model.norm.weight")
    if gpt2:
        found["positions/table"] = Source("transformer.wpe.weight")
        found["norm/bias"] = Source("transformer.ln_f.bias")
    if not config.tied:
        found["head"] = Source("lm_head.weight")
    for layer in range(config.num_layers):
        block = _gpt2_block(f"transformer.h.{layer}") if gpt2 else _llama_block(f"model.layers.{layer}", config)
        found |= {f"blocks_{layer}/{path}": source for path, source in block.items()}
    return found


def _gpt2_block(prefix: str) -> dict[str, Source]:
    found = {}
    for ours, theirs in (("attention_norm", "ln_1"), ("mlp_norm", "ln_2")):
        found[f"{ours}/scale"] = Source(f"{prefix}.{theirs}.weight")
        found[f"{ours}/bias"] = Source(f"{prefix}.{theirs}.bias")
    for kernel, tensor in (("kernel", "weight"), ("bias", "bias")):
        for part, ours in enumerate(("query", "key", "value")):
            found[f"attention/{ours}/{kernel}"] = Source(f"{prefix}.attn.c_attn.{tensor}", part=part)
        found[f"attention/out/{kernel}"] = Source(f"{prefix}.attn.c_proj.{tensor}")
        found[f"mlp_in/{kernel}"] = Source(f"{prefix}.mlp.c_fc.{tensor}")
        found[f"mlp_out/{kernel}"] = Source(f"{prefix}.mlp.c_proj.{tensor}")
    return found


def _llama_block(prefix: str, config: TransformerConfig) -> dict[str, Source]:
    found = {
        "attention_norm/scale": Source(f"{prefix}.input_layernorm.weight"),
        "mlp_norm/scale": Source(f"{prefix}.post_attention_layernorm.weight"),
    }
    if config.qk_norm:
        found["attention/query_norm/scale"] = Source(f"{prefix}.self_attn.q_norm.weight")
        found["attention/key_norm/scale"] = Source(f"{prefix}.self_attn.k_norm.weight")
    layers = [(f"attention/{ours}", f"self_attn.{ours[0]}_proj", config.qkv_bias) for ours in ("query", "key", "value")]
    layers.append(("attention/out", "self_attn.o_proj", config.out_bias))
    for ours, theirs in (("mlp_in", "gate_proj"), ("mlp_gated", "up_proj"), ("mlp_out", "down_proj")):
        layers.append((ours, f"mlp.{theirs}", config.mlp_bias))
    for ours, theirs, bias in layers:
        found[f"{ours}/kernel"] = Source(f"{prefix}.{theirs}.weight", transposed=True)
        if bias:
            found[f"{ours}/bias"] = Source(f"{prefix}.{theirs}.bias")
    return found


def load(
    directory: Path | str,
    param_dtype: Any = None,
    sharding: Callable[[str, tuple[int, ...]], Any] | None = None,
    **changes: Any,
) -> tuple[Transformer, Any]:
    """A model and its parameters from a directory.

    Tensors are views of the files until they go to their devices, one by one.

    Args:
      directory: with `config.json` and `model.safetensors`, or an index and its shards.
      param_dtype: of the parameters; None: as stored.
      sharding: function of a parameter's path and shape that gives a `jax.sharding.Sharding`; None: one device.
      **changes: fields of the config to replace: `dtype=jnp.bfloat16` computes in it, `remat=True` saves memory,
        `value_head=True` adds one that begins at zero.

    Returns:
      The model, and its parameters as `model.init` arranges them.

    Raises:
      FileNotFoundError: for a missing file, naming it.
      ValueError: for what is not supported or damaged, naming the file, or the tensor and its directory.

    Example:
      >>> import tempfile
      >>> from jaxrl import lm
      >>> model = Transformer(TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2))
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     lm.save(f"{directory}/new", model, model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32)))
      ...     model, params = load(f"{directory}/new", param_dtype=jnp.bfloat16, max_length=64)
      >>> model.config.width, model.config.max_length, params["params"]["embedding"].dtype
      (16, 64, dtype(bfloat16))

    Source: our own arrangement.
    """
    directory = Path(directory)
    settings, config = read_config(directory)
    config = dataclasses.replace(config, **changes)
    tensors = _tensors(directory)
    if settings["model_type"] == "gpt2" and "wte.weight" in tensors:  # as the hub has it
        tensors = {name if name.startswith("lm_head") else f"transformer.{name}": x for name, x in tensors.items()}
    model, where = Transformer(config), sources(config, settings["model_type"])
    _check_names(directory, {source.name for source in where.values()}, tensors.keys(), config.tied)
    shapes: Any = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    paths, tree = jax.tree_util.tree_flatten_with_path(shapes)
    leaves = []
    for path, shape in paths:
        name = "/".join(str(part.key) for part in path)
        if name not in where:
            leaves.append(jnp.zeros(shape.shape, param_dtype or jnp.float32))  # a value head, which begins at zero
            continue
        _check_tensor(directory, name, where[name], tensors[where[name].name], shape.shape)
        leaves.append(_placed(name, where[name].read(tensors), param_dtype, sharding))
    return model, {"params": jax.tree.unflatten(tree, leaves)}


def read_config(directory: Path) -> tuple[dict[str, Any], TransformerConfig]:
    """What the `config.json` of a directory says, and the shape of its model.

    Args:
      directory: of a checkpoint.

    Raises:
      FileNotFoundError: without `config.json`.
      ValueError: for what is not supported or damaged, naming the file, or its directory and the tensor.

    Source: our own arrangement.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; a model's directory has one")
    settings = read_json(path)
    try:
        return settings, hf_config.from_hf(settings)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_tensor(directory: Path, name: str, source: Source, tensor: np.ndarray, shape: tuple[int, ...]) -> None:
    wanted, found = list(source.stored(shape)), list(tensor.shape)
    if found != wanted:
        raise ValueError(f"{directory}: {source.name} has the shape {found}, and {name} of config.json needs {wanted}")
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        raise ValueError(f"{directory}: {source.name} holds {tensor.dtype}; only checkpoints of floats are supported")


def _placed(name: str, view: np.ndarray, dtype: Any, sharding: Any) -> jax.Array:
    """A parameter on its devices."""
    shape = view.shape
    dtype = view.dtype if dtype is None else dtype
    if sharding is None:
        return jnp.asarray(view, dtype)
    return jax.make_array_from_callback(shape, sharding(name, shape), lambda index: np.asarray(view[index], dtype))


def _tensors(directory: Path) -> dict[str, np.ndarray]:
    """All tensors of a directory by name."""
    index = directory / INDEX
    if not index.is_file():
        return safetensors.read(directory / "model.safetensors")
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict):
        raise ValueError(f"{index}: it has no weight_map, a table of files by the names of tensors")
    if wrong := [file for file in names.values() if not isinstance(file, str) or Path(file).name != file]:
        raise ValueError(f"{index}: {wrong[0]!r} is no file of the directory")
    shards = {file: safetensors.read(directory / file) for file in sorted(set(names.values()))}
    if missing := [name for name, file in names.items() if name not in shards[file]]:
        raise ValueError(f"{index}: {missing[0]} is not in {names[missing[0]]}")
    return {name: shards[file][name] for name, file in names.items()}


def _check_names(directory: Path, wanted: set[str], found: Any, tied: bool) -> None:
    if missing := sorted(wanted - set(found)):
        raise ValueError(f"{directory}: {missing[0]} is missing, and {len(missing) - 1} more; config.json asks for it")
    ignored = {name for name in found if name.endswith(IGNORED)} | ({"lm_head.weight"} if tied else set())
    if extra := sorted(set(found) - wanted - ignored):
        raise ValueError(f"{directory}: {extra[0]} has no place in the model that config.json describes")
