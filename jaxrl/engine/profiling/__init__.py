"""Where the time of a training run goes, and how near it comes to the device's limits."""

from jaxrl.engine.profiling.measure import profile
from jaxrl.engine.profiling.result import Profile, StageProfile

__all__ = ["Profile", "StageProfile", "profile"]
