"""Replay: a ring of rows for each environment, a pytree of arrays; adding and sampling cost O(batch).

Every observation is stored once. A step writes its row and, into the next one, its true successor; the following step
of the same episode writes that observation there again, that of a new episode goes one row further. So the successor
of a row is the row after it, at the end of an episode too, and what the environment reset to is nobody's successor.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.types import Transition

MOST_PRIORITIES = 2**24
"""Rows that a float32 fraction of the sum of their priorities tells apart, if they are alike."""


@flax.struct.dataclass
class Replay:
    """A ring of L rows for each of N environments, flat: row r of environment n stands at n L + r.

    Log-probabilities of the actions are not kept: learners from replay here need none.

    Args:
      obs: `[N L, ...]`, in the observations' own dtype.
      action: `[N L, ...]`.
      reward: `[N L]`.
      terminated: bool `[N L]`.
      truncated: bool `[N L]`.
      is_step: bool `[N L]`; false for last observations and for rows never written.
      position: int32 `[N]`, the row of the next step.
      filled: int32 `[N]`, rows written so far, at most L.
      tree: `[R, 16]`, sums of the steps' priorities, or None: all alike.
      max_priority: `[]`, the largest priority so far, that of new steps; or None.

    Source: Lin (1992), Self-Improving Reactive Agents Based on Reinforcement Learning, Planning and Teaching; the rows
    are our own arrangement.
    """

    obs: Any
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    is_step: jax.Array
    position: jax.Array
    filled: jax.Array
    tree: jax.Array | None = None
    max_priority: jax.Array | None = None

    @property
    def num_rows(self) -> int:
        """L."""
        return self.reward.shape[0] // self.position.shape[0]


def init_replay(example: Transition, capacity: int, prioritized: bool = False) -> Replay:
    """An empty ring.

    Args:
      example: a transition `[N, ...]` of the environments; only shapes and dtypes are read.
      capacity: N L, rows of all environments; the last observation of an episode takes one as well as each step does.
      prioritized: whether steps have priorities.

    Returns:
      The ring, without a step.

    Raises:
      ValueError: for a capacity below three rows for each environment, or with priorities above 2^24 rows.

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("CartPole-v1")
      >>> obs, env_state = jaxrl.envs.reset(env, env_params, jax.random.key(0), 2)
      >>> keys = jax.random.split(jax.random.key(1), 2)
      >>> *_, transition = jaxrl.envs.step(env, env_params, keys, obs, env_state, jnp.zeros(2, jnp.int32))
      >>> replay = add(init_replay(transition, 100), transition)
      >>> replay.num_rows, replay.filled.tolist()
      (50, [1, 1])
    """
    num_envs = example.reward.shape[0]
    num_rows = capacity // num_envs
    if num_rows < 3:
        raise ValueError(f"capacity={capacity}: {num_envs} environments need at least {3 * num_envs} rows")
    if prioritized and capacity > MOST_PRIORITIES:
        raise ValueError(
            f"capacity={capacity}: priorities tell {MOST_PRIORITIES} rows apart; take fewer, or none of them"
        )

    def ring(x: jax.Array) -> jax.Array:
        return jnp.zeros((num_envs * num_rows, *x.shape[1:]), x.dtype)

    return Replay(
        obs=jax.tree.map(ring, example.obs),
        action=ring(example.action),
        reward=ring(example.reward),
        terminated=ring(example.terminated),
        truncated=ring(example.truncated),
        is_step=ring(example.terminated),
        position=jnp.zeros(num_envs, jnp.int32),
        filled=jnp.zeros(num_envs, jnp.int32),
        tree=ops.init_tree(num_envs * num_rows) if prioritized else None,
        max_priority=jnp.ones(()) if prioritized else None,
    )


def add(replay: Replay, transition: Transition) -> Replay:
    """The ring with one more step of every environment, in place of the oldest rows.

    Args:
      replay: the ring; give it away (donate it) for the write to be in place.
      transition: `[N, ...]`; each continues the one before it of its environment: its `obs` is that one's `next_obs`,
        unless that one was done. Mark the last step of a piece truncated where the next one does not follow, or its
        `next_obs` is lost to the `obs` of the next.

    Returns:
      The ring.

    Example:
      As `init_replay`.

    Source: our own.
    """
    size = replay.num_rows
    first = jnp.arange(len(replay.position)) * size
    here, after = first + replay.position, first + (replay.position + 1) % size

    def put(ring: jax.Array, index: jax.Array, rows: jax.Array) -> jax.Array:
        return ring.at[index].set(rows, unique_indices=True, mode="promise_in_bounds")

    obs = jax.tree.map(lambda ring, x: put(ring, here, x), replay.obs, transition.obs)
    advance = 1 + transition.done.astype(jnp.int32)
    written = jnp.ones_like(transition.done)
    tree = replay.tree
    if tree is not None:
        max_priority: Any = replay.max_priority
        priority = jnp.concatenate([jnp.full(len(here), max_priority), jnp.zeros(len(after))])
        tree = ops.set_leaves(tree, jnp.concatenate([here, after]), priority)
    return Replay(
        obs=jax.tree.map(lambda ring, x: put(ring, after, x), obs, transition.next_obs),
        action=put(replay.action, here, transition.action),
        reward=put(replay.reward, here, transition.reward),
        terminated=put(replay.terminated, here, transition.terminated),
        truncated=put(replay.truncated, here, transition.truncated),
        is_step=put(put(replay.is_step, here, written), after, ~written),
        position=(replay.position + advance) % size,
        filled=jnp.minimum(replay.filled + advance, size),
        tree=tree,
        max_priority=replay.max_priority,
    )


def add_all(replay: Replay, batch: Transition) -> Replay:
    """The ring with the steps of a batch, one after the other.

    Args:
      replay: the ring.
      batch: `[T, N, ...]`; each step continues the one before it, as for `add`, that of an earlier batch too.

    Returns:
      The ring.

    Example:
      >>> import dataclasses, jaxrl
      >>> env, env_params = jaxrl.envs.make("CartPole-v1")
      >>> obs, env_state = jaxrl.envs.reset(env, env_params, jax.random.key(0), 2)
      >>> act = lambda obs, key: (jnp.zeros(2, jnp.int32), jnp.zeros(2))
      >>> *_, batch = jaxrl.envs.rollout(env, env_params, act, obs, env_state, jax.random.key(1), 5)
      >>> cut = dataclasses.replace(batch, truncated=batch.truncated.at[-1].set(True))  # what comes next is not next
      >>> add_all(init_replay(jax.tree.map(lambda x: x[0], batch), 100), cut).filled.tolist()
      [6, 6]

    Source: our own.
    """
    return jax.lax.scan(lambda replay, transition: (add(replay, transition), None), replay, batch)[0]


def following(replay: Replay, row: jax.Array, steps: int = 1) -> jax.Array:
    """The rows that come so many after given ones, around the ring of their environment.

    Args:
      replay: the ring.
      row: int32 `[...]`.
      steps: how many; a negative number goes back.

    Returns:
      Rows, int32 `[...]`.

    Source: our own.
    """
    size = replay.num_rows
    return row // size * size + (row % size + steps) % size
