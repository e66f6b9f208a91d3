"""Updates of a language model whose rewards Python gives."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import lm
from jaxrl.engine.programs import is_finite, kept
from jaxrl.engine.train import update_key


def try_reward(algorithm: Any) -> None:
    """Ask the function about two completions of one token, before anything is compiled or written.

    Args:
      algorithm: whose task Python judges.

    Raises:
      RewardError: for what it gives, if those are no rewards.
      TypeError: for a learner that compares completions inside of its program, as DPO.

    Source: our own.
    """
    task = algorithm.task
    prompts = task.prompts(jax.random.key(0), 2)
    _, batch = jax.eval_shape(lambda key: algorithm.rollout(algorithm.init(key), key), jax.random.key(0))
    if not hasattr(batch, "reward"):
        raise TypeError(
            f"task: {type(algorithm).__name__} compares completions inside of its program, where Python cannot judge; "
            "choose a task with a verifier"
        )
    token = next(iter(task.sampling.stop_tokens), 0)
    completions = lm.Completions(jnp.full((2, 1), token), jnp.zeros((2, 1)), jnp.ones((2, 1), bool))
    task.judge(prompts, completions)


def judged_updates(
    algorithm: Any, state: Any, key: jax.Array, start: int, alive: jax.Array, num_updates: int
) -> tuple[Any, dict[str, np.ndarray], jax.Array]:
    """As `updates` of `engine.programs`, with the function of the task between the two halves of every update.

    Returns:
      The state, the metrics `[n]` or `[K, n]`, and who is finite.
    """
    batched, good, history = alive.ndim > 0, alive, []
    for update in range(start, start + num_updates):
        state, batch, learn_key = rollout(algorithm, state, key, update, batched)
        state, metrics, good = learn(algorithm, state, rewarded(algorithm.task, batch, batched), learn_key, good)
        history.append(jax.device_get(metrics))
    return state, jax.tree.map(lambda *rows: np.stack(rows, axis=-1), *history), good


@functools.partial(jax.jit, static_argnames="batched")
def rollout(algorithm: Any, state: Any, key: jax.Array, update: jax.Array, batched: bool) -> tuple[Any, Any, Any]:
    """The first half of an update of one seed, or of each, and the key of the second one."""

    def one(state: Any, key: jax.Array) -> tuple[Any, Any, Any]:
        rollout_key, learn_key = jax.random.split(update_key(key, update))
        return *algorithm.rollout(state, rollout_key), learn_key

    return jax.vmap(one)(state, key) if batched else one(state, key)


@functools.partial(jax.jit, donate_argnames="state")
def learn(algorithm: Any, state: Any, batch: Any, key: jax.Array, alive: jax.Array) -> tuple[Any, Any, jax.Array]:
    """The second half; a seed that is not finite afterwards stays as it was."""

    def one(state: Any, batch: Any, key: jax.Array) -> tuple[Any, Any, jax.Array]:
        new, metrics = algorithm.learn(state, batch, key)
        return new, metrics, is_finite(new)

    if not alive.ndim:
        return one(state, batch, key)
    new, metrics, finite = jax.vmap(one)(state, batch, key)
    return kept(alive & finite, new, state), metrics, alive & finite


def rewarded(task: Any, batch: Any, batched: bool) -> Any:
    """The batch with rewards `[B]`, or `[K, B]`, by Python."""
    seeds = len(batch.reward) if batched else 1
    parts = [jax.tree.map(lambda x, i=i: x[i], batch) for i in range(seeds)] if batched else [batch]
    rewards = [jnp.asarray(task.judge(one.prompts, one.completions)) for one in parts]
    return batch.replace(reward=jnp.stack(rewards) if batched else rewards[0])
