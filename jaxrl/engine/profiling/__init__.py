"""Where the time of a training run goes, and how near it comes to the device's limits."""

from jaxrl.engine.profiling.measure import Profile, StageProfile, profile

__all__ = ["Profile", "StageProfile", "profile"]
