"""Worlds: gymnax environments by name, vectorized stepping, probe environments."""

from jaxrl.envs.catalog import environment_names, make, origin
from jaxrl.envs.vectorized import bounded_action, reset, rollout, step

__all__ = ["bounded_action", "environment_names", "make", "origin", "reset", "rollout", "step"]
