"""How well does every tabular learner learn? Scored against the exact process, not by rollouts.

Control: (v* - v_π) / |v*|, both exact, averaged over the states in which episodes begin, of the greedy policy that was
learned. Prediction: root mean square error against the exact v_π, over the range of v_π. Both by linear solves in
float64. The median over seeds counts.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, results
from benchmarks.exact import best_values, policy_values
from benchmarks.results import Result, Side

BOUNDS = {"control": 0.01, "prediction": 0.05}


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
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


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


def score(row: Row, learner: Any, mdp: Any, state: Any) -> float:
    """What one seed learned, against the exact answer."""
    from jaxrl import envs

    dense: Any = envs.to_dense(mdp)
    transition, reward = np.asarray(dense.transitions.probability, np.float64), np.asarray(mdp.reward, np.float64)
    sums = transition.sum(-1, keepdims=True)
    transition /= np.where(sums > 0, sums, 1.0)  # of float32 probabilities
    if row.kind == "control":
        q = np.asarray(state.q)
        q = q.mean(0) if q.ndim == 3 else q
        start, policy = np.asarray(mdp.start_probability, np.float64), np.eye(q.shape[1])[q.argmax(1)]
        best = start @ best_values(transition, reward, row.discount)
        return float((best - start @ policy_values(transition, reward, policy, row.discount)) / abs(best))
    policy = np.ones(reward.shape) if mdp.num_actions == 1 else np.asarray(learner.policy, np.float64)
    alive = ~np.asarray(mdp.terminal)
    values = policy_values(transition, reward, policy, row.discount)[alive]
    found = np.asarray(state.weights) if hasattr(state, "weights") else (policy * np.asarray(state.q)).sum(-1)
    return float(np.sqrt(np.mean((found[alive] - values) ** 2)) / (values.max() - values.min()))


def measure(row: Row, seeds: int) -> dict[str, list[float]]:
    """Scores of all seeds, and environment steps per second of all of them together."""
    import jax

    from jaxrl import engine, envs, presets

    env, env_params = envs.make(row.problem, **row.options)
    learner = row.make(env, env_params, row.discount)
    if hasattr(learner, "anneal_updates"):
        learner = presets.annealed(learner, row.steps)
    mdp = env_params if isinstance(env_params, envs.MDP) else envs.enumerate_environment(env, env_params)[0]
    updates = presets.updates_of(learner, row.steps)
    keys = jax.random.split(jax.random.key(0), seeds)
    train = jax.jit(jax.vmap(lambda key: engine.train(learner, key, updates)[0])).lower(keys).compile()
    begin = time.perf_counter()
    states = jax.block_until_ready(train(keys))
    seconds = time.perf_counter() - begin
    scores = [score(row, learner, mdp, jax.tree.map(lambda x, i=i: x[i], states)) for i in range(seeds)]
    return {"scores": scores, "steps_per_second": [seeds * updates * learner.steps_per_update / seconds]}


@dataclasses.dataclass(frozen=True)
class Options:
    """Train every tabular learner over seeds; writes benchmarks/results/tabular_learning.json."""

    seeds: int = 10
    only: tuple[str, ...] = ()
    """Names of rows; prints, and writes no result."""
    results: pathlib.Path = results.RESULTS


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.tabular_learning")
    table = rows()
    unknown = [name for name in options.only if name not in table]
    if unknown:
        raise SystemExit(f"unknown rows: {', '.join(unknown)}; there are: {', '.join(table)}")
    measured = {}
    for name in options.only or table:
        measured[name] = measure(table[name], options.seeds)
        low, middle, high = results.quartiles(measured[name]["scores"])
        speed = measured[name]["steps_per_second"][0]
        bound = BOUNDS[table[name].kind]
        print(f"{name}: {middle:.2%} [{low:.2%}, {high:.2%}], bound {bound:.0%}; {speed:,.0f} steps/s", flush=True)
    if options.only:
        return
    result = Result(
        name="tabular_learning",
        command=results.command_line("benchmarks.tabular_learning", options, omit=("results", "only")),
        device=machine.device(),
        configuration={
            name: {
                "problem": row.problem,
                "steps": row.steps,
                "discount": row.discount,
                "kind": row.kind,
                "options": {key: _plain(value) for key, value in row.options.items()},
            }
            for name, row in table.items()
        },
        sides={
            name: Side(
                versions=machine.versions(), variables=machine.variables(), threads={}, measurements=measured[name]
            )
            for name in table
        },
        **machine.provenance(),
    )
    print(f"wrote {results.save(result, options.results).name}")


if __name__ == "__main__":
    main()
