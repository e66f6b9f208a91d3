"""Low-rank adapters: a large model is frozen, and small products of matrices are learned beside its kernels."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrl import ops
from jaxrl.networks import Transformer, TransformerConfig

ATTENTION = ("attention/query", "attention/key", "attention/value", "attention/out")


@dataclasses.dataclass(frozen=True)
class LoRA:
    """A model whose chosen kernels W are W + (α / r) A B; it stands wherever a `Transformer` does.

    Its parameters are `{"params": those of the model, "lora": the adapters}`. No gradient reaches the model's;
    `only_adapters` keeps no optimizer state of them. Every `apply` adds the products to the kernels, which
    costs what r tokens cost in these layers. `generate` adds them once for all tokens, by `without_adapters`, and so
    long holds a second copy of these kernels.

    Args:
      model: a `networks.Transformer`.
      rank: r, of the products.
      alpha: α, what products are scaled by, times r.
      targets: ends of the paths of the layers that get adapters.

    Example:
      >>> from jaxrl import networks
      >>> config = networks.TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2)
      >>> model, tokens = LoRA(networks.Transformer(config), rank=2), jnp.ones((1, 3), jnp.int32)
      >>> params = model.init(jax.random.key(0), tokens)
      >>> model.apply(params, tokens).shape, params["lora"]["blocks_0/attention/query"]["A"].shape
      ((1, 3, 10), (16, 2))

    Source: Hu et al. (2022), LoRA, arXiv:2106.09685.
    """

    model: Transformer
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ATTENTION

    @property
    def config(self) -> TransformerConfig:
        """The model's."""
        return self.model.config

    @property
    def empty_cache(self) -> Callable[[int, int], Any]:
        """The model's."""
        return self.model.empty_cache

    def init(self, key: jax.Array, tokens: jax.Array) -> Any:
        """A random model with adapters.

        Args:
          key: consumed.
          tokens: int `[B, T]`, of any shape that the model takes.

        Returns:
          Parameters of model and adapters.
        """
        model_key, adapter_key = jax.random.split(key)
        return self.adapted(self.model.init(model_key, tokens), adapter_key)

    def adapted(self, params: Any, key: jax.Array) -> Any:
        """The model's parameters with adapters that do nothing yet: A is random, and B zero.

        Args:
          params: of the model.
          key: consumed.

        Returns:
          `{"params": the model's, "lora": {path of a layer: {"A": [D, R], "B": [R, out]}}}`.

        Raises:
          ValueError: for targets that name no layer.

        Example:
          >>> from jaxrl import networks
          >>> model = networks.Transformer(networks.TransformerConfig(10, 16, num_layers=1, num_heads=2))
          >>> params = model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32))
          >>> params = LoRA(model, targets=("attention/value",)).adapted(params, jax.random.key(1))
          >>> list(params["lora"]), params["lora"]["blocks_0/attention/value"]["B"].shape
          (['blocks_0/attention/value'], (8, 16))

        Source: Hu et al. (2022), section 4.1. Deviation: A is uniform within 1 / √D, as PEFT has it, not normal.
        """
        found = {path: kernel for path, kernel in _kernels(params) if path.endswith(self.targets)}
        if not found:
            raise ValueError(f"targets={self.targets} are the ends of no layer's path, as attention/query is")
        adapters = {}
        for one, (path, kernel) in zip(jax.random.split(key, len(found)), sorted(found.items()), strict=True):
            rows, columns = kernel.shape
            bound = rows**-0.5
            adapters[path] = {
                "A": jax.random.uniform(one, (rows, self.rank), minval=-bound, maxval=bound),
                "B": jnp.zeros((self.rank, columns)),
            }
        return {"params": params["params"], "lora": adapters}

    def merged(self, params: Any, dtype: Any = None) -> Any:
        """Parameters of the model alone, with the adapters added to its kernels in float32.

        Args:
          params: of model and adapters.
          dtype: of these kernels; None: as they were, in which a small change may be lost.

        Returns:
          Parameters of the model, through which gradients reach the adapters only.
        """

        def add(path: Any, leaf: jax.Array) -> jax.Array:
            adapter = params["lora"].get("/".join(part.key for part in path[:-1])) if path[-1].key == "kernel" else None
            if adapter is None:
                return leaf
            moved = leaf.astype(jnp.float32) + self.alpha / self.rank * (adapter["A"] @ adapter["B"])
            return moved.astype(leaf.dtype if dtype is None else dtype)

        return {"params": jax.tree_util.tree_map_with_path(add, jax.lax.stop_gradient(params["params"]))}

    def apply(self, params: Any, *arguments: Any, **options: Any) -> Any:
        """As `model.apply`; gradients reach the adapters only."""
        return self.model.apply(self.merged(params, jnp.float32), *arguments, **options)


def without_adapters(model: Any, params: Any, dtype: Any = None) -> tuple[Any, Any]:
    """A model that computes the same without adapters, and its parameters; another model as it is.

    Args:
      model: a `LoRA`, or what has no adapters.
      params: its parameters.
      dtype: of the kernels that had adapters, as of `LoRA.merged`.

    Returns:
      The model within, and its parameters with the adapters added.

    Example:
      >>> from jaxrl import networks
      >>> config = networks.TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2)
      >>> model, tokens = LoRA(networks.Transformer(config)), jnp.ones((1, 3), jnp.int32)
      >>> plain, params = without_adapters(model, model.init(jax.random.key(0), tokens))
      >>> plain == model.model, list(params)
      (True, ['params'])

    Source: Hu et al. (2022), section 4.1.
    """
    return (model.model, model.merged(params, dtype)) if isinstance(model, LoRA) else (model, params)


def only_adapters(
    optimizer: Callable[..., optax.GradientTransformation],
) -> Callable[..., optax.GradientTransformation]:
    """An optimizer that moves adapters, and keeps nothing of what is frozen.

    Args:
      optimizer: function of the learning rate.

    Returns:
      A function of the learning rate, for parameters that `LoRA.adapted` gives.

    Example:
      >>> params = {"params": jnp.ones((50, 50)), "lora": jnp.ones(3)}
      >>> state = only_adapters(optax.adam)(0.1).init(params)
      >>> max(x.size for x in jax.tree.leaves(state))
      3

    Source: our own.
    """

    def label(params: Mapping[str, Any]) -> dict[str, str]:
        return {name: "learned" if name == "lora" else "frozen" for name in params}

    def build(learning_rate: Any) -> optax.GradientTransformation:
        return optax.multi_transform({"learned": optimizer(learning_rate), "frozen": optax.set_to_zero()}, label)

    return build


def adapters_adam(learning_rate: jax.Array | float) -> optax.GradientTransformation:
    """`ops.adam` of adapters only: a function at module level, so that it compiles once.

    Source: as `ops.adam`.
    """
    return only_adapters(ops.adam)(learning_rate)


def _kernels(params: Any) -> list[tuple[str, jax.Array]]:
    """Kernels by the paths of their layers."""
    leaves = jax.tree_util.tree_leaves_with_path(params["params"])
    named = [("/".join(part.key for part in path), leaf) for path, leaf in leaves]
    return [(name.removesuffix("/kernel"), leaf) for name, leaf in named if name.endswith("/kernel")]
