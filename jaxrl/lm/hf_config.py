"""The configuration of a checkpoint in the Hugging Face layout, and ours."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxrl.lm.hf_settings import checked
from jaxrl.networks import LearnedPositions, LinearScaling, Llama3Scaling, Rotary, TransformerConfig

FAMILIES = ("gpt2", "llama", "qwen2", "qwen3")


def gelu_new(x: Any) -> Any:
    """GELU by a hyperbolic tangent, as GPT-2 has it.

    Source: Hendrycks & Gimpel (2016), Gaussian Error Linear Units, arXiv:1606.08415.
    """
    return nn.gelu(x, approximate=True)


def exact_gelu(x: Any) -> Any:
    """GELU by the error function. Source: as `gelu_new`."""
    return nn.gelu(x, approximate=False)


ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "silu": nn.silu,
    "gelu_new": gelu_new,
    "gelu_pytorch_tanh": gelu_new,
    "gelu": exact_gelu,
    "relu": nn.relu,
}


def from_hf(config: Mapping[str, Any]) -> TransformerConfig:
    """The shape of a checkpoint's model.

    Args:
      config: what its `config.json` says, of transformers 4 or 5.

    Returns:
      The shape; what the checkpoint does not say is as transformers has it.

    Raises:
      ValueError: for an architecture, a rope type, an activation or a switch that is not supported, and for a setting
        that is missing or not what it must be, naming it.

    Example:
      >>> from_hf({"model_type": "gpt2", "vocab_size": 11, "n_embd": 8, "n_layer": 1, "n_head": 2}).tied
      True

    Source: the configuration classes of the transformers library.
    """
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ValueError(f"model_type {family!r} is not supported; supported are {', '.join(FAMILIES)}")
    config = checked(config)
    try:
        return _explicit(_gpt2(config) if family == "gpt2" else _llama(config, str(family)))
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from error


def _gpt2(config: Mapping[str, Any]) -> TransformerConfig:
    for switch, value in (("scale_attn_weights", True), ("scale_attn_by_inverse_layer_idx", False)):
        if config.get(switch, value) != value:
            raise ValueError(f"{switch}={config[switch]} is not supported")
    return TransformerConfig(
        vocab_size=config.get("vocab_size", 50257),
        width=config.get("n_embd", 768),
        num_layers=config.get("n_layer", 12),
        num_heads=config.get("n_head", 12),
        mlp_size=config.get("n_inner"),
        max_length=config.get("n_positions", 1024),
        rotary=None,
        position_embedding=LearnedPositions,
        norm=nn.LayerNorm,
        norm_epsilon=config.get("layer_norm_epsilon", 1e-5),
        activation=_activation(config.get("activation_function", "gelu_new")),
        gated=False,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        tied=config.get("tie_word_embeddings", True),
    )


def _llama(config: Mapping[str, Any], family: str) -> TransformerConfig:
    if config.get("use_sliding_window"):
        raise ValueError("use_sliding_window=True is not supported")
    bias = config.get("attention_bias", False)
    return TransformerConfig(
        vocab_size=config["vocab_size"],
        width=config["hidden_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        num_kv_heads=config.get("num_key_value_heads"),
        head_dim=config.get("head_dim") or (128 if family == "qwen3" else None),
        mlp_size=config["intermediate_size"],
        max_length=config.get("max_position_embeddings", 2048),
        rotary=_rotary(config),
        norm_epsilon=config.get("rms_norm_eps", 1e-6),
        activation=_activation(config.get("hidden_act", "silu")),
        qk_norm=family == "qwen3",
        qkv_bias=True if family == "qwen2" else bias,
        out_bias=False if family == "qwen2" else bias,
        mlp_bias=config.get("mlp_bias", False) if family == "llama" else False,
        tied=config.get("tie_word_embeddings", False),
    )


def _activation(name: str) -> Callable[[Any], Any]:
    if name not in ACTIVATIONS:
        raise ValueError(f"activation {name!r} is not supported; supported are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _rotary(config: Mapping[str, Any]) -> Rotary:
    """Transformers 5 has everything in `rope_parameters`; 4 has `rope_theta`, and `rope_scaling` or none."""
    rope = {"rope_theta": config.get("rope_theta", 10_000.0)}
    rope |= checked(config.get("rope_parameters") or config.get("rope_scaling") or {})
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return Rotary(rope["rope_theta"])
    if kind == "linear":
        return Rotary(rope["rope_theta"], LinearScaling(rope["factor"]))
    if kind == "llama3":
        names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        return Rotary(rope["rope_theta"], Llama3Scaling(*(rope[name] for name in names)))
    raise ValueError(f"rope type {kind!r} is not supported; supported are default, linear and llama3")


def family_of(config: TransformerConfig) -> str:
    """The architecture in which a model of this shape can be written.

    Args:
      config: the shape.

    Returns:
      One of `FAMILIES`.

    Raises:
      ValueError: if there is none.

    Example:
      >>> family_of(TransformerConfig(vocab_size=8, width=8, num_layers=1, num_heads=2))
      'llama'

    Source: as `from_hf`.
    """
    if config.norm is nn.LayerNorm and config.position_embedding is LearnedPositions and config.rotary is None:
        family = "gpt2"
    else:
        family = "qwen3" if config.qk_norm else "qwen2" if config.qkv_bias and not config.out_bias else "llama"
    if config.activation not in ACTIVATIONS.values() or from_hf(to_hf(config, family)) != _explicit(config):
        raise ValueError("model: no supported architecture has this shape; see networks.TransformerConfig")
    return family


def _explicit(config: TransformerConfig) -> TransformerConfig:
    """What a checkpoint can say of a config, with all sizes written out."""
    return dataclasses.replace(
        config,
        num_kv_heads=config.kv_heads,
        head_dim=config.head_size,
        mlp_size=config.mlp_size or 4 * config.width,
        value_head=False,
        remat=False,
        dtype=jnp.float32,
    )


def to_hf(config: TransformerConfig, family: str) -> dict[str, Any]:
    """What `config.json` says of a shape, as transformers 4 wrote it, which 5 reads.

    Args:
      config: the shape.
      family: one of `FAMILIES`.

    Example:
      >>> to_hf(TransformerConfig(vocab_size=8, width=8, num_layers=1, num_heads=2), "llama")["hidden_size"]
      8

    Source: as `from_hf`.
    """
    activation = next(name for name, function in ACTIVATIONS.items() if function is config.activation)
    shared = {"model_type": family, "vocab_size": config.vocab_size, "tie_word_embeddings": config.tied}
    if family == "gpt2":
        return shared | {
            "architectures": ["GPT2LMHeadModel"],
            "n_embd": config.width,
            "n_layer": config.num_layers,
            "n_head": config.num_heads,
            "n_inner": config.mlp_size,
            "n_positions": config.max_length,
            "layer_norm_epsilon": config.norm_epsilon,
            "activation_function": activation,
        }
    name = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}[family]
    return shared | {
        "architectures": [f"{name}ForCausalLM"],
        "hidden_size": config.width,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "intermediate_size": config.mlp_size or 4 * config.width,
        "max_position_embeddings": config.max_length,
        "rms_norm_eps": config.norm_epsilon,
        "hidden_act": activation,
        "attention_bias": config.out_bias,
        "mlp_bias": config.mlp_bias,
        **_rope(config.rotary),
    }


def _rope(rotary: Rotary | None) -> dict[str, Any]:
    if rotary is None:
        raise ValueError("model: a checkpoint of this family needs rotary positions")
    scaling = rotary.scaling
    if isinstance(scaling, LinearScaling):
        return {"rope_theta": rotary.theta, "rope_scaling": {"rope_type": "linear", "factor": scaling.factor}}
    if isinstance(scaling, Llama3Scaling):
        values = {"factor": scaling.factor, "low_freq_factor": scaling.low_freq_factor}
        values |= {"high_freq_factor": scaling.high_freq_factor}
        values |= {"original_max_position_embeddings": scaling.original_length}
        return {"rope_theta": rotary.theta, "rope_scaling": {"rope_type": "llama3", **values}}
    return {"rope_theta": rotary.theta}
