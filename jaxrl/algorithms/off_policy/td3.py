"""Deterministic policy gradients from replay: TD3 and DDPG."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import chex
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import buffers, networks, ops
from jaxrl.algorithms import replaying
from jaxrl.algorithms.off_policy.learning import OffPolicyState, begin, follow, gradient_step, learning_stages
from jaxrl.types import Metrics, Stage, Transition, leaf, static


@flax.struct.dataclass
class TD3:
    """Twin delayed deterministic policy gradient: the policy climbs a critic, which follows the least of the targets.

    An update is `num_steps` times `train_every` steps of N environments, `critic_steps` gradient steps of the critics
    and one of the policy. `ddpg` has one critic, as many steps of the policy, and no noise on the target's action.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      actor: linen module whose `apply(params, obs [B, ...])` gives actions `[B, A]` in [-1, 1]; None: an MLP.
      critics: linen module whose `apply(params, obs, action [B, A])` gives `[C, B, 1]`; None: MLPs.
      hidden_sizes: widths of the default networks' layers.
      num_critics: C.
      critic_steps: gradient steps of the critics for one of the policy.
      optimizer: function of the learning rate that gives an optax transformation; it gets small arrays as one vector.
      num_envs: N, environments stepped together.
      num_steps: gradient steps of the policy in an update.
      train_every: steps of each environment before them.
      num_backup_steps: n of n-step returns; longer ones are off policy, and uncorrected.
      batch_size: B, experience of a gradient step.
      capacity: rows of the replay, of all environments together.
      warmup: random steps of each environment before the first update.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      target_rate: τ, part of the difference by which the target networks follow at each step of the policy.
      discount: γ, per step.
      noise: standard deviation of what is added to an action to explore; the range of actions is 2.
      target_noise: standard deviation of what is added to the target's action.
      target_noise_bound: it stays within this.
      max_grad_norm: bound of the gradient's global norm, of actor and critics each.
      params: starting point, `{"actor", "critics"}`; None initializes at random.

    Example:
      >>> import jaxrl
      >>> fields = dict(num_envs=2, num_steps=2, batch_size=8, capacity=100, warmup=8, hidden_sizes=(8,))
      >>> learner = jaxrl.TD3(*jaxrl.envs.make("Pendulum-v1"), **fields)
      >>> state, metrics = jaxrl.train(learner, jax.random.key(0), 3)
      >>> metrics["actor_loss"].shape
      (3,)

    Source: Fujimoto, van Hoof & Meger (2018), Addressing Function Approximation Error in Actor-Critic Methods,
    arXiv:1802.09477; DDPG: Lillicrap et al. (2016), arXiv:1509.02971. Deviations: time limits bootstrap the true last
    observation; heads begin at zero; normal noise. The critics see observations flattened.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    actor: nn.Module | None = static(None)
    critics: nn.Module | None = static(None)
    hidden_sizes: tuple[int, ...] = static((256, 256), low=1)
    num_critics: int = static(2, low=1)
    critic_steps: int = static(2, low=1)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    num_envs: int = static(1, low=1)
    num_steps: int = static(50, low=1)
    train_every: int = static(2, low=1)
    num_backup_steps: int = static(1, low=1)
    batch_size: int = static(256, low=1)
    capacity: int = static(100_000, low=1)
    warmup: int = static(1000, low=1)
    learning_rate: float = leaf(1e-3, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    target_rate: float = leaf(0.005, low=0, open_low=True, high=1)
    discount: float = leaf(0.99, low=0, high=1)
    noise: float = leaf(0.1, low=0)
    target_noise: float = leaf(0.2, low=0)
    target_noise_bound: float = leaf(0.5, low=0)
    max_grad_norm: float = leaf(jnp.inf, low=0, open_low=True, infinite=True)
    params: Any = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Box",)

    def __post_init__(self) -> None:
        replaying.check_sizes(self)

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
            actor = networks.DeterministicActor(self.num_actions, torso)
        if critics is None:
            critics = networks.Critics(self.hidden_sizes, self.num_critics)
        return actor, critics

    def target_of(self, params: Any) -> Any:
        """The parameters that the target networks follow."""
        return params

    def init(self, key: jax.Array) -> OffPolicyState:
        """Initialize the networks, and fill the replay with random steps. The key is consumed."""
        return begin(self, key, {})

    def act(self, state: OffPolicyState, obs: Any, key: jax.Array) -> jax.Array:
        """The policy's actions `[B, A]` for observations `[B, ...]`, without noise."""
        return self.models[0].apply(state.params["actor"], obs)

    def explore(self, state: OffPolicyState, obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Noisy actions for observations `[N, ...]`; their log-probabilities are not needed. The key is consumed."""
        action = self.models[0].apply(state.params["actor"], obs)
        noisy = action + self.noise * jax.random.normal(key, action.shape)
        return jnp.clip(noisy, -1.0, 1.0), jnp.zeros(len(action))

    def rollout(self, state: OffPolicyState, key: jax.Array) -> tuple[OffPolicyState, Transition]:
        """Act for `train_every` steps in N environments: the batch is `[train_every, N, ...]`. The key is consumed."""
        return replaying.rollout(self, state, key)

    def update(self, state: OffPolicyState, key: jax.Array) -> tuple[OffPolicyState, Metrics]:
        """`num_steps` times a rollout and the gradient steps that go with it. The key is consumed."""
        return replaying.update(self, state, key)

    def stages(self, state: OffPolicyState, key: jax.Array) -> dict[str, Stage]:
        """What the profiler times one by one within the halves. The key is consumed."""
        stage_key, draw_key, critic_key, actor_key = jax.random.split(key, 4)
        replay, part = state.memory.replay, functools.partial(Stage, within="learn")
        experience = replaying.draw(self, replay, draw_key)
        critics = part(TD3.critic_gradient, (self, state, experience, critic_key), self.num_steps * self.critic_steps)
        actor = part(TD3.actor_gradient, (self, state, replay, actor_key), self.num_steps)
        light, slope = dataclasses.replace(state, memory=None), jax.tree.map(jnp.zeros_like, state.params["critics"])
        others, arguments = self.num_steps * (self.critic_steps - 1), (self, light, {"critics": slope})
        found = learning_stages(self, state, stage_key, {"critics": critics, "actor": actor})
        found["sample"] = dataclasses.replace(found["sample"], times=critics.times)
        return found | {"optimizer, further critics": part(gradient_step, arguments, others, carry=1)}

    def learn(self, state: OffPolicyState, batch: Transition, key: jax.Array) -> tuple[OffPolicyState, Metrics]:
        """Store a batch `[T, N, ...]` as `buffers.add` wants it; steps of the critics, then one of the policy.

        Each step is on experience of its own. The key is consumed.
        """
        actor_key, critic_key = jax.random.split(key)
        memory = replaying.remember(state.memory, batch)
        losses = []
        for step_key in jax.random.split(critic_key, self.critic_steps):
            sample_key, target_key = jax.random.split(step_key)
            experience = replaying.draw(self, memory.replay, sample_key)
            loss, gradient = self.critic_gradient(state, experience, target_key)
            state = gradient_step(self, state, {"critics": gradient})
            losses.append(loss)
        actor_loss, gradient = self.actor_gradient(state, memory.replay, actor_key)
        state = gradient_step(self, dataclasses.replace(state, memory=memory), {"actor": gradient})
        return follow(self, state), {"critic_loss": jnp.stack(losses).mean(), "actor_loss": actor_loss}

    def critic_gradient(
        self, state: OffPolicyState, experience: buffers.Experience, key: jax.Array
    ) -> tuple[jax.Array, Any]:
        """The critics' loss of experience `[B]`, and its gradient. The key is consumed."""
        target = self.targets(state, experience, key)
        return jax.value_and_grad(self.critic_loss)(state.params["critics"], experience, target)

    def actor_gradient(self, state: OffPolicyState, replay: buffers.Replay, key: jax.Array) -> tuple[jax.Array, Any]:
        """The policy's loss of observations `[B]` of a replay, and its gradient. The key is consumed."""
        row = buffers.sample_rows(replay, key, self.batch_size)
        obs = jax.tree.map(lambda x: x[row], replay.obs)
        return jax.value_and_grad(self.actor_loss)(state.params["actor"], state.params["critics"], obs)

    def targets(self, state: OffPolicyState, experience: buffers.Experience, key: jax.Array) -> jax.Array:
        """R + d min_c q_c(s', π(s') + noise) of the target networks `[B]`. The key is consumed."""
        actor, critics = self.models
        action = actor.apply(state.target_params["actor"], experience.next_obs)
        noise = self.target_noise * jax.random.normal(key, action.shape)
        noise = jnp.clip(noise, -self.target_noise_bound, self.target_noise_bound)
        action = jnp.clip(action + noise, -1.0, 1.0)
        values = critics.apply(state.target_params["critics"], experience.next_obs, action)
        chex.assert_rank(values, 3)
        return experience.reward + experience.discounts * values[..., 0].min(0)

    def critic_loss(self, params: Any, experience: buffers.Experience, target: jax.Array) -> jax.Array:
        """Half the mean squared error of each critic, summed over them."""
        values = self.models[1].apply(params, experience.obs, experience.action)[..., 0]
        return 0.5 * jnp.square(values - target[None]).mean(-1).sum()

    def actor_loss(self, params: Any, critic_params: Any, obs: Any) -> jax.Array:
        """The first critic's value of the policy's actions, to be climbed."""
        actor, critics = self.models
        return -critics.apply(critic_params, obs, actor.apply(params, obs))[0].mean()


DDPG: dict[str, Any] = {
    "num_critics": 1,
    "critic_steps": 1,
    "train_every": 1,
    "num_steps": 100,
    "target_noise": 0.0,
}
"""What `ddpg` changes."""


def ddpg(env: Any, env_params: Any, **changes: Any) -> TD3:
    """DDPG: one critic, which the policy climbs at every step; its target is not smoothed.

    Args:
      env: as for `TD3`.
      env_params: as for `TD3`.
      **changes: other fields, and others of these.

    Example:
      >>> import jaxrl
      >>> ddpg(*jaxrl.envs.make("Pendulum-v1")).num_critics
      1

    Source: Lillicrap et al. (2016), Continuous Control with Deep Reinforcement Learning, arXiv:1509.02971; with normal
    noise.
    """
    return TD3(env, env_params, **(DDPG | changes))
