"""Every tabular learner on a problem of its own: the rows of `benchmarks.tabular_learning`."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One learner on one problem."""

    problem: str
    steps: int
    """Environment steps of each seed."""
    discount: float
    make: Callable[..., Any]
    """Function of (env, env_params, discount) that gives the learner."""
    kind: str = "control"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Of the environment."""


Make = Callable[..., Any]
LAKE, CLIFF, GRID, WALK = "FrozenLake-misc", "CliffWalking", "Gridworld4x4", "RandomWalk"
DRY: dict[str, Any] = {"is_slippery": False}
MANY: dict[str, Any] = dict(num_envs=16, num_steps=250)


def rows() -> dict[str, Row]:
    """All learners; the names are the table's."""
    return td_control() | monte_carlo_control() | planning() | prediction() | off_policy_prediction() | baird()


def learner(kind: Any, **fields: Any) -> Make:
    return lambda env, params, discount: kind(env, params, discount=discount, **fields)


def td_control() -> dict[str, Row]:
    import jaxrl
    from jaxrl import ops

    def control(kind: Any, **fields: Any) -> Row:
        chosen = dict(epsilon=0.3, learning_rate=0.5) | MANY | fields
        return Row(LAKE, 2_000_000, 0.99, learner(kind, **chosen))

    return {
        "Q-learning": control(jaxrl.QLearning),
        "double Q-learning": control(jaxrl.DoubleQLearning, epsilon=1.0, learning_rate=0.2),
        "Sarsa": control(jaxrl.Sarsa),
        "Expected Sarsa": control(jaxrl.Sarsa, next_value=ops.expected_value),
        "4-step Sarsa": control(jaxrl.Sarsa, num_backup_steps=4, epsilon=1.0, learning_rate=0.2),
        "Sarsa(λ)": control(jaxrl.SarsaLambda, lambda_=0.7),
        "Watkins's Q(λ)": control(jaxrl.SarsaLambda, lambda_=0.7, next_value=ops.max_value, watkins=True),
    }


def monte_carlo_control() -> dict[str, Row]:
    import jaxrl

    soft = learner(jaxrl.MonteCarlo, num_envs=64, epsilon=0.5)
    off_policy = learner(jaxrl.OffPolicyMonteCarlo, num_envs=64)
    return {
        "Monte Carlo, ε-soft": Row(LAKE, 2_000_000, 0.99, soft, options=DRY),
        # Not the ε-soft one: on the slipping lake what is greedy for the best ε-soft values, ε ≥ 0.1, loses 1.76 %.
        "Monte Carlo, exploring starts": Row(LAKE, 20_000_000, 0.99, starts_everywhere),
        "off-policy Monte Carlo": Row(LAKE, 8_000_000, 0.99, off_policy, options=DRY),
    }


def starts_everywhere(env: Any, params: Any, discount: float) -> Any:
    import jaxrl
    from jaxrl import envs

    mdp, _ = envs.enumerate_environment(env, params)
    options: dict[str, Any] = dict(num_envs=256, exploring_starts=True, epsilon=0.0, learning_rate=0.002)
    anywhere = dataclasses.replace(mdp, start=None)
    return jaxrl.MonteCarlo(envs.TabularEnvironment(), anywhere, discount=discount, **options)


def planning() -> dict[str, Row]:
    import jaxrl

    fields: dict[str, Any] = dict(num_plans=20, learning_rate=0.5, epsilon=0.1, num_steps=500)
    return {
        "Dyna-Q": Row(CLIFF, 10_000, 0.95, learner(jaxrl.DynaQ, **fields)),
        "prioritized sweeping": Row(CLIFF, 10_000, 0.95, learner(jaxrl.PrioritizedSweeping, **fields)),
    }


def prediction() -> dict[str, Row]:
    import jaxrl

    def walk(steps: int, make: Make) -> Row:
        return Row(WALK, steps, 1.0, make, "prediction", {"num_states": 19, "rewards": (-1.0, 1.0)})

    def true_online(env: Any, params: Any, discount: float) -> Any:
        return jaxrl.TrueOnlineTD(env, params, _one_hot_21, discount=discount, learning_rate=0.2, **MANY)

    every_visit = learner(jaxrl.MonteCarlo, num_steps=1000, first_visit=False)
    return {
        "TD(0)": walk(200_000, learner(jaxrl.Sarsa, learning_rate=0.1, **MANY)),
        "4-step TD": walk(200_000, learner(jaxrl.Sarsa, num_backup_steps=4, learning_rate=0.1, **MANY)),
        "TD(λ)": walk(200_000, learner(jaxrl.SarsaLambda, lambda_=0.8, learning_rate=0.1, **MANY)),
        "true-online TD(λ)": walk(200_000, true_online),
        "Monte Carlo, first visits": walk(4_000_000, learner(jaxrl.MonteCarlo, num_steps=1000)),
        "Monte Carlo, every visit": walk(4_000_000, every_visit),
    }


def off_policy_prediction() -> dict[str, Row]:
    import jax.numpy as jnp

    import jaxrl

    def monte_carlo(**fields: Any) -> Make:
        def make(env: Any, params: Any, discount: float) -> Any:
            target, behavior = _mostly_right(params), jnp.full(params.reward.shape, 0.25)
            options: dict[str, Any] = dict(discount=discount, num_envs=64) | fields
            return jaxrl.OffPolicyMonteCarlo(env, params, policy=target, behavior=behavior, **options)

        return make

    def gradient(correction_rate: float) -> Make:
        def make(env: Any, params: Any, discount: float) -> Any:
            target, behavior = _mostly_right(params), jnp.full(params.reward.shape, 0.25)
            options: dict[str, Any] = dict(learning_rate=0.5, correction_rate=correction_rate, discount=discount) | MANY
            return jaxrl.GradientTD(env, params, _one_hot_16, target, behavior, **options)

        return make

    def grid(steps: int, make: Make) -> Row:
        return Row(GRID, steps, 0.9, make, "prediction")

    return {
        "off-policy Monte Carlo, weighted": grid(4_000_000, monte_carlo()),
        "off-policy Monte Carlo, ordinary": grid(32_000_000, monte_carlo(weighted=False)),
        "semi-gradient TD(0), off policy": grid(1_000_000, gradient(0.0)),
        "TDC, off policy": grid(1_000_000, gradient(0.5)),
    }


def baird() -> dict[str, Row]:
    def gradient(correction_rate: float) -> Make:
        def make(env: Any, params: Any, discount: float) -> Any:
            options = MANY | dict(learning_rate=0.01, correction_rate=correction_rate, discount=discount)
            return bairds_learner(env, params, **options)

        return make

    return {
        "semi-gradient TD(0), Baird": Row("Baird", 40_000, 0.99, gradient(0.0), "divergence"),
        "TDC, Baird": Row("Baird", 20_000_000, 0.99, gradient(0.1), "projected error"),
    }


def bairds_learner(env: Any, params: Any, **options: Any) -> Any:
    """With the policies and the first weights of the book."""
    import jax.numpy as jnp

    import jaxrl
    from jaxrl import envs

    target, behavior = jnp.tile(jnp.array([0.0, 1.0]), (7, 1)), jnp.tile(jnp.array([6 / 7, 1 / 7]), (7, 1))
    weights = jnp.array(BAIRD_WEIGHTS)
    return jaxrl.GradientTD(env, params, envs.textbook.baird_features, target, behavior, weights=weights, **options)


BAIRD_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 1.0)
"""Where the book begins, Sutton & Barto (2018), section 11.2."""


def _one_hot_21(state: Any) -> Any:
    import jax

    return jax.nn.one_hot(state, 21)


def _one_hot_16(state: Any) -> Any:
    import jax

    return jax.nn.one_hot(state, 16)


def _mostly_right(mdp: Any) -> Any:
    """A policy that goes right or down with probability 0.4 each."""
    import jax.numpy as jnp

    return jnp.tile(jnp.array([0.1, 0.4, 0.4, 0.1]), (mdp.num_states, 1))
