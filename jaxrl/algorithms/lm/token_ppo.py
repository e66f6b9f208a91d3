"""Proximal policy optimization of completions, with a value for every token."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import lm, ops
from jaxrl.algorithms.lm import learner
from jaxrl.algorithms.lm.learner import CompletionBatch, LanguageState
from jaxrl.types import Metrics, leaf, static


@flax.struct.dataclass
class TokenTargets:
    """What the loss reads, `[B, ...]`: completions, values before the update, advantages, value targets, weights."""

    prompts: lm.Prompts
    completions: lm.Completions
    value: jax.Array
    advantage: jax.Array
    target: jax.Array
    weight: jax.Array


@flax.struct.dataclass
class TokenPPO:
    """PPO whose actions are tokens and whose critic is a second head of the model.

    A token's value is that of the text before it. The reward comes with the last token; the divergence from a
    reference is a reward of each token. The longest length is part of the task: a completion that is cut there has
    ended.

    Args:
      task: prompts, verifier and texts: `lm.tasks`.
      model: `networks.Transformer` with `value_head`.
      sampling: how completions are drawn; None: as the task says.
      policy_loss: function of (log_prob, old_log_prob, advantage, mask, low, high) from `jaxrl.ops`, which gives losses
        and the ratios that the bounds are of.
      optimizer: function of the learning rate that gives an optax transformation.
      num_prompts: B, prompts of an update, each answered once.
      num_epochs: passes over the batch per update.
      num_minibatches: gradient steps per pass.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      discount: γ, per token.
      gae_lambda: λ of generalized advantage estimation.
      clip_low: ε below one, of the ratio.
      clip_high: ε above one.
      value_clip: bound of a value's change in one update; inf does not clip.
      value_coef: weight of the value loss.
      kl_coef: β, weight of the divergence from the reference; without `reference_params` it is not read.
      max_grad_norm: bound of the gradient's global norm.
      params: starting point of the model; None initializes at random.
      reference_params: of the frozen model that the policy is held to; None: there is none.

    Example:
      >>> import jaxrl
      >>> from jaxrl import networks
      >>> task = lm.tasks.Parity(4)
      >>> shape = {"width": 16, "num_layers": 1, "num_heads": 2, "value_head": True}
      >>> config = networks.TransformerConfig(task.tokenizer.vocab_size, **shape)
      >>> ppo = TokenPPO(task, networks.Transformer(config), num_prompts=8, num_minibatches=2)
      >>> state, metrics = jaxrl.train(ppo, jax.random.key(0), 2)
      >>> metrics["value_loss"].shape
      (2,)

    Source: Schulman et al. (2017), arXiv:1707.06347; Ziegler et al. (2019), Fine-Tuning Language Models from Human
    Preferences, arXiv:1909.08593.
    """

    task: Any
    model: Any = static()
    _: dataclasses.KW_ONLY
    sampling: lm.Sampling | None = None
    policy_loss: Callable[..., tuple[jax.Array, jax.Array]] = static(ops.token_clip)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    num_prompts: int = static(256, low=1)
    num_epochs: int = static(2, low=1)
    num_minibatches: int = static(2, low=1)
    learning_rate: float = leaf(3e-4, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(1.0, low=0, high=1)
    gae_lambda: float = leaf(0.95, low=0, high=1)
    clip_low: float = leaf(0.2, low=0, high=1, open_low=True)
    clip_high: float = leaf(0.2, low=0, open_low=True, infinite=True)
    value_clip: float = leaf(jnp.inf, low=0, open_low=True)
    value_coef: float = leaf(0.5, low=0)
    kl_coef: float = leaf(0.0, low=0)
    max_grad_norm: float = leaf(1.0, low=0, open_low=True, infinite=True)
    params: Any = None
    reference_params: Any = None

    def __post_init__(self) -> None:
        if not self.model.config.value_head:
            raise ValueError("model: it has no value head; give its config value_head=True")
        if hasattr(self.model, "merged"):
            raise ValueError("model: its adapters are trained and its value head is not; choose GRPO, or no adapters")
        ops.check_minibatches(self.num_minibatches, num_prompts=self.num_prompts)

    @property
    def steps_per_update(self) -> int:
        """Completions of one update."""
        return self.num_prompts

    @property
    def drawn_by(self) -> lm.Sampling:
        """How completions are drawn."""
        return self.task.sampling if self.sampling is None else self.sampling

    def init(self, key: jax.Array) -> LanguageState:
        """Copy or initialize the parameters. The key is consumed."""
        return learner.init_state(self, key)

    def rollout(self, state: LanguageState, key: jax.Array) -> tuple[LanguageState, CompletionBatch]:
        """Draw a completion of each of `num_prompts` prompts, and verify it. The key is consumed."""
        return state, learner.completed(self, state.params, 1, key)

    def update(self, state: LanguageState, key: jax.Array) -> tuple[LanguageState, Metrics]:
        """One rollout and everything learned from it. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)

    def learn(self, state: LanguageState, batch: CompletionBatch, key: jax.Array) -> tuple[LanguageState, Metrics]:
        """Advantages of tokens, and `num_epochs` passes of gradient steps over a batch. The key is consumed."""
        data, metrics = self.targets(state, batch)
        state, losses = learner.descend(self, state, self.loss, data, key)
        return state, metrics | losses

    def targets(self, state: LanguageState, batch: CompletionBatch) -> tuple[TokenTargets, Metrics]:
        """Values, advantages and value targets of a batch, `[B, T]`, and what there is to say about it."""
        prompts, completions = batch.prompts, batch.completions
        mask = completions.mask
        value = jnp.where(mask, learner.score(self, state.params, prompts, completions).value, 0.0)
        last = jnp.arange(mask.shape[1])[None] == completions.lengths[:, None] - 1
        reward, divergence = jnp.where(last, batch.reward[:, None], 0.0), jnp.zeros(mask.shape)
        if self.reference_params is not None:
            learner.check_reference(self)
            reference = learner.score(self, self.reference_params, prompts, completions)
            divergence = completions.log_prob - reference.log_prob
            reward -= self.kl_coef * divergence
        next_value = jnp.pad(value[:, 1:], ((0, 0), (0, 1)))
        steps = (x.T for x in (reward, value, next_value, last, jnp.zeros_like(last)))
        advantage, target = ops.generalized_advantages(*steps, discount=self.discount, gae_lambda=self.gae_lambda)
        weight = ops.token_mean(mask)
        advantage = ops.weighted_standardized(advantage.T, weight)
        data = TokenTargets(prompts, completions, value, advantage, target.T, weight)
        return data, learner.completion_metrics(self, batch) | {"divergence": divergence.sum(axis=1).mean()}

    def loss(self, params: Any, data: TokenTargets) -> tuple[jax.Array, Metrics]:
        """Clipped policy loss and value loss of a minibatch `[B / num_minibatches, ...]`, and the metrics."""
        completions, weight = data.completions, data.weight * self.num_minibatches
        scores = learner.score(self, params, data.prompts, completions)
        policy_loss, metrics = learner.policy_loss(self, scores, completions, data.advantage, weight)
        value_losses = ops.clipped_value_loss(scores.value, data.value, data.target, self.value_clip)
        value_loss = jnp.where(weight > 0, weight * value_losses, 0.0).sum()
        loss = policy_loss + self.value_coef * value_loss
        return loss, {"loss": loss, "value_loss": value_loss} | metrics
