"""What all learners of language models share: their state, its beginning, and a gradient step of whole texts."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import lm, ops
from jaxrl.types import Metrics, Stage


@flax.struct.dataclass
class LanguageState:
    """State of a learner between updates.

    Args:
      params: of the model.
      opt_state: of the optimizer.
      num_updates: updates made, int32 `[]`.
    """

    params: Any
    opt_state: Any
    num_updates: jax.Array


@flax.struct.dataclass
class CompletionBatch:
    """Completions and what they earned, `[B, ...]`; those of one prompt stand beside each other.

    Args:
      prompts: `Prompts` of B rows.
      completions: `Completions`.
      reward: float32 `[B]`; a verifier of your own writes it between `rollout` and `learn`.
    """

    prompts: lm.Prompts
    completions: lm.Completions
    reward: jax.Array


def init_state(algorithm: Any, key: jax.Array) -> LanguageState:
    """Parameters that were given, or random ones, and a fresh optimizer. The key is consumed."""
    params = algorithm.params
    if params is None:
        params = algorithm.model.init(key, jnp.zeros((1, 1), jnp.int32))
    transform = ops.clipped_optimizer(algorithm, jnp.int32(0))
    return LanguageState(jax.tree.map(jnp.array, params), transform.init(params), jnp.int32(0))


def descend(
    algorithm: Any,
    state: LanguageState,
    loss: Callable[[Any, Any], tuple[jax.Array, Metrics]],
    data: Any,
    key: jax.Array,
) -> tuple[LanguageState, Metrics]:
    """Gradient steps on the minibatches of `num_epochs` passes over data `[B, ...]`. The key is consumed.

    B are completions, or prompts where those of a prompt stay together.
    """
    transform = ops.clipped_optimizer(algorithm, state.num_updates)
    start, sizes = (state.params, state.opt_state), (algorithm.num_epochs, algorithm.num_minibatches)
    params, opt_state, metrics = ops.minimize(loss, transform, start, data, key, *sizes)
    return LanguageState(params, opt_state, state.num_updates + 1), metrics


def step(
    algorithm: Any, state: LanguageState, loss: Callable[[Any], tuple[jax.Array, Metrics]]
) -> tuple[LanguageState, Metrics]:
    """One gradient step."""
    gradient, metrics = jax.grad(loss, has_aux=True)(state.params)
    return _moved(state, algorithm, gradient), metrics


def _moved(state: LanguageState, algorithm: Any, gradient: Any) -> LanguageState:
    """The state after a step of the optimizer along a gradient."""
    transform = ops.clipped_optimizer(algorithm, state.num_updates)
    updates, opt_state = transform.update(gradient, state.opt_state, state.params)
    return LanguageState(optax.apply_updates(state.params, updates), opt_state, state.num_updates + 1)


def completed(algorithm: Any, params: Any, group_size: int, key: jax.Array) -> CompletionBatch:
    """`group_size` verified completions of each of `num_prompts` prompts. The key is consumed."""
    prompt_key, completion_key = jax.random.split(key)
    asked = algorithm.task.prompts(prompt_key, algorithm.num_prompts)
    completions = lm.generate(
        algorithm.model, params, asked.tokens, asked.start, completion_key, algorithm.drawn_by, group_size
    )
    prompts = asked.repeat(group_size)
    return CompletionBatch(prompts, completions, algorithm.task.verify(prompts, completions))


def drawing_stages(algorithm: Any, params: Any, group_size: int, key: jax.Array) -> dict[str, Stage]:
    """Prompts, tokens and verifier, as `completed` makes and judges completions: parts of `rollout`, for the profiler.

    The tokens are as many as its longest completion has, or as are drawn in any case.
    """
    batch_key, prompt_key, ask_key, prefill_key, decode_key = jax.random.split(key, 5)
    batch = completed(algorithm, params, group_size, batch_key)
    ask = functools.partial(_asked, num_prompts=algorithm.num_prompts)
    asked, sampling = ask(algorithm.task, prompt_key), algorithm.drawn_by
    model, plain = lm.without_adapters(algorithm.model, params, algorithm.model.config.dtype)
    prefill = functools.partial(lm.prefill, model, sampling=sampling, group_size=group_size)
    begun = prefill(plain, asked.tokens, asked.start, jax.random.fold_in(prefill_key, 0))
    decode = functools.partial(lm.decode, model=model, sampling=sampling)
    longest = int(batch.completions.lengths.max()) if sampling.early_exit else sampling.max_new_tokens
    part = functools.partial(Stage, within="rollout")
    return {
        "prompts": part(ask, (algorithm.task, ask_key)),
        "prefill": part(prefill, (plain, asked.tokens, asked.start, prefill_key)),
        "decode": part(decode, (begun, plain, decode_key), longest - 1, carry=0),
        "verifier": part(_verified, (algorithm.task, batch.prompts, batch.completions)),
    }


def learning_stages(
    algorithm: Any, state: LanguageState, loss: Callable[..., Any], data: Any, key: jax.Array
) -> dict[str, Stage]:
    """What `descend` does with data `[B, ...]`, parts of `learn`, for the profiler.

    Args:
      algorithm: with `num_epochs` and `num_minibatches`.
      state: of it.
      loss: its method, which gets the algorithm.
      data: of an update.
      key: consumed.
    """
    minibatch = jax.tree.map(lambda x: x[: len(x) // algorithm.num_minibatches], data)
    num_gradients = algorithm.num_epochs * algorithm.num_minibatches
    slope = jax.tree.map(jnp.zeros_like, state.params)
    gradient = (jax.grad(loss, argnums=1, has_aux=True), (algorithm, state.params, minibatch))
    part = functools.partial(Stage, within="learn")
    return {
        "shuffle": part(ops.shuffled, (data, key), algorithm.num_epochs),
        "gradient": part(*gradient, num_gradients),
        "optimizer": part(_moved, (state, algorithm, slope), num_gradients, carry=0),
    }


def _asked(task: Any, key: jax.Array, num_prompts: int) -> Any:
    return task.prompts(key, num_prompts)


def _verified(task: Any, prompts: Any, completions: Any) -> jax.Array:
    return task.verify(prompts, completions)


def completion_metrics(algorithm: Any, batch: CompletionBatch) -> Metrics:
    """Mean reward and length, and the share of completions that were cut."""
    completions = batch.completions
    return {
        "reward": batch.reward.mean(),
        "length": completions.lengths.mean(dtype=jnp.float32),
        "cut": 1.0 - completions.ended(algorithm.drawn_by).mean(dtype=jnp.float32),
    }


def score(algorithm: Any, params: Any, prompts: lm.Prompts, completions: lm.Completions) -> lm.Scores:
    """Scores `[B, T]` of completions under parameters; log-probabilities behind their ends are 0, as the drawn ones.

    The prompts are those of the completions, or one for each group of them.
    """
    sampling = algorithm.drawn_by
    scores = lm.score(algorithm.model, params, prompts.tokens, prompts.start, completions.tokens, sampling)
    return dataclasses.replace(scores, log_prob=jnp.where(completions.mask, scores.log_prob, 0.0))


def check_reference(algorithm: Any) -> None:
    """Refuse to compare with a reference what is drawn from a part of the distribution.

    Raises:
      ValueError: with top_k or top_p, by which the reference might not have a token that was drawn.
    """
    sampling = algorithm.drawn_by
    if sampling.top_k or sampling.top_p is not None:
        raise ValueError("sampling: with a reference all tokens must be drawn from; leave top_k and top_p away")


def policy_loss(
    algorithm: Any, scores: lm.Scores, completions: lm.Completions, advantage: jax.Array, weight: jax.Array
) -> tuple[jax.Array, Metrics]:
    """The weighted sum of the algorithm's policy loss over tokens `[B, T]`, and what there is to say about it.

    `clip_fraction` is the share of tokens whose ratio is out of bounds: of a loss of whole completions, that of theirs.
    """
    mask, old, low, high = completions.mask, completions.log_prob, algorithm.clip_low, algorithm.clip_high
    losses, ratio = algorithm.policy_loss(scores.log_prob, old, advantage, mask, low, high)
    chex.assert_equal_shape([losses, ratio, mask])
    outside = (ratio < 1.0 - low) | (ratio > 1.0 + high)

    def mean(x: jax.Array) -> jax.Array:
        return jnp.where(mask, x, 0.0).sum() / mask.sum()

    loss = jnp.where(weight > 0, weight * losses, 0.0).sum()
    return loss, {"policy_loss": loss, "entropy": mean(scores.entropy), "clip_fraction": mean(outside)}
