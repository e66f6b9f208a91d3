"""Parallelized Q-learning for networks with a memory."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import envs, networks, ops
from jaxrl.algorithms.deep_q.pqn import squared_error
from jaxrl.types import Metrics, Sequences, leaf, static


@flax.struct.dataclass
class RecurrentPQNState:
    """Everything the next update needs.

    Args:
      params: of the network.
      opt_state: of the optimizer.
      obs: `[N, ...]`.
      env_state: `[N, ...]`.
      carry: memory `[N, ...]` after the last observation but the current one.
      start: bool `[N]`, whether the current observation is the first one of an episode.
      episode: statistics of the episodes in progress.
      num_updates: int32 `[]`; schedules read it.
    """

    params: Any
    opt_state: Any
    obs: Any
    env_state: Any
    carry: Any
    start: jax.Array
    episode: ops.EpisodeStatistics
    num_updates: jax.Array


@flax.struct.dataclass
class RecurrentPQN:
    """PQN with a memory: minibatches are all steps of some environments, in order.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      network: `networks.Recurrent` whose head gives `q [B, A]`; None chooses its torso by the observation space, with
        layer normalization there and after the memory.
      cell: recurrent cell of the default network, whose width is its last layer's: `nn.GRUCell`,
        `nn.OptimizedLSTMCell`.
      hidden_sizes: widths of the default network's fully connected layers.
      optimizer: function of the learning rate that gives an optax transformation; it gets small arrays as one vector.
      num_envs: N, environments stepped together.
      num_steps: T, steps of each environment per update; gradients go no further back.
      num_epochs: passes over the batch per update.
      num_minibatches: gradient steps per pass; divides N.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      epsilon: ε, probability of a random action, once it has fallen from one.
      explore_updates: updates over which it falls; 0 begins with `epsilon`.
      discount: γ, per step.
      q_lambda: λ of the returns.
      max_grad_norm: bound of the gradient's global norm.
      params: starting point of the network; None initializes at random.

    Example:
      >>> import jaxrl
      >>> pqn = jaxrl.RecurrentPQN(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=8, num_minibatches=2)
      >>> state, metrics = jaxrl.train(pqn, jax.random.key(0), 2)
      >>> metrics["loss"].shape
      (2,)

    Source: Gallici et al. (2024), Simplifying Deep Temporal Difference Learning, arXiv:2407.04811, its recurrent
    variant. Deviations: as `PQN`; the normalization after the memory, without which CartPole is not learned.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    network: nn.Module | None = static(None)
    cell: Callable[..., Any] = static(nn.GRUCell)
    hidden_sizes: tuple[int, ...] = static((64,), low=1)
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
        torso = networks.default_torso(self.env.observation_space(self.env_params), self.hidden_sizes, layer_norm=True)
        # Normalized after the memory too: what the values are linear in must not grow with them.
        head = nn.Sequential([nn.LayerNorm(), networks.Head(self.env.action_space(self.env_params).n)])
        return networks.Recurrent(torso, networks.make_cell(self.cell, self.hidden_sizes[-1]), head)

    def init(self, key: jax.Array) -> RecurrentPQNState:
        """Reset the environments and initialize the network. The key is consumed."""
        env_key, params_key = jax.random.split(key)
        obs, env_state = envs.reset(self.env, self.env_params, env_key, self.num_envs)
        carry, start = self.initial_memory(self.num_envs)
        params = self.model.init(params_key, carry, obs, start) if self.params is None else self.params
        params, num_updates = jax.tree.map(jnp.array, params), jnp.zeros((), jnp.int32)
        opt_state = ops.transform_of(self, num_updates).init(params)
        world = (obs, env_state, carry, start)
        return RecurrentPQNState(params, opt_state, *world, ops.init_episodes(self.num_envs), num_updates)

    def initial_memory(self, num_envs: int) -> tuple[Any, jax.Array]:
        """The memory before an episode `[N, ...]`, and that one starts, bool `[N]`."""
        return self.model.initial_carry(num_envs), jnp.ones(num_envs, bool)

    def act(self, state: RecurrentPQNState, obs: Any, key: jax.Array, memory: Any) -> tuple[Any, Any]:
        """The best actions of observations `[B, ...]`, and the next memory, for evaluation."""
        carry, start = memory
        carry, q = self.model.apply(state.params, carry, obs, start)
        return q.argmax(-1).astype(jnp.int32), (carry, jnp.zeros_like(start))

    def rollout(self, state: RecurrentPQNState, key: jax.Array) -> tuple[RecurrentPQNState, Sequences]:
        """Act ε-greedily for `num_steps` steps in N environments. The key is consumed."""
        epsilon = ops.falling_epsilon(self.epsilon, state.num_updates, self.explore_updates)

        def act(obs: Any, key: jax.Array, memory: Any) -> tuple[jax.Array, jax.Array, Any]:
            carry, q = self.model.apply(state.params, memory[0], obs, memory[1])
            return ops.sample_index(key, ops.epsilon_greedy(q, epsilon)), jnp.zeros(self.num_envs), carry

        world = (state.obs, state.env_state, state.carry, state.start)
        world, batch, starts = envs.rollout_with_memory(self.env, self.env_params, act, world, key, self.num_steps)
        obs, env_state, carry, start = world
        new = dataclasses.replace(state, obs=obs, env_state=env_state, carry=carry, start=start)
        return new, Sequences(batch, starts, state.carry)

    def update(self, state: RecurrentPQNState, key: jax.Array) -> tuple[RecurrentPQNState, Metrics]:
        """One rollout and everything learned from it. The key is consumed."""
        rollout_key, learn_key = jax.random.split(key)
        state, batch = self.rollout(state, rollout_key)
        return self.learn(state, batch, learn_key)

    def learn(self, state: RecurrentPQNState, batch: Sequences, key: jax.Array) -> tuple[RecurrentPQNState, Metrics]:
        """λ-returns, and `num_epochs` passes of gradient steps over all steps of some environments each.

        The key is consumed. Losses in the metrics are averaged over the gradient steps, episodes are sums.
        """
        steps = batch.transition
        sequences = (steps.obs, batch.start, steps.action, self.targets(state, batch))
        by_env = (jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), sequences), batch.carry)
        start, sizes = (state.params, state.opt_state), (self.num_epochs, self.num_minibatches)
        transform = ops.transform_of(self, state.num_updates)
        params, opt_state, losses = ops.minimize(self.loss, transform, start, by_env, key, *sizes)
        episode, metrics = ops.episode_metrics(state.episode, steps.reward, steps.done)
        changes = dict(params=params, opt_state=opt_state, episode=episode, num_updates=state.num_updates + 1)
        return dataclasses.replace(state, **changes), metrics | losses

    def targets(self, state: RecurrentPQNState, batch: Sequences) -> jax.Array:
        """λ-returns of the greedy policy `[T, N]`; a true last observation comes after the memory of its episode."""
        steps = batch.transition
        carries, _ = networks.unroll(self.model, state.params, batch.carry, steps.obs, batch.start)
        next_q = networks.peek(self.model, state.params, carries, steps.next_obs)
        next_value = next_q.max(-1).reshape(steps.reward.shape)
        discounts = self.discount * (1.0 - steps.terminated)
        return ops.lambda_returns(steps.reward, discounts, next_value, self.q_lambda * (1.0 - steps.done))

    def loss(self, params: Any, minibatch: tuple[Any, Any]) -> tuple[jax.Array, Metrics]:
        """Half the mean squared error of the values of the actions taken, of sequences `[n, T, ...]` and memories."""
        sequences, carry = minibatch
        obs, start, action, target = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), sequences)
        _, q = networks.unroll(self.model, params, carry, obs, start)
        return squared_error(q, action.reshape(-1), target.reshape(-1))
