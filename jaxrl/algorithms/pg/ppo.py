"""Proximal policy optimization."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import envs, ops
from jaxrl.algorithms.pg import experience
from jaxrl.algorithms.pg.experience import PolicyState
from jaxrl.types import Metrics, Stage, Transition, leaf, static

StepCarry = tuple[Any, Any, jax.Array]
"""Parameters, the optimizer's state, and whether gradient steps go on: bool `[]`."""


@flax.struct.dataclass
class PPOBatch:
    """What the loss reads, `[B, ...]`: steps, values before the update, standardized advantages, value targets."""

    transition: Transition
    value: jax.Array
    advantage: jax.Array
    target: jax.Array


@flax.struct.dataclass
class PPO:
    """Proximal policy optimization with the clipped objective, for discrete and continuous actions.

    Statistics of observations are frozen while a batch is collected and learned from, so that the ratio of the first
    minibatch is one; they take in the batch once, after it. Those of rewards take it in before it is learned from.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      network: linen module whose `apply(params, obs [B, ...])` gives `(distribution, value [B])`; None chooses an MLP,
        a CNN or a one-hot MLP by the observation space.
      hidden_sizes: widths of the default network's fully connected layers.
      optimizer: function of the learning rate that gives an optax transformation; it gets small arrays as one vector.
      policy_loss: function of (ratio, advantage, clip) from `jaxrl.ops`.
      num_envs: N, environments stepped together.
      num_steps: T, steps of each environment per update.
      num_epochs: passes over the batch per update.
      num_minibatches: gradient steps per pass.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      discount: γ, per step.
      gae_lambda: λ of generalized advantage estimation.
      clip: ε of the clipped objective.
      value_clip: bound of a value's change in one update, in units of the value; inf does not clip.
      value_coef: weight of the value loss.
      entropy_coef: weight of the entropy bonus.
      max_grad_norm: bound of the gradient's global norm.
      target_kl: from the first minibatch on whose policy is further than this from the one that acted, in nats, the
        rest of an update's gradient steps is left out; None never stops.
      normalize_observations: whether observations are standardized by running statistics.
      normalize_rewards: whether rewards are divided by the running deviation of their discounted sum.
      params: starting point of the network; None initializes at random.

    Example:
      >>> import gymnax, jaxrl
      >>> ppo = jaxrl.PPO(*gymnax.make("CartPole-v1"), num_envs=4, num_steps=8, num_minibatches=2)
      >>> state, metrics = jaxrl.train(ppo, jax.random.key(0), 3)
      >>> metrics["loss"].shape
      (3,)

    Source: Schulman et al. (2017), Proximal Policy Optimization Algorithms, arXiv:1707.06347; details after Huang et
    al. (2022), The 37 Implementation Details of Proximal Policy Optimization. Deviations: time limits bootstrap the
    true last observation, advantages are standardized over the batch, values are not clipped, heads begin at zero.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    network: nn.Module | None = static(None)
    hidden_sizes: tuple[int, ...] = static((64, 64), low=1)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    policy_loss: Callable[..., jax.Array] = static(ops.ppo_clip)
    num_envs: int = static(64, low=1)
    num_steps: int = static(128, low=1)
    num_epochs: int = static(4, low=1)
    num_minibatches: int = static(4, low=1)
    learning_rate: float = leaf(3e-4, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    gae_lambda: float = leaf(0.95, low=0, high=1)
    clip: float = leaf(0.2, low=0, open_low=True, infinite=True)
    value_clip: float = leaf(jnp.inf, low=0, open_low=True)
    value_coef: float = leaf(0.5, low=0)
    entropy_coef: float = leaf(0.01, low=0)
    max_grad_norm: float = leaf(0.5, low=0, open_low=True, infinite=True)
    target_kl: float | None = leaf(None, low=0, open_low=True)
    normalize_observations: bool = static(False)
    normalize_rewards: bool = static(False)
    params: Any = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete", "Box")

    def __post_init__(self) -> None:
        ops.check_minibatches(self.num_minibatches, num_envs=self.num_envs, num_steps=self.num_steps)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    @property
    def model(self) -> Any:
        """The network, or the default for the environment's spaces."""
        return experience.model_of(self)

    def init(self, key: jax.Array) -> PolicyState:
        """Reset the environments and initialize the network. The key is consumed."""
        return experience.init_state(self, key)

    def apply(self, params: Any, state: PolicyState, obs: Any) -> tuple[Any, jax.Array]:
        """Policy and value `[B]` of raw observations `[B, ...]`, under the state's observation statistics."""
        return experience.apply(self, params, state, obs)

    def act(self, state: PolicyState, obs: Any, key: jax.Array) -> jax.Array:
        """The most probable actions `[B]` or `[B, A]` of raw observations `[B, ...]`, for evaluation."""
        return self.apply(state.params, state, obs)[0].mode()

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
        """Returns, advantages, and `num_epochs` passes of minibatch gradient steps over a batch `[T, N, ...]`.

        `state` is the one that `rollout` returned; the key is consumed. Losses in the metrics are averaged over the
        gradient steps, those that `target_kl` leaves out too; episodes are sums.
        """
        state, scaled = experience.scaled_rewards(self, state, batch)
        data = self.targets(state, scaled)
        transform = ops.transform_of(self, state.num_updates)

        def gradient_step(carry: StepCarry, minibatch: PPOBatch) -> tuple[StepCarry, Metrics]:
            gradient, metrics = jax.grad(self.loss, has_aux=True)(carry[0], state, minibatch)
            return bounded_step(self, transform, carry, gradient, metrics["approx_kl"]), metrics

        carry, sizes = first_carry(state), (self.num_epochs, self.num_minibatches)
        (params, opt_state, _), losses = ops.scan_minibatches(gradient_step, carry, data, key, *sizes)
        state, metrics = experience.learned(state, params, opt_state, batch)
        return state, metrics | jax.tree.map(jnp.mean, losses)

    def targets(self, state: PolicyState, batch: Transition) -> PPOBatch:
        """Values, advantages and value targets of a batch `[T, N, ...]`, flattened to `[T * N, ...]`."""
        flat = ops.flat(batch)
        _, value = self.apply(state.params, state, flat.obs)
        _, next_value = self.apply(state.params, state, flat.next_obs)
        advantage, target = ops.generalized_advantages(
            batch.reward,
            value.reshape(batch.reward.shape),
            next_value.reshape(batch.reward.shape),
            batch.terminated,
            batch.truncated,
            discount=self.discount,
            gae_lambda=self.gae_lambda,
        )
        advantage = ops.standardized(advantage)
        return PPOBatch(flat, value, advantage.reshape(-1), target.reshape(-1))

    def stages(self, state: PolicyState, key: jax.Array) -> dict[str, Stage]:
        """What the profiler times one by one within the halves. The key is consumed."""
        rollout_key, act_key, shuffle_key = jax.random.split(key, 3)
        _, batch = self.rollout(state, rollout_key)
        data, num_gradients = self.targets(state, batch), self.num_epochs * self.num_minibatches
        minibatch = jax.tree.map(lambda x: x[: len(x) // self.num_minibatches], data)
        gradient = (jax.grad(PPO.loss, argnums=1, has_aux=True), (self, state.params, state, minibatch))
        slope = jax.tree.map(jnp.zeros_like, state.params)
        step = (first_carry(state), self, state.num_updates, slope)
        part = functools.partial(Stage, within="learn")
        return envs.acting_stages(self, state, (state.obs, state.env_state), act_key, self.num_steps) | {
            "advantages": part(PPO.targets, (self, state, batch)),
            "shuffle": part(ops.shuffled, (data, shuffle_key), self.num_epochs),
            "gradient": part(*gradient, num_gradients),
            "optimizer": part(_optimize, step, num_gradients, carry=0),
        }

    def loss(self, params: Any, state: PolicyState, minibatch: PPOBatch) -> tuple[jax.Array, Metrics]:
        """Clipped policy loss, value loss and entropy bonus, and the metrics."""
        policy, value = self.apply(params, state, minibatch.transition.obs)
        return ppo_loss(self, policy, value, minibatch)


def ppo_loss(algorithm: Any, policy: Any, value: jax.Array, minibatch: PPOBatch) -> tuple[jax.Array, Metrics]:
    """Clipped policy loss, value loss and entropy bonus of a policy and values `[B]`, and the metrics."""
    log_ratio = policy.log_prob(minibatch.transition.action) - minibatch.transition.log_prob
    ratio = jnp.exp(log_ratio)
    policy_loss = algorithm.policy_loss(ratio, minibatch.advantage, algorithm.clip).mean()
    value_loss = ops.clipped_value_loss(value, minibatch.value, minibatch.target, algorithm.value_clip).mean()
    entropy = policy.entropy().mean()
    loss = policy_loss + algorithm.value_coef * value_loss - algorithm.entropy_coef * entropy
    return loss, {
        "loss": loss,
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "approx_kl": (ratio - 1 - log_ratio).mean(),
        "clip_fraction": (jnp.abs(ratio - 1) > algorithm.clip).mean(dtype=jnp.float32),
    }


def _optimize(carry: StepCarry, algorithm: Any, num_updates: jax.Array, gradient: Any) -> StepCarry:
    """One gradient step without its gradient."""
    return bounded_step(algorithm, ops.transform_of(algorithm, num_updates), carry, gradient, jnp.float32(0))


def first_carry(state: PolicyState) -> StepCarry:
    """Before the first gradient step of an update."""
    return state.params, state.opt_state, jnp.ones((), bool)


def bounded_step(algorithm: Any, transform: Any, carry: StepCarry, gradient: Any, kl: jax.Array) -> StepCarry:
    """One gradient step; none any more from the first one on that finds the policy further than `target_kl` away.

    Under `vmap` every seed stops by itself, and goes through the motions from there on.
    """
    params, opt_state, going = carry
    updates, new_opt_state = transform.update(gradient, opt_state, params)
    if algorithm.target_kl is not None:
        going = going & (kl <= algorithm.target_kl)
        updates = jax.tree.map(lambda x: jnp.where(going, x, 0.0), updates)
        new_opt_state = jax.tree.map(lambda new, old: jnp.where(going, new, old), new_opt_state, opt_state)
    return optax.apply_updates(params, updates), new_opt_state, going
