"""Actor-critic: one gradient step on each batch of experience."""

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
class ActorCritic:
    """Advantage actor-critic: the policy follows ∇ log π(a|s) (G - v(s)), the value follows the returns G.

    N-step: `num_steps=n, gae_lambda=1` (the returns of the last steps of a batch are shorter). A2C: the same in many
    environments, the defaults. The textbook's one-step actor-critic with step sizes α and β of policy and value:
    `num_envs=1, num_steps=1, optimizer=ops.sgd, learning_rate=α, value_coef=β/α, entropy_coef=0, max_grad_norm=inf`.
    With `hidden_sizes=()` the policy is a softmax of linear preferences: a table of them where observations are
    integers. Linear in features x(s) `[B, D]` of your own it is with
    `network=networks.ActorCritic(A, True, nn.Sequential((x,)))`.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      network: linen module whose `apply(params, obs [B, ...])` gives `(distribution, value [B])`; None chooses an MLP,
        a CNN or a one-hot MLP by the observation space.
      hidden_sizes: widths of the default network's fully connected layers; () is linear.
      optimizer: function of the learning rate that gives an optax transformation; it gets small arrays as one vector.
      num_envs: N, environments stepped together.
      num_steps: T, steps of each environment per update.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      discount: γ, per step.
      gae_lambda: λ of generalized advantage estimation; 1 takes returns to the end of the batch.
      value_coef: weight of the value loss.
      entropy_coef: weight of the entropy bonus.
      max_grad_norm: bound of the gradient's global norm.
      normalize_observations: whether observations are standardized by running statistics.
      normalize_rewards: whether rewards are divided by the running deviation of their discounted sum.
      params: starting point of the network; None initializes at random.

    Example:
      >>> import jaxrl
      >>> learner = jaxrl.ActorCritic(*jaxrl.envs.make("CartPole-v1"), num_envs=4)
      >>> state, metrics = jaxrl.train(learner, jax.random.key(0), 3)
      >>> metrics["loss"].shape
      (3,)

    Source: Sutton & Barto (2018), Reinforcement Learning, section 13.5; A2C after Mnih et al. (2016), Asynchronous
    Methods for Deep Reinforcement Learning, arXiv:1602.01783. Deviations: without the factor γ^t of the textbook, which
    forgets late states; synchronous; time limits bootstrap the true last observation; Adam; heads begin at zero.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    network: nn.Module | None = static(None)
    hidden_sizes: tuple[int, ...] = static((64, 64), low=1)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    num_envs: int = static(16, low=1)
    num_steps: int = static(5, low=1)
    learning_rate: float = leaf(1e-3, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    gae_lambda: float = leaf(1.0, low=0, high=1)
    value_coef: float = leaf(0.5, low=0)
    entropy_coef: float = leaf(0.01, low=0)
    max_grad_norm: float = leaf(0.5, low=0, open_low=True, infinite=True)
    normalize_observations: bool = static(False)
    normalize_rewards: bool = static(False)
    params: Any = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete", "Box")

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
        """One rollout and one gradient step on it. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)

    def learn(self, state: PolicyState, batch: Transition, key: jax.Array) -> tuple[PolicyState, Metrics]:
        """One gradient step on a batch `[T, N, ...]`. There is no randomness: the key is not used."""
        state, scaled = experience.scaled_rewards(self, state, batch)
        gradient, losses = jax.grad(self.loss, has_aux=True)(state.params, state, scaled)
        return experience.descend(self, state, gradient, batch, losses)

    def loss(self, params: Any, state: PolicyState, batch: Transition) -> tuple[jax.Array, Metrics]:
        """Policy gradient, value loss and entropy bonus of a batch `[T, N, ...]`, and the metrics."""
        shape = batch.reward.shape
        steps = ops.flat(batch)
        policy, value = experience.apply(self, params, state, steps.obs)
        _, next_value = experience.apply(self, params, state, steps.next_obs)
        advantage, target = ops.generalized_advantages(
            batch.reward,
            value.reshape(shape),
            next_value.reshape(shape),
            batch.terminated,
            batch.truncated,
            discount=self.discount,
            gae_lambda=self.gae_lambda,
        )
        advantage, target = (jax.lax.stop_gradient(x.reshape(-1)) for x in (advantage, target))
        policy_loss = ops.policy_gradient_loss(policy.log_prob(steps.action), advantage).mean()
        value_loss = 0.5 * jnp.square(value - target).mean()
        entropy = policy.entropy().mean()
        loss = policy_loss + self.value_coef * value_loss - self.entropy_coef * entropy
        return loss, {"loss": loss, "policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
