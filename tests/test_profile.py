"""The profiler: its counts against arithmetic by hand and XLA's own, and a slow part that it must name."""

import dataclasses
import functools
import itertools
import json
import math
import os
import pathlib
import subprocess
import time

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import jaxrl
from benchmarks import machine, throughput
from jaxrl import lm, networks
from jaxrl.cli import main
from jaxrl.engine.profiling import (
    counts,
    hlo,
    measure,
    memory,
    peaks,
    pictures,
    programs,
    report,
    stages,
    threads,
    timing,
)
from jaxrl.engine.profiling import sweep as sweeping
from jaxrl.engine.profiling.counts import Counts
from jaxrl.engine.profiling.peaks import Peaks, measure_peaks
from jaxrl.engine.profiling.result import StageProfile
from jaxrl.engine.profiling.sweep import knee_of, sizes_of
from jaxrl.types import Stage, Transition, steps_per_update

QUICK = {"repetitions": 2, "region": 0.01}


SEVERAL_THREADS = pytest.mark.skipif(
    machine.cores() < 2 or os.environ.get("NPROC") == "1", reason="there is one thread already"
)


known_peaks = functools.cache(measure_peaks)


@pytest.fixture(autouse=True)
def optimized(monkeypatch):
    """What is counted and timed are programs as users run them; limits of the device are measured once."""
    monkeypatch.setattr(measure, "measure_peaks", known_peaks)
    monkeypatch.setattr(measure, "one_thread", lambda: None)  # which compiles everything once more
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def module_of(function, *arguments):
    return hlo.parse(jax.jit(function).lower(*arguments).compile().as_text())


def counted(function, *arguments):
    return counts.count(module_of(function, *arguments))


def test_products_in_a_loop_count_as_often_as_it_runs():
    def ten(x, y):
        return jax.lax.fori_loop(0, 10, lambda _, x: jnp.tanh(x @ y), x)

    # [8, 16] @ [16, 16]: 2 · 8 · 16 · 16 operations, ten times.
    x, y = jnp.ones((8, 16)), jnp.ones((16, 16))
    found = counted(ten, x, y)
    assert found.product_flops == 10 * 2 * 8 * 16 * 16
    assert found.unknown_loops == 0 and found.transfers == 0
    assert counts.count(module_of(ten, x, y), loops=1.0).product_flops == 2 * 8 * 16 * 16


def test_a_loop_whose_length_the_data_say_is_told_apart():
    def halve(x, y):
        return jax.lax.while_loop(lambda x: x.sum() > 1.0, lambda x: x @ y, x)

    module = module_of(halve, jnp.ones((4, 4)), jnp.eye(4) / 2)
    assert counts.count(module).unknown_loops == 1
    assert counts.count(module, unknown=7.0).product_flops == 7 * 2 * 4 * 4 * 4
    assert counts.of_a_turn(module).product_flops == 2 * 4 * 4 * 4
    assert counts.of_a_turn(module).unknown_loops == 0


def test_a_convolution_by_hand():
    image, kernel = jnp.ones((2, 10, 10, 4)), jnp.ones((3, 3, 4, 16))
    convolve = nn.Conv(16, (3, 3), padding="VALID", use_bias=False)
    found = counted(lambda image: convolve.apply({"params": {"kernel": kernel}}, image), image)
    # 2 images, 8 × 8 places, 16 outputs, each of 3 · 3 · 4 products.
    assert found.product_flops == pytest.approx(2 * (2 * 8 * 8 * 16) * (3 * 3 * 4))


def test_slices_of_a_large_array_cost_their_size():
    def rows(table, index):
        return table[index] * 2

    def written(table, row):
        return jax.lax.fori_loop(0, 100, lambda i, t: jax.lax.dynamic_update_slice_in_dim(t, row, i, 0), table)

    table, index = jnp.ones((100_000, 8)), jnp.arange(16)
    assert counted(rows, table, index).bytes < 20 * 16 * 8 * 4  # the table has 3.2 MB
    scattered = counted(lambda table: table.at[jnp.arange(16)].add(1.0), table)
    assert scattered.flops < 100 * 16 * 8  # the table has 800,000 numbers
    # Of each turn the row only; the first copy of the table, which nobody donated, counts once.
    assert counted(written, table, jnp.ones((1, 8))).bytes < 2 * table.nbytes + 100 * 20 * 8 * 4


def test_a_callback_is_a_transfer():
    def calling(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), jnp.float32), x)

    found = counted(lambda x: jax.lax.fori_loop(0, 5, lambda _, x: calling(x), x), jnp.float32(1))
    assert found.transfers == 5


def test_products_of_16_bits_are_told_apart():
    # As an accelerator compiles it; a CPU multiplies in float32.
    text = """HloModule products

ENTRY %main (x: bf16[8,16], y: bf16[16,4], z: f32[4,2]) -> f32[8,2] {
  %x = bf16[8,16]{1,0} parameter(0)
  %y = bf16[16,4]{1,0} parameter(1)
  %z = f32[4,2]{1,0} parameter(2)
  %low = f32[8,4]{1,0} dot(%x, %y), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %dot = f32[8,2]{1,0} dot(%low, %z), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""
    found = counts.count(hlo.parse(text))
    assert found.low_product_flops == 2 * 8 * 16 * 4 and found.product_flops == found.low_product_flops + 2 * 8 * 4 * 2
    limits = Peaks(product_flops=10.0, low_product_flops=40.0, **dict.fromkeys(OTHER_PEAKS, 1.0))
    assert report.limits(found, limits)["FLOPs"] == pytest.approx(1024 / 40 + 128 / 10)


OTHER_PEAKS = ("copy_bytes", "product_bytes", "launch_seconds", "turn_seconds", "kernel_seconds")


def test_what_limits_a_program():
    limits = Peaks(product_flops=1e9, low_product_flops=2e9, **dict.fromkeys(OTHER_PEAKS, 1e-6) | {"copy_bytes": 1e6})
    found = report.limits(Counts(flops=2e9, bytes=5e6, kernels=3.0, turns=4.0), limits)
    assert found == pytest.approx({"FLOPs": 2.0, "bytes": 5.0, "launches": 7e-6})


def test_limits_of_this_device_are_near_those_that_numpy_finds():
    x, matrix = np.ones(2**26, np.float32), np.ones((2048, 2048), np.float32)

    def fastest(function):
        times = [time.perf_counter()]
        for _ in range(6):
            function()
            times.append(time.perf_counter())
        return min(np.diff(times))

    found, copied, multiplied = [], 0.0, 0.0
    for _ in range(3):  # in turn, the best of each: another process may have the cores for a while
        found.append(measure_peaks())
        copied = max(copied, 2 * x.nbytes / fastest(lambda: np.add(x, 1.0, out=x)))  # by one core, where JAX has all
        multiplied = max(multiplied, 2 * 2048**3 / fastest(lambda: matrix @ matrix))
    assert 0.4 * copied < max(peak.copy_bytes for peak in found) < 4 * machine.cores() * copied
    assert 0.25 * multiplied < max(peak.product_flops for peak in found) < 4 * multiplied
    assert all(peak.launch_seconds > 0 and min(peak.turn_seconds, peak.kernel_seconds) >= 0 for peak in found)


def test_memory_of_a_container_is_what_its_group_leaves(tmp_path):
    assert memory._free_of_group(tmp_path) is None
    for name, text in {"max": "1000", "current": "700", "stat": "anon 1\ninactive_file 50\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text + "\n")
    assert memory._free_of_group(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._free_of_group(tmp_path) is None
    older, stat = tmp_path / "memory", "inactive_file 10\ntotal_inactive_file 60\n"
    older.mkdir()
    for name, text in {"limit_in_bytes": "2000", "usage_in_bytes": "700", "stat": stat}.items():
        (older / f"memory.{name}").write_text(text + "\n")
    assert memory._free_of_group(tmp_path) == 1360


@flax.struct.dataclass
class Hoarder:
    """A learner that carries 64 MiB and does next to nothing with it."""

    def init(self, key):
        return jnp.zeros(2**24)

    def rollout(self, state, key):
        return state.at[0].add(1.0), jax.random.normal(key)

    def learn(self, state, batch, key):
        return state.at[1].add(batch), {"drawn": batch}

    def update(self, state, key):
        rollout_key, learn_key = jax.random.split(key)
        return self.learn(*self.rollout(state, rollout_key), learn_key)


def test_what_a_stage_carries_is_no_part_of_its_time():
    profile = jaxrl.profile(Hoarder(), repetitions=3, region=0.02)
    copied = 2 * 2**26 / profile.peaks.bytes
    assert sum(profile.stage_seconds.values()) < copied / 20
    assert profile.stages["rollout"].counts.bytes < 10_000


def test_an_update_and_its_stages_are_timed_in_turn():
    asked = []

    def run_of(name, seconds):
        return lambda turns: asked.append((name, turns)) or turns * seconds

    def update(name, seconds):
        whole = timing.Whole(Counter(), jax.random.key(0), None, None, None, 0.0, {}, 1)
        whole.metrics, whole.run = {}, run_of(name, seconds)
        return whole

    several, one = update("an update", 10.0), update("on one thread", 5.0)
    stages = {"learn": timing.TimedStage(run_of("learn", 4.0), Counts(), None)}
    expected = {"an update": [10.0] * 2, "on one thread": [5.0] * 2, "learn": [4.0] * 2}
    assert timing.time_all(several, one, stages, 2, 8.0) == (expected, [])
    assert asked[-6:] == [*zip(expected, (1, 2, 2), strict=True)] * 2
    del expected["on one thread"]
    assert timing.time_all(several, None, stages, 2, 8.0)[0] == expected


def test_tokens_are_those_of_each_repetition():
    whole = timing.Whole(grpo(), jax.random.split(jax.random.key(0), 2), None, None, None, 0.0, {}, 1)
    lengths = []

    def run(turns):  # of two seeds; each call draws a token more, and what is behind its turns does not count
        lengths.append(float(len(lengths)))
        whole.turns, whole.metrics = turns, {"length": np.full((2, turns + 3), 1e9)}
        whole.metrics["length"][:, :turns] = lengths[-1]
        return turns * 1.0

    whole.run = run
    seconds, tokens = timing.time_all(whole, None, {}, 3, 0.1)
    assert tokens == [2 * 8 * length for length in lengths[-3:]] and len(seconds[timing.UPDATE]) == 3


def test_what_shares_a_loop_adds_up_as_that():
    # Of 10 seconds, parts take 2, 1 and 0.5; those of 2 and 1 take 4 in a loop.
    known = {
        "act": (3.0, None),
        "learn": (4.0, None),
        "draw": (2.0, "learn"),
        "step": (1.0, "act"),
        "sum": (0.5, "act"),
    }
    found = {name: StageProfile((x,), Counts(), within) for name, (x, within) in known.items()}
    loop = StageProfile((4.0,), Counts(), None, ("draw", "step"))
    profile = dataclasses.replace(jaxrl.profile(Counter(), **QUICK), seconds=(10.0,), stages=found)
    assert profile.open_shares() == pytest.approx([0.65])
    looped = dataclasses.replace(profile, loops={"draw + step": loop})
    assert looped.unattributed == looped.open_shares()[0] == pytest.approx(0.55)
    assert looped.open_shares(together=False) == pytest.approx([0.65])
    line = next(line for line in report.page(looped).splitlines() if "together" in line)
    assert line.split() == ["draw", "and", "step,", "together", "4", "s", "40.0%", "each", "alone", "3", "s"]
    line = next(line for line in report.page(looped).splitlines() if line.startswith("  each alone"))
    assert line.split()[2:5] == ["6.5", "s", "65.0%"]
    assert report.record(looped)["loops"]["draw + step"]["members"] == ["draw", "step"]


def test_loops_are_those_of_an_update():
    # PPO repeats two parts of each half; halves of DQN take turns, and with them all parts of as many turns.
    ppo, dqn, acting = (LEARNERS[name]() for name in ("ppo", "dqn", "dqn"))
    acting = dataclasses.replace(acting, train_every=2)  # two steps in a turn of both halves
    of_steps = ("random numbers", "remember", "sample", "gradient", "optimizer")
    for learner, expected in (
        (ppo, [("environment", "policy"), ("gradient", "optimizer")]),
        (dqn, [tuple(STAGES["dqn"][2:])]),
        (acting, [of_steps, ("environment", "policy")]),
    ):
        init_key, key = jax.random.split(jax.random.key(0))
        found = stages.stages_of(learner, learner.init(init_key), key)
        assert stages.loops_of(found) == expected, {name: stage.times for name, stage in found.items()}


def test_a_loop_runs_its_stages_one_after_the_other():
    def add(total, x):
        return total + x

    def draw(x, key):
        return {"drawn": jax.random.uniform(key)}, x.sum()

    x, key = jnp.arange(3.0), jax.random.key(0)
    members = [Stage(add, (jnp.zeros(()), jnp.float32(2.0)), 5, carry=0), Stage(draw, (x, key), 5)]
    loop = stages.together([*members, Stage(jnp.max, (x,), 5)])
    alone, carried = stages.apart(loop)
    with jax.debug_key_reuse(False):
        (added, drew, looked), _ = stages.repeat(alone, jax.tree.map(jnp.copy, carried), jnp.int32(5), known=1)
        last = jax.random.wrap_key_data(jax.random.key_data(key) ^ jnp.uint32(4))  # another in each turn
        expected = float(jax.random.uniform(last))
        text = stages.repeat.lower(alone, carried, jnp.int32(5), known=1).compile().as_text()
    assert loop.times == 5 and float(added[0]) == 10.0 and added[1] is None
    assert float(drew[1][0]["drawn"]) == pytest.approx(expected) and float(drew[1][1]) == 3.0
    assert float(looked[1]) == 2.0 and drew[0] is looked[0] is None
    assert text.count(" while(") >= 1 + 3  # each waits for the one before it, or its loop of one turn were none


def test_parts_wait_for_numbers_whatever_they_are():
    for x in (jnp.nan, jnp.inf, jnp.finfo(jnp.float32).max, 0.0):
        result = {
            "x": jnp.full((2, 3), x),
            "key": jax.random.key(1),
            "none": jnp.zeros((0, 3)),
            "flag": jnp.array(True),
        }
        assert int(stages._one_behind(jnp.int32(1), result)) == 1


def test_updates_go_on_for_some_seconds():
    whole = timing.Whole.begin(Counter(), jax.random.key(0), None)
    seconds = iter([0.5, 0.25, 0.25, 9.0])
    asked, whole.run = [], lambda turns: asked.append(turns) or next(seconds)
    whole.state_behind(1.0)
    assert asked == [1, 2, 4]
    whole.state_behind(0.0)
    assert asked == [1, 2, 4]


def test_stages_begin_with_a_replay_that_has_rows(monkeypatch):
    sizes, timed_stages, behind = [], timing.timed_stages, timing.Whole.state_behind

    def timed(algorithm, state, *arguments):
        sizes.append(int(state.memory.replay.filled.max()))
        return timed_stages(algorithm, state, *arguments)

    monkeypatch.setattr(measure, "timed_stages", timed)
    dqn = jaxrl.DQN(ENV, ENV_PARAMS, capacity=100_000, num_envs=4, num_steps=16, warmup=8)
    monkeypatch.setattr(timing.Whole, "state_behind", lambda whole, _: (whole.run(20), behind(whole, 0.0))[1])
    jaxrl.profile(dqn, repetitions=1, region=0.001)
    assert 8 + 16 * 21 <= sizes[0] < 2 * 16 * 21  # the first run, and a row more where an episode ended


def test_shares_are_of_each_repetition():
    profile = jaxrl.profile(Counter(), **QUICK)
    known = {"rollout": ((1.0, 8.0, 3.0), None), "learn": ((9.0, 9.0, 9.0), None), "draw": ((5.0, 8.0, 3.0), "learn")}
    stages = {name: StageProfile(seconds, Counts(), within) for name, (seconds, within) in known.items()}
    timed = dataclasses.replace(profile, seconds=(10.0, 20.0, 8.0), one_thread_seconds=None, stages=stages)
    assert timed.open_shares() == pytest.approx((0.4, 0.2, 0.25)) and timed.unattributed == pytest.approx(0.25)
    line = next(line for line in report.page(timed).splitlines() if "in no stage" in line)
    assert line.split()[-3:] == ["quartiles", "22.5%,", "32.5%"]


@SEVERAL_THREADS
def test_an_update_is_timed_with_and_without_threads(monkeypatch):
    monkeypatch.setattr(measure, "one_thread", threads.one_thread)
    dqn = jaxrl.DQN(ENV, ENV_PARAMS, capacity=200_000, num_steps=4)
    profile = jaxrl.profile(dqn, repetitions=2, region=0.001)
    assert len(profile.one_thread_seconds) == 2 and list(profile.loops) == [" + ".join(STAGES["dqn"][2:])]
    timed = dataclasses.replace(profile, seconds=(4.0, 4.0), one_thread_seconds=(2.0, 2.0))
    assert "on one thread (set NPROC=1 in the environment) an update takes 0.50 [0.50, 0.50]" in report.page(timed)
    seeds = jaxrl.profile(dqn, repetitions=2, region=0.001, num_seeds=2)
    assert not seeds.stages and len(seeds.one_thread_seconds) == 2 and "NPROC=1" in report.page(seeds)
    assert "no stages: they are timed for one seed only" in report.page(seeds)


@SEVERAL_THREADS
def test_a_device_of_one_thread_splits_nothing(monkeypatch):
    monkeypatch.setenv("NPROC", "2")
    threads.one_thread.cache_clear()
    device = threads.one_thread()
    assert os.environ["NPROC"] == "2" and device not in jax.devices() and threads.one_thread() is device
    square, x = jax.jit(lambda x: jnp.tanh(x) ** 2), jnp.ones(2**20)  # tests have two host devices, so two threads
    with programs.without_cache():
        programs_of_both = [square.lower(y).compile() for y in (x, threads.copied_to(x, device))]
    split = ['"outer_dimension_partitions":["' in program.as_text() for program in programs_of_both]
    assert split == [True, False]
    several, one = (program(x) for program in programs_of_both)
    assert one.devices() == {device} and several.devices() == {jax.devices()[0]}
    np.testing.assert_allclose(several, one, rtol=1e-6)


def test_no_second_device_where_there_is_one_thread_already(monkeypatch):
    monkeypatch.setattr(threads.xla_client, "make_cpu_client", lambda **_: pytest.fail("made one"))
    for change in (
        lambda patch: patch.setenv("NPROC", "1"),
        lambda patch: patch.setattr(os, "sched_getaffinity", lambda process: {3}, raising=False),
        lambda patch: patch.setattr(threads.jax, "default_backend", lambda: "gpu"),
    ):
        with monkeypatch.context() as patch:
            change(patch)
            threads.one_thread.cache_clear()
            assert threads.one_thread() is None
    threads.one_thread.cache_clear()


@SEVERAL_THREADS
def test_what_goes_on_elsewhere_goes_on_from_a_copy():
    device = threads.one_thread()
    ppo = jaxrl.PPO(ENV, ENV_PARAMS, **FIELDS)
    whole = timing.Whole.begin(ppo, jax.random.key(0), None)
    whole.run(2)
    single = whole.on(device)
    for each in (whole, single):
        each.run(3)
    assert single.made == whole.made == 6
    assert {device} == set().union(*(x.devices() for x in jax.tree.leaves(single.state)))
    for several, one in zip(*map(jax.tree.leaves, (whole.state.params, single.state.params)), strict=True):
        np.testing.assert_allclose(several, one, rtol=1e-3, atol=1e-4)


def test_each_turn_of_a_stage_draws_anew():
    draw = Stage(lambda key, total: total + jax.random.uniform(key), (jax.random.key(0), jnp.zeros(())), carry=1)
    alone, carried = stages.apart(draw)
    drawn = [jax.random.wrap_key_data(jax.random.key_data(jax.random.key(0)) ^ jnp.uint32(i)) for i in range(6)]
    expected = sum(float(jax.random.uniform(key)) for key in drawn)
    with jax.debug_key_reuse(False):
        for known in (1, 2):  # a loop of six turns, and three of two
            total, _ = stages.repeat(alone, jnp.copy(carried), jnp.int32(6 // known), known=known)
            assert float(total) == pytest.approx(expected)


def test_seconds_of_a_stage_are_those_of_an_update_however_many_turns_are_one_loop():
    ppo = jaxrl.PPO(ENV, ENV_PARAMS, num_envs=4, num_steps=8)
    stage = stages.stages_of(ppo, ppo.init(jax.random.key(0)), jax.random.key(1))["policy"]
    one, many = (timing.timed_stage(stage, known) for known in (1, 32 * stage.times))
    assert one.counts.product_flops == pytest.approx(many.counts.product_flops)
    in_turn = [[x.run(updates) / updates for x, updates in ((one, 256), (many, 256), (many, 1))] for _ in range(5)]
    alone, together, once = np.min(in_turn, axis=0)
    assert together == pytest.approx(alone, rel=0.6)
    assert once < 4 * together  # it runs 32 updates, and gives the seconds of one


@pytest.mark.parametrize(("short", "often"), [(1e3, 32), (0.0, 1)])
def test_stages_of_an_accelerator_are_those_of_a_cpu(short, often, monkeypatch):
    ppo = jaxrl.PPO(ENV, ENV_PARAMS, **FIELDS)
    on_cpu = timing.timed_stages(ppo, ppo.init(jax.random.key(0)), jax.random.key(1))
    known = []
    timed_stage = timing.timed_stage
    monkeypatch.setattr(timing, "timed_stage", lambda stage, turns: known.append(turns) or timed_stage(stage, turns))
    monkeypatch.setattr(timing.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(timing, "SHORT", short)
    found = timing.timed_stages(ppo, ppo.init(jax.random.key(0)), jax.random.key(1))
    assert list(found) == list(on_cpu) and max(known) == often * 8  # what is short is repeated
    for name, stage in found.items():
        assert stage.within == on_cpu[name].within
        assert stage.counts.product_flops == pytest.approx(on_cpu[name].counts.product_flops)


ROOTLESS = """HloModule rootless

%fused (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %y = f32[4]{0} add(%x, %x)
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  ROOT %y = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused
}
"""


@pytest.mark.parametrize("text", ["HloModule from_another_time", ROOTLESS])
def test_a_text_that_nobody_can_read_gives_no_counts_but_no_error(text):
    found = programs.counted(text, counts.of_a_turn)
    assert all(math.isnan(value) for value in vars(found).values())


def test_what_nobody_could_count_is_no_limit(monkeypatch):
    profile, unknown = jaxrl.profile(Counter(), **QUICK), Counts(*[math.nan] * 8)
    monkeypatch.setattr(peaks, "counted", lambda *_: unknown)
    for measured in ("_product", "_copied", "_multiplied"):
        monkeypatch.setattr(peaks, measured, lambda _: 1e9)
    found = measure_peaks()
    assert math.isnan(found.kernel_seconds) and math.isnan(found.turn_seconds) and found.launch_seconds > 0
    compilation = dataclasses.replace(profile.compilation, counts=unknown, counted_once=unknown)
    said = report.page(dataclasses.replace(profile, compilation=compilation, peaks=found))
    assert "loops whose length" not in said and "differ by more" not in said
    assert next(line for line in said.splitlines() if line.startswith("an update")).endswith("unknown")


@pytest.mark.parametrize("sugar", [True, False])
def test_what_others_go_on_beside_counts_once(sugar):
    # As an accelerator compiles it: 4,000 bytes read and written, and a product that goes on meanwhile.
    text = """HloModule waiting

%product (x: f32[8,16], y: f32[16,4]) -> f32[8,4] {
  %x = f32[8,16]{1,0} parameter(0)
  %y = f32[16,4]{1,0} parameter(1)
  ROOT %dot = f32[8,4]{1,0} dot(%x, %y), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

ENTRY %main (x: f32[8,16], y: f32[16,4], z: f32[1000]) -> (f32[8,4], f32[1000]) {
  %x = f32[8,16]{1,0} parameter(0)
  %y = f32[16,4]{1,0} parameter(1)
  %z = f32[1000]{0} parameter(2)
  %begun = (f32[1000]{0}, f32[1000]{0}, u32[]) copy-start(%z)
  %asked = ((f32[8,16]{1,0}, f32[16,4]{1,0}), f32[8,4]{1,0}, u32[]) async-start(%x, %y), calls=%product
  %copy = f32[1000]{0} copy-done(%begun)
  %dot = f32[8,4]{1,0} async-done(%asked)
  ROOT %both = (f32[8,4]{1,0}, f32[1000]{0}) tuple(%dot, %copy)
}
"""
    if sugar:  # XLA names what it wraps, if that is one instruction
        contracted = "lhs_contracting_dims={1}, rhs_contracting_dims={0}"
        text = text.replace("async-start(%x, %y), calls=%product", f"dot-start(%x, %y), {contracted}")
        text = text.replace("async-done", "dot-done")
    found = counts.count(hlo.parse(text))
    assert found.bytes == 2 * 4000 + 4 * (8 * 16 + 16 * 4 + 8 * 4)
    assert found.kernels == 2 and found.product_flops == 2 * 8 * 16 * 4


def test_counts_that_xla_does_not_share_are_said():
    profile = jaxrl.profile(jaxrl.PPO(*CARTPOLE, num_envs=64, num_steps=16), **QUICK)
    once = profile.compilation.counted_once
    assert "differ by more" not in report.page(profile)
    compilation = dataclasses.replace(profile.compilation, xla_flops=2 * once.flops)
    said = report.page(dataclasses.replace(profile, compilation=compilation))
    assert "these differ by more than 10%: FLOP)" in said


def language(**fields):
    task = lm.tasks.Parity(4)
    config = networks.TransformerConfig(task.tokenizer.vocab_size, width=16, num_layers=1, num_heads=2, **fields)
    return task, networks.Transformer(config)


def grpo(**fields):
    return jaxrl.GRPO(*language(), num_prompts=4, group_size=2, **fields)


def dpo():
    task, model = language()
    params = model.init(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))
    return jaxrl.DPO(task, model, num_prompts=4, reference_params=params)


CARTPOLE = jaxrl.envs.make("CartPole-v1")
REPLAY = {"capacity": 500, "warmup": 10, "batch_size": 16}
LEARNERS = {
    "ppo": lambda: jaxrl.PPO(*CARTPOLE, num_envs=8, num_steps=16),
    "dqn": lambda: jaxrl.DQN(*CARTPOLE, num_steps=4, **REPLAY),
    "rainbow": lambda: jaxrl.rainbow(*CARTPOLE, num_steps=4, **REPLAY),
    "sac": lambda: jaxrl.SAC(*jaxrl.envs.make("Pendulum-v1"), num_steps=2, hidden_sizes=(16,), **REPLAY),
    "discrete sac": lambda: jaxrl.DiscreteSAC(*CARTPOLE, num_steps=2, **REPLAY),
    "td3": lambda: jaxrl.TD3(*jaxrl.envs.make("Pendulum-v1"), num_steps=2, hidden_sizes=(16,), **REPLAY),
    "value iteration": lambda: jaxrl.ValueIteration(jaxrl.envs.textbook.garnet(200, 4, 3)),
    "q-learning": lambda: jaxrl.QLearning(*jaxrl.envs.make("CliffWalking"), num_envs=4, num_steps=8),
    "grpo": lambda: grpo(),
    "token ppo": lambda: jaxrl.TokenPPO(*language(value_head=True), num_prompts=8, num_minibatches=1),
    "dpo": lambda: dpo(),
    "pretraining": lambda: jaxrl.Pretraining(*language(), num_texts=8),
}


HALVES = ["rollout", "learn"]
ACTING = [*HALVES, "random numbers", "environment", "policy"]
STAGES = {
    "ppo": [*ACTING, "advantages", "shuffle", "gradient", "optimizer"],
    "dqn": [*ACTING, "remember", "sample", "gradient", "optimizer"],
    "value iteration": ["relative", "sweep", "residual"],
    "sac": [*ACTING, "remember", "sample", "gradient", "optimizer"],
    "discrete sac": [*ACTING, "remember", "sample", "gradient", "optimizer"],
    "td3": [*ACTING, "remember", "sample", "critics", "actor", "optimizer", "optimizer, further critics"],
    "rainbow": [*ACTING, "remember", "sample", "gradient", "prioritize", "optimizer"],
    "q-learning": HALVES,
    "grpo": [*HALVES, "prompts", "prefill", "decode", "verifier", "score", "shuffle", "gradient", "optimizer"],
    "token ppo": HALVES,
    "dpo": HALVES,
    "pretraining": HALVES,
}


LONG = ("rainbow", "sac", "discrete sac", "td3", "token ppo", "dpo")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in STAGES])
def test_stages_do_together_what_an_update_does(name):
    profile = jaxrl.profile(LEARNERS[name](), **QUICK)
    assert list(profile.stages) == STAGES[name]
    for loop in profile.loops.values():  # which leaves nothing out
        total = functools.reduce(Counts.__add__, (profile.stages[part].counts for part in loop.members))
        assert loop.counts.product_flops == pytest.approx(total.product_flops, rel=0.01)
        assert loop.counts.flops == pytest.approx(total.flops, rel=0.05)
        assert loop.counts.bytes == pytest.approx(total.bytes, rel=0.1)
    together = {None: profile.compilation.counts}
    together |= {half: profile.stages[half].counts for half in HALVES if profile.parts(half)}
    for within, whole in together.items():
        total = functools.reduce(Counts.__add__, (profile.stages[part].counts for part in profile.parts(within)))
        if not whole.unknown_loops:  # those of the halves of a language model stand in both, once
            assert total.product_flops == pytest.approx(whole.product_flops, rel=0.01)
            assert total.flops == pytest.approx(whole.flops, rel=0.3)
    if name == "grpo":  # its parts know how long the loop of decoding is, and say so upwards
        known = ("prefill", "decode", "gradient")
        products = sum(profile.stages[part].counts.product_flops for part in known)
        left = profile.stages["prompts"].counts.unknown_loops  # that draws until a prompt is of the right split
        assert profile.stages["rollout"].counts.unknown_loops > profile.counts.unknown_loops == left
        assert profile.counts.product_flops == pytest.approx(products, rel=0.01)
        drawn = sum(profile.stages[part].counts.product_flops for part in known[:2])
        assert profile.counts_of("rollout").product_flops == pytest.approx(drawn, rel=0.01)
        written = report.record(profile)
        assert written["counts"]["product_flops"] == profile.counts.product_flops
        assert written["stages"]["rollout"]["counts"]["product_flops"] == pytest.approx(drawn, rel=0.01)
    assert all(stage.counts.kernels > 0 for stage in profile.stages.values())
    once = profile.compilation.counted_once
    assert once.flops == pytest.approx(profile.compilation.xla_flops, rel=0.3)
    assert profile.compilations == 0 and profile.counts.transfers == 0
    assert profile.per_second[0] <= profile.per_second[1] <= profile.per_second[2]


def test_counts_are_those_of_xla():
    # With larger products than above, where what XLA counts otherwise (iota, comparisons) is little.
    ppo = jaxrl.PPO(*jaxrl.envs.make("CartPole-v1"), num_envs=64, num_steps=16)
    compilation = jaxrl.profile(ppo, **QUICK).compilation
    assert compilation.counted_once.flops == pytest.approx(compilation.xla_flops, rel=0.02)
    assert compilation.counted_once.bytes == pytest.approx(compilation.xla_bytes, rel=0.1)
    compiled = jax.jit(jnp.sort).lower(jnp.ones(1000)).compile()
    assert counts.count(hlo.parse(compiled.as_text())).flops == compiled.cost_analysis()["flops"] == 10_000


def burned(x, count):
    """Zeros like `x`, after so many products that say nothing."""
    matrix = jax.lax.fori_loop(0, count, lambda _, y: jnp.tanh(y @ y), jnp.full((64, 64), x.sum()))
    return 0.0 * jnp.clip(matrix.sum(), -1, 1) + jnp.zeros_like(x)


class SlowNetwork(nn.Module):
    """The policy of `PPO`, slowed down."""

    @nn.compact
    def __call__(self, obs):
        network = jaxrl.networks.default_actor_critic(*SPACES, (16,))
        return network(obs + burned(jax.lax.stop_gradient(obs), 300))


ENV, ENV_PARAMS = jaxrl.envs.make("CartPole-v1")
SPACES = ENV.observation_space(ENV_PARAMS), ENV.action_space(ENV_PARAMS)


class SlowEnvironment(type(ENV)):
    """CartPole, slowed down."""

    def step_env(self, key, state, action, params):
        obs, state, *rest = super().step_env(key, state, action, params)
        return (obs + burned(obs, 300), state, *rest)


def slow_loss(ratio, advantage, clip):
    return jaxrl.ops.ppo_clip(ratio, advantage, clip) + burned(ratio, 10_000)


FIELDS = {"num_envs": 4, "num_steps": 8, "num_epochs": 1, "num_minibatches": 1, "hidden_sizes": (16,)}


@pytest.mark.parametrize(
    ("slow", "where"),
    [
        (lambda: jaxrl.PPO(SlowEnvironment(), ENV_PARAMS, **FIELDS), "environment"),
        (lambda: jaxrl.PPO(ENV, ENV_PARAMS, network=SlowNetwork(), **FIELDS), "policy"),
        (lambda: jaxrl.PPO(ENV, ENV_PARAMS, policy_loss=slow_loss, **FIELDS), "gradient"),
    ],
    ids=["environment", "policy", "gradient"],
)
def test_the_slow_part_is_named(slow, where):
    profile = jaxrl.profile(slow(), **QUICK)
    seconds = {name: x for name, x in profile.stage_seconds.items() if not profile.parts(name)}
    assert max(seconds, key=seconds.__getitem__) == where
    assert seconds[where] > 0.6 * sum(seconds.values())


@flax.struct.dataclass
class Hidden(jaxrl.PPO):
    """A learner whose update does more than its parts."""

    def update(self, state, key):
        state, metrics = super().update(state, key)
        return state, metrics | {"loss": metrics["loss"] + burned(metrics["loss"], 20_000)}


def test_work_that_no_stage_names_is_left_open():
    profile = jaxrl.profile(Hidden(ENV, ENV_PARAMS, **FIELDS), **QUICK)
    assert profile.unattributed > 0.5 and min(profile.open_shares(together=False)) > 0.5


def test_what_a_loop_carries_is_not_copied():
    part = Stage(lambda state: state.at[0].add(1.0), (jnp.zeros(2**24),), 4, carry=0)
    timed = timing.timed_stage(stages.together([part, part]), known=1)
    assert timed.counts.bytes < 10_000


def test_a_part_is_shown_within_its_stage(tmp_path):
    counts = Counts(*[1e9] * 8)
    profile = dataclasses.replace(
        jaxrl.profile(Counter(), **QUICK),
        seconds=(4.0, 4.0),
        stages={
            "act": StageProfile((1.0,), counts),
            "learn": StageProfile((2.0,), counts),
            "gradient": StageProfile((1.5,), counts, within="learn"),
        },
    )
    assert profile.unattributed == pytest.approx(0.375)
    assert profile.parts() == {"act": 1.0, "learn": 2.0} and profile.parts("learn") == {"gradient": 1.5}
    rows = [line.split("  ") for line in report.page(profile).splitlines()]
    said = {row[0] or row[1]: row for row in rows if len(row) > 2}
    assert "37.5%" in " ".join(said["gradient"]) and "12.5%" in " ".join(said["in none of these"])
    assert "37.5%" in " ".join(said["in no stage"])
    pictures.save_stages(profile, tmp_path / "stages.png")
    assert (tmp_path / "stages.png").stat().st_size > 0
    numbers = throughput.measurements(profile)
    assert numbers["stage learn"] == [2.0] and numbers["part gradient of learn"] == [1.5]
    assert numbers["in no stage"] == numbers["in no stage alone"] == [0.375] * 2
    assert "one_thread_update_seconds" not in numbers  # it was not timed on one


def test_what_one_thread_takes_stands_in_the_result():
    profile = dataclasses.replace(jaxrl.profile(Counter(), **QUICK), one_thread_seconds=(5.0, 6.0))
    assert throughput.measurements(profile)["one_thread_update_seconds"] == [5.0, 6.0]
    assert report.record(profile)["one_thread_seconds"] == [5.0, 6.0]


@flax.struct.dataclass
class Misnamed(jaxrl.PPO):
    """A learner whose part belongs to nothing."""

    def stages(self, state, key):
        return {"part": Stage(jnp.sum, (jnp.ones(2),), within="lean")}


def test_a_part_of_nothing_is_refused():
    with pytest.raises(ValueError, match="within='lean' is no stage"):
        jaxrl.profile(Misnamed(ENV, ENV_PARAMS, **FIELDS), **QUICK)


@flax.struct.dataclass
class Counter:
    """An algorithm without any part."""

    def init(self, key):
        return jnp.zeros(())

    def update(self, state, key):
        return state + 1, {"state": state}


@flax.struct.dataclass
class Uncounted(Counter):
    """A learner of halves that does not say how many environment steps an update has."""

    def rollout(self, state, key):
        rows = jnp.zeros((3, 2))
        return state, Transition(rows, rows, rows, rows, rows, rows, rows)

    def learn(self, state, batch, key):
        return state + batch.reward.sum(), {"state": state}


def test_an_update_is_one_rollout_where_nobody_says_otherwise():
    profile = jaxrl.profile(Uncounted(), **QUICK)
    assert list(profile.stages) == ["rollout", "learn"] and profile.units == 1


@flax.struct.dataclass
class Miscounted(Uncounted):
    """Its update has no whole number of rollouts."""

    steps_per_update: int = flax.struct.field(pytree_node=False, default=20)


def test_an_update_of_parts_of_a_rollout_is_refused():
    with pytest.raises(ValueError, match="steps_per_update=20 must be a multiple of the 6 transitions"):
        jaxrl.profile(Miscounted(), **QUICK)


def test_an_algorithm_without_parts_has_its_whole():
    profile = jaxrl.profile(Counter(), **QUICK)
    assert profile.unit == "updates" and profile.units == 1 and not profile.stages
    assert math.isnan(profile.unattributed)
    assert "an update" in report.page(profile) and json.dumps(report.record(profile), allow_nan=False)


def test_halves_of_a_learner_that_names_no_stages():
    a2c = jaxrl.ActorCritic(ENV, ENV_PARAMS, num_envs=4)
    assert list(jaxrl.profile(a2c, **QUICK).stages) == ["rollout", "learn"]


@flax.struct.dataclass
class Unsteady(Counter):
    """Its first state is of a type that an update does not give back."""

    def init(self, key):
        return 0.0 * jnp.asarray(1.0)

    def update(self, state, key):
        state = state + jnp.ones((), jnp.float32)
        return state, {"state": state}


def test_what_compiles_again_is_counted():
    assert jax.eval_shape(Unsteady().init, jax.random.key(0)).weak_type
    assert jaxrl.profile(Unsteady(), **QUICK).compilations == 1


def test_what_the_persistent_cache_holds_is_compiled_all_the_same(tmp_path):
    def cached():
        return {path.name.split("-")[0] for path in tmp_path.iterdir()}

    changed = {"jax_compilation_cache_dir": str(tmp_path), "jax_persistent_cache_min_compile_time_secs": 0.0}
    before = {name: jax.config.values[name] for name in changed}
    try:
        for name, value in changed.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        jax.clear_caches()  # what is compiled in this process needs no cache
        jaxrl.profile(Counter(), **QUICK)
        assert cached() and "jit_updates" not in cached()
        jaxrl.fit(Counter(), jax.random.key(0), 2, loggers=[])
        assert "jit_updates" in cached()  # by that name, then, it would have been seen
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def test_a_second_profile_compiles_as_the_first_did():
    first, second = (jaxrl.profile(LEARNERS["dqn"](), **QUICK) for _ in range(2))
    assert second.compilation.compile_seconds > 0.2 * first.compilation.compile_seconds
    assert second.compilation.trace_seconds > 0.1 * first.compilation.trace_seconds
    assert second.init_seconds > 0.1 * first.init_seconds


def test_what_is_there_already_is_counted_once(monkeypatch):
    mdp = jaxrl.envs.textbook.garnet(2000, 4, 3)
    solver = jaxrl.ValueIteration(mdp)
    init_key, run_key = jax.random.split(jax.random.key(0))
    shapes = programs.state_shapes(solver, init_key)
    program, *_ = programs.compiled_updates(solver, shapes, run_key, 16)
    assert memory.bytes_of(shapes) == memory.bytes_of(solver.init(init_key))
    monkeypatch.setattr(memory, "free_bytes", lambda: 0)
    assert memory.available(program, shapes, None) == pytest.approx(memory.bytes_of(solver), rel=0.01)
    assert memory.available(program, shapes, 10) == 10


@flax.struct.dataclass
class Beginner(Counter):
    """A learner with 64 MiB of which only its first state is made."""

    params: jax.Array

    def init(self, key):
        return self.params.sum()


def test_what_only_the_first_state_is_made_of_is_no_memory_of_updates(monkeypatch):
    beginner = Beginner(jnp.zeros(2**24))
    init_key, run_key = jax.random.split(jax.random.key(0))
    shapes = programs.state_shapes(beginner, init_key)
    program, *_ = programs.compiled_updates(beginner, shapes, run_key, 16)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    assert memory.available(program, shapes, None) < 1100  # the rest of what it is given: a key and two numbers
    monkeypatch.setattr(memory, "free_bytes", lambda: 1)
    with pytest.raises(MemoryError, match=r"needs .* GiB and .* GiB are free for it"):
        memory.check_memory(program, shapes, None)


def test_stages_are_left_out_where_they_do_not_fit(monkeypatch):
    asked = []
    monkeypatch.setattr(measure, "fits", lambda needed, limit: asked.append((needed, limit)))
    profile = jaxrl.profile(LEARNERS["dqn"](), memory_limit=2**30, **QUICK)
    assert not profile.stages and profile.units == 40
    rows = 500 * 2 * 4 * 4  # observations and those that follow, four float32 each
    (needed, room), (of_threads, _) = asked[-2:]
    state = 2**30 - room  # which is there already
    each = state + profile.compilation.temporary_bytes
    numbers = memory.bytes_of(LEARNERS["dqn"]())
    assert state > rows and (needed, of_threads) == (3 * each, each + numbers)
    monkeypatch.setattr(measure, "fits", lambda needed, limit: asked.append((needed, limit)) or True)
    assert jaxrl.profile(LEARNERS["dqn"](), memory_limit=2**30, **QUICK).stages
    assert [needed for needed, _ in asked[-2:]] == [3 * each, 4 * each + numbers]
    assert "no stages" in report.page(profile)
    assert memory.fits(8, 8) and not memory.fits(9, 8) and memory.fits(0, None)


def test_seeds_are_one_program():
    profile = jaxrl.profile(LEARNERS["ppo"](), num_seeds=3, **QUICK)
    assert profile.units == 3 * 8 * 16 and profile.num_seeds == 3


def test_more_memory_than_there_is_is_refused_beforehand():
    with pytest.raises(MemoryError, match=r"the program needs .* GiB and memory_limit is 9.31e-07 GiB"):
        jaxrl.profile(LEARNERS["ppo"](), memory_limit=1000, **QUICK)
    table = jaxrl.ValueIteration(jaxrl.envs.textbook.garnet(10_000, 4, 3))
    with pytest.raises(MemoryError, match="needs"):  # what it reads is part of it
        jaxrl.profile(table, memory_limit=memory.bytes_of(table) // 2, **QUICK)


@pytest.mark.slow
def test_tokens_are_those_that_were_drawn():
    learner = grpo(sampling=lm.Sampling(12, (0,), early_exit=False), learning_rate=1e-9)
    stages = learner.stages(learner.init(jax.random.key(0)), jax.random.key(1))
    assert stages["decode"].times == 11  # behind the first one, whoever has ended
    for seeds in (1, 2):
        tokens = jaxrl.profile(learner, num_seeds=seeds, **QUICK).tokens
        assert len(tokens) == 2 and all(8 * seeds <= each <= 8 * seeds * 12 for each in tokens)


@pytest.mark.parametrize("name", ["num_seeds", "repetitions"])
def test_numbers_below_one_are_refused(name):
    for number in (0, 2.5):
        with pytest.raises(ValueError, match=f"{name}={number} must be an integer, at least 1"):
            jaxrl.profile(Counter(), **{name: number})


def test_counts_add_up():
    one, two = Counts(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0), Counts(*[1.0] * 8)
    assert one + two - two == one
    assert one.repeated(2) == one + one


UNREADABLE = ["num-envs", "num-envs=", "=1..2", "num-envs=0..4", "num-envs=a..4", "num-envs=1.5", "num-envs=64..16"]


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_sweep_that_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match=r"must be FIELD=LOW\.\.HIGH"):
        sizes_of(text)


def test_sizes_and_the_knee():
    assert sizes_of("num_envs=16..100") == ("num-envs", [16, 32, 64])
    assert sizes_of("seeds=3,5") == ("seeds", [3, 5])
    assert knee_of([{"size": 1, "failure": "out of memory"}]) is None


def test_the_command(tmp_path, capsys):
    main(["profile", "value-iteration", "FrozenLake-misc", "--repetitions", "2", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "sweeps/s" in said and "in no stage" in said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"profile.json", "roofline.png", "stages.png"}
    assert json.loads((tmp_path / "out" / "profile.json").read_text())["algorithm"] == "ValueIteration"
    own = "jaxrl.algorithms.dp.value_iteration:ValueIteration"
    main(["profile", own, "FrozenLake-misc", "--repetitions", "1", "--out", str(tmp_path / "own")])
    assert "sweeps/s" in capsys.readouterr().out
    main(["profile", "policy-iteration", "FrozenLake-misc", "--repetitions", "1", "--out", str(tmp_path / "other")])
    assert "updates/s" in capsys.readouterr().out  # of which each is an evaluation and a sweep


def test_the_command_traces(tmp_path, capsys):
    trace = tmp_path / "trace"
    flags = ["--num-envs", "2", "--num-steps", "4", "--repetitions", "1", "--trace", str(trace)]
    main(["profile", "q-learning", "CliffWalking", *flags, "--out", str(tmp_path / "out")])
    assert any(trace.rglob("*.xplane.pb")) and any(trace.rglob("perfetto_trace.json.gz"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs an algorithm"),
        (["ppo"], "needs an environment"),
        (["ppo", "CartPole-v9"], "CartPole-v9"),
        (["ppo", "CartPole-v1", "--repetitions", "0"], "repetitions=0"),
        (["ppo", "CartPole-v1", "--memory-gib", "inf"], "memory_gib=inf"),
        (["ppo", "CartPole-v1", "--out", "/dev/null"], "/dev/null"),
        (["ppo", "CartPole-v1", "--sweep", "seeds=1,2", "--trace", "t"], "trace: a sweep"),
        (["value-iteration", "FrozenLake-misc", "--tolerance", "1e-3"], "tolerance: a profile"),
        (["dqn", "CartPole-v1", "--resume", "runs/a"], "resume: a profile times updates of a new state"),
        (["dqn", "CartPole-v1", "--evaluate-every", "3"], "evaluate_every: a profile"),
        (["ppo", "CartPole-v1", "--memory-gib", "0.00001"], "memory: the program needs"),
        (["ppo", "CartPole-v1", "--sweep", "num-envs"], "sweep='num-envs'"),
        (["ppo", "CartPole-v1", "--sweep", "num-envs=4", "--num-envs", "8"], "num-envs is given besides"),
        (["ppo", "CartPole-v1", "--num-envs", "3", "--num-steps", "3"], "num_minibatches=4"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        main(["profile", *arguments])
    said = capsys.readouterr().err
    assert error.value.code == 2 and message in said and len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_directory_that_was_there_stays(tmp_path):
    with pytest.raises(SystemExit):
        main(["profile", "ppo", "CartPole-v9", "--out", str(tmp_path)])
    assert tmp_path.exists()


def test_a_size_that_takes_more_memory_than_its_process_has_is_out_of_memory(tmp_path, monkeypatch):
    hungry = "import numpy as np\nnumbers = np.ones(2**28)\nclass Learner: ...\n"  # 2 GiB, next to one besides
    (tmp_path / "hungry.py").write_text(hungry)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{pathlib.Path.cwd()}")
    point, *_ = sweeping.sweep(["hungry:Learner", "CartPole-v1"], "num-envs", [4, 8], tmp_path, 2**20)
    assert point == {"size": 4, "failure": "out of memory"}


def test_a_sweep_reports_what_does_not_fit(tmp_path, capsys):
    flags = ["--num-steps", "4", "--repetitions", "1", "--memory-gib", "0.125"]
    sizes = ["--sweep", "num-envs=4,100000000"]
    main(["profile", "q-learning", "CliffWalking", *flags, *sizes, "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "num-envs=100000000: refused beforehand" in said and "knee: num-envs=4" in said
    assert (tmp_path / "out" / "sweep.png").exists()
    points = json.loads((tmp_path / "out" / "sweep.json").read_text())["points"]
    assert points[1]["bytes"] > 10**5 * points[0]["bytes"] > 0


def test_a_sweep_ends_at_once_for_what_no_size_would_change(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["profile", "ppo", "CartPole-v9", "--sweep", "num-envs=4,8", "--out", str(tmp_path / "out")])
    assert "CartPole-v9" in capsys.readouterr().err


def test_a_flag_that_there_is_not_ends_a_sweep(tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        main(["profile", "ppo", "CartPole-v1", "--sweep", "num-env=4,8", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert error.value.code == 2 and "--num-env" in said and len(said.splitlines()) == 1
    with pytest.raises(SystemExit):
        main(["profile", "ppo", "CartPole-v1", "--num-stepz", "5", "--sweep", "num-envs=4,8"])
    assert "--num-stepz" in capsys.readouterr().err


def done(code, said):
    return subprocess.CompletedProcess([], code, "", said)


def children(monkeypatch, *endings):
    """A sweep whose processes end so, one after the other."""
    endings = iter(endings)

    def run(command, **_):
        ended = next(endings)
        if ended is KeyboardInterrupt:
            raise ended
        if ended.returncode == 0:
            out = pathlib.Path(command[-1])
            out.mkdir(parents=True)
            sizes = dict.fromkeys(("argument_bytes", "output_bytes", "temporary_bytes"), 1)
            record = {"per_second": [1.0] * 3, "unit": "steps", "compilation": sizes | {"compile_seconds": 1.0}}
            (out / "profile.json").write_text(json.dumps(record))
        return ended

    monkeypatch.setattr(sweeping.subprocess, "run", run)


def test_a_sweep_goes_on_behind_a_size_that_was_profiled(monkeypatch, tmp_path):
    refusal = done(2, "jaxrl: capacity=9: too small\n")
    children(monkeypatch, done(0, ""), refusal, refusal, done(-11, ""), done(-9, ""), done(1, "std::bad_alloc"))
    points = list(sweeping.sweep(["dqn", "CartPole-v1"], "num-envs", range(1, 7), tmp_path, None))
    assert [point.get("failure") for point in points] == [
        None,
        *["jaxrl: capacity=9: too small"] * 2,
        "ended by SIGSEGV",
        *["out of memory"] * 2,
    ]
    children(monkeypatch, refusal, refusal)
    with pytest.raises(ValueError, match="capacity=9"):
        list(sweeping.sweep(["dqn", "CartPole-v1"], "num-envs", [1, 2, 3], tmp_path / "b", None))


def test_a_sweep_of_widths_keeps_the_number_of_layers(monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(sweeping.subprocess, "run", lambda command, **_: commands.append(command) or done(-9, ""))
    own = "jaxrl.algorithms.pg.ppo:PPO"
    for name, field in (("ppo", "hidden-sizes"), (own, "hidden_sizes"), ("ppo", "num-envs"), ("grpo", "model.width")):
        with pytest.raises(SystemExit):
            main(["profile", name, "CartPole-v1", "--sweep", f"{field}=32", "--out", str(tmp_path)])
    flags = [command[command.index("--repetitions") + 2 : command.index("--out")] for command in commands]
    assert flags == [["--hidden-sizes", "32", "32"]] * 2 + [["--num-envs", "32"], ["--model.width", "32"]]


def test_a_sweep_that_is_interrupted_has_written_what_it_found(monkeypatch, tmp_path):
    children(monkeypatch, done(0, ""), done(-9, ""), KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        main(["profile", "ppo", "CartPole-v1", "--sweep", "num-envs=4,8,16", "--out", str(tmp_path)])
    written = json.loads((tmp_path / "sweep.json").read_text())
    assert [point["size"] for point in written["points"]] == [4, 8] and written["knee"] == 4


def test_a_sweep_without_any_profile_fails(monkeypatch, tmp_path, capsys):
    children(monkeypatch, done(-9, ""), done(-9, ""))
    with pytest.raises(SystemExit) as error:
        main(["profile", "ppo", "CartPole-v1", "--sweep", "num-envs=4,8", "--out", str(tmp_path)])
    assert error.value.code == 1 and "no size of num-envs" in capsys.readouterr().err
    assert (tmp_path / "sweep.json").exists()


LITTLE = {
    "ppo": lambda: jaxrl.PPO(ENV, ENV_PARAMS, num_envs=64),
    "dqn": lambda: jaxrl.DQN(ENV, ENV_PARAMS),
    "value iteration": lambda: jaxrl.ValueIteration(jaxrl.envs.textbook.garnet(100_000, 4, 3)),
    "grpo": lambda: throughput._parity("GRPO", num_prompts=16, group_size=8, learning_rate=1e-9),
}


def pooled(profiles):
    """One profile with the repetitions of all."""

    def together(each):
        return dataclasses.replace(each[0], seconds=tuple(itertools.chain(*(x.seconds for x in each))))

    kinds = {
        kind: {name: together([getattr(x, kind)[name] for x in profiles]) for name in getattr(profiles[0], kind)}
        for kind in ("stages", "loops")
    }
    return dataclasses.replace(together(profiles), **kinds)


@pytest.mark.slow
@pytest.mark.parametrize("name", LITTLE)
def test_little_is_in_no_stage(name):
    profiles = [jaxrl.profile(LITTLE[name](), repetitions=15) for _ in range(3)]
    shares = [each.unattributed for each in (pooled(profiles), *profiles)]
    assert abs(shares[0]) <= 0.15, shares
    assert bool(profiles[0].loops) == (name in ("ppo", "dqn"))


class InTurn:
    """A logger that runs as many updates by the profiler as `fit` has just made."""

    def __init__(self, whole, steps_per_update):
        self.whole, self.steps_per_update, self.updates, self.pairs = whole, steps_per_update, 0, []

    def begin(self, start, num_updates):
        self.updates = start

    def log(self, record):
        turns, self.updates = record["update"] - self.updates, record["update"]
        self.pairs.append((turns * self.steps_per_update / record["steps_per_second"], self.whole.run(turns)))

    def close(self):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("name", LITTLE)
def test_the_whole_is_what_the_clock_says(name):
    # Of a run of `fit` itself, which has a clock of its own, in turn with what the profiler times: a hundred pairs.
    algorithm = LITTLE[name]()
    whole_key, key = jax.random.split(jax.random.key(0))
    in_turn = InTurn(timing.Whole.begin(algorithm, whole_key, None), steps_per_update(algorithm))
    whole = in_turn.whole
    turns = max(4, math.ceil(0.1 / whole.run(1)))  # of a pair: what `fit` does on the host between is not asked about
    fitted = jaxrl.fit(algorithm, key, 100 * turns, evaluate_every=0, loggers=[in_turn])
    clocks, profiled = np.transpose(in_turn.pairs)
    assert len(clocks) == 100 and clocks.sum() == pytest.approx(fitted.run_seconds)
    assert np.median(clocks / profiled) == pytest.approx(1.0, abs=0.05)
