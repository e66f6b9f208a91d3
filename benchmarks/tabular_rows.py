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


def rows() -> dict[str, Row]:
    """All learners; the names are the table's."""
    import jax.numpy as jnp

    import jaxrl
    from jaxrl import envs, ops

    lake, cliff, grid, walk = "FrozenLake-misc", "CliffWalking", "Gridworld4x4", "RandomWalk"
    nineteen = {"num_states": 19, "rewards": (-1.0, 1.0)}
    dry = {"is_slippery": False}
    many: dict[str, Any] = dict(num_envs=16, num_steps=250)

    def learner(kind: Any, **fields: Any) -> Callable[..., Any]:
        return lambda env, params, discount: kind(env, params, discount=discount, **fields)

    def starts_everywhere(env: Any, params: Any, discount: float) -> Any:
        mdp, _ = envs.enumerate_environment(env, params)
        options: dict[str, Any] = dict(
            num_envs=64, num_steps=100, exploring_starts=True, epsilon=0.0, first_visit=False
        )
        return jaxrl.MonteCarlo(
            envs.TabularEnvironment(), dataclasses.replace(mdp, start=None), discount=discount, **options
        )

    def walked(kind: Any, **fields: Any) -> Callable[..., Any]:
        return lambda env, params, discount: kind(env, params, _one_hot_21, discount=discount, **fields)

    def off_policy(kind: Any, **fields: Any) -> Callable[..., Any]:
        def make(env: Any, params: Any, discount: float) -> Any:
            target, uniform = _mostly_right(params), jnp.full(params.reward.shape, 0.25)
            if kind is jaxrl.GradientTD:
                return kind(env, params, _one_hot_16, target, uniform, discount=discount, **fields)
            return kind(env, params, policy=target, behavior=uniform, discount=discount, **fields)

        return make

    def control(kind: Any, **fields: Any) -> Row:
        chosen = dict(epsilon=0.3, learning_rate=0.5) | many | fields
        return Row(lake, 2_000_000, 0.99, learner(kind, **chosen))

    def prediction(steps: int, make: Callable[..., Any]) -> Row:
        return Row(walk, steps, 1.0, make, "prediction", nineteen)

    def baird(**fields: Any) -> Callable[..., Any]:
        def make(env: Any, params: Any, discount: float) -> Any:
            target, behavior = jnp.tile(jnp.array([0.0, 1.0]), (7, 1)), jnp.tile(jnp.array([6 / 7, 1 / 7]), (7, 1))
            options: dict[str, Any] = dict(weights=jnp.array(BAIRD_WEIGHTS), discount=discount) | many | fields
            return jaxrl.GradientTD(env, params, envs.textbook.baird_features, target, behavior, **options)

        return make

    planning: dict[str, Any] = dict(num_plans=20, learning_rate=0.5, epsilon=0.1, num_steps=500)
    return {
        "Q-learning": control(jaxrl.QLearning),
        "double Q-learning": control(jaxrl.DoubleQLearning, epsilon=1.0, learning_rate=0.2),
        "Sarsa": control(jaxrl.Sarsa),
        "Expected Sarsa": control(jaxrl.Sarsa, next_value=ops.expected_value),
        "4-step Sarsa": control(jaxrl.Sarsa, num_backup_steps=4, epsilon=1.0, learning_rate=0.2),
        "Sarsa(λ)": control(jaxrl.SarsaLambda, lambda_=0.7),
        "Watkins's Q(λ)": control(jaxrl.SarsaLambda, lambda_=0.7, next_value=ops.max_value, watkins=True),
        "Monte Carlo, ε-soft": Row(
            lake, 2_000_000, 0.99, learner(jaxrl.MonteCarlo, num_envs=64, epsilon=0.5), options=dry
        ),
        "Monte Carlo, ε-soft, slipping": Row(
            lake, 20_000_000, 0.99, learner(jaxrl.MonteCarlo, num_envs=256, epsilon=0.3, learning_rate=0.002)
        ),
        "Monte Carlo, exploring starts": Row(lake, 2_000_000, 0.99, starts_everywhere, options=dry),
        "off-policy Monte Carlo": Row(
            lake, 2_000_000, 0.99, learner(jaxrl.OffPolicyMonteCarlo, num_envs=64), options=dry
        ),
        "Dyna-Q": Row(cliff, 10_000, 0.95, learner(jaxrl.DynaQ, **planning)),
        "prioritized sweeping": Row(cliff, 10_000, 0.95, learner(jaxrl.PrioritizedSweeping, **planning)),
        "TD(0)": prediction(200_000, learner(jaxrl.Sarsa, learning_rate=0.1, **many)),
        "4-step TD": prediction(200_000, learner(jaxrl.Sarsa, num_backup_steps=4, learning_rate=0.1, **many)),
        "TD(λ)": prediction(200_000, learner(jaxrl.SarsaLambda, lambda_=0.8, learning_rate=0.1, **many)),
        "true-online TD(λ)": prediction(200_000, walked(jaxrl.TrueOnlineTD, learning_rate=0.2, **many)),
        "Monte Carlo, first visits": prediction(4_000_000, learner(jaxrl.MonteCarlo, num_steps=1000)),
        "Monte Carlo, every visit": prediction(4_000_000, learner(jaxrl.MonteCarlo, num_steps=1000, first_visit=False)),
        "off-policy Monte Carlo, weighted": Row(
            grid, 4_000_000, 0.9, off_policy(jaxrl.OffPolicyMonteCarlo, num_envs=64), "prediction"
        ),
        "off-policy Monte Carlo, ordinary": Row(
            grid, 32_000_000, 0.9, off_policy(jaxrl.OffPolicyMonteCarlo, num_envs=64, weighted=False), "prediction"
        ),
        "semi-gradient TD(0), off policy": Row(
            grid,
            1_000_000,
            0.9,
            off_policy(jaxrl.GradientTD, learning_rate=0.5, correction_rate=0.0, **many),
            "prediction",
        ),
        "TDC, off policy": Row(
            grid,
            1_000_000,
            0.9,
            off_policy(jaxrl.GradientTD, learning_rate=0.5, correction_rate=0.5, **many),
            "prediction",
        ),
        "semi-gradient TD(0), Baird": Row(
            "Baird", 40_000, 0.99, baird(learning_rate=0.01, correction_rate=0.0), "divergence"
        ),
        "TDC, Baird": Row("Baird", 20_000_000, 0.99, baird(learning_rate=0.01, correction_rate=0.1), "projected error"),
    }


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
