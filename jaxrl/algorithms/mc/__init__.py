"""Monte Carlo: learning from whole episodes."""

from jaxrl.algorithms.mc.episodes import MonteCarloState
from jaxrl.algorithms.mc.monte_carlo import MonteCarlo
from jaxrl.algorithms.mc.off_policy_monte_carlo import OffPolicyMonteCarlo

__all__ = ["MonteCarlo", "MonteCarloState", "OffPolicyMonteCarlo"]
