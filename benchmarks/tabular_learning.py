"""How well does every tabular learner learn? Scored against the exact process, not by rollouts.

Control: (v* - v_π) / |v*|, both exact, averaged over the states in which episodes begin, of the greedy policy that was
learned. Prediction: root mean square error against the exact v_π, over the range of v_π. On Baird's example: projected
Bellman error over that of the first weights. All by linear solves in float64. The median over seeds counts.
"""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, results
from benchmarks.exact import best_values, policy_values, projected_bellman_error
from benchmarks.results import Result, Side
from benchmarks.tabular_rows import Row, rows

BOUNDS = {"control": 0.01, "prediction": 0.05, "projected error": 0.05}


def bound_of(kind: str) -> str:
    """What is measured, and the bound of its median if it has one: a divergence has none."""
    return f"{kind} {BOUNDS[kind]:.0%}" if kind in BOUNDS else kind


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


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
    if row.kind in ("projected error", "divergence"):
        features = np.asarray(learner.features(np.arange(mdp.num_states)), np.float64)
        after, before = (
            projected_bellman_error(transition, reward, policy, row.discount, features, np.asarray(w, np.float64))
            for w in (state.weights, learner.weights)
        )
        return after / before
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
        bound = bound_of(table[name].kind)
        print(f"{name}: {middle:.2%} [{low:.2%}, {high:.2%}], {bound}; {speed:,.0f} steps/s", flush=True)
    if options.only:
        return
    result = Result(
        name="tabular_learning",
        command=results.command_line("benchmarks.tabular_learning", options, omit=("results", "only")),
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
