"""Approximators: linen modules that map a batch of observations `[B, ...]` to what an algorithm needs."""

from jaxrl.networks.actor_critic import ActorCritic, default_actor_critic
from jaxrl.networks.torsos import MLP, Flatten, MinAtarCNN, OneHot

__all__ = ["MLP", "ActorCritic", "Flatten", "MinAtarCNN", "OneHot", "default_actor_critic"]
