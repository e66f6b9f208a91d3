"""Monte Carlo: learning from whole episodes."""

from jaxrl.algorithms.mc.episodes import MonteCarloState
from jaxrl.algorithms.mc.monte_carlo import MonteCarlo
from jaxrl.algorithms.mc.off_policy import OffPolicyMonteCarlo

__all__ = ["MonteCarlo", "MonteCarloState", "OffPolicyMonteCarlo"]
