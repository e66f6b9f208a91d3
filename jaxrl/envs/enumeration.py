"""The exact Markov decision process of a gymnax environment with few states, by following every step it can make."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.envs.mdp import MDP
from jaxrl.envs.recipes import Branches, Recipe, certain, differ, recipe_of
from jaxrl.envs.tables import from_successors

CHUNK = 512
"""States that are expanded together: one shape, one compilation."""


class Enumeration(NamedTuple):
    """What `enumerate_environment` finds."""

    mdp: MDP
    """The process; its `start` and `max_steps_in_episode` are those of the environment."""
    states: Any
    """The environment's states, a pytree of `[S, ...]`: row s is the state with the number s."""


def enumerate_environment(
    env: Any, env_params: Any, *, max_states: int = 100_000, ignored: tuple[str, ...] | None = None
) -> Enumeration:
    """Follow every step from every start until nothing new is found.

    The process is that without the time limit. Its states are numbered by the observation where that is `Discrete`,
    else by their fields. FrozenLake, FourRooms, Catch, DeepSea, UmbrellaChain, DiscountingChain and MetaMaze are known
    with their chances; of any other environment steps and resets must not depend on the key.

    Args:
      env: gymnax environment with a `Discrete` action space.
      env_params: its parameters.
      max_states: refuse to go on beyond so many.
      ignored: fields of the state that change neither rewards nor successors; None: those that are known, or `time`.

    Returns:
      The process and the states.

    Raises:
      ValueError: for more than `max_states` states, and for steps or resets that draw random numbers.

    Example:
      >>> import jaxrl
      >>> mdp, states = enumerate_environment(*jaxrl.envs.make("FrozenLake-misc"))
      >>> mdp.num_states, states.position[:3].tolist()
      (16, [0, 1, 2])
    """
    recipe = recipe_of(env, env_params)
    if ignored is not None:
        recipe = dataclasses.replace(recipe, ignored=ignored)
    search = _Search(env, env_params, recipe, max_states)
    start, probability = recipe.starts(env, env_params)
    first = search.number(start, np.zeros(len(probability), bool))
    rows: list[Any] = []
    while len(rows) < len(search.states):
        rows.extend(search.expand(len(rows)))
    return search.collect(rows, first, np.asarray(probability, np.float64))


class _Search:
    """Numbers the states as they are found."""

    def __init__(self, env: Any, env_params: Any, recipe: Recipe, max_states: int):
        self.env, self.env_params, self.recipe, self.max_states = env, env_params, recipe, max_states
        self.numbers: dict[bytes, int] = {}
        self.states: list[Any] = []  # leaves of one state each
        self.ended: list[bool] = []
        self.structure: Any = None
        self.branches = self._of_states(recipe.branches)
        self.seeded = self._of_states(lambda env, params, *where: certain(env, params[0], *where, seed=params[1]))
        self.actions: Any = None

    def _of_states(self, branches: Callable[..., Branches]) -> Callable[..., Branches]:
        """The branches of states and actions, compiled."""
        of_actions = jax.vmap(branches, (None, None, None, 0))
        of_states = jax.vmap(of_actions, (None, None, 0, None))
        return jax.jit(lambda params, states, actions: of_states(self.env, params, states, actions))

    def number(self, states: Any, ended: np.ndarray) -> np.ndarray:
        """Numbers of states `[M, ...]`, new ones included."""
        leaves, self.structure = jax.tree.flatten(jax.tree.map(np.asarray, states))
        table = self._fields(states, ended)
        unique, where, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
        found = np.empty(len(unique), np.int64)
        for i, (row, place) in enumerate(zip(unique, where, strict=True)):
            found[i] = self.numbers.setdefault(row.tobytes(), len(self.states))
            if found[i] == len(self.states):
                self.states.append([leaf[place] for leaf in leaves])
                self.ended.append(bool(row[0]))
        if len(self.states) > self.max_states:
            raise ValueError(f"env: {self.env.name} has more than max_states={self.max_states} states")
        return found[inverse.reshape(-1)]

    def _fields(self, states: Any, ended: np.ndarray) -> np.ndarray:
        """What tells states apart, float64 `[M, 1 + F]`: whether the episode ended, and the fields that matter."""
        fields = [np.asarray(getattr(states, name)) for name in vars(states) if name not in self.recipe.ignored]
        return np.concatenate([np.reshape(x, (len(ended), -1)).astype(np.float64) for x in (ended, *fields)], axis=1)

    def expand(self, begin: int) -> list[Any]:
        """Successors, probabilities and rewards, `[A, K]` each, of the states from a number on."""
        chunk = self.states[begin : begin + CHUNK]
        padded = chunk + [chunk[-1]] * (CHUNK - len(chunk))
        states = jax.tree.unflatten(self.structure, [np.stack(leaf) for leaf in zip(*padded, strict=True)])
        if self.actions is None:
            self.actions = self._actions(states)
        branches = jax.tree.map(np.asarray, self.branches(self.env_params, states, self.actions))
        if self.recipe.doubted and any(
            differ(branches, self.seeded((self.env_params, seed), states, self.actions)) for seed in range(1, 16)
        ):
            raise ValueError(f"env: a step of {self.env.name} draws random numbers; its chances are not known")
        shape = branches.probability.shape
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), branches.state)
        possible = (branches.probability > 0).reshape(-1)
        possible[len(chunk) * shape[1] * shape[2] :] = False
        possible.reshape(CHUNK, -1)[np.flatnonzero(self.ended[begin : begin + CHUNK])] = False  # nothing follows an end
        successor = np.full(possible.shape, -1)
        if possible.any():
            kept = jax.tree.map(lambda x: x[possible], flat)
            successor[possible] = self.number(kept, branches.terminated.reshape(-1)[possible])
        successor = successor.reshape(shape)
        return [(successor[i], branches.probability[i], branches.reward[i]) for i in range(len(chunk))]

    def _actions(self, states: Any) -> jax.Array:
        """All actions, of the first integer type that the environment takes: in float64 some want int64."""
        actions = np.arange(self.env.action_space(self.env_params).n)
        try:
            jax.eval_shape(self.branches, self.env_params, states, actions.astype(np.int32))
        except TypeError:
            return jnp.asarray(actions)
        return jnp.asarray(actions, jnp.int32)

    def collect(self, rows: list[Any], first: np.ndarray, probability: np.ndarray) -> Enumeration:
        """The process, its states in order."""
        states = jax.tree.unflatten(self.structure, [np.stack(leaf) for leaf in zip(*self.states, strict=True)])
        order, total = self._order(states)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) if total is None else self._observed(states)[order]
        if len(np.unique(place)) < len(place):
            raise ValueError(f"env: several states of {self.env.name} have the same observation; it cannot number them")
        size = len(order) if total is None else total
        successor, chance, reward = (np.stack(x) for x in zip(*rows, strict=True))
        ended = np.asarray(self.ended)
        own = np.broadcast_to(place[:, None, None], successor.shape)
        successor = np.where(successor < 0, own, place[np.maximum(successor, 0)])
        chance = np.where(ended[:, None, None], 0.0, chance)
        terminal = np.ones(size, bool)
        terminal[place] = ended
        start = np.zeros(size)
        np.add.at(start, place[first], probability / probability.sum())
        full = [_spread(x, place, size, fill) for x, fill in ((successor, 0), (chance, 0.0), (reward, 0.0))]
        mdp = from_successors(*_trim(*full), terminal=terminal if terminal.any() else None)
        steps = int(self.env_params.max_steps_in_episode)
        mdp = dataclasses.replace(mdp, start=jnp.asarray(start, mdp.reward.dtype), max_steps_in_episode=steps)
        return Enumeration(mdp, jax.tree.map(lambda x: jnp.asarray(_spread(x, place, size, x.flat[0])), states))

    def _observed(self, states: Any) -> np.ndarray:
        observe = jax.vmap(lambda state: self.env.observe(jax.random.key(0), state, None, self.env_params))
        return np.asarray(observe(states))

    def _order(self, states: Any) -> tuple[np.ndarray, int | None]:
        """The order of the states, and their number where observations are that order."""
        space = self.env.observation_space(self.env_params)
        if type(space).__name__ == "Discrete":
            return np.argsort(self._observed(states)), int(space.n)
        return np.lexsort(self._fields(states, np.asarray(self.ended)).T[::-1]), None


def _spread(values: np.ndarray, place: np.ndarray, size: int, fill: Any) -> np.ndarray:
    """Rows put in their places; states that nothing leads to are filled."""
    spread = np.full((size, *values.shape[1:]), fill, values.dtype)
    spread[place] = values
    return spread


def _trim(successor: np.ndarray, chance: np.ndarray, reward: np.ndarray) -> list[np.ndarray]:
    """The same successors, the impossible ones last and cut off."""
    order = np.argsort(chance <= 0, axis=-1, kind="stable")[..., : max(1, int((chance > 0).sum(-1).max()))]
    return [np.take_along_axis(x, order, axis=-1) for x in (successor, chance, reward)]
