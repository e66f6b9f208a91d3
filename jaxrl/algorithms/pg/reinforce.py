"""REINFORCE: the policy gradient from whole episodes."""

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
class Reinforce:
    """REINFORCE: the policy follows Σ_t ∇ log π(a_t|s_t) (G_t - b(s_t)), averaged over N whole episodes.

    With a baseline, b is a learned value, and an episode that is cut, by its time limit or by `num_steps`, goes on with
    the value of its last observation. Without one, b is zero and a cut episode counts for what it has earned; let
    `num_steps` be the time limit then. With `hidden_sizes=()` the policy is a softmax of linear preferences: a table of
    them where observations are integers. Linear in features x(s) `[B, D]` of your own it is with
    `network=networks.ActorCritic(A, True, nn.Sequential((x,)))`.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      network: linen module whose `apply(params, obs [B, ...])` gives `(distribution, value [B])`; None chooses an MLP,
        a CNN or a one-hot MLP by the observation space.
      hidden_sizes: widths of the default network's fully connected layers; () is linear.
      optimizer: function of the learning rate that gives an optax transformation; it gets small arrays as one vector.
      baseline: whether the network's value is learned and subtracted.
      num_envs: N, episodes of an update.
      num_steps: T, steps of each episode at most; those after an episode's end do not count.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      discount: γ, per step.
      value_coef: weight of the value loss, a sum over the steps of an episode like the policy's.
      entropy_coef: weight of the entropy bonus, such a sum too.
      max_grad_norm: bound of the gradient's global norm.
      normalize_observations: whether observations are standardized by running statistics.
      normalize_rewards: whether rewards are divided by the running deviation of their discounted sum.
      params: starting point of the network; None initializes at random.

    Example:
      >>> import jaxrl
      >>> learner = jaxrl.Reinforce(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=500)
      >>> state, metrics = jaxrl.train(learner, jax.random.key(0), 3)
      >>> metrics["episodes"].tolist()
      [4.0, 4.0, 4.0]

    Source: Williams (1992), Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning;
    Sutton & Barto (2018), Reinforcement Learning, sections 13.3 and 13.4. Deviation: without the factor γ^t of the
    textbook, which forgets late states.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    network: nn.Module | None = static(None)
    hidden_sizes: tuple[int, ...] = static((64, 64), low=1)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    baseline: bool = static(True)
    num_envs: int = static(16, low=1)
    num_steps: int = static(500, low=1)
    learning_rate: float = leaf(1e-3, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    value_coef: float = leaf(0.5, low=0)
    entropy_coef: float = leaf(0.0, low=0)
    max_grad_norm: float = leaf(jnp.inf, low=0, open_low=True, infinite=True)
    normalize_observations: bool = static(False)
    normalize_rewards: bool = static(False)
    params: Any = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete", "Box")

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update, those after the ends of episodes included."""
        return self.num_envs * self.num_steps

    def init(self, key: jax.Array) -> PolicyState:
        """Reset the environments and initialize the network. The key is consumed."""
        return experience.init_state(self, key)

    def act(self, state: PolicyState, obs: Any, key: jax.Array) -> jax.Array:
        """The most probable actions `[B]` or `[B, A]` of raw observations `[B, ...]`, for evaluation."""
        return experience.apply(self, state.params, state, obs)[0].mode()

    def rollout(self, state: PolicyState, key: jax.Array) -> tuple[PolicyState, Transition]:
        """Play a new episode in each environment, `[T, N, ...]`. The key is consumed.

        What comes after its end counts for the statistics of observations and rewards only.
        """
        reset_key, steps_key = jax.random.split(key)
        return experience.rollout(self, experience.restart(self, state, reset_key), steps_key)

    def update(self, state: PolicyState, key: jax.Array) -> tuple[PolicyState, Metrics]:
        """One episode in each environment, and one gradient step. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)

    def learn(self, state: PolicyState, batch: Transition, key: jax.Array) -> tuple[PolicyState, Metrics]:
        """One gradient step on a batch `[T, N, ...]`. There is no randomness: the key is not used."""
        state, scaled = experience.scaled_rewards(self, state, batch)
        gradient, losses = jax.grad(self.loss, has_aux=True)(state.params, state, scaled)
        counts = ops.first_episode(batch.done)
        masked = {"terminated": batch.terminated & counts, "truncated": batch.truncated & counts}
        counted = dataclasses.replace(batch, reward=jnp.where(counts, batch.reward, 0.0), **masked)
        return experience.descend(self, state, gradient, counted, losses)

    def loss(self, params: Any, state: PolicyState, batch: Transition) -> tuple[jax.Array, Metrics]:
        """Policy gradient, value loss and entropy bonus of the first episodes of a batch `[T, N, ...]`.

        In the metrics `value_loss` and `entropy` are means over steps.
        """
        counts = ops.first_episode(batch.done).reshape(-1)
        steps = ops.flat(batch)
        policy, value = experience.apply(self, params, state, steps.obs)
        _, next_value = experience.apply(self, params, state, steps.next_obs)
        if not self.baseline:
            value, next_value = jnp.zeros_like(value), jnp.zeros_like(value)
        returns = ops.lambda_returns(
            batch.reward,
            self.discount * (1.0 - batch.terminated),
            next_value.reshape(batch.reward.shape),
            1.0 - batch.done,
        )
        target = jax.lax.stop_gradient(returns.reshape(-1))

        def total(values: jax.Array) -> jax.Array:
            """Sum over the steps of an episode, mean over episodes."""
            return jnp.where(counts, values, 0.0).sum() / batch.reward.shape[1]

        advantage = target - jax.lax.stop_gradient(value)
        policy_loss = total(ops.policy_gradient_loss(policy.log_prob(steps.action), advantage))
        squares, length = 0.5 * jnp.square(value - target), total(jnp.ones_like(value))
        value_loss = total(squares) if self.baseline else jnp.zeros_like(length)
        entropy = total(policy.entropy())
        loss = policy_loss + self.value_coef * value_loss - self.entropy_coef * entropy
        means = {"value_loss": value_loss / length, "entropy": entropy / length}
        return loss, {"loss": loss, "policy_loss": policy_loss} | means
