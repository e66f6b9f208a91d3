"""Reinforcement learning of completions: draw groups of them, verify, compare within the group, follow the gradient."""

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
from jaxrl.types import Metrics, Stage, leaf, static, whole_number


@flax.struct.dataclass
class CompletionTargets:
    """What the loss reads: prompts `[P, ...]` and, of the completions of each, `[P, G, ...]` of everything else.

    `weight` is of tokens that count; the others have none.
    """

    prompts: lm.Prompts
    completions: lm.Completions
    reference_log_prob: jax.Array
    advantage: jax.Array
    weight: jax.Array


@flax.struct.dataclass
class GRPO:
    """Group-relative policy optimization and its relatives; sampling, reward and gradient are one program.

    Its fields are the family: `advantage` is RLOO's, Dr. GRPO's or GRPO's; `policy_loss` PPO's of tokens, GSPO's or
    CISPO's; `aggregate` says what a mean is over. With a reference, the divergence of whole completions from it is
    taken from the advantage, less the mean of the others (a reward, whose gradient is that of the divergence), or it is
    a loss of tokens.

    Args:
      task: prompts, verifier and texts: `lm.tasks`.
      model: `networks.Transformer`.
      sampling: how completions are drawn; None: as the task says.
      advantage: function of rewards `[P, G]` from `jaxrl.ops`.
      policy_loss: function of (log_prob, old_log_prob, advantage, mask, low, high) from `jaxrl.ops`, which gives losses
        and the ratios that the bounds are of.
      aggregate: function of the mask `[B, T]` that gives weights, from `jaxrl.ops`; they are of the whole batch, so
        that minibatches and devices with few tokens count for few.
      kl_loss: function of (log_prob, old_log_prob, reference_log_prob) from `jaxrl.ops`; None: a reward.
      optimizer: function of the learning rate that gives an optax transformation.
      num_prompts: P, prompts of an update.
      group_size: G, completions of each.
      num_kept: prompts that are learned from, at most `num_prompts`, those first whose completions earned different
        rewards; if there are too few, the others count nothing ("dynamic sampling"). None: all.
      overlong: tokens before the longest length, at most all of it, over which a penalty grows from 0 to 1; 0: none.
        It tells completions of equal reward apart, but prompts are kept by their rewards alone.
      num_epochs: passes over the batch per update.
      num_minibatches: gradient steps per pass, each of whole groups.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      clip_low: ε below one, of the ratio.
      clip_high: ε above one.
      kl_coef: β, weight of the divergence from the reference; without `reference_params` it is not read.
      max_grad_norm: bound of the gradient's global norm.
      params: starting point of the model; None initializes at random.
      reference_params: of the frozen model that the policy is held to; None: there is none.

    Example:
      >>> import jaxrl
      >>> from jaxrl import networks
      >>> task = lm.tasks.Parity(4)
      >>> config = networks.TransformerConfig(task.tokenizer.vocab_size, width=16, num_layers=1, num_heads=2)
      >>> rloo = GRPO(task, networks.Transformer(config), num_prompts=4, group_size=4, **RLOO)
      >>> state, metrics = jaxrl.train(rloo, jax.random.key(0), 2)
      >>> metrics["reward"].shape
      (2,)

    Source: Shao et al. (2024), DeepSeekMath, arXiv:2402.03300 (GRPO); Ahmadian et al. (2024), arXiv:2402.14740 (RLOO);
    Liu et al. (2025), arXiv:2503.20783 (Dr. GRPO); Yu et al. (2025), arXiv:2503.14476 (DAPO); Zheng et al. (2025),
    arXiv:2507.18071 (GSPO); MiniMax (2025), arXiv:2506.13585 (CISPO). Deviations of the defaults from GRPO's paper: the
    mean is over all tokens (`ops.token_mean`), not first over those of a completion; there is no divergence.
    """

    task: Any
    model: Any = static()
    _: dataclasses.KW_ONLY
    sampling: lm.Sampling | None = None
    advantage: Callable[..., jax.Array] = static(ops.group_standardized)
    policy_loss: Callable[..., tuple[jax.Array, jax.Array]] = static(ops.token_clip)
    aggregate: Callable[..., jax.Array] = static(ops.token_mean)
    kl_loss: Callable[..., jax.Array] | None = static(None)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    num_prompts: int = static(64, low=1)
    group_size: int = static(8, low=1)
    num_kept: int | None = static(None)
    overlong: int = static(0, low=0)
    num_epochs: int = static(1, low=1)
    num_minibatches: int = static(1, low=1)
    learning_rate: float = leaf(3e-4, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    clip_low: float = leaf(0.2, low=0, high=1, open_low=True)
    clip_high: float = leaf(0.2, low=0, open_low=True, infinite=True)
    kl_coef: float = leaf(0.0, low=0)
    max_grad_norm: float = leaf(1.0, low=0, open_low=True, infinite=True)
    params: Any = None
    reference_params: Any = None

    def __post_init__(self) -> None:
        kept = self.num_prompts if self.num_kept is None else whole_number("num_kept", self.num_kept, 1)
        if kept > self.num_prompts:
            raise ValueError(f"num_kept={kept} must be at most num_prompts={self.num_prompts}")
        name = "num_prompts" if self.num_kept is None else "num_kept"
        ops.check_minibatches(self.num_minibatches, **{name: kept})

    @property
    def steps_per_update(self) -> int:
        """Completions of one update."""
        return self.num_prompts * self.group_size

    @property
    def drawn_by(self) -> lm.Sampling:
        """How completions are drawn."""
        return self.task.sampling if self.sampling is None else self.sampling

    def init(self, key: jax.Array) -> LanguageState:
        """Copy or initialize the parameters. The key is consumed."""
        return learner.init_state(self, key)

    def rollout(self, state: LanguageState, key: jax.Array) -> tuple[LanguageState, CompletionBatch]:
        """Draw `group_size` completions of each of `num_prompts` prompts, and verify them. The key is consumed."""
        return state, learner.completed(self, state.params, self.group_size, key)

    def update(self, state: LanguageState, key: jax.Array) -> tuple[LanguageState, Metrics]:
        """One rollout and everything learned from it. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)

    def learn(self, state: LanguageState, batch: CompletionBatch, key: jax.Array) -> tuple[LanguageState, Metrics]:
        """Advantages, and `num_epochs` passes of gradient steps over a batch. The key is consumed."""
        data, metrics = self.targets(batch)
        state, losses = learner.descend(self, state, self.loss, data, key)
        return state, metrics | losses

    def targets(self, batch: CompletionBatch) -> tuple[CompletionTargets, Metrics]:
        """Advantages and weights of a batch, of the kept prompts only, and what there is to say about it."""
        completions = batch.completions
        prompts = jax.tree.map(lambda x: x[:: self.group_size], batch.prompts)
        lengths, longest = completions.lengths, self.drawn_by.max_new_tokens
        grouped = batch.reward.reshape(-1, self.group_size)
        informative = grouped.max(axis=1) > grouped.min(axis=1)
        reward = batch.reward + ops.overlong_penalty(lengths, longest, self.overlong)
        advantage = self.advantage(reward.reshape(grouped.shape))
        reference_log_prob, divergence = completions.log_prob, jnp.zeros(grouped.shape)
        if self.reference_params is not None:
            learner.check_reference(self)
            reference_log_prob = learner.score(self, self.reference_params, prompts, completions).log_prob
            divergence = (completions.log_prob - reference_log_prob).sum(axis=1).reshape(grouped.shape)
        if self.reference_params is not None and self.kl_loss is None:
            # Beside the advantage: divided by a deviation of rewards, β would mean nothing.
            advantage = advantage - self.kl_coef * ops.batch_leave_one_out(divergence)
        advantage = jnp.broadcast_to(advantage.reshape(-1, 1), completions.mask.shape)
        of_completions = (completions, reference_log_prob, advantage, completions.mask)
        groups = jax.tree.map(lambda x: x.reshape(*grouped.shape, *x.shape[1:]), of_completions)
        data = CompletionTargets(prompts, *groups)
        if self.num_kept is not None:
            data = _kept(data, informative, self.num_kept)
        weight = self.aggregate(ops.flat(data.weight)).reshape(data.weight.shape)
        data = dataclasses.replace(data, weight=weight)
        said = {"informative": informative.mean(dtype=jnp.float32), "divergence": divergence.mean()}
        return data, learner.completion_metrics(self, batch) | said

    def stages(self, state: LanguageState, key: jax.Array) -> dict[str, Stage]:
        """What the profiler times one by one within the halves. The key is consumed."""
        rollout_key, draw_key, shuffle_key = jax.random.split(key, 3)
        batch = learner.completed(self, state.params, self.group_size, rollout_key)
        targets = {"score": Stage(GRPO.targets, (self, batch), within="learn")}
        learning = learner.learning_stages(self, state, GRPO.loss, self.targets(batch)[0], shuffle_key)
        return learner.drawing_stages(self, state.params, self.group_size, draw_key) | targets | learning

    def loss(self, params: Any, data: CompletionTargets) -> tuple[jax.Array, Metrics]:
        """Weighted policy loss and divergence of a minibatch `[P / num_minibatches, ...]`, and the metrics."""
        of_completions = (data.completions, data.reference_log_prob, data.advantage, data.weight)
        completions, reference_log_prob, advantage, weight = ops.flat(of_completions)
        weight = weight * self.num_minibatches
        scores = learner.score(self, params, data.prompts, completions)
        loss, metrics = learner.policy_loss(self, scores, completions, advantage, weight)
        if self.kl_loss is not None and self.reference_params is not None:
            kl = self.kl_loss(scores.log_prob, completions.log_prob, reference_log_prob)
            loss += self.kl_coef * jnp.where(weight > 0, weight * kl, 0.0).sum()
        return loss, {"loss": loss} | metrics


def _kept(data: CompletionTargets, informative: jax.Array, num_kept: int) -> CompletionTargets:
    """The groups of `num_kept` prompts, informative ones first; of the others no token has weight."""
    order = jnp.argsort(~informative, stable=True)[:num_kept]
    kept = jax.tree.map(lambda x: x[order], data)
    return dataclasses.replace(kept, weight=kept.weight & informative[order][:, None, None])


DR_GRPO: dict[str, Any] = {"advantage": ops.centered, "aggregate": ops.constant}
"""Dr. GRPO: no standard deviation, no length in the mean. Liu et al. (2025), arXiv:2503.20783."""
RLOO: dict[str, Any] = {"advantage": ops.leave_one_out, "aggregate": ops.constant}
"""REINFORCE with the mean of the others as its baseline. Ahmadian et al. (2024), arXiv:2402.14740."""
REINFORCE: dict[str, Any] = {
    "advantage": ops.batch_leave_one_out,
    "policy_loss": ops.weight_clip,
    "aggregate": ops.constant,
    "num_prompts": 512,
    "group_size": 1,
    "clip_low": 1.0,
    "clip_high": jnp.inf,
}
"""REINFORCE with the mean of the batch as its baseline. Williams (1992)."""
DAPO: dict[str, Any] = {"clip_high": 0.28, "num_prompts": 64, "num_kept": 32}
"""Clip higher, dynamic sampling, mean over tokens; `overlong` is to be chosen. Yu et al. (2025), arXiv:2503.14476."""
GSPO: dict[str, Any] = {
    "policy_loss": ops.sequence_clip,
    "aggregate": ops.sequence_mean,
    "clip_low": 3e-4,
    "clip_high": 4e-4,
}
"""One ratio a completion. Zheng et al. (2025), arXiv:2507.18071."""
CISPO: dict[str, Any] = {"policy_loss": ops.weight_clip, "clip_low": 1.0, "clip_high": 4.0}
"""Clipped importance weights. MiniMax (2025), arXiv:2506.13585; the bound is Khatri et al.'s (2025),
arXiv:2510.13786."""
