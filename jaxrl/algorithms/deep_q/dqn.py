"""Deep Q-learning from replay."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import buffers, networks, ops
from jaxrl.algorithms import replaying
from jaxrl.types import Metrics, Stage, Transition, leaf, static


@flax.struct.dataclass
class DQNState:
    """Everything the next update needs."""

    params: Any
    target_params: Any
    opt_state: Any
    memory: replaying.Memory
    num_learned: jax.Array  # int32 []; calls of `learn`, which schedules count


@flax.struct.dataclass
class DQN:
    """Deep Q-learning: the returns of (s, a) follow those of experience from replay; actions are ε-greedy.

    An update is `num_steps` times `train_every` steps of N environments and a gradient step. Which fields give what:
    double DQN is the default, `backup=ops.max_backup` the first DQN, `ops.munchausen_backup` M-DQN; `dueling`, `noisy`
    and `prioritized` are what they say; `returns=ops.CategoricalReturns(low, high)` is C51, `ops.QuantileReturns()`
    QR-DQN; `rainbow` puts double, dueling, noisy, prioritized, three steps and C51 together.

    Args:
      env: gymnax environment (six values from `step`).
      env_params: its parameters.
      network: linen module whose `apply(params, obs [B, ...])` gives what `returns` reads, `[B, A]` or `[B, A, Z]`;
        None chooses an MLP, a CNN or a one-hot MLP by the observation space.
      hidden_sizes: widths of the default network's fully connected layers.
      dueling: whether the default network has a dueling head.
      noisy: whether the default network explores by noise in its layers; take `epsilon=0` and `explore_updates=0`.
      optimizer: function of the learning rate that gives an optax transformation; it gets small arrays as one vector.
      returns: what the network's outputs say about returns, of `jaxrl.ops`.
      backup: function of (experience, online network, target network) from `jaxrl.ops`: what follows.
      prioritized: whether experience is sampled in proportion to its error.
      num_envs: N, environments stepped together.
      num_steps: gradient steps of an update.
      train_every: steps of each environment before a gradient step.
      num_backup_steps: n of n-step returns; longer ones are off policy, and uncorrected.
      batch_size: B, experience of a gradient step.
      capacity: rows of the replay, of all environments together.
      warmup: random steps of each environment before the first update.
      learning_rate: step size of the optimizer.
      anneal_updates: updates over which the learning rate falls linearly to zero; inf keeps it.
      epsilon: ε, probability of a random action, once it has fallen from one.
      explore_updates: updates over which it falls; 0 begins with `epsilon`.
      target_rate: τ, part of the difference by which the target network follows at each gradient step.
      discount: γ, per step.
      priority_exponent: power of an error that makes a priority.
      importance_exponent: β, power of the importance weights.
      max_grad_norm: bound of the gradient's global norm.
      params: starting point of the network; None initializes at random.

    Example:
      >>> import jaxrl
      >>> dqn = jaxrl.DQN(*jaxrl.envs.make("CartPole-v1"), capacity=1000, warmup=10, num_steps=4)
      >>> state, metrics = jaxrl.train(dqn, jax.random.key(0), 3)
      >>> metrics["loss"].shape
      (3,)

    Source: Mnih et al. (2015), Human-level Control through Deep Reinforcement Learning. Deviations: time limits
    bootstrap the true last observation; the target network follows at a rate, as in Lillicrap et al. (2016),
    arXiv:1509.02971; Adam; heads begin at zero; β is constant.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    network: nn.Module | None = static(None)
    hidden_sizes: tuple[int, ...] = static((64, 64), low=1)
    dueling: bool = static(False)
    noisy: bool = static(False)
    optimizer: Callable[..., optax.GradientTransformation] = static(ops.adam)
    returns: Any = static(ops.MeanReturns())
    backup: Callable[..., Any] = static(ops.double_backup)
    prioritized: bool = static(False)
    num_envs: int = static(10, low=1)
    num_steps: int = static(100, low=1)
    train_every: int = static(1, low=1)
    num_backup_steps: int = static(1, low=1)
    batch_size: int = static(128, low=1)
    capacity: int = static(50_000, low=1)
    warmup: int = static(100, low=1)
    learning_rate: float = leaf(1e-3, low=0, open_low=True)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    epsilon: float = leaf(0.05, low=0, high=1)
    explore_updates: float = leaf(50.0, low=0)
    target_rate: float = leaf(0.01, low=0, open_low=True, high=1)
    discount: float = leaf(0.99, low=0, high=1)
    priority_exponent: float = leaf(0.5, low=0)
    importance_exponent: float = leaf(0.5, low=0, high=1)
    max_grad_norm: float = leaf(10.0, low=0, open_low=True, infinite=True)
    params: Any = None

    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)
    reads_masks: ClassVar[bool] = False

    def __post_init__(self) -> None:
        replaying.check_sizes(self)
        if self.backup is ops.munchausen_backup and self.num_backup_steps != 1:
            raise ValueError(f"num_backup_steps={self.num_backup_steps}: the bonus of munchausen_backup is that of one")

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps * self.train_every

    @property
    def model(self) -> Any:
        """The network, or the default for the environment's spaces."""
        if self.network is not None:
            return self.network
        torso = networks.default_torso(self.env.observation_space(self.env_params), self.hidden_sizes, noisy=self.noisy)
        num_actions = self.env.action_space(self.env_params).n
        return networks.QNetwork(num_actions, torso, self.dueling, self.returns.num_outputs, self.noisy)

    def q_values(self, params: Any, obs: Any, noise: jax.Array | None = None) -> jax.Array:
        """Action values `[B, A]` of observations `[B, ...]`; a key of the noise in the layers, if they have any."""
        return self.returns.mean(self.model.apply(params, obs, rngs=None if noise is None else {"noise": noise}))

    def init(self, key: jax.Array) -> DQNState:
        """Initialize the network, and fill the replay with random steps. The key is consumed."""
        memory_key, params_key = jax.random.split(key)
        memory = replaying.begin(self, memory_key, self.prioritized)
        params = self.model.init(params_key, memory.obs) if self.params is None else self.params
        params, num_learned = jax.tree.map(jnp.array, params), jnp.zeros((), jnp.int32)
        opt_state = ops.transform_of(self, num_learned).init(params)
        return DQNState(params, jax.tree.map(jnp.array, params), opt_state, memory, num_learned)

    def act(self, state: DQNState, obs: Any, key: jax.Array) -> jax.Array:
        """The best actions `[B]` of observations `[B, ...]`, for evaluation, without noise."""
        return self.q_values(state.params, obs).argmax(-1).astype(jnp.int32)

    def explore(self, state: DQNState, obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """ε-greedy actions for observations `[N, ...]`; their log-probabilities are not needed. The key is consumed."""
        noise, action_key = jax.random.split(key)
        epsilon = ops.falling_epsilon(self.epsilon, replaying.num_updates(self, state), self.explore_updates)
        policy = ops.epsilon_greedy(self.q_values(state.params, obs, noise), epsilon)
        return ops.sample_index(action_key, policy), jnp.zeros(len(policy))

    def rollout(self, state: DQNState, key: jax.Array) -> tuple[DQNState, Transition]:
        """Act for `train_every` steps in N environments: the batch is `[train_every, N, ...]`. The key is consumed."""
        return replaying.rollout(self, state, key)

    def update(self, state: DQNState, key: jax.Array) -> tuple[DQNState, Metrics]:
        """`num_steps` times a rollout and a gradient step. The key is consumed."""
        return replaying.update(self, state, key)

    def learn(self, state: DQNState, batch: Transition, key: jax.Array) -> tuple[DQNState, Metrics]:
        """Store a batch `[T, N, ...]` as `buffers.add` wants it, and make a gradient step. The key is consumed."""
        sample_key, *noise = jax.random.split(key, 4)
        memory = replaying.remember(state.memory, batch)
        row, importance, experience = self.draw(memory.replay, sample_key)
        gradient, value, error = self.gradient(state, experience, importance, noise)
        if self.prioritized:
            replay = buffers.prioritize(memory.replay, row, (error + 1e-6) ** self.priority_exponent)
            memory = dataclasses.replace(memory, replay=replay)
        state = dataclasses.replace(_descend(state, self, gradient), memory=memory)
        return state, {"loss": value, "error": error.mean()}

    def draw(self, replay: buffers.Replay, key: jax.Array) -> tuple[jax.Array, jax.Array, buffers.Experience]:
        """Rows `[B]` of a replay, their importance, and the experience that begins there. The key is consumed."""
        if self.prioritized:
            row, importance = buffers.sample_by_priority(replay, key, self.batch_size)
            importance = importance**self.importance_exponent
        else:
            row, importance = buffers.sample_rows(replay, key, self.batch_size), jnp.ones(self.batch_size)
        return row, importance, buffers.n_step(replay, row, self.num_backup_steps, self.discount)

    def gradient(
        self, state: DQNState, experience: buffers.Experience, importance: jax.Array, noise: Sequence[jax.Array]
    ) -> tuple[Any, jax.Array, jax.Array]:
        """Of the loss of experience `[B]`, with the loss and the errors `[B]`.

        The keys are of the noise in the layers: of what learns, and of both networks of the targets.
        """
        atoms, weights = self.targets(state, experience, *noise[1:])

        def loss(params: Any) -> tuple[jax.Array, jax.Array]:
            outputs = self.model.apply(params, experience.obs, rngs={"noise": noise[0]})
            losses, error = self.returns.loss(ops.taken(outputs, experience.action), atoms, weights)
            return (importance * losses).mean(), error

        (value, error), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        return gradient, value, error

    def targets(
        self, state: DQNState, experience: buffers.Experience, noise: jax.Array, target_noise: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Points r + d z of the returns that follow experience `[B]`, and their weights, `[B, K]` each.

        The keys are of the noise in the layers of the learning network and of the slow one.
        """

        def online(obs: Any) -> jax.Array:
            return self.q_values(state.params, obs, noise)

        def target(obs: Any) -> jax.Array:
            return self.q_values(state.target_params, obs, target_noise)

        policy, bonus = self.backup(experience, online, target)
        outputs = self.model.apply(state.target_params, experience.next_obs, rngs={"noise": target_noise})
        atoms, weights = self.returns.atoms(outputs, policy)
        return (experience.reward + bonus)[:, None] + experience.discounts[:, None] * atoms, weights

    def stages(self, state: DQNState, key: jax.Array) -> dict[str, Stage]:
        """What the profiler times one by one within the halves. The key is consumed."""
        act_key, draw_key, sample_key, *noise = jax.random.split(key, 6)
        replay, marked = state.memory.replay, self.num_steps if self.prioritized else 0
        row, importance, experience = self.draw(replay, draw_key)
        slope = jax.tree.map(jnp.zeros_like, state.params)
        light = dataclasses.replace(state, memory=None)  # it has no part in a step
        part = functools.partial(Stage, within="learn")
        return replaying.stages(self, state, act_key) | {
            "sample": part(DQN.draw, (self, replay, sample_key), self.num_steps),
            "gradient": part(DQN.gradient, (self, state, experience, importance, noise), self.num_steps),
            "prioritize": part(buffers.prioritize, (replay, row, importance), marked, carry=0),
            "optimizer": part(_descend, (light, self, slope), self.num_steps, carry=0),
        }


def _descend(state: DQNState, algorithm: DQN, gradient: Any) -> DQNState:
    """One step of the optimizer; the target network follows."""
    transform = ops.transform_of(algorithm, replaying.num_updates(algorithm, state))
    updates, opt_state = transform.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    target_params = optax.incremental_update(params, state.target_params, algorithm.target_rate)
    return DQNState(params, target_params, opt_state, state.memory, state.num_learned + 1)
