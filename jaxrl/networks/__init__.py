"""Approximators: linen modules that map a batch of observations `[B, ...]` to what an algorithm needs."""

from jaxrl.networks.actor_critic import ActorCritic, Head, default_actor_critic
from jaxrl.networks.torsos import MLP, Flatten, MinAtarCNN, OneHot, scaled_uniform, tanh

__all__ = [
    "MLP",
    "ActorCritic",
    "Flatten",
    "Head",
    "MinAtarCNN",
    "OneHot",
    "default_actor_critic",
    "scaled_uniform",
    "tanh",
]
