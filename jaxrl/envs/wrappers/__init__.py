"""Environments around environments: each transforms what a step gives, the true last observation too."""

from jaxrl.envs.wrappers.base import Wrapper
from jaxrl.envs.wrappers.masks import MaskActions
from jaxrl.envs.wrappers.observations import FlattenObservation, NormalizeObservation, StackFrames
from jaxrl.envs.wrappers.rewards import ClipReward, RecordEpisode

__all__ = [
    "ClipReward",
    "FlattenObservation",
    "MaskActions",
    "NormalizeObservation",
    "RecordEpisode",
    "StackFrames",
    "Wrapper",
]
