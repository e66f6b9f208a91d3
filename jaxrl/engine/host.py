"""Training and evaluation in environments that only the host can step."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from jaxrl import ops
from jaxrl.algorithms.replaying import Memory, empty_replay, random_action, remember
from jaxrl.engine.check import check
from jaxrl.engine.evaluate import Evaluation
from jaxrl.engine.signals import stop_signals
from jaxrl.types import Transition, whole_number


def train_on_host(
    algorithm: Any, bridge: Any, key: jax.Array, num_updates: int, progress: bool = True
) -> tuple[Any, list[dict[str, float]]]:
    """Train in environments that Python steps: `explore` acts, compiled, and `learn` learns, compiled.

    An interrupt (Ctrl-C) ends the run after the update in progress; nothing of it is lost.

    Args:
      algorithm: built with `bridge.env, bridge.env_params` and `num_envs=bridge.num_envs`, such as `jaxrl.PPO`; with a
        method `explore`. Learners with a recurrent network and those from whole episodes have none.
      bridge: from `jaxrl.envs.GymnasiumBridge`, or anything with its `reset` and `step`; the caller closes it.
      key: consumed; the environments are seeded by it too.
      num_updates: number of updates, at least one.
      progress: whether a bar shows updates and return.

    Returns:
      The state, and the metrics of each update.

    Raises:
      TypeError: for an algorithm without `explore`, and as `jaxrl.check`.
      ValueError: for another number of environments, or less than one update, and as `jaxrl.check`.

    Example:
      >>> import jaxrl
      >>> with jaxrl.envs.GymnasiumBridge("CartPole-v1", num_envs=2) as bridge:
      ...     ppo = jaxrl.PPO(bridge.env, bridge.env_params, num_envs=2, num_steps=8, num_minibatches=2)
      ...     state, metrics = jaxrl.train_on_host(ppo, bridge, jax.random.key(0), 2, progress=False)
      >>> len(metrics)
      2
    """
    _check_learner(algorithm, bridge)
    num_updates = whole_number("num_updates", num_updates, 1)
    from rich.progress import Progress

    init_key, run_key = jax.random.split(key)
    state = _init(algorithm, init_key)
    world = _World(bridge, _seed(run_key))
    if _replays(state):
        state = _warmed_up(algorithm, state, world, jax.random.fold_in(run_key, 1))
    history = []
    with Progress(disable=not progress) as bar, stop_signals() as stop:
        task = bar.add_task("return nan", total=num_updates)
        for update in range(num_updates):
            state, metrics = _update(algorithm, state, world, jax.random.fold_in(run_key, 2 + update))
            history.append(metrics | world.finished())
            bar.update(task, advance=1, description=f"return {history[-1]['episode_return']:.1f}")
            if stop.is_set():
                break
    return state, history


def evaluate_on_host(
    algorithm: Any, state: Any, bridge: Any, key: jax.Array, num_episodes: int, max_steps: int = 100_000
) -> Evaluation:
    """Play whole episodes of a policy in environments that Python steps.

    Of each of the N environments the same number of episodes counts, so that short ones do not come more often.

    Args:
      algorithm: with a method `act` of (state, observations, key).
      state: its state.
      bridge: as for `train_on_host`, with any number N of environments.
      key: consumed; the environments are seeded by it too.
      num_episodes: episodes, at least one, rounded up to a multiple of N.
      max_steps: steps of each environment at most, at least one.

    Returns:
      Returns, lengths, and whether the episodes finished, `[num_episodes]`, as of `jaxrl.evaluate`.

    Raises:
      TypeError: for an algorithm without `act`, or with a recurrent network, and as `jaxrl.check`.
      ValueError: for less than one episode or step, and as `jaxrl.check`.

    Example:
      >>> import jaxrl
      >>> with jaxrl.envs.GymnasiumBridge("CartPole-v1", num_envs=2) as bridge:
      ...     ppo = jaxrl.PPO(bridge.env, bridge.env_params, num_envs=2, num_steps=8, num_minibatches=2)
      ...     state = ppo.init(jax.random.key(0))
      ...     result = jaxrl.evaluate_on_host(ppo, state, bridge, jax.random.key(1), 4)
      >>> result.returns.shape, bool(result.finished.all())
      ((4,), True)

    Source: our own.
    """
    _check_actor(algorithm)
    rounds = -(-whole_number("num_episodes", num_episodes, 1) // bridge.num_envs)
    max_steps = whole_number("max_steps", max_steps, 1)
    obs = bridge.reset(_seed(key))
    returns, lengths = np.zeros((rounds, bridge.num_envs), np.float32), np.zeros((rounds, bridge.num_envs), np.int32)
    place, lanes = np.zeros(bridge.num_envs, int), np.arange(bridge.num_envs)
    for step in range(max_steps):
        action = _act(algorithm, state, obs, jax.random.fold_in(key, 1 + step))
        transition, obs = bridge.step(obs, jax.device_get(action))
        counts = place < rounds
        returns[place[counts], lanes[counts]] += transition.reward[counts]
        lengths[place[counts], lanes[counts]] += 1
        place += np.asarray(transition.done)
        if (place >= rounds).all():
            break
    finished = np.arange(rounds)[:, None] < place[None]
    episodes: list[Any] = [x.reshape(-1) for x in (returns, lengths, finished)]
    return Evaluation(*episodes)


def _check_actor(algorithm: Any) -> None:
    check(algorithm)
    if not hasattr(algorithm, "act"):
        raise TypeError(f"algorithm: {type(algorithm).__name__} has no method act to evaluate with")
    if hasattr(algorithm, "initial_memory"):
        raise TypeError(f"algorithm: {type(algorithm).__name__} is recurrent, which the host is not made for; use PPO")


def _check_learner(algorithm: Any, bridge: Any) -> None:
    check(algorithm)
    if not hasattr(algorithm, "explore"):
        raise TypeError(
            f"algorithm: {type(algorithm).__name__} has no method explore to act on the host with; use ActorCritic or "
            "PPO"
        )
    if algorithm.num_envs != bridge.num_envs:
        raise ValueError(f"num_envs={algorithm.num_envs}: the bridge holds {bridge.num_envs} environments")


def _seed(key: jax.Array) -> int:
    """For environments that are seeded by a number."""
    return int(jax.random.randint(jax.random.fold_in(key, 0), (), 0, 2**31 - 1))


# Functions of the module, so that every call with the same algorithm finds the same program.
_remember = jax.jit(remember)
_episode_metrics = jax.jit(ops.episode_metrics)


@jax.jit
def _init(algorithm: Any, key: jax.Array) -> Any:
    return algorithm.init(key)


@jax.jit
def _act(algorithm: Any, state: Any, obs: Any, key: jax.Array) -> Any:
    return algorithm.act(state, obs, key)


@jax.jit
def _explore(algorithm: Any, state: Any, obs: Any, key: jax.Array) -> tuple[Any, Any]:
    return algorithm.explore(state, obs, key)


@jax.jit
def _random(algorithm: Any, obs: Any, key: jax.Array) -> tuple[Any, Any]:
    return random_action(algorithm.env.action_space(algorithm.env_params), obs, key)


# Donated: a replay is written in place. The state is ours, out of `jit`.
@functools.partial(jax.jit, donate_argnames="state")
def _learn(algorithm: Any, state: Any, batch: Transition, key: jax.Array) -> tuple[Any, Any]:
    return algorithm.learn(state, batch, key)


def _replays(state: Any) -> bool:
    """Whether it is the state of a learner from replay."""
    return isinstance(getattr(state, "memory", None), Memory)


def _update(algorithm: Any, state: Any, world: "_World", key: jax.Array) -> tuple[Any, dict[str, float]]:
    """One update: `num_steps` rounds of `train_every` steps of learners from replay, one of `num_steps` of others."""
    rounds, length = (algorithm.num_steps, algorithm.train_every) if _replays(state) else (1, algorithm.num_steps)
    losses = []
    for number in range(rounds):
        act_key, learn_key = jax.random.split(jax.random.fold_in(key, number))
        batch = world.play(functools.partial(_explore, algorithm, state), act_key, length)
        state, metrics = _learn(algorithm, state, batch, learn_key)
        losses.append(jax.device_get(metrics))
    return state, {name: float(np.mean([each[name] for each in losses])) for name in losses[0]}


def _warmed_up(algorithm: Any, state: Any, world: "_World", key: jax.Array) -> Any:
    """The state with a replay of random steps, in place of what `init` made up."""
    batch = world.play(functools.partial(_random, algorithm), key, algorithm.warmup)
    world.finished()
    empty = empty_replay(algorithm, state, jax.tree.map(lambda x: x[0], batch))
    memory = dataclasses.replace(state.memory, replay=empty)
    return dataclasses.replace(state, memory=_remember(memory, batch))


class _World:
    """The environments, where they are, and the episodes in them."""

    def __init__(self, bridge: Any, seed: int) -> None:
        self.bridge, self.obs = bridge, bridge.reset(seed)
        self.episode, self.sums = ops.init_episodes(bridge.num_envs), []

    def play(self, act: Any, key: jax.Array, num_steps: int) -> Transition:
        """Steps `[T, N, ...]` by a function of observations and a key."""
        steps = []
        for step_key in jax.random.split(key, num_steps):
            action, log_prob = act(self.obs, step_key)
            transition, self.obs = self.bridge.step(self.obs, jax.device_get(action))
            steps.append(dataclasses.replace(transition, log_prob=log_prob))
        batch = jax.tree.map(lambda *x: np.stack(x), *jax.device_get(steps))
        self.episode, sums = _episode_metrics(self.episode, batch.reward, batch.done)
        self.sums.append(jax.device_get(sums))
        return batch

    def finished(self) -> dict[str, float]:
        """Mean return of the episodes that finished since the last call, NaN if none did, and their number."""
        total = {name: float(sum(each[name] for each in self.sums)) for name in ("episode_return_sum", "episodes")}
        self.sums = []
        mean = total["episode_return_sum"] / total["episodes"] if total["episodes"] else float("nan")
        return {"episode_return": mean, "episodes": total["episodes"]}
