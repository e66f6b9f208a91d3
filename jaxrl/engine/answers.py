"""The evaluations of `fit` for language models, and a completion to read."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import lm
from jaxrl.engine.check import sampling_of
from jaxrl.engine.programs import evaluation_key

NUM_PROMPTS = 256


def has_questions(algorithm: Any) -> bool:
    """Whether the algorithm has a task that asks something; a text to pretrain on does not."""
    return hasattr(getattr(algorithm, "task", None), "prompts")


def evaluate_answers(
    algorithm: Any, state: Any, key: jax.Array, alive: jax.Array, update: int
) -> tuple[dict[str, np.ndarray], str]:
    """Mean reward and length of completions of held-out prompts and the share that ended by themselves, `[]` or `[K]`.

    NaN for a frozen seed.

    Returns:
      The means, and the first prompt with its completion, of the first seed.
    """
    task, num_seeds = algorithm.task, alive.size
    prompts, completions = jax.device_get(_answers(algorithm, state, key, jnp.int32(update), batched=alive.ndim > 0))
    if not alive.ndim:
        prompts, completions = jax.tree.map(lambda x: x[None], (prompts, completions))
    means: dict[str, list[float]] = {"return": [], "length": [], "finished": []}
    for seed in range(num_seeds):
        asked, answered = jax.tree.map(lambda x, seed=seed: x[seed], (prompts, completions))
        means["return"].append(float(np.mean(lm.tasks.rewards_of(task, asked, answered))))
        means["length"].append(float(np.mean(answered.lengths)))
        means["finished"].append(float(np.mean(answered.ended(sampling_of(algorithm)))))
    first, completion = jax.tree.map(lambda x: x[0, :1], (prompts, completions))
    question = lm.tasks.questions_of(task, first)[0]["prompt"]
    sample = _shown(f"{question} → {lm.tasks.texts_of(task.tokenizer, completion)[0]}")
    living = np.asarray(alive)
    return {k: np.where(living, np.reshape(v, alive.shape), np.nan) for k, v in means.items()}, sample


def _shown(text: str) -> str:
    """A text that moves no cursor."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@functools.partial(jax.jit, static_argnames="batched")
def _answers(algorithm: Any, state: Any, key: jax.Array, update: jax.Array, batched: bool) -> Any:
    def one(state: Any, key: jax.Array) -> Any:
        prompt_key, completion_key = jax.random.split(evaluation_key(key, update))
        asked = algorithm.task.prompts(prompt_key, NUM_PROMPTS, held_out=True)
        arguments = (asked.tokens, asked.start, completion_key, sampling_of(algorithm))
        return asked, lm.generate(algorithm.model, state.params, *arguments)

    return jax.vmap(one)(state, key) if batched else one(state, key)
