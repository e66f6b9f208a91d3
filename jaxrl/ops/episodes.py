"""Returns and lengths of finished episodes, as sums that add up over updates."""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class EpisodeStatistics:
    """Return and length so far of the episodes in progress, float32 `[N]` each. Source: our own bookkeeping."""

    return_: jax.Array
    length: jax.Array


def init_episodes(num_envs: int) -> EpisodeStatistics:
    """Episodes that have just begun, `[num_envs]`. Source: our own bookkeeping."""
    return EpisodeStatistics(jnp.zeros(num_envs), jnp.zeros(num_envs))


def episode_metrics(
    episode: EpisodeStatistics, reward: jax.Array, done: jax.Array
) -> tuple[EpisodeStatistics, dict[str, jax.Array]]:
    """Sums over the episodes that finish within a rollout.

    What finished is what was carried in, and every step up to the last end: summed by themselves, since a difference of
    large sums would lose a small return.

    Args:
      episode: `[N]` episodes in progress before the rollout.
      reward: `[T, N]`.
      done: `[T, N]` bool, end of an episode for either reason.

    Returns:
      The episodes in progress after it, and `episode_return_sum`, `episode_length_sum` and `episodes`, float32 `[]`.
      Divide the sums by `episodes` over a window of your choice; where that is zero there is no mean.

    Example:
      >>> reward, done = jnp.ones((3, 1)), jnp.array([[False], [True], [False]])
      >>> episode, metrics = episode_metrics(init_episodes(1), reward, done)
      >>> float(metrics["episode_return_sum"]), float(metrics["episodes"]), float(episode.length[0])
      (2.0, 1.0, 1.0)

    Source: our own bookkeeping.
    """
    steps = jnp.arange(len(reward))[:, None]
    last_done = jnp.max(jnp.where(done, steps, -1), axis=0)  # -1: no episode ended
    unfinished = steps > last_done[None]
    carried = (last_done < 0).astype(jnp.float32)
    remaining = EpisodeStatistics(
        return_=jnp.sum(jnp.where(unfinished, reward, 0.0), axis=0) + carried * episode.return_,
        length=jnp.sum(unfinished, axis=0, dtype=jnp.float32) + carried * episode.length,
    )
    return remaining, {
        "episode_return_sum": jnp.sum(jnp.where(unfinished, 0.0, reward)) + jnp.sum((1.0 - carried) * episode.return_),
        "episode_length_sum": jnp.sum(~unfinished, dtype=jnp.float32) + jnp.sum((1.0 - carried) * episode.length),
        "episodes": jnp.sum(done, dtype=jnp.float32),
    }
