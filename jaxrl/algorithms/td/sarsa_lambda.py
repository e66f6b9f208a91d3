"""Sarsa(λ) and Watkins's Q(λ), by eligibility traces."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.algorithms.td.steps import change, init_table, learn_from_steps, next_actions, step
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class SarsaLambdaState:
    """A table of action values, N environments, the actions that they take next, and their eligibility traces."""

    q: jax.Array  # [S, A]
    obs: jax.Array  # int [N]
    env_state: Any
    action: jax.Array  # int32 [N]
    trace: jax.Array  # [N, S, A]
    episode: ops.EpisodeStatistics
    num_updates: jax.Array  # int32 []; schedules read it


@flax.struct.dataclass
class SarsaLambda:
    """Sarsa(λ): q ← q + α δ z with δ = r + γ q(s', a') - q(s, a) and a trace z that fades by γλ, ε-greedy on policy.

    Watkins's Q(λ): `next_value=ops.max_value, watkins=True`. On an environment of `jaxrl.envs.follow`, which has one
    action, `q[:, 0]` is the value of a given policy, learned by TD(λ). A step costs N S A operations.

    Args:
      env: gymnax environment with `Discrete` observations and actions.
      env_params: its parameters; a Markov decision process for `TabularEnvironment`.
      next_value: function of (q `[N, A]` of the successor, probabilities `[N, A]`, the drawn action `[N]`) from
        `jaxrl.ops`: `sampled_value`, `expected_value` or `max_value`.
      visit: function of (z `[N]` of the visited pairs, α) from `jaxrl.ops` that gives their new trace:
        `replacing_trace`, `accumulating_trace` or `dutch_trace`.
      watkins: whether an action that is not greedy cuts the trace.
      num_envs: N, environments stepped together on one table.
      num_steps: T, steps of each environment per update; the table is updated after each.
      lambda_: λ.
      learning_rate: α.
      epsilon: ε, probability of a random action.
      anneal_updates: updates over which α and ε fall linearly to zero; inf keeps them.
      discount: γ, per step.
      q: starting point `[S, A]`; None starts at zero.

    Source: Sutton & Barto (2018), Reinforcement Learning, sections 12.2, 12.7 and 12.10; Watkins (1989).
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    next_value: Callable[..., jax.Array] = static(ops.sampled_value)
    visit: Callable[..., jax.Array] = static(ops.replacing_trace)
    watkins: bool = static(False)
    num_envs: int = static(1, low=1)
    num_steps: int = static(100, low=1)
    lambda_: float = leaf(0.8, low=0, high=1)
    learning_rate: float = leaf(0.1, low=0, high=1, open_low=True)
    epsilon: float = leaf(0.1, low=0, high=1)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    q: jax.Array | None = None

    observation_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)
    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    def init(self, key: jax.Array) -> SarsaLambdaState:
        """Reset the environments and draw their first actions. The key is consumed."""
        env_key, action_key = jax.random.split(key)
        table = init_table(self, env_key)
        action = ops.sample_index(action_key, ops.epsilon_greedy(table.q[table.obs], self.epsilon))
        return SarsaLambdaState(**vars(table), action=action, trace=jnp.zeros((self.num_envs, *table.q.shape)))

    def act(self, state: SarsaLambdaState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The best actions `[B]` of states `[B]`, for evaluation."""
        return state.q[obs].argmax(-1)

    def rollout(self, state: SarsaLambdaState, key: jax.Array) -> tuple[SarsaLambdaState, Transition]:
        """One step of the N environments with the actions drawn before. The key is consumed."""
        return step(self, state, state.action, key)

    def learn(self, state: SarsaLambdaState, batch: Transition, key: jax.Array) -> tuple[SarsaLambdaState, Metrics]:
        """Draw the next actions, and update the table along the traces after a batch `[N]`. The key is consumed."""
        learning_rate = ops.annealed(self.learning_rate, state.num_updates, self.anneal_updates)
        following = next_actions(self, state, batch, key)
        td_error = ops.td_target(batch, following.value, self.discount) - state.q[batch.obs, batch.action]

        visited = (jnp.arange(len(td_error)), batch.obs, batch.action)
        trace = state.trace.at[visited].set(self.visit(state.trace[visited], learning_rate))
        q = ops.trace_update(state.q, trace, td_error, learning_rate)

        goes_on = ~batch.done
        if self.watkins:
            goes_on &= following.greedy
        trace = (self.discount * self.lambda_ * goes_on)[:, None, None] * trace
        metrics = change(q, state.q, (batch.obs, batch.action))
        return dataclasses.replace(state, q=q, trace=trace, action=following.action), metrics

    def update(self, state: SarsaLambdaState, key: jax.Array) -> tuple[SarsaLambdaState, Metrics]:
        """`num_steps` steps, each followed by an update of the table. The key is consumed."""
        return learn_from_steps(self, state, key)
