"""Parallelized Q-learning: many environments instead of a replay and a target network."""

import dataclasses
import functools
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
class PQNState:
    """Everything the next update needs."""

    params: Any
    opt_state: Any
    obs: Any
    env_state: Any
    episode: ops.EpisodeStatistics
    num_updates: jax.Array  # int32 []; schedules read it


@flax.struct.dataclass
class PQN:
    """Parallelized Q-learning: q(s, a) follows λ-returns of fresh experience, by a network with layer normalization.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      network: linen module whose `apply(params, obs [B, ...])` gives `q [B, A]`; None chooses an MLP, a CNN or a
        one-hot MLP by the observation space, with layer normalization.
      hidden_sizes: widths of the default network's fully connected layers.
      optimizer: function of the learning rate that gives an optax transformation; it gets small arrays as one vector.
      num_envs: N, environments stepped together.
      num_steps: T, steps of each environment per update.
      num_epochs: passes over the batch per update.
      num_minibatches: gradient steps per pass.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      epsilon: ε, probability of a random action, once it has fallen from one.
      explore_updates: updates over which it falls; 0 begins with `epsilon`.
      discount: γ, per step.
      q_lambda: λ of the returns; they are those of the greedy policy, not corrected for actions that explore.
      max_grad_norm: bound of the gradient's global norm.
      params: starting point of the network; None initializes at random.

    Example:
      >>> import jaxrl
      >>> pqn = jaxrl.PQN(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=8, num_minibatches=2)
      >>> state, metrics = jaxrl.train(pqn, jax.random.key(0), 3)
      >>> metrics["loss"].shape
      (3,)

    Source: Gallici et al. (2024), Simplifying Deep Temporal Difference Learning, algorithm 1, arXiv:2407.04811; Q(λ):
    Peng & Williams (1996), Incremental Multi-Step Q-Learning. Deviations: time limits bootstrap the true last
    observation; Adam; heads begin at zero.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    network: nn.Module | None = static(None)
    hidden_sizes: tuple[int, ...] = static((64, 64), low=1)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    num_envs: int = static(64, low=1)
    num_steps: int = static(32, low=1)
    num_epochs: int = static(2, low=1)
    num_minibatches: int = static(8, low=1)
    learning_rate: float = leaf(5e-4, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    epsilon: float = leaf(0.05, low=0, high=1)
    explore_updates: float = leaf(50.0, low=0)
    discount: float = leaf(0.99, low=0, high=1)
    q_lambda: float = leaf(0.65, low=0, high=1)
    max_grad_norm: float = leaf(10.0, low=0, open_low=True, infinite=True)
    params: Any = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)
    reads_masks: ClassVar[bool] = False

    def __post_init__(self) -> None:
        ops.check_minibatches(self.num_minibatches, num_envs=self.num_envs, num_steps=self.num_steps)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    @property
    def model(self) -> Any:
        """The network, or the default for the environment's spaces."""
        if self.network is not None:
            return self.network
        torso = networks.default_torso(self.env.observation_space(self.env_params), self.hidden_sizes, layer_norm=True)
        return networks.QNetwork(self.env.action_space(self.env_params).n, torso)

    def init(self, key: jax.Array) -> PQNState:
        """Reset the environments and initialize the network. The key is consumed."""
        env_key, params_key = jax.random.split(key)
        obs, env_state = envs.reset(self.env, self.env_params, env_key, self.num_envs)
        params = self.model.init(params_key, obs) if self.params is None else self.params
        params, num_updates = jax.tree.map(jnp.array, params), jnp.zeros((), jnp.int32)
        opt_state = ops.transform_of(self, num_updates).init(params)
        return PQNState(params, opt_state, obs, env_state, ops.init_episodes(self.num_envs), num_updates)

    def act(self, state: PQNState, obs: Any, key: jax.Array) -> jax.Array:
        """The best actions `[B]` of observations `[B, ...]`, for evaluation."""
        return self.model.apply(state.params, obs).argmax(-1).astype(jnp.int32)

    def explore(self, state: PQNState, obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """ε-greedy actions for observations `[N, ...]`; their log-probabilities are not needed. The key is consumed."""
        epsilon = ops.falling_epsilon(self.epsilon, state.num_updates, self.explore_updates)
        policy = ops.epsilon_greedy(self.model.apply(state.params, obs), epsilon)
        return ops.sample_index(key, policy), jnp.zeros(len(policy))

    def rollout(self, state: PQNState, key: jax.Array) -> tuple[PQNState, Transition]:
        """Act ε-greedily for `num_steps` steps in N environments: the batch is `[T, N, ...]`. The key is consumed."""
        act = functools.partial(self.explore, state)
        start = (state.obs, state.env_state)
        obs, env_state, batch = envs.rollout(self.env, self.env_params, act, *start, key, self.num_steps)
        return dataclasses.replace(state, obs=obs, env_state=env_state), batch

    def update(self, state: PQNState, key: jax.Array) -> tuple[PQNState, Metrics]:
        """One rollout and everything learned from it. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)

    def learn(self, state: PQNState, batch: Transition, key: jax.Array) -> tuple[PQNState, Metrics]:
        """λ-returns, and `num_epochs` passes of minibatch gradient steps over a batch `[T, N, ...]`.

        The key is consumed. Losses in the metrics are averaged over the gradient steps, episodes are sums.
        """
        steps = ops.flat(batch)
        data = (steps.obs, steps.action, self.targets(state, batch).reshape(-1))
        start, sizes = (state.params, state.opt_state), (self.num_epochs, self.num_minibatches)
        transform = ops.transform_of(self, state.num_updates)
        params, opt_state, losses = ops.minimize(self.loss, transform, start, data, key, *sizes)
        episode, metrics = ops.episode_metrics(state.episode, batch.reward, batch.done)
        changes = dict(params=params, opt_state=opt_state, episode=episode, num_updates=state.num_updates + 1)
        return dataclasses.replace(state, **changes), metrics | losses

    def targets(self, state: PQNState, batch: Transition) -> jax.Array:
        """λ-returns of the greedy policy `[T, N]` of a batch `[T, N, ...]`."""
        next_value = self.model.apply(state.params, ops.flat(batch.next_obs)).max(-1).reshape(batch.reward.shape)
        discounts = self.discount * (1.0 - batch.terminated)
        return ops.lambda_returns(batch.reward, discounts, next_value, self.q_lambda * (1.0 - batch.done))

    def loss(self, params: Any, minibatch: tuple[Any, jax.Array, jax.Array]) -> tuple[jax.Array, Metrics]:
        """Half the mean squared error, of observations, actions and targets `[B, ...]`, and the metrics."""
        obs, action, target = minibatch
        return squared_error(self.model.apply(params, obs), action, target)


def squared_error(q: jax.Array, action: jax.Array, target: jax.Array) -> tuple[jax.Array, Metrics]:
    """Half the mean squared error of q `[B, A]` at actions, to targets, `[B]` each, and the metrics."""
    value = ops.taken(q, action)
    loss = 0.5 * jnp.square(value - target).mean()
    return loss, {"loss": loss, "q_value": value.mean()}
