"""Approximators: linen modules that map a batch of observations `[B, ...]` to what an algorithm needs."""

from jaxrl.networks.actor_critic import ActorCritic, Masked
from jaxrl.networks.attention import Attention, attend
from jaxrl.networks.continuous import Critics, DeterministicActor, SquashedActor
from jaxrl.networks.defaults import action_size, default_actor_critic, default_torso, has_mask, without_mask
from jaxrl.networks.heads import Head, PolicyAndValue, allowed_only
from jaxrl.networks.positions import LearnedPositions, LinearScaling, Llama3Scaling, Rotary, SinusoidalPositions, rotate
from jaxrl.networks.q_network import QNetwork
from jaxrl.networks.recurrent import Recurrent, make_cell, peek, unroll
from jaxrl.networks.torsos import MLP, Flatten, MinAtarCNN, NoisyDense, OneHot, scaled_uniform, tanh
from jaxrl.networks.transformer import Block, Transformer
from jaxrl.networks.transformer_config import TransformerConfig

__all__ = [
    "MLP",
    "ActorCritic",
    "Attention",
    "Block",
    "Critics",
    "DeterministicActor",
    "Flatten",
    "Head",
    "LearnedPositions",
    "LinearScaling",
    "Llama3Scaling",
    "Masked",
    "MinAtarCNN",
    "NoisyDense",
    "OneHot",
    "PolicyAndValue",
    "QNetwork",
    "Recurrent",
    "Rotary",
    "SinusoidalPositions",
    "SquashedActor",
    "Transformer",
    "TransformerConfig",
    "action_size",
    "allowed_only",
    "attend",
    "default_actor_critic",
    "default_torso",
    "has_mask",
    "make_cell",
    "peek",
    "rotate",
    "scaled_uniform",
    "tanh",
    "unroll",
    "without_mask",
]
