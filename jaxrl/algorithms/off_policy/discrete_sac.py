"""Soft actor-critic for discrete actions: every expectation over actions is a sum."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import buffers, networks, ops
from jaxrl.algorithms import replaying
from jaxrl.algorithms.off_policy.learning import OffPolicyState, descend, init_state, learning_stages
from jaxrl.types import Metrics, Stage, Transition, leaf, static


@flax.struct.dataclass
class DiscreteSAC:
    """Soft actor-critic for discrete actions: the policy earns rewards and, at a learned price, entropy.

    An update is `num_steps` times `train_every` steps of N environments and a gradient step.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      network: linen module whose `apply(params, obs [B, ...])` gives `[B, A]`, used three times, for the policy's
        logits and two critics; None chooses an MLP, a CNN or a one-hot MLP by the observation space.
      hidden_sizes: widths of the default network's fully connected layers.
      optimizer: function of the learning rate that gives an optax transformation; it gets small arrays as one vector.
      num_envs: N, environments stepped together.
      num_steps: gradient steps of an update.
      train_every: steps of each environment before a gradient step.
      num_backup_steps: n of n-step returns; longer ones are off policy, uncorrected, and without the entropy of the
        steps between.
      batch_size: B, experience of a gradient step.
      capacity: rows of the replay, of all environments together.
      warmup: random steps of each environment before the first update.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      target_rate: τ, part of the difference by which the target critics follow at each gradient step.
      discount: γ, per step.
      temperature: price of a nat of entropy to begin with.
      target_entropy: part of the largest entropy, log A, that the price brings the policy to.
      max_grad_norm: bound of the gradient's global norm, of policy, critics and temperature each.
      params: starting point, `{"actor", "critics", "log_temperature"}`; None initializes at random.

    Example:
      >>> import jaxrl
      >>> fields = dict(num_envs=2, num_steps=2, batch_size=8, capacity=100, warmup=8, hidden_sizes=(8,))
      >>> learner = jaxrl.DiscreteSAC(*jaxrl.envs.make("CartPole-v1"), **fields)
      >>> state, metrics = jaxrl.train(learner, jax.random.key(0), 3)
      >>> metrics["loss"].shape
      (3,)

    Source: Christodoulou (2019), Soft Actor-Critic for Discrete Action Settings, arXiv:1910.07207. Deviations: time
    limits bootstrap the true last observation; policy, critics and temperature take their steps from the same
    parameters, at one learning rate; the temperature's loss is linear in its logarithm; heads begin at zero; the
    entropy aimed at is 0.3 log A, not 0.98 log A.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    network: nn.Module | None = static(None)
    hidden_sizes: tuple[int, ...] = static((64, 64), low=1)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    num_envs: int = static(10, low=1)
    num_steps: int = static(100, low=1)
    train_every: int = static(1, low=1)
    num_backup_steps: int = static(1, low=1)
    batch_size: int = static(128, low=1)
    capacity: int = static(50_000, low=1)
    warmup: int = static(100, low=1)
    learning_rate: float = leaf(1e-3, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    target_rate: float = leaf(0.01, low=0, open_low=True, high=1)
    discount: float = leaf(0.99, low=0, high=1)
    temperature: float = leaf(0.1, low=0, open_low=True)
    target_entropy: float = leaf(0.3, low=0, high=1)
    max_grad_norm: float = leaf(10.0, low=0, open_low=True, infinite=True)
    params: Any = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)
    reads_masks: ClassVar[bool] = False

    def __post_init__(self) -> None:
        replaying.check_sizes(self)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps * self.train_every

    @property
    def num_actions(self) -> int:
        """A."""
        return self.env.action_space(self.env_params).n

    @property
    def model(self) -> Any:
        """The network, or the default for the environment's spaces."""
        if self.network is not None:
            return self.network
        torso = networks.default_torso(self.env.observation_space(self.env_params), self.hidden_sizes)
        return networks.QNetwork(self.num_actions, torso)

    def target_of(self, params: Any) -> Any:
        """The parameters that the target critics follow."""
        return params["critics"]

    def init(self, key: jax.Array) -> OffPolicyState:
        """Initialize the networks, and fill the replay with random steps. The key is consumed."""
        memory_key, *model_keys = jax.random.split(key, 4)
        memory = replaying.begin(self, memory_key)
        params = self.params
        if params is None:
            actor, *critics = (self.model.init(model_key, memory.obs) for model_key in model_keys)
            temperature = jnp.log(jnp.asarray(self.temperature, jnp.float32))
            params = {"actor": actor, "critics": critics, "log_temperature": temperature}
        return init_state(self, params, memory)

    def act(self, state: OffPolicyState, obs: Any, key: jax.Array) -> jax.Array:
        """The most probable actions `[B]` for observations `[B, ...]`, for evaluation."""
        return self.policy(state.params, obs).mode()

    def policy(self, params: Any, obs: Any) -> ops.Categorical:
        """The distribution of actions for observations `[B, ...]`."""
        return ops.Categorical(self.model.apply(params["actor"], obs))

    def explore(self, state: OffPolicyState, obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Actions of the policy for observations `[N, ...]`, and their log-probabilities. The key is consumed."""
        policy = self.policy(state.params, obs)
        action = policy.sample(key)
        return action, policy.log_prob(action)

    def rollout(self, state: OffPolicyState, key: jax.Array) -> tuple[OffPolicyState, Transition]:
        """Act for `train_every` steps in N environments: the batch is `[train_every, N, ...]`. The key is consumed."""
        return replaying.rollout(self, state, key)

    def update(self, state: OffPolicyState, key: jax.Array) -> tuple[OffPolicyState, Metrics]:
        """`num_steps` times a rollout and a gradient step. The key is consumed."""
        return replaying.update(self, state, key)

    def stages(self, state: OffPolicyState, key: jax.Array) -> dict[str, Stage]:
        """What the profiler times one by one within the halves. The key is consumed."""
        stage_key, draw_key = jax.random.split(key)
        arguments = (self, state, replaying.draw(self, state.memory.replay, draw_key))
        gradient = Stage(DiscreteSAC.gradient, arguments, self.num_steps, within="learn")
        return learning_stages(self, state, stage_key, {"gradient": gradient})

    def learn(self, state: OffPolicyState, batch: Transition, key: jax.Array) -> tuple[OffPolicyState, Metrics]:
        """Store a batch `[T, N, ...]` as `buffers.add` wants it, and make a gradient step. The key is consumed."""
        memory = replaying.remember(state.memory, batch)
        gradient, metrics = self.gradient(state, replaying.draw(self, memory.replay, key))
        return descend(self, dataclasses.replace(state, memory=memory), gradient), metrics

    def gradient(self, state: OffPolicyState, experience: buffers.Experience) -> tuple[dict[str, Any], Metrics]:
        """Of the losses of experience `[B]`, with them."""
        return jax.grad(self.loss, has_aux=True)(state.params, experience, self.targets(state, experience))

    def q_values(self, critics: Any, obs: Any) -> jax.Array:
        """Values `[2, B, A]` by both critics."""
        return jnp.stack([self.model.apply(params, obs) for params in critics])

    def targets(self, state: OffPolicyState, experience: buffers.Experience) -> jax.Array:
        """R + d Σ_a π(a|s') (min_c q_c(s', a) - α log π(a|s')) of the target critics `[B]`."""
        policy = self.policy(state.params, experience.next_obs)
        q = self.q_values(state.target_params, experience.next_obs).min(0)
        soft = policy.expectation(q) + jnp.exp(state.params["log_temperature"]) * policy.entropy()
        return experience.reward + experience.discounts * soft

    def loss(self, params: Any, experience: buffers.Experience, target: jax.Array) -> tuple[jax.Array, Metrics]:
        """Losses of critics, policy and temperature, each of its own parameters alone."""
        q = self.q_values(params["critics"], experience.obs)
        taken = jax.vmap(ops.taken, (0, None))(q, experience.action)
        critic_loss = 0.5 * jnp.square(taken - target[None]).mean(-1).sum()
        temperature, policy = jnp.exp(params["log_temperature"]), self.policy(params, experience.obs)
        entropy = policy.entropy().mean()
        value = policy.expectation(jax.lax.stop_gradient(q.min(0))).mean()
        actor_loss = -value - jax.lax.stop_gradient(temperature) * entropy
        shortfall = self.target_entropy * jnp.log(float(self.num_actions)) - entropy
        temperature_loss = -params["log_temperature"] * jax.lax.stop_gradient(shortfall)
        loss = critic_loss + actor_loss + temperature_loss
        return loss, {
            "loss": loss,
            "critic_loss": critic_loss,
            "actor_loss": actor_loss,
            "temperature": temperature,
            "entropy": entropy,
        }
