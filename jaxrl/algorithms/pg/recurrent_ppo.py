"""Proximal policy optimization for policies with a memory."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import envs, networks, ops
from jaxrl.algorithms.pg import experience
from jaxrl.algorithms.pg.experience import PolicyState
from jaxrl.algorithms.pg.ppo import PPOBatch, StepCarry, bounded_step, first_carry, ppo_loss
from jaxrl.types import Metrics, Sequences, leaf, static


@flax.struct.dataclass
class RecurrentState:
    """Everything the next update needs.

    Args:
      learner: parameters, environments `[N, ...]` and statistics.
      carry: memory `[N, ...]` after the last observation but the current one.
      start: bool `[N]`, whether the current observation is the first one of an episode.
    """

    learner: PolicyState
    carry: Any
    start: jax.Array

    @property
    def params(self) -> Any:
        """Of the network."""
        return self.learner.params


@flax.struct.dataclass
class RecurrentPPO:
    """PPO with a memory: minibatches are all steps of some environments, in order.

    The memory is that of the batch's beginning, and is dropped where an episode begins. What a time limit bootstraps is
    the value of the true last observation, by the memory of before the reset.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      network: `networks.Recurrent` whose head gives `(distribution, value [B])`; None chooses its torso by the
        observation space.
      cell: recurrent cell of the default network, whose width is its last layer's: `nn.GRUCell`,
        `nn.OptimizedLSTMCell`.
      hidden_sizes: widths of the default network's fully connected layers.
      optimizer: function of the learning rate that gives an optax transformation; it gets small arrays as one vector.
      policy_loss: function of (ratio, advantage, clip) from `jaxrl.ops`.
      num_envs: N, environments stepped together.
      num_steps: T, steps of each environment per update; gradients go no further back.
      num_epochs: passes over the batch per update.
      num_minibatches: gradient steps per pass; divides N.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      discount: γ, per step.
      gae_lambda: λ of generalized advantage estimation.
      clip: ε of the clipped objective.
      value_clip: bound of a value's change in one update, in units of the value; inf does not clip.
      value_coef: weight of the value loss.
      entropy_coef: weight of the entropy bonus.
      max_grad_norm: bound of the gradient's global norm.
      target_kl: as for `PPO`.
      normalize_observations: whether observations are standardized by running statistics.
      normalize_rewards: whether rewards are divided by the running deviation of their discounted sum.
      params: starting point of the network; None initializes at random.

    Example:
      >>> import jaxrl
      >>> learner = jaxrl.RecurrentPPO(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=8, num_minibatches=2)
      >>> state, metrics = jaxrl.train(learner, jax.random.key(0), 2)
      >>> metrics["loss"].shape
      (2,)

    Source: Schulman et al. (2017), arXiv:1707.06347, with the recurrent details of Huang et al. (2022), The 37
    Implementation Details of Proximal Policy Optimization. Deviations: as `PPO`.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    network: nn.Module | None = static(None)
    cell: Callable[..., Any] = static(nn.GRUCell)
    hidden_sizes: tuple[int, ...] = static((64,), low=1)
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
        ops.check_minibatches(self.num_minibatches, num_envs=self.num_envs)
        if self.network is None and not self.hidden_sizes:
            raise ValueError("hidden_sizes=(): the memory has the width of the last layer; give at least one")

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    @property
    def model(self) -> Any:
        """The network, or the default for the environment's spaces."""
        if self.network is not None:
            return self.network
        space, actions = self.env.observation_space(self.env_params), self.env.action_space(self.env_params)
        inner, masked = networks.without_mask(space, actions)
        torso, discrete = networks.default_torso(inner, self.hidden_sizes), hasattr(actions, "n")
        head = networks.PolicyAndValue(actions.n if discrete else networks.action_size(actions), discrete)
        return networks.Recurrent(torso, networks.make_cell(self.cell, self.hidden_sizes[-1]), head, masked)

    def init(self, key: jax.Array) -> RecurrentState:
        """Reset the environments and initialize the network. The key is consumed."""
        memory = self.initial_memory(self.num_envs)
        env_key, params_key = jax.random.split(key)
        obs, env_state = envs.reset(self.env, self.env_params, env_key, self.num_envs)
        params = self.params
        if params is None:
            carry, start = memory
            params = self.model.init(params_key, carry, obs, start)
        return RecurrentState(experience.first_state(self, params, obs, env_state), *memory)

    def initial_memory(self, num_envs: int) -> tuple[Any, jax.Array]:
        """The memory before an episode `[N, ...]`, and that one starts, bool `[N]`."""
        return self.model.initial_carry(num_envs), jnp.ones(num_envs, bool)

    def act(self, state: RecurrentState, obs: Any, key: jax.Array, memory: Any) -> tuple[Any, Any]:
        """The most probable actions of raw observations `[B, ...]`, and the next memory, for evaluation."""
        carry, start = memory
        seen = experience.seen(state.learner, obs)
        carry, (policy, _) = self.model.apply(state.learner.params, carry, seen, start)
        return policy.mode(), (carry, jnp.zeros_like(start))

    def rollout(self, state: RecurrentState, key: jax.Array) -> tuple[RecurrentState, Sequences]:
        """Act for `num_steps` steps in `num_envs` environments. The key is consumed."""
        learner, model = state.learner, self.model

        def act(obs: Any, key: jax.Array, memory: Any) -> tuple[jax.Array, jax.Array, Any]:
            carry, (policy, _) = model.apply(learner.params, memory[0], experience.seen(learner, obs), memory[1])
            action = policy.sample(key)
            return action, policy.log_prob(action), carry

        begin = (learner.obs, learner.env_state, state.carry, state.start)
        end, batch, start = envs.rollout_with_memory(self.env, self.env_params, act, begin, key, self.num_steps)
        obs, env_state, carry, last = end
        learner = dataclasses.replace(learner, obs=obs, env_state=env_state)
        return RecurrentState(learner, carry, last), Sequences(batch, start, state.carry)

    def update(self, state: RecurrentState, key: jax.Array) -> tuple[RecurrentState, Metrics]:
        """One rollout and everything learned from it. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)

    def learn(self, state: RecurrentState, batch: Sequences, key: jax.Array) -> tuple[RecurrentState, Metrics]:
        """Returns, advantages, and `num_epochs` passes of gradient steps over all steps of some environments each.

        The key is consumed. Losses in the metrics are averaged over the gradient steps, episodes are sums.
        """
        learner, scaled = experience.scaled_rewards(self, state.learner, batch.transition)
        data = self.targets(learner, dataclasses.replace(batch, transition=scaled))
        transform = ops.transform_of(self, learner.num_updates)

        def gradient_step(carry: StepCarry, minibatch: Any) -> tuple[StepCarry, Metrics]:
            gradient, metrics = jax.grad(self.loss, has_aux=True)(carry[0], learner, *minibatch)
            return bounded_step(self, transform, carry, gradient, metrics["approx_kl"]), metrics

        by_env = (jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (data, batch.start)), batch.carry)
        carry, sizes = first_carry(learner), (self.num_epochs, self.num_minibatches)
        (params, opt_state, _), losses = ops.scan_minibatches(gradient_step, carry, by_env, key, *sizes)
        learner, metrics = experience.learned(learner, params, opt_state, batch.transition)
        return dataclasses.replace(state, learner=learner), metrics | jax.tree.map(jnp.mean, losses)

    def targets(self, learner: PolicyState, batch: Sequences) -> PPOBatch:
        """Values, advantages and value targets `[T, N]`."""
        steps, model = batch.transition, self.model
        obs, next_obs = experience.seen(learner, steps.obs), experience.seen(learner, steps.next_obs)
        carries, (_, value) = networks.unroll(model, learner.params, batch.carry, obs, batch.start)
        _, next_value = networks.peek(model, learner.params, carries, next_obs)
        value, next_value = value.reshape(steps.reward.shape), next_value.reshape(steps.reward.shape)
        flags = (steps.terminated, steps.truncated)
        rates = dict(discount=self.discount, gae_lambda=self.gae_lambda)
        advantage, target = ops.generalized_advantages(steps.reward, value, next_value, *flags, **rates)
        advantage = ops.standardized(advantage)
        return PPOBatch(steps, value, advantage, target)

    def loss(
        self, params: Any, learner: PolicyState, sequences: tuple[PPOBatch, jax.Array], carry: Any
    ) -> tuple[jax.Array, Metrics]:
        """The loss of PPO on sequences `[n, T, ...]` from a memory `[n, ...]` on, and the metrics."""
        data, start = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), sequences)
        obs = experience.seen(learner, data.transition.obs)
        _, (policy, value) = networks.unroll(self.model, params, carry, obs, start)
        return ppo_loss(self, policy, value, ops.flat(data))
