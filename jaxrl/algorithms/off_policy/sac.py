"""Soft actor-critic."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import chex
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import buffers, networks, ops
from jaxrl.algorithms import replaying
from jaxrl.algorithms.off_policy.learning import OffPolicyState, begin, descend, learning_stages
from jaxrl.types import Metrics, Stage, Transition, leaf, static


@flax.struct.dataclass
class SAC:
    """Soft actor-critic for continuous actions: the policy earns rewards and, at a learned price, entropy.

    An update is `num_steps` times `train_every` steps of N environments and a gradient step. The values that follow are
    those of all target critics together, less the `num_dropped` largest: of two critics of one output that is their
    minimum; `tqc` gives each of them quantiles. The actor climbs the least of the critics, or the mean of all their
    quantiles.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      actor: linen module whose `apply(params, obs [B, ...])` gives a `SquashedGaussian`; None: an MLP.
      critics: linen module whose `apply(params, obs, action [B, A])` gives `[C, B, Z]`; None: MLPs.
      hidden_sizes: widths of the default networks' layers.
      num_critics: C.
      num_quantiles: Z, outputs of each default critic.
      num_dropped: of the C Z target outputs, the largest ones, which do not count.
      critic_loss: function of (prediction `[B, Z]`, points and weights `[B, K]`) from `jaxrl.ops`.
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
      target_entropy: nats that the price brings the policy to, for each dimension of the action.
      max_grad_norm: bound of the global norm of each part's gradient.
      params: starting point, `{"actor", "critics", "log_temperature"}`; None initializes at random.

    Example:
      >>> import jaxrl
      >>> fields = dict(num_envs=2, num_steps=2, batch_size=8, capacity=100, warmup=8, hidden_sizes=(8,))
      >>> learner = jaxrl.SAC(*jaxrl.envs.make("Pendulum-v1"), **fields)
      >>> state, metrics = jaxrl.train(learner, jax.random.key(0), 3)
      >>> metrics["loss"].shape
      (3,)

    Source: Haarnoja et al. (2018), Soft Actor-Critic Algorithms and Applications, arXiv:1812.05905. Deviations: time
    limits bootstrap the true last observation; actor, critics and temperature take their steps from the same
    parameters, at one learning rate; the temperature's loss is linear in its logarithm; heads begin at zero. The
    critics see observations flattened.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    actor: nn.Module | None = static(None)
    critics: nn.Module | None = static(None)
    hidden_sizes: tuple[int, ...] = static((256, 256), low=1)
    num_critics: int = static(2, low=1)
    num_quantiles: int = static(1, low=1)
    num_dropped: int = static(1, low=0)
    critic_loss: Callable[..., jax.Array] = static(ops.mean_loss)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    num_envs: int = static(1, low=1)
    num_steps: int = static(100, low=1)
    train_every: int = static(1, low=1)
    num_backup_steps: int = static(1, low=1)
    batch_size: int = static(256, low=1)
    capacity: int = static(100_000, low=1)
    warmup: int = static(1000, low=1)
    learning_rate: float = leaf(1e-3, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    target_rate: float = leaf(0.005, low=0, open_low=True, high=1)
    discount: float = leaf(0.99, low=0, high=1)
    temperature: float = leaf(1.0, low=0, open_low=True)
    target_entropy: float = leaf(-1.0)
    max_grad_norm: float = leaf(jnp.inf, low=0, open_low=True, infinite=True)
    params: Any = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Box",)

    def __post_init__(self) -> None:
        replaying.check_sizes(self)
        sizes = (self.num_critics, self.num_quantiles, self.num_dropped)
        if self.critics is not None:  # `targets` knows how many outputs they have
            return
        if all(type(n) is int for n in sizes) and self.num_dropped >= self.num_critics * self.num_quantiles:
            raise ValueError(
                f"num_dropped={self.num_dropped} leaves nothing of num_critics={self.num_critics} times "
                f"num_quantiles={self.num_quantiles}"
            )

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps * self.train_every

    @property
    def num_actions(self) -> int:
        """Dimensions of an action."""
        return networks.action_size(self.env.action_space(self.env_params))

    @property
    def models(self) -> tuple[Any, Any]:
        """Actor and critics, or the defaults for the environment's spaces."""
        actor, critics = self.actor, self.critics
        if actor is None:
            torso = networks.default_torso(self.env.observation_space(self.env_params), self.hidden_sizes)
            actor = networks.SquashedActor(self.num_actions, torso)
        if critics is None:
            critics = networks.Critics(self.hidden_sizes, self.num_critics, self.num_quantiles)
        return actor, critics

    def init(self, key: jax.Array) -> OffPolicyState:
        """Initialize the networks, and fill the replay with random steps. The key is consumed."""
        temperature = {"log_temperature": jnp.log(jnp.asarray(self.temperature, jnp.float32))}
        return begin(self, key, temperature)

    def target_of(self, params: Any) -> Any:
        """The parameters that the target network follows."""
        return params["critics"]

    def policy(self, params: Any, obs: Any) -> Any:
        """The distribution of actions for observations `[B, ...]`."""
        return self.models[0].apply(params["actor"], obs)

    def act(self, state: OffPolicyState, obs: Any, key: jax.Array) -> jax.Array:
        """The middle actions `[B, A]` for observations `[B, ...]`, for evaluation."""
        return self.policy(state.params, obs).mode()

    def explore(self, state: OffPolicyState, obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Actions of the policy for observations `[N, ...]`, and their log-probabilities. The key is consumed."""
        return self.policy(state.params, obs).sample_and_log_prob(key)

    def rollout(self, state: OffPolicyState, key: jax.Array) -> tuple[OffPolicyState, Transition]:
        """Act for `train_every` steps in N environments: the batch is `[train_every, N, ...]`. The key is consumed."""
        return replaying.rollout(self, state, key)

    def update(self, state: OffPolicyState, key: jax.Array) -> tuple[OffPolicyState, Metrics]:
        """`num_steps` times a rollout and a gradient step. The key is consumed."""
        return replaying.update(self, state, key)

    def stages(self, state: OffPolicyState, key: jax.Array) -> dict[str, Stage]:
        """What the profiler times one by one within the halves. The key is consumed."""
        stage_key, draw_key, *keys = jax.random.split(key, 4)
        experience = replaying.draw(self, state.memory.replay, draw_key)
        gradient = Stage(SAC.gradient, (self, state, experience, keys), self.num_steps, within="learn")
        return learning_stages(self, state, stage_key, {"gradient": gradient})

    def learn(self, state: OffPolicyState, batch: Transition, key: jax.Array) -> tuple[OffPolicyState, Metrics]:
        """Store a batch `[T, N, ...]` as `buffers.add` wants it, and make a gradient step. The key is consumed."""
        sample_key, *keys = jax.random.split(key, 3)
        memory = replaying.remember(state.memory, batch)
        experience = replaying.draw(self, memory.replay, sample_key)
        gradient, metrics = self.gradient(state, experience, keys)
        return descend(self, dataclasses.replace(state, memory=memory), gradient), metrics

    def gradient(
        self, state: OffPolicyState, experience: buffers.Experience, keys: Sequence[jax.Array]
    ) -> tuple[dict[str, Any], Metrics]:
        """Of the losses of experience `[B]`, with them. The keys, of the target and the policy, are consumed."""
        target = self.targets(state, experience, keys[0])
        return jax.grad(self.loss, has_aux=True)(state.params, experience, target, keys[1])

    def targets(self, state: OffPolicyState, experience: buffers.Experience, key: jax.Array) -> jax.Array:
        """Points r + d (z - α log π) of the returns that follow experience, `[B, K]`. The key is consumed.

        Raises:
          ValueError: if `num_dropped` is not less than the number of the critics' outputs.
        """
        action, log_prob = self.policy(state.params, experience.next_obs).sample_and_log_prob(key)
        values = self.models[1].apply(state.target_params, experience.next_obs, action)
        chex.assert_rank(values, 3)
        pooled = jnp.sort(jnp.moveaxis(values, 0, 1).reshape(len(log_prob), -1), axis=-1)
        if self.num_dropped >= pooled.shape[1]:
            raise ValueError(f"num_dropped={self.num_dropped} leaves nothing of the {pooled.shape[1]} critics' outputs")
        kept = pooled[:, : pooled.shape[1] - self.num_dropped]
        soft = kept - (jnp.exp(state.params["log_temperature"]) * log_prob)[:, None]
        return experience.reward[:, None] + experience.discounts[:, None] * soft

    def loss(
        self, params: Any, experience: buffers.Experience, target: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Losses of critics, actor and temperature, each of its own parameters alone. The key is consumed."""
        critics = self.models[1]
        weights = jnp.full_like(target, 1.0 / target.shape[1])
        values = critics.apply(params["critics"], experience.obs, experience.action)
        critic_loss = jnp.stack([self.critic_loss(value, target, weights).mean() for value in values]).sum()
        temperature = jnp.exp(params["log_temperature"])
        action, log_prob = self.policy(params, experience.obs).sample_and_log_prob(key)
        values = critics.apply(jax.lax.stop_gradient(params["critics"]), experience.obs, action)
        value = values[..., 0].min(0) if values.shape[-1] == 1 else values.mean((0, 2))
        actor_loss = (jax.lax.stop_gradient(temperature) * log_prob - value).mean()
        shortfall = self.num_actions * self.target_entropy + log_prob.mean()
        temperature_loss = -params["log_temperature"] * jax.lax.stop_gradient(shortfall)
        loss = critic_loss + actor_loss + temperature_loss
        return loss, {
            "loss": loss,
            "critic_loss": critic_loss,
            "actor_loss": actor_loss,
            "temperature": temperature,
            "entropy": -log_prob.mean(),
        }


TQC: dict[str, Any] = {"num_quantiles": 25, "num_dropped": 4, "critic_loss": ops.quantile_loss}
"""What `tqc` changes."""


def tqc(env: Any, env_params: Any, **changes: Any) -> SAC:
    """TQC: critics of quantiles, of which the largest do not count.

    Two critics of 25 quantiles, and of their 50 together the 4 largest, as many as published for five critics' each 2.

    Args:
      env: as for `SAC`.
      env_params: as for `SAC`.
      **changes: other fields, and others of these.

    Example:
      >>> import jaxrl
      >>> tqc(*jaxrl.envs.make("Pendulum-v1")).num_dropped
      4

    Source: Kuznetsov et al. (2020), Controlling Overestimation Bias with Truncated Mixture of Continuous Distributional
    Quantile Critics, arXiv:2005.04269. Deviations: those of `SAC`; two critics; losses are sums over a critic's
    quantiles, where theirs are means.
    """
    return SAC(env, env_params, **(TQC | changes))
