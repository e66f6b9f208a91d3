"""What is known of gymnax environments with few states: their starts, their chances, fields that do not matter."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np


@flax.struct.dataclass
class Branches:
    """All that one action can lead to, `[K]` each."""

    state: Any
    reward: jax.Array
    terminated: jax.Array
    probability: jax.Array


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to enumerate an environment.

    Args:
      starts: function of (env, env_params) that gives the first states `[M, ...]` and their probabilities `[M]`.
      branches: function of (env, env_params, state, action) that gives `Branches`.
      ignored: fields of the state that change neither rewards nor successors.
      doubted: whether steps under other keys must be seen to be the same.
    """

    starts: Callable[[Any, Any], tuple[Any, np.ndarray]]
    branches: Callable[..., Branches]
    ignored: tuple[str, ...] = ("time",)
    doubted: bool = False


def recipe_of(env: Any, env_params: Any) -> Recipe:
    """The recipe of a known environment, or that of one without chance.

    Raises:
      ValueError: if a step or reset draws random numbers and the environment is not known.
    """
    if env.name in RECIPES:
        recipe = RECIPES[env.name]
        if env.name == "DeepSea-bsuite" and (not env_params.deterministic or env_params.sample_action_map):
            raise ValueError("env: DeepSea-bsuite is enumerated with deterministic=True, sample_action_map=False")
        return recipe
    states = [_first(env, env_params, key) for key in jax.random.split(jax.random.key(0), 32)]
    if any(differ(states[0], state) for state in states):
        raise ValueError(f"env: a reset of {env.name} draws random numbers; its chances are not known")
    return Recipe(one_start, certain, doubted=True)


def differ(this: Any, that: Any) -> bool:
    """Whether any leaf of two like pytrees does."""
    leaves = zip(jax.tree.leaves(this), jax.tree.leaves(that), strict=True)
    return any(bool(np.any(np.asarray(a) != np.asarray(b))) for a, b in leaves)


def _first(env: Any, env_params: Any, key: jax.Array) -> Any:
    return jax.tree.map(jnp.asarray, env.reset_env(key, env_params)[1])


def one_start(env: Any, env_params: Any) -> tuple[Any, np.ndarray]:
    """A reset without chance."""
    return jax.tree.map(lambda x: x[None], _first(env, env_params, jax.random.key(0))), np.ones(1)


def certain(env: Any, env_params: Any, state: Any, action: jax.Array, seed: int | jax.Array = 0) -> Branches:
    """A step without chance, whatever the seed."""
    _, state, reward, terminated, _ = env.step_env(jax.random.key(seed), state, action, env_params)
    outcome = jax.tree.map(jnp.asarray, (state, jnp.asarray(reward, jnp.zeros(()).dtype), terminated, 1.0))
    return Branches(*jax.tree.map(lambda x: x[None], outcome))


def varied(env: Any, env_params: Any, **fields: Any) -> tuple[Any, np.ndarray]:
    """First states that differ in some fields `[M, ...]`, all of one probability."""
    state, (size, *_) = _first(env, env_params, jax.random.key(0)), jax.tree.leaves(fields)[0].shape
    whole = jax.tree.map(lambda x: jnp.broadcast_to(x, (size, *x.shape)), state)
    changed = {name: jnp.asarray(value, getattr(state, name).dtype) for name, value in fields.items()}
    return whole.replace(**changed), np.full(size, 1 / size)


def frozen_lake(env: Any, env_params: Any, state: Any, action: jax.Array) -> Branches:
    """The intended move with `success_rate`, else one of the two beside it."""
    if not env.is_slippery:
        return certain(env, env_params, state, action)
    twin = copy.copy(env)
    twin.is_slippery = False
    moves = (action + jnp.array([0, 1, -1], jnp.int32)) % 4
    branches = _each(twin, env_params, state, moves)
    slip = (1.0 - env.success_rate) / 2
    return dataclasses.replace(branches, probability=jnp.array([env.success_rate, slip, slip]))


def four_rooms(env: Any, env_params: Any, state: Any, action: jax.Array) -> Branches:
    """A uniformly random move with probability 4/3 `fail_prob`, else the intended one."""
    branches = _each(env, env_params.replace(fail_prob=0.0), state, jnp.arange(4, dtype=jnp.int32))
    intended, random = 1.0 - 4 / 3 * env_params.fail_prob, env_params.fail_prob / 3
    return dataclasses.replace(branches, probability=random + intended * (jnp.arange(4) == action))


def umbrella_chain(env: Any, env_params: Any, state: Any, action: jax.Array) -> Branches:
    """A fair reward of plus or minus one at every step but the last."""
    branch = certain(env, env_params, state, action)
    both = jax.tree.map(lambda x: jnp.concatenate([x, x]), branch)
    reward = jnp.where(both.terminated, both.reward, jnp.array([1.0, -1.0]))
    return dataclasses.replace(both, reward=reward, probability=jnp.full(2, 0.5))


def discounting_chain(env: Any, env_params: Any, state: Any, action: jax.Array) -> Branches:
    """The time limit is the end: time is part of the state, and nothing is earned beyond."""
    branch = certain(env, env_params, state, action)
    return dataclasses.replace(branch, terminated=branch.state.time >= env_params.max_steps_in_episode)


def meta_maze(env: Any, env_params: Any, state: Any, action: jax.Array) -> Branches:
    """From the goal to a uniformly random cell; the episode ends if that is the goal again."""
    branch = certain(env, env_params, state, action)
    moved = state.pos + env.directions[action]
    moved = jnp.where(env.env_map[moved[0], moved[1]], moved, state.pos)
    reached = (moved == state.goal).all()
    cells = jnp.where(reached, env.coords, moved)
    size = len(env.coords)
    whole = jax.tree.map(lambda x: jnp.broadcast_to(x[0], (size, *x.shape[1:])), branch)
    stays = jnp.where(reached, jnp.full(size, 1.0 / size), jnp.arange(size) == 0)
    terminated = reached & (cells == state.goal[None]).all(-1)
    return dataclasses.replace(whole, state=whole.state.replace(pos=cells), terminated=terminated, probability=stays)


def _each(env: Any, env_params: Any, state: Any, moves: jax.Array) -> Branches:
    """The branches of several moves without chance."""
    branches = jax.vmap(certain, (None, None, None, 0))(env, env_params, state, moves)
    return jax.tree.map(lambda x: x[:, 0], branches)


def _four_rooms_starts(env: Any, env_params: Any) -> tuple[Any, np.ndarray]:
    cells = np.asarray(env.coords)
    goals = cells if env_params.resample_goal_pos else np.asarray(env.goal_fixed)[None]
    places = cells if env_params.resample_init_pos else np.asarray(env.pos_fixed)[None]
    goal, pos = np.repeat(goals, len(places), axis=0), np.tile(places, (len(goals), 1))
    chance = np.ones(len(goal))
    if env_params.resample_init_pos:  # a cell is drawn from all but the last, which stands in for the goal's
        last = (pos == cells[-1]).all(-1)
        chance = np.where((pos == goal).all(-1), 0.0, np.where(last, (goal != cells[-1]).any(-1), 1.0))
    kept = chance > 0
    states, _ = varied(env, env_params, goal=goal[kept], pos=pos[kept])
    return states, chance[kept]


RECIPES = {
    "FrozenLake-misc": Recipe(one_start, frozen_lake),
    "FourRooms-misc": Recipe(_four_rooms_starts, four_rooms),
    "Catch-bsuite": Recipe(
        lambda env, params: varied(env, params, ball_x=np.arange(env.columns)), certain, ("time", "prev_done")
    ),
    "DeepSea-bsuite": Recipe(
        one_start,
        certain,
        ("time", "bad_episode", "total_bad_episodes", "denoised_return", "optimal_return", "action_mapping"),
    ),
    "UmbrellaChain-bsuite": Recipe(
        lambda env, params: varied(
            env, params, need_umbrella=np.array([0, 0, 1, 1]), has_umbrella=np.array([0, 1, 0, 1])
        ),
        umbrella_chain,
        ("total_regret",),
    ),
    "DiscountingChain-v0": Recipe(one_start, discounting_chain, ("rewards",)),
    "MetaMaze-misc": Recipe(
        lambda env, params: varied(env, params, goal=np.asarray(env.coords)),
        meta_maze,
        ("time", "last_action", "last_reward"),
    ),
}
