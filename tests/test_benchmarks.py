"""The benchmarks' own machinery: schema, tables, evaluator, and the conversation with a worker."""

import dataclasses
import importlib
import itertools
import json
import math
import os
import pathlib
import sys
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks import __main__ as listing
from benchmarks import (
    compare,
    deep_tables,
    deep_vs_peers,
    evaluator,
    language_tables,
    learning,
    learning_tables,
    lm_learning,
    lm_vs_peers,
    machine,
    many_seeds,
    peers,
    ppo_vs_peers,
    rendering,
    replay,
    results,
    suite,
    suites,
    tables,
    throughput,
    throughput_tables,
    time_to_score,
    timing,
)
from benchmarks.results import Device, Result, Side
from benchmarks.tabular_rows import rows
from benchmarks.workers import deep_jaxrl, jaxrl_ppo
from benchmarks.workers.configuration import Configuration
from benchmarks.workers.deep_tasks import TASKS
from jaxrl import ops
from jaxrl.presets import updates_of
from jaxrl.types import env_steps

DEVICE = Device(platform="cpu", kind="cpu", count=1, cores=2, cpu="Some CPU", memory_gib=8.0)
TINY = Configuration(num_envs=4, num_steps=8, num_minibatches=2, hidden_sizes=(8, 8))
RATES = {"jaxrl": [300.0, 400.0, 500.0], "rejax": [100.0, 200.0, 125.0]}


def make_result(name="ppo_vs_peers", **measurements):
    sides = {
        library: Side(
            versions={"python": "3.11.0", "jax": "0.10.2", "rejax": "0.1.3"},
            variables={"XLA_FLAGS": "--some_flag=1"},
            threads={},
            measurements={
                "steps_per_second": rates,
                "compile_seconds": [1.0, 2.0, 3.0],
                "policy_returns": [[499.0, 501.0], [400.0, 300.0]],
                **measurements,
            },
        )
        for library, rates in RATES.items()
    }
    return Result(
        name=name,
        command=f"python -m benchmarks.{name}",
        timestamp="2026-01-02T03:04:05+00:00",
        commit="0123456789abcdef",
        dirty=False,
        device=DEVICE,
        configuration={"policy_steps": 499_712, "steps": 491_520},
        sides=sides,
    )


def test_a_result_survives_the_disk(tmp_path):
    result = make_result()
    path = results.save(result, tmp_path)
    assert results.load("ppo_vs_peers", tmp_path) == result
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]  # nothing partial stays
    assert results.load("other", tmp_path) is None


def suites_result(ours, random):
    shares = {"finished": [1.0], "random_finished": [0.5]}
    side = Side({"jax": "0.10.2"}, {}, {}, {"returns": ours, "random_returns": random, "seconds": [60.0], **shares})
    return dataclasses.replace(make_result("suites_brax"), sides={"jaxrl": side}, configuration={"steps": 1000})


def test_returns_that_never_differ_are_no_million_standard_errors_apart(tmp_path):
    assert suites.in_words(suites_result([9.0, 9.0], [1.0, 1.0])) == ("> 100", "100% / 50%")
    # Variances 2 of two numbers each: the error is √(2/2 + 2/2) = √2, and the means are 10 apart.
    assert suites.in_words(suites_result([10.0, 12.0], [0.0, 2.0]))[0] == f"{10 / 2**0.5:.0f}"
    results.save(suites_result([9.0, 9.0], [1.0, 1.0]), tmp_path)
    assert "| 1,000 | 9.00 | 1.00 | > 100 | 100% / 50% | 1.0 |" in deep_tables.suites_table(tmp_path)


def test_the_innermost_lists_are_one_line_each():
    assert "[300.0, 400.0, 500.0]" in results.to_json(make_result())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(schema=0), "schema"),
        (lambda r: r.pop("commit"), "commit"),
        (lambda r: r.update(mood="good"), "mood"),
        (lambda r: r.update(sides={}), "sides"),
        (lambda r: r.update(name="../escape"), "name"),
        (lambda r: r.update(dirty="no"), "dirty"),
        (lambda r: r["device"].update(cores="two"), "cores"),
        (lambda r: r["sides"]["jaxrl"].update(versions={}), "versions"),
        (lambda r: r["sides"]["jaxrl"]["measurements"].update(steps_per_second=[]), "steps_per_second"),
        (lambda r: r["sides"]["jaxrl"]["measurements"].update(steps_per_second=3.0), "steps_per_second"),
        (
            lambda r: r["sides"]["jaxrl"]["measurements"].update(steps_per_second=[[1.0], ["x"]]),
            "not a finite",
        ),
        (lambda r: r["sides"]["jaxrl"]["measurements"].update(steps_per_second=[math.nan]), "not a finite"),
        (lambda r: r["sides"]["jaxrl"]["measurements"].update(steps_per_second=[True]), "not a finite"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused_by_name(change, message):
    record = json.loads(results.to_json(make_result()))
    change(record)
    with pytest.raises(ValueError, match=message):
        results.from_json(json.dumps(record))


def test_numbers_become_json_and_what_is_missing_null():
    assert results.finite_or_null(np.array([[1.0, np.nan], [np.inf, 2.0]])) == [[1.0, None], [None, 2.0]]


def test_quartiles_are_those_of_the_numbers_there():
    # 1 2 3 4 5: the median is 3, a quarter of the four gaps from the ends are 2 and 4.
    assert results.quartiles([5.0, 1.0, None, 2.0, 4.0, 3.0]) == (2.0, 3.0, 4.0)
    assert all(map(math.isnan, results.quartiles([None])))


def test_a_command_names_what_differs_from_the_default_and_no_places(tmp_path):
    options = ppo_vs_peers.Options(repetitions=9, peers=("rejax",), cache=tmp_path)
    command = results.command_line("benchmarks.ppo_vs_peers", options, omit=("cache",))
    assert command == "python -m benchmarks.ppo_vs_peers --repetitions 9 --peers rejax"


def test_variables_leave_out_places(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--a=1 --xla_dump_to=/some/place")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/some/place")
    monkeypatch.setenv("NPROC", "1")
    found = machine.variables()
    assert found["XLA_FLAGS"] == "--a=1" and found["NPROC"] == "1"
    assert "JAX_COMPILATION_CACHE_DIR" not in found


def test_the_table_of_peers_gives_medians_and_paired_ratios():
    # Paired: 300/100 = 3, 400/200 = 2, 500/125 = 4; their median is 3. Means of seeds: 500 and 350.
    table = rendering.peers_table(make_result())
    ours, theirs = [row for row in table.splitlines() if row.startswith(("| jaxrl", "| rejax"))]
    assert "| 400 [350, 450] | 1 |" in ours
    assert "| rejax 0.1.3 | 125 [112, 162] | 3.00× | 2.00 [1.50, 2.50] | 425.0 [387.5, 462.5] |" in theirs
    assert "2 cores of Some CPU, 8 GiB" in table


def test_a_table_without_results_says_not_measured(tmp_path):
    text = "a\n<!-- table:learning -->\nstale\n<!-- /table -->\nb\n<!-- table:ppo_vs_peers -->\n<!-- /table -->\n"
    filled = tables.fill(text, tmp_path)
    assert filled.count("not measured") == len(learning.CELLS) + 4
    assert "stale" not in filled
    assert tables.fill(filled, tmp_path) == filled
    with pytest.raises(ValueError, match="no table 'other'"):
        tables.fill("<!-- table:other -->\n<!-- /table -->", tmp_path)


def test_the_table_of_learning_counts_seeds_without_a_score(tmp_path):
    name = learning.result_name("ppo", "CartPole-v1")
    learned = {"last_10_mean": [480.0, 490.0, None], "evaluation_returns": [[9.0, 480.0], [9.0, 490.0], [9.0, None]]}
    times = {"compile_seconds": [4.0], "wall_seconds": [60.0], "cpu_seconds": [90.0]}
    results.save(make_result(name, **learned, **times), tmp_path)
    table = learning_tables.learning_table(tmp_path)
    row = next(line for line in table.splitlines() if line.startswith("| ppo | CartPole"))
    assert "| 491,520 | 3 | 485.0 [482.5, 487.5] (1 of 3 missing) | ≥ 475 | – | 500, 15.0 below | 1.5 |" in row
    assert "no cell above 30 CPU-minutes" in table


def test_a_cell_that_takes_too_long_is_named(tmp_path):
    # 31 minutes are 1860 seconds.
    learned = {"last_10_mean": [480.0], "evaluation_returns": [[480.0]], "evaluation_seconds": [25.0]}
    times = {"wall_seconds": [930.0], "cpu_seconds": [1860.0]}
    result = make_result(learning.result_name("dqn", "CartPole-v1"), **learned, **times)
    result = dataclasses.replace(result, configuration={"algorithm": "dqn", "env": "CartPole-v1", "steps": 10})
    results.save(result, tmp_path)
    assert "dqn on CartPole-v1 above 30 CPU-minutes" in learning_tables.learning_table(tmp_path)


def test_what_a_table_was_measured_on_is_one_line_a_device():
    first, second = make_result(), dataclasses.replace(make_result(), commit="fedcba98")
    third = dataclasses.replace(second, device=dataclasses.replace(DEVICE, cores=4))
    side = first.sides["jaxrl"]
    newer = dataclasses.replace(side, versions=side.versions | {"jax": "0.11.0", "brax": "0.14.2"})
    lines = rendering.device_lines([first, dataclasses.replace(second, sides={"jaxrl": newer}), third])
    assert lines == [
        "2 cores of Some CPU, 8 GiB; python 3.11.0, jax 0.10.2 or 0.11.0, brax 0.14.2; "
        "commits 0123456, fedcba9, 2026-01-02.",
        "4 cores of Some CPU, 8 GiB; python 3.11.0, jax 0.10.2; commit fedcba9, 2026-01-02.",
    ]


def test_a_cell_anneals_over_the_updates_that_it_makes():
    # PPO on CartPole-v1: 16 · 64 = 1024 steps an update; 20 evaluations, 24 updates apart: 480 · 1024 steps ≤ 500,000.
    found = learning.configuration("ppo", "CartPole-v1", learning.Options())
    assert (found["steps"], found["preset"]["anneal_updates"]) == (480 * 1024, 480.0)
    # DQN: 10 · 100 = 1000 steps an update after 1000 random ones: 9 updates apart.
    found = learning.configuration("dqn", "CartPole-v1", learning.Options())
    assert (found["steps"], found["preset"]["anneal_updates"]) == (181_000, 180.0)
    with pytest.raises(SystemExit, match="fewer than 20 updates"):
        learning.configuration("ppo", "CartPole-v1", learning.Options(steps=19 * 1024))


def test_a_preset_is_written_by_names():
    assert learning.plain("returns", ops.MeanReturns(optax.l2_loss)) == "mean-squared"
    assert learning.plain("returns", ops.CategoricalReturns(0.0, 50.0)) == "categorical(0.0, 50.0, 51)"
    assert learning.plain("backup", ops.max_backup) == "max"
    assert learning.plain("hidden_sizes", (64, 64)) == [64, 64]
    assert learning.plain("max_grad_norm", math.inf) == "inf"


def test_without_an_algorithm_every_cell_is_run():
    assert learning.chosen(learning.Options()) == list(learning.CELLS)
    assert learning.chosen(learning.Options(full=True)) == list(learning.FULL)
    ppo = [cell for cell in learning.CELLS if cell[0] == "ppo"]
    assert learning.chosen(learning.Options(algorithm="ppo")) == ppo
    assert learning.chosen(learning.Options("ppo", ("Acrobot-v1",))) == [("ppo", "Acrobot-v1")]
    with pytest.raises(SystemExit, match="no cell for sac on CartPole-v1; there are: reinforce on"):
        learning.chosen(learning.Options("sac", ("CartPole-v1", "Pendulum-v1")))


def test_a_cell_of_learning_is_measured_whole(tmp_path):
    options = learning.Options("ppo", ("CartPole-v1",), seeds=2, steps=20 * 1024, results=tmp_path)
    learning.main(
        ["--algorithm", "ppo", "--envs", "CartPole-v1", "--seeds", "2", "--steps", "20480", "--results", str(tmp_path)]
    )
    result = results.load("learning_ppo_CartPole-v1", tmp_path)
    assert result.configuration == learning.configuration("ppo", "CartPole-v1", options)
    assert result.command == "python -m benchmarks.learning --algorithm ppo --envs CartPole-v1 --seeds 2 --steps 20480"
    numbers = result.sides["jaxrl"].measurements
    assert np.shape(numbers["evaluation_returns"]) == (2, learning.EVALUATIONS)
    assert numbers["wall_seconds"][0] > numbers["compile_seconds"][0]
    assert numbers["cpu_seconds"][0] > 0


def test_check_fails_on_a_table_that_differs(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- table:learning -->\nold\n<!-- /table -->\n")
    arguments = ["--readme", str(readme), "--results", str(tmp_path)]
    with pytest.raises(SystemExit):
        tables.main([*arguments, "--check"])
    tables.main(arguments)
    tables.main([*arguments, "--check"])


def test_the_readme_shows_the_results():
    text = (results.ROOT / "README.md").read_text()
    assert tables.fill(text) == text, "run `python -m benchmarks.tables`"


def test_committed_results_fit_the_schema():
    for path in results.RESULTS.rglob("*.json"):
        result = results.from_json(path.read_text())
        assert result.name == path.stem and results.folder(result.device.platform) == path.parent
        assert not result.dirty, f"{path.name} was measured on code that is in no commit"


def test_training_returns_are_sums_over_counts_of_a_window():
    # Windows of two updates, one seed; the first window finished no episode, the others two of return 5.
    updates = 2 * learning.EVALUATIONS
    episodes = np.ones((updates, 1))
    episodes[:2] = 0
    curve = learning.training_curve({"episode_return_sum": 5 * episodes, "episodes": episodes}, every=2)
    assert curve.shape == (1, learning.EVALUATIONS)
    assert np.isnan(curve[0, 0])
    np.testing.assert_array_equal(curve[0, 1:], 5.0)


def test_the_evaluator_plays_known_policies():
    # CartPole pushed always to one side falls after 8 to 11 steps; pushed to where the pole is about to fall (by
    # angle plus angular velocity), it lives much longer.
    constant = [{"kernel": np.zeros((4, 2)).tolist(), "bias": [0.0, 1.0]}]
    balance = [{"kernel": [[0, 0], [0, 0], [-1, 1], [-1, 1]], "bias": [0.0, 0.0]}]
    returns = evaluator.play([constant, balance], "CartPole-v1", num_episodes=16)
    assert returns.shape == (2, 16)
    assert np.all((returns[0] >= 8) & (returns[0] <= 11))
    assert returns[1].min() > 100


def test_the_exported_actor_acts_like_the_algorithm():
    ppo = jaxrl_ppo.make_ppo(TINY)
    state = ppo.init(jax.random.key(0))
    leaves, structure = jax.tree.flatten(state.params)
    keys = jax.random.split(jax.random.key(4), len(leaves))  # the first policy head is zero, and would tell nothing
    noise = [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    state = state.replace(params=jax.tree.unflatten(structure, noise))
    obs = jax.random.normal(jax.random.key(1), (64, 4))
    exported = [
        {name: jnp.asarray(numbers) for name, numbers in layer.items()}
        for layer in jaxrl_ppo.actor_layers((state, None))
    ]
    actions = evaluator.GreedyActor(ppo.env_params, ppo.env).act(exported, obs, jax.random.key(2))
    np.testing.assert_array_equal(actions, ppo.act(state, obs, jax.random.key(3)))
    assert 0 < actions.sum() < 64  # both actions occur


def test_the_worker_of_jaxrl_answers_until_it_dies():
    worker = peers.Worker("jaxrl", sys.executable, TINY)
    try:
        assert worker.ask("describe")["versions"]["python"].startswith("3.")
        policies = worker.ask("train_policy", steps=64, seeds=[0, 1])["policies"]
        with pytest.raises(RuntimeError, match=r"(?s)worker jaxrl died at 'train_policy'.*no positive multiple"):
            worker.ask("train_policy", steps=65, seeds=[0])
    finally:
        worker.close()
    assert [np.shape(layer["kernel"]) for layer in policies[0]] == [(4, 8), (8, 8), (8, 2)]


class Failing:
    """A worker of which the second one does not start."""

    running = 0

    def __init__(self, *_):
        if Failing.running == 1:
            raise OSError("no such Python")
        Failing.running += 1

    def ask(self, do, **_):
        return {"seconds": 1.0}

    def close(self):
        Failing.running -= 1


def test_no_worker_is_left_behind_one_that_does_not_start(monkeypatch, tmp_path):
    monkeypatch.setattr(peers, "find_python", lambda *_: sys.executable)
    monkeypatch.setattr(peers, "Worker", Failing)
    with pytest.raises(OSError, match="no such Python"), peers.started(dict.fromkeys("ab", "jaxrl"), tmp_path, TINY):
        pytest.fail("the block must not begin")
    assert Failing.running == 0
    monkeypatch.setattr(ppo_vs_peers, "find_python", lambda *_: sys.executable)
    monkeypatch.setattr(ppo_vs_peers, "Worker", Failing)
    with pytest.raises(OSError, match="no such Python"):
        ppo_vs_peers.measure(ppo_vs_peers.Options(peers=("rejax",), cache=tmp_path))
    assert Failing.running == 0


@pytest.mark.parametrize("name", TASKS)
def test_runs_of_a_task_are_whole_numbers_of_updates(name):
    task = TASKS[name]
    learner = deep_jaxrl.make(task)
    for steps in (task.steps, task.policy_steps):
        assert env_steps(learner, updates_of(learner, steps)) == steps


def test_who_is_judged():
    options = deep_vs_peers.Options()
    assert options.seeds(TASKS["dqn"], "rejax") == list(range(10))
    assert options.seeds(TASKS["dqn"], "sbx") == [0, 1, 2]  # minutes for each
    assert options.seeds(TASKS["dqn-large"], "rejax") == []
    assert dataclasses.replace(options, policy_seeds=2).seeds(TASKS["dqn-large"], "rejax") == [0, 1]


def test_the_table_of_replay_is_relative_to_the_smallest(tmp_path):
    replay.main(
        [*"--capacities 40 80 --num-envs 2 --batch-size 4 --calls 6 --repetitions 2 --results".split(), str(tmp_path)]
    )
    result = results.load("replay", tmp_path)
    assert result.command.endswith("--capacities 40 80 --num-envs 2 --batch-size 4 --calls 6 --repetitions 2")
    numbers = result.sides["jaxrl"].measurements
    assert [len(values) for values in numbers.values()] == [2] * 4
    # 30/10 = 3 and 20/20 = 1: their median is 2.
    numbers |= {"uniform, 40": [10.0, 20.0], "uniform, 80": [30.0, 20.0]}
    results.save(result, tmp_path)
    rows = deep_tables.replay_table(tmp_path).splitlines()
    assert rows[2].startswith("| uniform | 40 | 15.0 [12.5, 17.5] | 1.00 |")
    assert rows[3].startswith("| uniform | 80 | 25.0 [22.5, 27.5] | 2.00 |")


def test_the_table_of_seeds_gives_paired_ratios(tmp_path):
    # 300/200 = 1.5, 400/400 = 1, 600/500 = 1.2.
    speeds = {"steps/s together": [300.0, 400.0, 600.0], "steps/s in fit": [200.0, 400.0, 500.0]}
    numbers = speeds | {"steps/s alone": [100.0], "bytes of a seed": [2e6]}
    result = make_result("many_seeds")
    side = dataclasses.replace(result.sides["jaxrl"], measurements=numbers)
    results.save(dataclasses.replace(result, configuration={"seeds": 64}, sides={"PPO": side}), tmp_path)
    rows = deep_tables.seeds_table(tmp_path).splitlines()
    assert "| 400 [350, 500] | 100 [100, 100] | 1 | 2.00 |" in rows[2]
    assert "| 400 [300, 450] | 100 [100, 100] | 1.20 | 2.00 |" in rows[3]


def test_a_region_lasts_as_long_as_it_should():
    # Each call takes 20 ms at least: a region of 50 ms holds at most three, at 5 / 0.02 = 250 steps a second at most.
    calls = []
    rate = many_seeds.steps_per_second(lambda seed: (calls.append(seed), time.sleep(0.02)), 5, 7, region=0.05)
    assert set(calls) == {7}
    assert 1 <= len(calls) <= 3
    assert 0 < rate <= 250


def test_everything_listed_can_be_run():
    for name in listing.BENCHMARKS:
        assert callable(importlib.import_module(f"benchmarks.{name}").main)
    with pytest.raises(SystemExit, match="unknown benchmark"):
        listing.main(["nothing"])


def test_everything_that_can_be_run_is_listed():
    files = (results.ROOT / "benchmarks").glob("*.py")
    runnable = {path.stem for path in files if "\ndef main(" in path.read_text()}
    assert runnable - {"__main__"} == set(listing.BENCHMARKS)


def test_a_comparison_runs_on_as_many_cores_as_it_says(monkeypatch):
    allowed = [{1, 3, 5, 7}]
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: allowed[-1], raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: allowed.append(set(cores)), raising=False)
    monkeypatch.setattr(lm_vs_peers, "compare", lambda name, options: machine.cores())
    assert lm_vs_peers.measure("grpo", lm_vs_peers.Options()) == 2
    assert allowed == [{1, 3, 5, 7}, {1, 3}, {1, 3, 5, 7}]
    allowed.append({1})
    with pytest.raises(SystemExit, match="there are 1, and this compares libraries on 2"):
        lm_vs_peers.measure("grpo", lm_vs_peers.Options())


def test_memory_of_pytorch_holds_only_what_a_task_needs(monkeypatch):
    monkeypatch.delitem(sys.modules, "benchmarks.workers.lm_torch", raising=False)
    for name in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name in ("trl", "datasets", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it would raise
    module = importlib.import_module("benchmarks.workers.lm_torch")
    monkeypatch.delitem(sys.modules, "benchmarks.workers.lm_torch")
    with pytest.raises(ImportError):
        monkeypatch.setattr(module, "make_model", lambda: None)
        module.grpo(lm_vs_peers.TASKS["grpo"])


def test_all_judgements_of_a_seed_are_of_the_same_prompts(monkeypatch):
    trained, judged = [], []

    def timed(learner, key, updates):
        trained.append(tuple(jax.random.key_data(key).tolist()))
        return types.SimpleNamespace(params={"w": jnp.zeros(3)}), {"reward": np.zeros(1), "length": np.zeros(1)}, 1.0

    def judge(learner, state, key, num_prompts, when):
        judged.append((when, tuple(jax.random.key_data(key).tolist())))
        return {f"{when} {name}": 0.5 for name in lm_learning.SHOWN}

    monkeypatch.setattr(lm_learning, "timed", timed)
    monkeypatch.setattr(lm_learning, "judge", judge)
    result = lm_learning.measure("parity-16", lm_learning.Options(seeds=2))
    assert [when for when, _ in judged] == ["before", "after"] * 2 + ["coin", "from nothing"] * 2
    first, second = ({key for _, key in judged[i : i + 2] + judged[i + 4 : i + 6]} for i in (0, 2))
    assert len(first) == len(second) == 1 and first != second
    assert not (first | second) & set(trained)
    assert result.configuration["chance"] == 0.5


@pytest.mark.parametrize("name", lm_learning.CELLS)
def test_figures_of_language_models_are_of_the_presets_that_their_commands_read(name):
    found = results.load_any(f"lm_learning_{name}")
    if found is None:
        assert f"| {name} | not measured |" in language_tables.lm_learning_table(results.RESULTS)
        return
    said = {key: value for key, value in found.configuration.items() if key != "parameters"}
    assert said == json.loads(json.dumps(lm_learning.configuration(name)))


def lm_result(name, numbers, **configuration):
    side = Side({"python": "3.11.0", "jax": "0.10.2", "transformers": "5.0"}, {}, {}, numbers)
    return dataclasses.replace(make_result(name), sides={"jaxrl": side}, configuration=configuration)


@pytest.mark.parametrize(("last", "seconds", "verdict"), [(0.995, 61.0, "reached"), (0.98, 181.0, "missed")])
def test_the_table_of_language_models_shows_bars_chance_and_every_lost_seed(tmp_path, last, seconds, verdict):
    scores = {name: [0.5, 0.4, 0.75] for name in ("pass@1", "pass@16", "greedy", "length")}
    numbers = {f"{when} {name}": values for when in ("before", "after", "coin") for name, values in scores.items()}
    numbers |= {"after pass@1": [0.9, last, 0.999], "pretraining_seconds": [20.0, 10.0, 12.0]}
    numbers |= {"reinforcement_seconds": [3.0, 2.0, 4.0], "seconds": [seconds]}
    results.save(lm_result("lm_learning_parity-16", numbers, threshold=0.99, parameters=1234), tmp_path)
    before, after, coin = language_tables.lm_learning_table(tmp_path).splitlines()[2:5]
    assert "| 0.500 [0.400, 0.750] | chance: 0.5 |" in coin and "paid by a coin" in coin
    assert f"| {last:.3f} [0.900, 0.999] | ≥ 0.99, {verdict} |" in after
    assert f"| 3 [2, 4] | {seconds:.0f} (≤ 180: {verdict}) |" in after
    assert "| 12 [10, 20] | – |" in before


def test_the_table_of_peers_of_language_models_says_whether_bars_are_reached(tmp_path):
    # 300/200 = 1.5 and 300/250 = 1.2: their median is 1.35, and the bar 1.3.
    ours = {"tokens_per_second": [300.0, 300.0], "peak_gib": [0.5]}
    result = lm_result("lm_vs_peers_generate", ours)
    theirs = dataclasses.replace(result.sides["jaxrl"], measurements=ours | {"tokens_per_second": [200.0, 250.0]})
    results.save(dataclasses.replace(result, sides=result.sides | {"torch": theirs}), tmp_path)
    rows = language_tables.lm_vs_peers_table(tmp_path).splitlines()
    assert "| 1 | – | 0.50 |" in rows[2] and "| 1.35× | ≥ 1.3×, reached | 0.50 |" in rows[3]
    assert lm_vs_peers.BARS.keys() == lm_vs_peers.TASKS.keys()


def test_quick_changes_sizes_only():
    options = ppo_vs_peers.Options()
    assert ppo_vs_peers.quick(options).configuration == options.configuration
    assert dataclasses.replace(options, quick=True).steps("rejax") == 122 * 8192


def test_the_table_of_learners_is_of_the_rows_that_there_are():
    result = results.load_any("tabular_learning")
    there_are = {}
    for name, row in rows().items():
        options = {key: list(value) if isinstance(value, tuple) else value for key, value in row.options.items()}
        fields = {"problem": row.problem, "steps": row.steps, "discount": row.discount, "kind": row.kind}
        there_are[name] = fields | {"options": options}
    assert result.configuration == there_are


@pytest.mark.parametrize("name", ["dqn", "sac", "pqn", "ppo-breakout"])
def test_what_is_judged_acts_as_the_learner_does(name):
    task = dataclasses.replace(TASKS[name], capacity=4000, warmup=40)
    learner = deep_jaxrl.make(task)
    state = learner.init(jax.random.key(0))
    noisy = jax.tree.map(lambda x: x + 0.1 * jnp.sin(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), state.params)
    state = dataclasses.replace(state, params=noisy)
    layers = deep_jaxrl.actor_layers(task)((state,))
    judge = evaluator.GreedyActor(learner.env_params, learner.env, evaluator.ACTIVATIONS[task.activation])
    arrays = [{name: jnp.asarray(value) for name, value in layer.items()} for layer in layers]
    space = learner.env.observation_space(learner.env_params)
    obs = jax.random.normal(jax.random.key(1), (64, *space.shape))
    found, expected = (one.act(each, obs, jax.random.key(2)) for one, each in ((judge, arrays), (learner, state)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(np.unique(np.asarray(expected).round(3))) > 1


@pytest.mark.parametrize("race", time_to_score.RACES.values(), ids=time_to_score.RACES)
def test_budgets_grow_by_whole_updates_to_the_largest(race):
    assert race.budgets == sorted(set(race.budgets))
    assert race.budgets[-1] == race.steps
    assert max(next_one / one for one, next_one in itertools.pairwise(race.budgets)) <= 1.6
    if isinstance(race.work, Configuration):
        assert all(race.work.updates(steps) for steps in race.budgets)
    else:
        learner = deep_jaxrl.make(TASKS[race.work])
        assert [env_steps(learner, updates_of(learner, steps)) for steps in race.budgets] == race.budgets


def test_a_race_ends_at_the_first_budget_whose_median_reaches_the_bar(tmp_path, monkeypatch):
    speed = {"deep jaxrl": 100.0, "deep rejax": 50.0, "deep sbx": 0.0}  # of learning; the bar is -200

    def run(race, library, python, steps, seeds):
        returns = [-300.0 + speed[library] * steps / 5000 + 10 * seed for seed in seeds]
        side = {"versions": {"jaxrl": "0.1.0"}, "variables": {}, "threads": {}}
        return {"policies": returns, "seconds": steps * (2.0 if library == "deep rejax" else 1.0), "facts": side}

    monkeypatch.setattr(time_to_score, "find_python", lambda *_: "python")
    monkeypatch.setattr(time_to_score, "run", run)
    monkeypatch.setattr(time_to_score, "score", lambda race, policies, episodes: policies)
    time_to_score.main(["--races", "sac", "--seeds", "3", "--repetitions", "2", "--results", str(tmp_path)])
    sides = results.load("time_to_score_sac", tmp_path).sides
    budgets = time_to_score.RACES["sac"].budgets
    # The median seed of the first race has 10 more than seed 0: 90 more are needed, 4,500 steps of the one, 9,000 of
    # the other. That of the second, whose seeds are 3, 4, 5, has 40 more: 3,000 and 6,000 steps.
    for side, leasts, factor in (("jaxrl", (4500, 3000), 1.0), ("rejax", (9000, 6000), 2.0)):
        first = [next(steps for steps in budgets if steps >= least) for least in leasts]
        assert sides[side].measurements["steps"] == first
        assert sides[side].measurements["seconds"] == [factor * steps for steps in first]
        assert [len(returns) for returns in sides[side].measurements["returns"]] == [3, 3]
    assert sides["sbx"].measurements["steps"] == [budgets[-1]] * 2
    assert sides["sbx"].measurements["seconds"] == [None] * 2
    table = deep_tables.score_table(tmp_path)
    assert table.count("| not reached | – / – |") == 1 and "| 4.00× / 4.00× |" in table


def test_a_race_that_is_reached_at_times_says_how_often(tmp_path, monkeypatch):
    monkeypatch.setattr(time_to_score, "find_python", lambda *_: "python")
    facts = {"versions": {"jaxrl": "0.1.0"}, "variables": {}, "threads": {}}
    returns = {0: -500.0, 1: -100.0}  # the first seed never learns
    monkeypatch.setattr(time_to_score, "run", lambda *args: {"policies": args[-1], "seconds": 1.5, "facts": facts})
    monkeypatch.setattr(time_to_score, "score", lambda race, policies, episodes: [returns[x] for x in policies])
    time_to_score.main(["--races", "sac", "--seeds", "1", "--repetitions", "2", "--results", str(tmp_path)])
    table = deep_tables.score_table(tmp_path)
    assert table.count("| 1.5 [1.5, 1.5], in 1 of 2 |") == 3 and table.count("| – / 1.00× |") == 2


def test_a_race_that_is_interrupted_has_written_those_before_it(tmp_path, monkeypatch):
    facts = {"versions": {"jaxrl": "0.1.0"}, "variables": {}, "threads": {}}

    def run(race, library, python, steps, seeds):
        if seeds[0] == 4:
            raise KeyboardInterrupt
        return {"policies": [-100.0], "seconds": 1.5, "facts": facts}

    monkeypatch.setattr(time_to_score, "find_python", lambda *_: "python")
    monkeypatch.setattr(time_to_score, "run", run)
    monkeypatch.setattr(time_to_score, "score", lambda race, policies, episodes: policies)
    with pytest.raises(KeyboardInterrupt):
        time_to_score.main(["--races", "sac", "--seeds", "2", "--repetitions", "3", "--results", str(tmp_path)])
    found = results.load("time_to_score_sac", tmp_path)
    assert found.command.endswith("--repetitions 2")
    assert found.sides["rejax"].measurements["seconds"] == [1.5, 1.5]


def test_seconds_to_the_bar_end_with_the_first_evaluation_whose_median_reaches_it():
    evaluations = [[1.0, 5.0, 9.0, 9.0], [1.0, 2.0, 9.0, 9.0], [1.0, 8.0, 2.0, 9.0]]  # medians 1, 5, 9, 9
    result = make_result(evaluation_returns=evaluations, evaluation_seconds=[25.0, 30.0, 41.0, 50.0])
    assert learning_tables.seconds_to_bar(result, 5.0) == "30"
    assert learning_tables.seconds_to_bar(result, 9.0) == "41"
    assert learning_tables.seconds_to_bar(result, 9.5) == "–"


def test_evaluations_are_clocked():
    clock = timing.Clock(iter([100.0, 107.0, 112.5]).__next__)
    clock.begin(0, 2)
    for record in ({"loss": 1.0}, {"evaluation_return": 3.0}, {"evaluation_return": 4.0}):
        clock.log({"update": 1, "env_steps": 8, "seconds": 1.0, "steps_per_second": 8.0} | record)
    assert clock.seconds == [7.0, 12.5]


MEASURED = ("learning_", "deep_vs_peers_", "time_to_score_")
"""Results that name the work they are of."""
LARGE = ("dense", "dense-8192", "fanout", "grpo-0.5b")
"""Cells of throughput that take long to build."""


def other_work(result):
    """Whether a result of throughput is not of today's cell, by all that it says of it."""
    name = result.name.removeprefix("throughput_")
    cell = throughput.CELLS.get(name)
    if cell is None:
        return True
    today = {"what": cell.what, "seeds": cell.num_seeds}
    if "fields" in result.configuration and name not in LARGE:
        today = throughput.configuration(name, cell.build())
    return today != {key: result.configuration[key] for key in today}


def stale():
    """Names of committed results whose configuration is not today's."""
    expected = {f"deep_vs_peers_{name}": deep_vs_peers.configuration(name) for name in TASKS}
    for name in time_to_score.RACES:
        expected[f"time_to_score_{name}"] = time_to_score.configuration(name, time_to_score.Options().seeds)
    for options in (learning.Options(), learning.Options(full=True)):
        for cell in learning.cells(options):
            expected[learning.result_name(*cell)] = learning.configuration(*cell, options)
    paths = [path for path in results.RESULTS.rglob("*.json") if path.stem.startswith(MEASURED)]
    found = {path: results.load(path.stem, path.parent) for path in paths}
    old = [path.name for path, result in found.items() if result.configuration != expected.get(path.stem)]
    timed = [results.load(path.stem, path.parent) for path in results.RESULTS.rglob("throughput_*.json")]
    return sorted([*old, *(result.name for result in timed if other_work(result))])


def test_committed_results_are_of_the_cells_and_tasks_that_there_are():
    assert not (old := stale()), f"measure again: {', '.join(old)}"


def timed_result(seconds, **changes):
    side = Side({"jax": "0.10.2"}, {}, {}, {"seconds": seconds, "bytes": [8.0]})
    return dataclasses.replace(make_result("suite_quick"), sides={"PPO": side}, **changes)


def test_noise_and_a_difference_are_told_apart():
    seconds = [0.9, 0.95, 0.97, 1.0, 1.01, 1.02, 1.04, 1.1, 1.3]
    before, same = timed_result(seconds), timed_result([x + 0.01 for x in seconds])
    slower = timed_result([2 * x for x in seconds])
    assert compare.comparison(before, same).splitlines()[2].endswith("| yes |")
    assert compare.comparison(before, slower).splitlines()[2].endswith("| no |")
    assert "| equal |" in compare.comparison(before, slower)  # of the bytes
    few = compare.comparison(timed_result([1.0, 1.1, 1.2, 1.3]), timed_result([2.0, 2.1, 2.2, 2.3]))
    assert "fewer than 5 repetitions" in few  # all above all others: of four and four by chance once in 35
    counted = compare.comparison(timed_result([1.0]), timed_result([2.0]))
    assert "| 2.000 | one value each" in counted


def test_a_work_that_has_changed_is_another(monkeypatch):
    numbers = {"num_envs": 64, "num_steps": 128}
    monkeypatch.setitem(throughput.CELLS, "ppo-64", throughput.Cell("words", lambda: types.SimpleNamespace()))
    monkeypatch.setattr(throughput, "configuration", lambda *_: {"what": "words", "seeds": 1, "fields": numbers})
    result = dataclasses.replace(make_result("throughput_ppo-64"), configuration=throughput.configuration())
    assert not other_work(result)
    for changed in ({"fields": numbers | {"num_steps": 32}}, {"what": "other words"}, {"seeds": 2}):
        assert other_work(dataclasses.replace(result, configuration=result.configuration | changed))
    assert other_work(dataclasses.replace(result, name="throughput_gone"))


def test_a_machine_in_another_mood_is_said():
    limits = {"seconds": [1.0], "peak copy_bytes": [10.0], "peak turn_seconds": [0.0], "peak product_flops": [100.0]}
    _, said = compared(limits, limits | {"peak product_flops": [64.0], "peak copy_bytes": [9.5]})
    assert "in another mood, after next to before: peak product_flops 0.64" in said
    assert "mood" not in compared(limits, limits)[1]


def test_what_the_machine_itself_moved_is_noise():
    steady, slower = [1.0, 1.01, 1.02, 1.03, 1.04], [1.2, 1.21, 1.22, 1.23, 1.24]
    moved = "the machine moved as much"
    for copy, noise in ((10.0, "no"), (9.0, "no"), (7.5, moved), (13.0, "no")):  # 10 before
        one, other = (
            {"seconds": times, "in no stage": times, "per_second": [1 / x for x in times], "peak copy_bytes": [peak]}
            for times, peak in ((steady, 10.0), (slower, copy))
        )
        rows, _ = compared(one, other)
        assert rows["seconds"][-1] == rows["per_second"][-1] == noise and rows["in no stage"][-1] == "no"
    rates = {"peak copy_bytes": [10.0], "peak product_flops": [100.0]}
    for flops, noise in ((75.0, moved), (90.0, "no"), (100.0, "no"), (130.0, "no")):  # the copy alone explains nothing
        other = {"seconds": slower, "peak copy_bytes": [5.0], "peak product_flops": [flops]}
        assert compared({"seconds": steady} | rates, other)[0]["seconds"][-1] == noise
    unmoved = {"seconds": steady[::-1], "peak copy_bytes": [20.0]}
    assert compared({"seconds": steady, "peak copy_bytes": [10.0]}, unmoved)[0]["seconds"][-1] == "yes"


def test_repetitions_without_a_number_are_said():
    rows, _ = compared({"seconds": [1.0] * 5 + [None]}, {"seconds": [2.0] * 5})
    assert rows["seconds"][-1] == "no; without 1 and 0 that have no number"


def test_a_change_of_configuration_is_named():
    one, other = (
        dataclasses.replace(timed_result([1.0]), configuration={"dqn": {"fields": {"rate": rate, "batch": 4}}})
        for rate in (0.1, 0.2)
    )
    assert "another configuration: dqn.fields.rate: 0.1 to 0.2: ratios" in compare.comparison(one, other)


def test_the_interval_holds_what_is_true_nineteen_times_of_twenty():
    random = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        _, low, high = compare.interval(random.normal(1.0, 0.1, 9), random.normal(1.5, 0.1, 9))
        held += low <= 1.5 <= high
    assert held >= 180  # of 200; the bootstrap of nine is a little narrow


def compared(before, after, name="suite_quick"):
    """The rows of two results that have these measurements, by name, and what stands below."""
    one, other = (
        dataclasses.replace(timed_result([1.0]), name=name, sides={"PPO": Side({"jax": "0.10.2"}, {}, {}, numbers)})
        for numbers in (before, after)
    )
    lines = compare.comparison(one, other).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| PPO")]
    return {row[1]: row[2:] for row in rows}, "\n".join(line for line in lines if not line.startswith("|"))


def test_seeds_are_what_repeats_however_many_episodes_each_has():
    # Two hundred episodes would tell these apart; ten seeds, which differ by more, do not.
    random = np.random.default_rng(0)
    one, other = ([[seed + x for x in random.normal(100.0, 1.0, 20)] for seed in range(10)] for _ in range(2))
    rows, _ = compared({"returns": one}, {"returns": [[x + 2.0 for x in seed] for seed in other]})
    assert rows["returns"][-1] == "yes"
    rows, _ = compared({"returns": one}, {"returns": [[x + 50.0 for x in seed] for seed in other]})
    assert rows["returns"][-1] == "no"


def test_what_may_be_negative_has_a_difference():
    returns = [-500.0 - seed for seed in range(10)]
    rows, _ = compared({"return": returns}, {"return": [x + 100.0 for x in returns]})
    assert rows["return"][2].startswith("+100 [+9") and rows["return"][-1] == "no"
    rows, _ = compared({"gap": [-1.0]}, {"gap": [3.0]})
    assert rows["gap"][2] == "+4"


def test_what_one_side_lacks_is_said():
    rows, said = compared({"seconds": [1.0], "flops": [2.0]}, {"seconds": [1.0], "bytes": [2.0]})
    assert list(rows) == ["seconds"] and "only before: PPO: flops" in said and "only after: PPO: bytes" in said


def test_sizes_and_episodes_are_no_repetitions():
    numbers = {"PPO: sizes": [1, 2, 3], "PPO: seconds": [1.0, 2.0, 3.0], "exponents": [1.0]}
    rows, _ = compared({"returns": [1.0], "seconds": [1.0]}, {"returns": [2.0], "seconds": [1.0]}, "suites_brax")
    assert list(rows) == ["seconds"]  # of one training
    rows, said = compared(numbers, numbers, "complexity")
    assert list(rows) == ["exponents"]
    assert "not compared, for it is no repetition: PPO: PPO: sizes; PPO: PPO: seconds" in said


def test_a_comparison_says_what_else_differs(tmp_path, capsys):
    before = timed_result([1.0, 1.1, 1.2])
    other = dataclasses.replace(DEVICE, cores=64)
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, result in zip(paths, (before, timed_result([1.0, 1.1, 1.3], device=other)), strict=True):
        path.write_text(results.to_json(result))
    listing.main(["--compare", *map(str, paths)])
    assert "another device" in capsys.readouterr().out


def test_results_of_an_accelerator_stand_beside_those_of_the_cpu(tmp_path):
    results.save(make_result("learning_x"), tmp_path)
    other = dataclasses.replace(make_result("learning_x"), device=dataclasses.replace(DEVICE, platform="gpu"))
    assert results.save(other, tmp_path) == tmp_path / "gpu" / "learning_x.json"
    assert results.load("learning_x", tmp_path).device.platform == "cpu"
    assert results.load("learning_x", results.folder("gpu", tmp_path)).device.platform == "gpu"


def test_one_benchmark_that_fails_does_not_end_the_suite(tmp_path, monkeypatch, capsys):
    ran, platform = [], "cpu"

    def process(command, cwd):
        assert command[:3] == [sys.executable, "-m", "benchmarks"] and command[-2] == "--results"
        ran.append(" ".join(command[3:-2]))
        if command[3] == "throughput" and command[5] != "sac":
            cell = make_result(f"throughput_{command[5]}")
            device = dataclasses.replace(cell.device, platform=platform)
            results.save(dataclasses.replace(cell, device=device), pathlib.Path(command[-1]))
        fails = command[3] in ("replay", "lm_vs_peers") or "sac" in command
        return types.SimpleNamespace(returncode=-9 if fails else 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(suite.subprocess, "run", process)
    monkeypatch.setattr(suite.machine, "backend", lambda: platform)
    with pytest.raises(SystemExit, match="failed: sac, replay, lm_vs_peers"):
        suite.run("full", ["replay", "lm_vs_peers", "learning"])
    (path,) = (tmp_path / "runs").rglob("suite_full.json")
    found = results.from_json(path.read_text())
    assert "dqn" in found.sides and "grpo-0.5b" not in found.sides
    assert found.configuration["dqn"] == make_result("throughput_dqn").configuration
    assert ran[-3:] == ["replay", "lm_vs_peers", "learning"] and ran[0].endswith("--repetitions 15")
    assert "replay failed, with exit code -9" in capsys.readouterr().out
    platform = "gpu"
    with pytest.raises(SystemExit, match=r"failed: sac$"):
        suite.run("full", ["learning", "lm_vs_peers"])
    assert ran[-2:] == ["learning", "learning --full"]
    assert "throughput --cells grpo-0.5b --repetitions 15" in ran


@pytest.mark.parametrize("arguments", [["--compare"], ["--compare", "no.json", "such.json"], ["--quick", "--fast"]])
def test_what_cannot_be_compared_or_run_is_refused(arguments):
    with pytest.raises(SystemExit) as error:
        listing.main(arguments)
    assert isinstance(error.value.code, str) and "\n" not in error.value.code


def test_the_quick_suite_is_one_result_that_compare_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(suite, "QUICK", ("fanout",))
    monkeypatch.setitem(suite.REPETITIONS, "quick", 2)
    listing.main(["--quick"])
    (path,) = (tmp_path / "runs").rglob("suite_quick.json")
    result = results.from_json(path.read_text())
    assert list(result.sides) == ["fanout"] and result.sides["fanout"].measurements["compilations"] == [0.0]
    assert result.sides["fanout"].measurements["seconds of the cell"][0] > 0
    listing.main(["--compare", str(path), str(path)])
    assert "equal" in capsys.readouterr().out
    (cell,) = (tmp_path / "runs").rglob("throughput_fanout.json")
    assert "sweeps" in throughput_tables.throughput_table(cell.parent)


@pytest.mark.parametrize("name", sorted({*suite.QUICK} - {*LARGE}))
def test_cells_of_the_quick_suite_make_updates(name):
    algorithm = throughput.CELLS[name].build()
    work = throughput.configuration(name, algorithm)
    assert work == json.loads(json.dumps(work, allow_nan=False)) and len(work["fields"]) > 3
    init_key, key = jax.random.split(jax.random.key(0))
    state = jax.eval_shape(algorithm.init, init_key)
    assert jax.tree.leaves(jax.eval_shape(algorithm.update, state, key))


def test_results_of_an_accelerator_stand_in_the_tables_with_its_name(tmp_path):
    for name in ("many_seeds", "throughput_sac"):
        result = results.load(name)
        result = dataclasses.replace(result, device=dataclasses.replace(DEVICE, platform="gpu", kind="NVIDIA X"))
        results.save(result, tmp_path)
    row = deep_tables.seeds_table(tmp_path).splitlines()[2]
    assert "many_seeds` on NVIDIA X" in row and "not measured" not in row
    numbers = result.sides["jaxrl"].measurements | {"update_seconds": [2.0], "one_thread_update_seconds": [3.0]}
    numbers |= {"in no stage": [0.1, 0.2, 0.3], "in no stage alone": [0.3]}
    changed = dataclasses.replace(result, sides={"jaxrl": Side({"jax": "0.10.2"}, {}, {}, numbers)})
    shares = ["20.0% [15.0%, 25.0%]", "30.0% [30.0%, 30.0%]", "1.50 [1.50, 1.50]"]
    assert throughput_tables.throughput_row(changed)[6:9] == shares


def test_a_cell_that_only_an_accelerator_learned_stands_in_the_table(tmp_path):
    (cell,) = list(learning.FULL)[:1]
    made = make_result(learning.result_name(*cell))
    numbers = {"last_10_mean": [1.0], "evaluation_returns": [[1.0]], "compile_seconds": [1.0], "wall_seconds": [2.0]}
    side = {"jaxrl": Side({"jax": "0.10.2"}, {}, {}, numbers | {"cpu_seconds": [60.0]})}
    configuration = {"steps": 7, "algorithm": cell[0], "env": cell[1]}
    other = dataclasses.replace(made, device=dataclasses.replace(DEVICE, platform="gpu"), sides=side)
    results.save(dataclasses.replace(other, configuration=configuration), tmp_path)
    rows = learning_tables.learning_table(tmp_path, learning.FULL).splitlines()
    assert "| 7 |" in rows[2] and "not measured" not in rows[2]


def test_the_backend_is_asked_in_another_process(monkeypatch):
    assert machine.backend.__wrapped__() == jax.default_backend()
    monkeypatch.setenv("JAX_PLATFORMS", "nonsense")
    with pytest.raises(SystemExit, match="JAX does not start"):
        machine.backend.__wrapped__()


def test_a_peer_gets_the_device_of_this_process(monkeypatch):
    started = []
    monkeypatch.setattr(peers.subprocess, "Popen", lambda *_, env, **__: started.append(env))
    monkeypatch.setattr(peers.machine, "backend", lambda: "gpu")
    peers.Worker("rejax", "python", "sac").errors.close()
    assert started[0]["JAX_PLATFORMS"] == "cuda"  # "gpu" asks for those of all makers
    plain = peers.requirements("rejax")[-1]
    plugin = [types.SimpleNamespace(name="jax-cuda13-plugin")]
    monkeypatch.setattr(peers.importlib.metadata, "distributions", lambda: plugin)
    assert peers.requirements("rejax")[-1] == plain.replace("jax", "jax[cuda13]")
    with pytest.raises(SystemExit, match="JAX_PLATFORMS=cpu"):
        lm_vs_peers.main([])


def test_every_cell_of_throughput_has_words_of_its_own():
    words = [cell.what for cell in throughput.CELLS.values()]
    assert all(words) and len(set(words)) == len(words)
    assert set(suite.QUICK) <= throughput.CELLS.keys()
