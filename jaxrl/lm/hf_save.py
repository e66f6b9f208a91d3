"""Write a checkpoint in the Hugging Face layout."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.lm import hf_config, safetensors
from jaxrl.lm.hf import INDEX, TOKENIZER_FILES, Source, read_config, sources
from jaxrl.lm.lora import LoRA, without_adapters
from jaxrl.networks import Transformer


class _Lazy:
    """A tensor that comes to the host when it is written."""

    def __init__(self, parts: list[Any], transposed: bool) -> None:
        self.parts, self.transposed = parts, transposed
        self.dtype, shape = parts[0].dtype, list(parts[0].shape)
        shape[-1] *= len(parts)
        self.shape = tuple(reversed(shape)) if transposed else tuple(shape)
        self.size = int(np.prod(self.shape))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.concatenate([safetensors.on_host(part) for part in self.parts], axis=-1)
        return np.ascontiguousarray(whole.T if self.transposed else whole)


def save(
    directory: Path | str,
    model: Transformer | LoRA,
    params: Any,
    like: Path | str | None = None,
    largest_shard: int = 5 * 10**9,
) -> None:
    """Write a model and its parameters to a directory that `load` and transformers read.

    Args:
      directory: appears when it is complete; it must not exist.
      model: of a shape that one of the architectures has; adapters are added to its kernels.
      params: its parameters; a value head is left out.
      like: a directory whose tokenizer is copied, and whose configuration is the beginning of the new one.
      largest_shard: bytes of one file, about.

    Raises:
      FileExistsError: if there is something already.
      ValueError: if no supported architecture has the model's shape, or `like` another one.
      FileNotFoundError: if `like` has no `config.json`.

    Example:
      >>> import tempfile
      >>> from jaxrl import networks
      >>> model = Transformer(networks.TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2))
      >>> params = model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32))
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     save(f"{directory}/new", model, params)
      ...     sorted(path.name for path in Path(directory, "new").iterdir())
      ['config.json', 'model.safetensors']

    Source: our own arrangement.
    """
    with safetensors.new_directory(directory) as part:
        model, params = without_adapters(model, params)
        config = model.config
        family = hf_config.family_of(config)
        settings = hf_config.to_hf(config, family)
        if like is not None:
            settings, shape = read_config(Path(like))
            if shape != hf_config.from_hf(hf_config.to_hf(config, family)):
                raise ValueError(f"like={like}: its config.json is of a model of another shape")
            for name in TOKENIZER_FILES:
                if (Path(like) / name).is_file():
                    shutil.copyfile(Path(like) / name, part / name)
        dtype = jnp.dtype(params["params"]["embedding"].dtype).name
        settings = {name: value for name, value in settings.items() if name != "dtype"} | {"torch_dtype": dtype}
        (part / "config.json").write_text(json.dumps(settings, indent=2))
        _write_shards(part, _gathered(params, sources(config, family)), largest_shard)


def _gathered(params: Any, where: Mapping[str, Source]) -> dict[str, _Lazy]:
    """Tensors by their names in the checkpoint."""
    ours = {"/".join(str(p.key) for p in path): x for path, x in jax.tree_util.tree_leaves_with_path(params["params"])}
    parts: dict[str, list[Any]] = {}
    for path, source in where.items():
        parts.setdefault(source.name, []).append(ours[path])
    transposed = {source.name: source.transposed for source in where.values()}
    return {name: _Lazy(pieces, transposed[name]) for name, pieces in parts.items()}


def _write_shards(directory: Path, tensors: Mapping[str, _Lazy], largest: int) -> None:
    shards: list[dict[str, _Lazy]] = [{}]
    bytes_of = {name: tensor.size * tensor.dtype.itemsize for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if shards[-1] and sum(bytes_of[other] for other in shards[-1]) + bytes_of[name] > largest:
            shards.append({})
        shards[-1][name] = tensor
    if len(shards) == 1:
        safetensors.write(directory / "model.safetensors", shards[0])
        return
    files = [f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors" for number in range(len(shards))]
    for file, shard in zip(files, shards, strict=True):
        safetensors.write(directory / file, shard)
    weight_map = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
    index = {"metadata": {"total_size": sum(bytes_of.values())}, "weight_map": weight_map}
    (directory / INDEX).write_text(json.dumps(index, indent=2))
