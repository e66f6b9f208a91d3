"""Proximal policy optimization."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import envs, networks, ops
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class PPOState:
    """Everything the next update needs: parameters, environments `[N, ...]`, statistics, the number of updates made."""

    params: Any
    opt_state: Any
    obs: Any  # raw
    env_state: Any
    episode: ops.EpisodeStatistics
    obs_statistics: ops.RunningStatistics | None  # None without normalize_observations
    reward_scaling: ops.RewardScaling | None  # None without normalize_rewards
    num_updates: jax.Array  # int32 []; schedules read it


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
      optimizer: function of the learning rate that gives an optax transformation; it sees all parameters as one vector.
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
    clip: float = leaf(0.2, low=0, open_low=True)
    value_clip: float = leaf(jnp.inf, low=0, open_low=True)
    value_coef: float = leaf(0.5, low=0)
    entropy_coef: float = leaf(0.01, low=0)
    max_grad_norm: float = leaf(0.5, low=0, open_low=True, infinite=True)
    normalize_observations: bool = static(False)
    normalize_rewards: bool = static(False)
    params: Any = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete", "Box")

    def __post_init__(self) -> None:
        sizes = (self.num_envs, self.num_steps, self.num_minibatches)
        if all(type(n) is int and n > 0 for n in sizes) and self.num_envs * self.num_steps % self.num_minibatches:
            what = f"num_envs={self.num_envs} times num_steps={self.num_steps}; choose powers of two"
            raise ValueError(f"num_minibatches={self.num_minibatches} does not divide the batch of {what}")

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    @property
    def model(self) -> Any:
        """The network, or the default for the environment's spaces."""
        spaces = self.env.observation_space(self.env_params), self.env.action_space(self.env_params)
        return self.network or networks.default_actor_critic(*spaces, self.hidden_sizes)

    def gradient_transformation(self, num_updates: jax.Array) -> optax.GradientTransformation:
        """Global-norm clipping and the optimizer, at the learning rate of update `num_updates`."""
        learning_rate = ops.annealed(self.learning_rate, num_updates, self.anneal_updates)
        # Flattened: one vector to clip and update instead of a dozen small arrays.
        return optax.flatten(optax.chain(optax.clip_by_global_norm(self.max_grad_norm), self.optimizer(learning_rate)))

    def init(self, key: jax.Array) -> PPOState:
        """Reset the environments and initialize the network. The key is consumed."""
        env_key, params_key = jax.random.split(key)
        obs, env_state = envs.reset(self.env, self.env_params, env_key, self.num_envs)
        params = self.model.init(params_key, obs) if self.params is None else self.params
        num_updates = jnp.zeros((), jnp.int32)
        obs_statistics = ops.init_statistics(jax.tree.map(lambda x: x[0], obs))
        return PPOState(
            params=jax.tree.map(jnp.array, params),
            opt_state=self.gradient_transformation(num_updates).init(params),
            obs=obs,
            env_state=env_state,
            episode=ops.init_episodes(self.num_envs),
            obs_statistics=obs_statistics if self.normalize_observations else None,
            reward_scaling=ops.init_reward_scaling(self.num_envs) if self.normalize_rewards else None,
            num_updates=num_updates,
        )

    def apply(self, params: Any, state: PPOState, obs: Any) -> tuple[Any, jax.Array]:
        """Policy and value `[B]` of raw observations `[B, ...]`, under the state's observation statistics."""
        if state.obs_statistics is not None:
            obs = ops.normalize(state.obs_statistics, obs)
        return self.model.apply(params, obs)

    def act(self, state: PPOState, obs: Any, key: jax.Array) -> jax.Array:
        """The most probable actions `[B]` or `[B, A]` of raw observations `[B, ...]`, for evaluation."""
        return self.apply(state.params, state, obs)[0].mode()

    def rollout(self, state: PPOState, key: jax.Array) -> tuple[PPOState, Transition]:
        """Act for `num_steps` steps in `num_envs` environments: the batch is `[T, N, ...]`. The key is consumed."""

        def act(obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            policy, _ = self.apply(state.params, state, obs)
            action = policy.sample(key)
            return action, policy.log_prob(action)

        start = (state.obs, state.env_state)
        obs, env_state, batch = envs.rollout(self.env, self.env_params, act, *start, key, self.num_steps)
        return dataclasses.replace(state, obs=obs, env_state=env_state), batch

    def update(self, state: PPOState, key: jax.Array) -> tuple[PPOState, Metrics]:
        """One rollout and everything learned from it. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)

    def learn(self, state: PPOState, batch: Transition, key: jax.Array) -> tuple[PPOState, Metrics]:
        """Returns, advantages, and `num_epochs` passes of minibatch gradient steps over a batch `[T, N, ...]`.

        `state` is the one that `rollout` returned; the key is consumed. Losses in the metrics are averaged over the
        gradient steps, episodes are sums.
        """
        reward, reward_scaling = batch.reward, state.reward_scaling
        if reward_scaling is not None:
            reward, reward_scaling = ops.scale_rewards(reward_scaling, reward, batch.done, self.discount)
        data = self.targets(state, dataclasses.replace(batch, reward=reward))
        transform = self.gradient_transformation(state.num_updates)

        def gradient_step(carry: tuple[Any, Any], minibatch: PPOBatch) -> tuple[tuple[Any, Any], Metrics]:
            params, opt_state = carry
            gradient, metrics = jax.grad(self.loss, has_aux=True)(params, state, minibatch)
            updates, opt_state = transform.update(gradient, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), metrics

        carry, sizes = (state.params, state.opt_state), (self.num_epochs, self.num_minibatches)
        (params, opt_state), losses = ops.scan_minibatches(gradient_step, carry, data, key, *sizes)
        episode, metrics = ops.episode_metrics(state.episode, batch.reward, batch.done)
        obs_statistics = state.obs_statistics
        if obs_statistics is not None:  # only now: every ratio above is to the policy that acted
            obs_statistics = ops.update_statistics(obs_statistics, data.transition.obs)
        state = dataclasses.replace(
            state,
            params=params,
            opt_state=opt_state,
            episode=episode,
            obs_statistics=obs_statistics,
            reward_scaling=reward_scaling,
            num_updates=state.num_updates + 1,
        )
        return state, metrics | jax.tree.map(jnp.mean, losses)

    def targets(self, state: PPOState, batch: Transition) -> PPOBatch:
        """Values, advantages and value targets of a batch `[T, N, ...]`, flattened to `[T * N, ...]`."""
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
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
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        return PPOBatch(flat, value, advantage.reshape(-1), target.reshape(-1))

    def loss(self, params: Any, state: PPOState, minibatch: PPOBatch) -> tuple[jax.Array, Metrics]:
        """Clipped policy loss, value loss and entropy bonus, and the metrics."""
        policy, value = self.apply(params, state, minibatch.transition.obs)
        log_ratio = policy.log_prob(minibatch.transition.action) - minibatch.transition.log_prob
        ratio = jnp.exp(log_ratio)
        policy_loss = self.policy_loss(ratio, minibatch.advantage, self.clip).mean()
        value_loss = ops.clipped_value_loss(value, minibatch.value, minibatch.target, self.value_clip).mean()
        entropy = policy.entropy().mean()
        loss = policy_loss + self.value_coef * value_loss - self.entropy_coef * entropy
        return loss, {
            "loss": loss,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "approx_kl": (ratio - 1 - log_ratio).mean(),
            "clip_fraction": (jnp.abs(ratio - 1) > self.clip).mean(dtype=jnp.float32),
        }
