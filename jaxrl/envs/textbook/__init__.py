"""The problems of the textbook as Markov decision processes: functions that give an `MDP`."""

from jaxrl.envs.textbook.blackjack import blackjack
from jaxrl.envs.textbook.chains import baird, baird_features, garnet, maximization_bias, random_walk, short_corridor
from jaxrl.envs.textbook.games import access_control, car_rental, gambler
from jaxrl.envs.textbook.grids import cliff_walking, gridworld_4x4, gridworld_5x5, taxi, windy_gridworld
from jaxrl.envs.textbook.starts import starting_in

__all__ = [
    "access_control",
    "baird",
    "baird_features",
    "blackjack",
    "car_rental",
    "cliff_walking",
    "gambler",
    "garnet",
    "gridworld_4x4",
    "gridworld_5x5",
    "maximization_bias",
    "random_walk",
    "short_corridor",
    "starting_in",
    "taxi",
    "windy_gridworld",
]
