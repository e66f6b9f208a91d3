"""Actor-critic that learns several times from each batch, corrected by V-trace."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import ops
from jaxrl.algorithms.pg import experience
from jaxrl.algorithms.pg.experience import PolicyState
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class VTraceActorCritic:
    """Off-policy actor-critic: values and advantages of the policy as it is now, from steps of the one that acted.

    After the first gradient step a batch is that of another policy; truncated importance ratios correct for it, where
    PPO bounds the step. `learn` takes batches of any policy whose `log_prob` they hold.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      network: linen module whose `apply(params, obs [B, ...])` gives `(distribution, value [B])`; None chooses an MLP,
        a CNN or a one-hot MLP by the observation space.
      hidden_sizes: widths of the default network's fully connected layers.
      optimizer: function of the learning rate that gives an optax transformation; it gets small arrays as one vector.
      num_envs: N, environments stepped together.
      num_steps: T, steps of each environment per update.
      num_epochs: passes over the batch per update.
      num_minibatches: gradient steps per pass, each on all steps of N / num_minibatches environments.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      discount: γ, per step.
      trace_lambda: λ of the corrected returns.
      ratio_clip: bound of the importance ratio of an error, at least one, which is that of a trace.
      value_coef: weight of the value loss.
      entropy_coef: weight of the entropy bonus.
      max_grad_norm: bound of the gradient's global norm.
      normalize_observations: whether observations are standardized by running statistics.
      normalize_rewards: whether rewards are divided by the running deviation of their discounted sum.
      params: starting point of the network; None initializes at random.

    Example:
      >>> import jaxrl
      >>> learner = jaxrl.VTraceActorCritic(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=8)
      >>> state, metrics = jaxrl.train(learner, jax.random.key(0), 3)
      >>> metrics["loss"].shape
      (3,)

    Source: Espeholt et al. (2018), IMPALA: Scalable Distributed Deep-RL with Importance Weighted Actor-Learner
    Architectures, section 4, arXiv:1802.01561. Deviations: synchronous, off policy by repetition; advantages are
    divided by their root mean square over the minibatch; λ is 0.95 by default; time limits bootstrap the true last
    observation; Adam; heads begin at zero.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    network: nn.Module | None = static(None)
    hidden_sizes: tuple[int, ...] = static((64, 64), low=1)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    num_envs: int = static(32, low=1)
    num_steps: int = static(32, low=1)
    num_epochs: int = static(2, low=1)
    num_minibatches: int = static(2, low=1)
    learning_rate: float = leaf(1e-3, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    trace_lambda: float = leaf(0.95, low=0, high=1)
    ratio_clip: float = leaf(1.0, low=1, infinite=True)
    value_coef: float = leaf(0.5, low=0)
    entropy_coef: float = leaf(0.01, low=0)
    max_grad_norm: float = leaf(0.5, low=0, open_low=True, infinite=True)
    normalize_observations: bool = static(False)
    normalize_rewards: bool = static(False)
    params: Any = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete", "Box")

    def __post_init__(self) -> None:
        ops.check_minibatches(self.num_minibatches, num_envs=self.num_envs)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    def init(self, key: jax.Array) -> PolicyState:
        """Reset the environments and initialize the network. The key is consumed."""
        return experience.init_state(self, key)

    def act(self, state: PolicyState, obs: Any, key: jax.Array) -> jax.Array:
        """The most probable actions `[B]` or `[B, A]` of raw observations `[B, ...]`, for evaluation."""
        return experience.apply(self, state.params, state, obs)[0].mode()

    def explore(self, state: PolicyState, obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Actions of the policy for raw observations `[N, ...]`, and their log-probabilities. The key is consumed."""
        return experience.explore(self, state, obs, key)

    def rollout(self, state: PolicyState, key: jax.Array) -> tuple[PolicyState, Transition]:
        """Act for `num_steps` steps in `num_envs` environments: the batch is `[T, N, ...]`. The key is consumed."""
        return experience.rollout(self, state, key)

    def update(self, state: PolicyState, key: jax.Array) -> tuple[PolicyState, Metrics]:
        """One rollout and everything learned from it. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)

    def learn(self, state: PolicyState, batch: Transition, key: jax.Array) -> tuple[PolicyState, Metrics]:
        """`num_epochs` passes of gradient steps, each on all steps of some environments, of a batch `[T, N, ...]`.

        The key is consumed. Losses in the metrics are averaged over the gradient steps, episodes are sums.
        """
        state, scaled = experience.scaled_rewards(self, state, batch)

        def loss(params: Any, minibatch: Transition) -> tuple[jax.Array, Metrics]:
            return self.loss(params, state, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), minibatch))

        by_env = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), scaled)
        start, sizes = (state.params, state.opt_state), (self.num_epochs, self.num_minibatches)
        transform = ops.transform_of(self, state.num_updates)
        params, opt_state, losses = ops.minimize(loss, transform, start, by_env, key, *sizes)
        state, metrics = experience.learned(state, params, opt_state, batch)
        return state, metrics | losses

    def loss(self, params: Any, state: PolicyState, batch: Transition) -> tuple[jax.Array, Metrics]:
        """Corrected policy gradient, value loss and entropy bonus of steps `[T, N, ...]`, and the metrics."""
        shape, steps = batch.reward.shape, ops.flat(batch)
        policy, value = experience.apply(self, params, state, steps.obs)
        _, next_value = experience.apply(self, params, state, steps.next_obs)
        log_prob = policy.log_prob(steps.action)
        ratio = jnp.exp(log_prob - steps.log_prob)
        target, advantage = ops.vtrace(
            batch.reward,
            value.reshape(shape),
            next_value.reshape(shape),
            ratio.reshape(shape),
            (batch.terminated, batch.truncated),
            discount=self.discount,
            trace_lambda=self.trace_lambda,
            clip=self.ratio_clip,
        )
        target, advantage = (jax.lax.stop_gradient(x.reshape(-1)) for x in (target, advantage))
        # Scaled, not centred: a constant is no baseline once the errors are weighted by ratios.
        advantage = advantage / (jnp.sqrt(jnp.square(advantage).mean()) + 1e-8)
        policy_loss = ops.policy_gradient_loss(log_prob, advantage).mean()
        value_loss = 0.5 * jnp.square(value - target).mean()
        entropy = policy.entropy().mean()
        loss = policy_loss + self.value_coef * value_loss - self.entropy_coef * entropy
        return loss, {
            "loss": loss,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "ratio": ratio.mean(),
        }
