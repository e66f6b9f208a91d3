"""Next-token prediction: pretraining on whole texts, and fine-tuning on answers only."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import lm, ops
from jaxrl.algorithms.lm import learner
from jaxrl.algorithms.lm.learner import LanguageState
from jaxrl.types import Metrics, leaf, static


@flax.struct.dataclass
class Pretraining:
    """Maximum likelihood of the next token of a task's texts, each update on fresh ones.

    Args:
      task: texts: `lm.tasks`.
      model: `networks.Transformer`.
      answers_only: whether prompts are left out of the loss (supervised fine-tuning).
      optimizer: function of the learning rate that gives an optax transformation.
      num_texts: B, texts of an update.
      texts_per_row: above 1, texts are packed into B / `texts_per_row` rows, rounded up: less work where many are
        shorter than a row. What finds no room is left out: `left_out`, its share, should be next to nothing.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      max_grad_norm: bound of the gradient's global norm.
      params: starting point of the model; None initializes at random.

    Example:
      >>> import jaxrl
      >>> from jaxrl import networks
      >>> task = lm.tasks.Parity(4)
      >>> config = networks.TransformerConfig(task.tokenizer.vocab_size, width=16, num_layers=1, num_heads=2)
      >>> learner = Pretraining(task, networks.Transformer(config), num_texts=8)
      >>> state, metrics = jaxrl.train(learner, jax.random.key(0), 3)
      >>> metrics["loss"].shape
      (3,)

    Source: Radford et al. (2018), Improving Language Understanding by Generative Pre-Training; `lm.pack` for rows of
    several texts.
    """

    task: Any
    model: Any = static()
    _: dataclasses.KW_ONLY
    answers_only: bool = static(False)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    num_texts: int = static(64, low=1)
    texts_per_row: float = static(1.0, low=1)
    learning_rate: float = leaf(1e-3, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    max_grad_norm: float = leaf(1.0, low=0, open_low=True, infinite=True)
    params: Any = None

    @property
    def steps_per_update(self) -> int:
        """Texts of one update."""
        return self.num_texts

    def init(self, key: jax.Array) -> LanguageState:
        """Copy or initialize the parameters. The key is consumed."""
        return learner.init_state(self, key)

    def rollout(self, state: LanguageState, key: jax.Array) -> tuple[LanguageState, lm.Text]:
        """Take `num_texts` texts from the task. The key is consumed."""
        return state, self.task.corpus(key, self.num_texts)

    def update(self, state: LanguageState, key: jax.Array) -> tuple[LanguageState, Metrics]:
        """Texts, and one gradient step. The key is consumed."""
        state, batch = self.rollout(state, key)
        return self.learn(state, batch)

    def learn(
        self, state: LanguageState, batch: lm.Text, key: jax.Array | None = None
    ) -> tuple[LanguageState, Metrics]:
        """One gradient step on texts `[B, L + T]`; the key is not read."""
        return learner.step(self, state, lambda params: self.loss(params, batch))

    def loss(self, params: Any, text: lm.Text) -> tuple[jax.Array, Metrics]:
        """Mean negative log-probability of the tokens that count, in nats, and the metrics."""
        lm.check_context(self.model, text.prompt_length, text.mask.shape[1])
        tokens = text.tokens
        start = jnp.zeros(len(tokens), jnp.int32) if text.start is None else text.start
        prompt = jnp.full((len(tokens), text.prompt_length), not self.answers_only)
        mask = jnp.concatenate([prompt, text.mask], axis=1)
        mask &= jnp.arange(tokens.shape[1])[None] > start[:, None]  # nothing stands before a first token
        metrics = {}
        if self.texts_per_row > 1:
            tokens, start, mask, placed = lm.pack(tokens, start, mask, math.ceil(len(tokens) / self.texts_per_row))
            start, metrics = start[:, :-1], {"left_out": 1 - placed.mean(dtype=jnp.float32)}
        features, _ = self.model.apply(params, tokens[:, :-1], start, method="features")
        log_prob, _ = lm.token_scores(self.model, params, features, tokens[:, 1:], lm.Sampling(1))
        loss = -(ops.token_mean(mask[:, 1:]) * log_prob).sum()
        return loss, metrics | {"loss": loss, "tokens": mask[:, 1:].sum(dtype=jnp.float32)}
