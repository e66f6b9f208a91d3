"""Direct preference optimization: of two answers the better one becomes more likely, without a reward model."""

import dataclasses
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
class PreferenceBatch:
    """Pairs of completions of B prompts; a data set of your own is one too.

    Args:
      prompts: `Prompts` of B rows.
      chosen: `Completions` `[B, T]`, the better ones.
      rejected: `Completions` `[B, T]`, the worse ones.
      weight: float32 `[B]`, what each pair counts; 0 where neither is better.
    """

    prompts: lm.Prompts
    chosen: lm.Completions
    rejected: lm.Completions
    weight: jax.Array


@flax.struct.dataclass
class DPO:
    """Direct preference optimization, of pairs that the reference draws and the verifier tells apart.

    Args:
      task: prompts, verifier and texts: `lm.tasks`.
      model: `networks.Transformer`.
      sampling: how completions are drawn; None: as the task says.
      optimizer: function of the learning rate that gives an optax transformation.
      num_prompts: B, pairs of an update.
      beta: β, how near the policy stays to the reference.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      max_grad_norm: bound of the gradient's global norm.
      params: starting point of the model; None initializes at random.
      reference_params: of the frozen model that draws the pairs and that the policy is held to; None: `params`.

    Example:
      >>> import jaxrl
      >>> from jaxrl import networks
      >>> task = lm.tasks.Parity(4)
      >>> config = networks.TransformerConfig(task.tokenizer.vocab_size, width=16, num_layers=1, num_heads=2)
      >>> model = networks.Transformer(config)
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))
      >>> dpo = DPO(task, model, params=params, num_prompts=8)
      >>> state, metrics = jaxrl.train(dpo, jax.random.key(0), 2)
      >>> print(metrics["loss"].round(3)[0])  # log 2: no pair is told apart yet
      0.693

    Source: Rafailov et al. (2023), Direct Preference Optimization, arXiv:2305.18290. Deviation: the pairs are new in
    each update.
    """

    task: Any
    model: Any = static()
    _: dataclasses.KW_ONLY
    sampling: lm.Sampling | None = None
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    num_prompts: int = static(256, low=1)
    beta: float = leaf(0.1, low=0, open_low=True)
    learning_rate: float = leaf(1e-4, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    max_grad_norm: float = leaf(1.0, low=0, open_low=True, infinite=True)
    params: Any = None
    reference_params: Any = None

    def __post_init__(self) -> None:
        if self.params is None and self.reference_params is None:
            raise ValueError("params: preferences are of a trained model; give params, reference_params or both")

    @property
    def steps_per_update(self) -> int:
        """Completions of one update."""
        return 2 * self.num_prompts

    @property
    def drawn_by(self) -> lm.Sampling:
        """How completions are drawn."""
        return self.task.sampling if self.sampling is None else self.sampling

    @property
    def reference(self) -> Any:
        """Parameters of the frozen model."""
        return self.params if self.reference_params is None else self.reference_params

    def init(self, key: jax.Array) -> LanguageState:
        """Copy or initialize the parameters. The key is consumed."""
        return learner.init_state(self, key)

    def rollout(self, state: LanguageState, key: jax.Array) -> tuple[LanguageState, PreferenceBatch]:
        """Two completions of each prompt by the reference, the better one first. The key is consumed."""
        batch = learner.completed(self, self.reference, 2, key)
        first, second = (jax.tree.map(lambda x, i=i: x[i::2], batch) for i in (0, 1))

        def pick(wanted: jax.Array) -> lm.Completions:
            return jax.tree.map(lambda x, y: jnp.where(wanted[:, None], x, y), first.completions, second.completions)

        better = first.reward >= second.reward
        weight = (first.reward != second.reward).astype(jnp.float32)
        return state, PreferenceBatch(first.prompts, pick(better), pick(~better), weight)

    def update(self, state: LanguageState, key: jax.Array) -> tuple[LanguageState, Metrics]:
        """Pairs, and one gradient step. The key is consumed."""
        state, batch = self.rollout(state, key)
        return self.learn(state, batch)

    def learn(
        self, state: LanguageState, batch: PreferenceBatch, key: jax.Array | None = None
    ) -> tuple[LanguageState, Metrics]:
        """One gradient step on pairs; the key is not read."""
        learner.check_reference(self)
        reference = self.margin(self.reference, batch)
        return learner.step(self, state, lambda params: self.loss(params, batch, reference))

    def margin(self, params: Any, batch: PreferenceBatch) -> jax.Array:
        """Log π(chosen) - log π(rejected) of whole completions, `[B]`.

        Raises:
          ValueError: where both are not of one shape.
        """
        shapes = batch.chosen.tokens.shape, batch.rejected.tokens.shape
        if shapes[0] != shapes[1]:
            raise ValueError(f"rejected: its tokens are {shapes[1]}, those of chosen {shapes[0]}; pad to one length")
        pairs = jax.tree.map(lambda x, y: jnp.stack([x, y], axis=1), batch.chosen, batch.rejected)
        scores = learner.score(self, params, batch.prompts, ops.flat(pairs))
        chosen, rejected = scores.log_prob.sum(axis=1).reshape(-1, 2).T
        return chosen - rejected

    def loss(self, params: Any, batch: PreferenceBatch, reference: jax.Array) -> tuple[jax.Array, Metrics]:
        """Mean loss of the pairs that say something, and the metrics.

        `preferred` is the mean of σ(β margin), by which the policy prefers the better one: 1/2 at the reference. The
        share of margins above zero would be of rounding there.
        """
        margin = self.margin(params, batch) - reference
        weight = batch.weight / jnp.maximum(batch.weight.sum(), 1.0)
        losses = ops.preference_loss(margin, self.beta)
        loss = (weight * losses).sum()
        return loss, {
            "loss": loss,
            "margin": (weight * margin).sum(),
            "preferred": (weight * jnp.exp(-losses)).sum(),
            "informative": batch.weight.mean(),
        }
