"""`fit`: the bits of `train`, whatever interrupts it."""

import functools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import presets
from jaxrl.engine.describe import describe
from jaxrl.engine.logging import JsonlLogger, read_jsonl, summarize
from jaxrl.engine.programs import evaluate_seeds
from tests.helpers import assert_trees_close, assert_trees_equal, compilations, row


def fresh_key(seed: int = 3) -> jax.Array:
    """A key of its own for every use: the checker counts a key that `fit` and `train` share as used twice."""
    return jax.random.key(seed)


@pytest.fixture(scope="module")
def ppo() -> jaxrl.PPO:
    return jaxrl.PPO(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=8, num_minibatches=2, hidden_sizes=(8,))


@pytest.fixture(scope="module")
def trained(ppo: jaxrl.PPO) -> Any:
    return jaxrl.train(ppo, fresh_key(), 6)


@flax.struct.dataclass
class Walk:
    """A random walk that leaves the numbers at update `explodes`, where its first step was positive."""

    explodes: jax.Array

    def init(self, key: jax.Array) -> Any:
        return {"count": jnp.zeros((), jnp.int32), "x": jax.random.normal(key)}

    def update(self, state: Any, key: jax.Array) -> Any:
        bad = (state["count"] + 1 >= self.explodes) & (state["x"] > 0)
        x = jnp.where(bad, jnp.nan, state["x"] + 1e-3 * jax.random.normal(key))
        return {"count": state["count"] + 1, "x": x}, {"x": x}


def walk_keys() -> jax.Array:
    return jax.random.split(jax.random.key(0), 8)


def bad_seeds(walk: Walk) -> np.ndarray:
    """Which of the walks leaves the numbers."""
    return np.array([float(walk.init(jax.random.split(key)[0])["x"]) > 0 for key in walk_keys()])


class Recorder:
    """A logger that keeps the records, and may act on one."""

    def __init__(self, act: Any = None) -> None:
        self.records: list[dict[str, Any]] = []
        self.act = act or (lambda record: None)

    def begin(self, start: int, num_updates: int) -> None:
        self.bounds = (start, num_updates)

    def log(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        self.act(record)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("evaluate_every", [0, 3, 4, 6])
def test_same_bits_as_train(ppo: jaxrl.PPO, trained: Any, evaluate_every: int) -> None:
    result = jaxrl.fit(ppo, fresh_key(), 6, evaluate_every=evaluate_every, loggers=[])
    assert_trees_equal(result.state, trained[0])
    assert_trees_equal(result.metrics, {k: np.asarray(v) for k, v in trained[1].items()})
    expected = {0: [], 3: [3, 6], 4: [4, 6], 6: [6]}[evaluate_every]  # the last update is always evaluated
    assert list(result.evaluations.get("update", [])) == expected


@pytest.mark.parametrize("length", [2, 3, 5])
def test_same_bits_for_longer_chunks(
    ppo: jaxrl.PPO, trained: Any, length: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys.modules["jaxrl.engine.fit"], "LOGS_PER_RUN", 6 / length)
    result = jaxrl.fit(ppo, fresh_key(), 6, save_every=4, out=tmp_path / "run", loggers=[])
    assert_trees_equal(result.state, trained[0])
    assert_trees_equal(result.metrics, {k: np.asarray(v) for k, v in trained[1].items()})


def test_many_seeds_are_the_single_ones(ppo: jaxrl.PPO) -> None:
    keys = jax.random.split(fresh_key(), 2)
    many = jaxrl.fit(ppo, jax.random.split(fresh_key(), 2), 2, evaluate_every=2, loggers=[])
    assert many.metrics["loss"].shape == (2, 2) and many.evaluations["return"].shape == (1, 2)
    frozen = evaluate_seeds(ppo, many.state, jax.random.split(fresh_key(), 2), jnp.array([True, False]), 2)
    assert all(np.isnan(values).tolist() == [False, True] for values in frozen.values())
    for index in range(2):
        assert_trees_close(row(many.state, index), jaxrl.train(ppo, keys[index], 2)[0])


def test_second_fit_compiles_nothing_and_the_fields_stay_alive(ppo: jaxrl.PPO) -> None:
    given = ppo.replace(params=jax.jit(ppo.init)(fresh_key()).params)
    jaxrl.fit(given, fresh_key(), 2, loggers=[])
    with compilations() as messages:
        result = jaxrl.fit(given, fresh_key(), 2, loggers=[])
    assert not [message for message in messages if "updates" in message or "initialize" in message]
    assert result.compile_seconds < 1.0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(given.params))  # a donated one would raise


def test_resume_ends_with_the_same_bits(ppo: jaxrl.PPO, trained: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = jaxrl.fit(ppo, fresh_key(), 2, out=out, save_every=1, loggers=[])
    assert first.num_updates == 2
    resumed = jaxrl.fit(ppo, resume=out, num_updates=6, loggers=[])
    assert_trees_equal(resumed.state, trained[0])
    assert [record["update"] for record in read_jsonl(out / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    algorithm, state = jaxrl.load(out)
    assert_trees_equal(state, trained[0])
    assert algorithm.num_envs == 4 and algorithm.optimizer is jaxrl.ops.adam
    assert np.isinf(algorithm.anneal_updates)
    # A finished run resumes to itself.
    assert_trees_equal(jaxrl.fit(algorithm, resume=out, loggers=[]).state, trained[0])


def test_resume_refuses_another_run(ppo: jaxrl.PPO, tmp_path: Path) -> None:
    out = tmp_path / "run"
    jaxrl.fit(ppo, fresh_key(), 1, out=out, loggers=[])
    with pytest.raises(ValueError, match="holds another run"):
        jaxrl.fit(ppo, fresh_key(), 1, out=out, loggers=[])
    with pytest.raises(ValueError, match=r"learning_rate: the save was made with 0\.0003"):
        jaxrl.fit(ppo.replace(learning_rate=1e-3), resume=out, loggers=[])
    with pytest.raises(ValueError, match=r"key: .* another key"):
        jaxrl.fit(ppo, jax.random.key(0), resume=out, loggers=[])
    with pytest.raises(ValueError, match="num_updates=0 is less than the 1"):
        jaxrl.fit(ppo, resume=out, num_updates=0, loggers=[])
    with pytest.raises(ValueError, match="holds no run"):
        jaxrl.fit(ppo, resume=tmp_path / "nothing", loggers=[])
    with pytest.raises(ValueError, match="needs both"):
        jaxrl.fit(ppo, fresh_key(), loggers=[])
    with pytest.raises(ValueError, match="save_every=-1"):
        jaxrl.fit(ppo, fresh_key(), 1, save_every=-1, loggers=[])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_returns(ppo: jaxrl.PPO, trained: Any, tmp_path: Path, number: int) -> None:
    before = signal.getsignal(number)
    logger = Recorder(lambda record: record["update"] == 2 and os.kill(os.getpid(), number))
    result = jaxrl.fit(ppo, fresh_key(), 6, out=tmp_path / "run", loggers=[logger])
    assert result.interrupted and result.num_updates == 2
    assert signal.getsignal(number) is before
    assert_trees_equal(jaxrl.fit(ppo, resume=tmp_path / "run", loggers=[]).state, trained[0])


def test_non_finite_state_is_never_saved(tmp_path: Path) -> None:
    walk = Walk(explodes=jnp.int32(5))
    bad = int(np.flatnonzero(bad_seeds(walk))[0])
    with pytest.raises(FloatingPointError, match=r"update 5: .*first seen in x.*last good save is update 4"):
        jaxrl.fit(walk, walk_keys()[bad], 8, out=tmp_path / "run", save_every=2, loggers=[])
    walk_state = jaxrl.fit(walk, resume=tmp_path / "run", num_updates=4, loggers=[]).state
    assert np.isfinite(walk_state["x"]) and walk_state["count"] == 4


def test_one_bad_seed_is_masked(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    walk = Walk(explodes=jnp.int32(5))
    bad = bad_seeds(walk)
    assert 0 < bad.sum() < 8
    with caplog.at_level("WARNING", logger="jaxrl"):
        result = jaxrl.fit(walk, walk_keys(), 8, out=tmp_path / "run", loggers=[])
    assert "update 5" in caplog.text and str(np.flatnonzero(bad)[0]) in caplog.text
    np.testing.assert_array_equal(result.alive, ~bad)
    assert np.isfinite(result.state["x"]).all()
    good = int(np.flatnonzero(~bad)[0])
    assert_trees_close(row(result.state, good), jaxrl.train(walk, walk_keys()[good], 8)[0])
    last = read_jsonl(tmp_path / "run" / "metrics.jsonl")[-1]
    assert [value is None for value in last["x"]] == bad.tolist()  # strict JSON: null, never NaN
    jaxrl.fit(walk, walk_keys(), 6, out=tmp_path / "cut", loggers=[])  # the bad seeds are frozen in this save
    resumed = jaxrl.fit(walk, resume=tmp_path / "cut", num_updates=8, loggers=[])
    np.testing.assert_array_equal(resumed.alive, ~bad)
    assert_trees_equal(resumed.state, result.state)
    seconds = [record["seconds"] for record in read_jsonl(tmp_path / "cut" / "metrics.jsonl")]
    assert seconds == sorted(seconds)  # the clock of a resumed run goes on


@flax.struct.dataclass
class TwoLimits:
    """It leaves the numbers at update 2 where its first step was positive, at update 6 elsewhere."""

    def init(self, key: jax.Array) -> Any:
        return {"count": jnp.zeros((), jnp.int32), "x": jax.random.normal(key)}

    def update(self, state: Any, key: jax.Array) -> Any:
        count = state["count"] + 1
        x = jnp.where(count >= jnp.where(state["x"] > 0, 2, 6), jnp.nan, state["x"])
        return {"count": count, "x": x}, {"x": x}


def test_the_update_named_is_that_of_the_last_seed_to_die(tmp_path: Path) -> None:
    bad = bad_seeds(Walk(explodes=jnp.int32(1)))
    keys = walk_keys()[np.array([np.flatnonzero(bad)[0], np.flatnonzero(~bad)[0]])]
    with pytest.raises(FloatingPointError, match=r"update 6: .* in x"):
        jaxrl.fit(TwoLimits(), keys, 8, out=tmp_path / "run", loggers=[])


def test_a_resume_keeps_the_intervals_unless_told(ppo: jaxrl.PPO, tmp_path: Path) -> None:
    jaxrl.fit(ppo, fresh_key(), 2, out=tmp_path / "run", evaluate_every=1, save_every=2, loggers=[])
    result = jaxrl.fit(ppo, resume=tmp_path / "run", num_updates=4, save_every=1, loggers=[])
    assert result.evaluations["update"].tolist() == [3, 4]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["evaluate_every"], config["save_every"]) == (1, 1)


def test_resume_drops_records_after_the_save_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"update": 1}\n{"update": 2}\n{"update": 3, "lo')
    logger = JsonlLogger(tmp_path)
    logger.begin(1, 3)
    logger.close()
    assert read_jsonl(path) == [{"update": 1}]


def test_window_without_a_finished_episode_has_no_mean() -> None:
    zeros, ones = np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32)
    episodes = np.array([[0, 1], [0, 3]], np.float32)
    record = summarize(
        {"loss": ones, "episode_return_sum": 8 * ones, "episode_length_sum": zeros, "episodes": episodes}
    )
    assert record["loss"] == [1.0, 1.0] and record["episodes"] == [0.0, 4.0]
    assert np.isnan(record["episode_return"][0]) and record["episode_return"][1] == 4.0


def test_tensorboard_event_files(ppo: jaxrl.PPO, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from jaxrl.engine.logging import TensorBoardLogger

    jaxrl.fit(ppo, fresh_key(), 2, loggers=[TensorBoardLogger(tmp_path)])
    assert sum(file.stat().st_size for file in tmp_path.glob("events.out.tfevents.*")) > 100


def test_progress_counts_steps_of_each_seed(ppo: jaxrl.PPO) -> None:
    logger = Recorder()
    result = jaxrl.fit(ppo, fresh_key(), 3, evaluate_every=3, loggers=[logger])
    assert logger.bounds == (0, 3)
    assert [record["env_steps"] for record in logger.records] == [32, 64, 96, 96]
    assert result.steps_per_second == pytest.approx(96 / result.run_seconds)
    assert json.dumps(logger.records)


def test_evaluation_needs_a_policy() -> None:
    with pytest.raises(TypeError, match="evaluate_every: Walk has no method act"):
        jaxrl.fit(Walk(explodes=jnp.int32(5)), fresh_key(), 2, evaluate_every=1, loggers=[])


def test_load_names_what_it_cannot_find(tmp_path: Path) -> None:
    import gymnax

    own = jaxrl.PPO(*gymnax.make("CartPole-v1"), num_envs=4, num_steps=8, hidden_sizes=(8,))
    jaxrl.fit(own, fresh_key(), 1, out=tmp_path / "run", loggers=[])
    with pytest.raises(ValueError, match=r"env: .* not made by jaxrl\.envs\.make"):
        jaxrl.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("key", "num_updates", "words"),
    [
        (jax.random.key(0), 1.5, "num_updates=1.5 must be an integer, at least 0"),
        (jax.random.key(0), -1, "num_updates=-1 must be an integer, at least 0"),
        (0, 1, "key: must be a key"),
        (np.zeros(2, np.uint32), 1, "key: must be a key"),
    ],
)
def test_refuses_what_is_no_key_or_number(
    ppo: jaxrl.PPO, key: Any, num_updates: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        jaxrl.fit(ppo, key, num_updates, out=tmp_path / "run", loggers=[])
    assert not (tmp_path / "run").exists()


def test_not_finite_from_the_start(ppo: jaxrl.PPO, tmp_path: Path) -> None:
    params = jax.tree.map(lambda x: x * jnp.nan, jax.jit(ppo.init)(fresh_key()).params)
    with pytest.raises(FloatingPointError, match="initial state is not finite"):
        jaxrl.fit(ppo.replace(params=params), fresh_key(), 1, out=tmp_path / "run", loggers=[])


def test_load_finds_values_in_every_spelling(tmp_path: Path) -> None:
    env, env_params = jaxrl.envs.make("FrozenLake-misc", reward_schedule=(1.0, 0.0, -0.5))
    sizes: Any = {"num_envs": 4, "num_steps": 8, "hidden_sizes": (8,)}
    spelled = jaxrl.PPO(env, env_params, learning_rate=np.float32(0.5), discount=jnp.float32(0.25), **sizes)
    jaxrl.fit(spelled, fresh_key(), 1, out=tmp_path / "run", loggers=[])
    loaded, _ = jaxrl.load(tmp_path / "run")
    assert (loaded.learning_rate, loaded.discount, loaded.env.reward_schedule[2]) == (0.5, 0.25, -0.5)
    with pytest.raises(ValueError, match="learning_rate: the save was made with"):
        jaxrl.fit(spelled.replace(learning_rate=np.float32(0.25)), resume=tmp_path / "run", loggers=[])


def test_load_refuses_parameters_without_a_name(ppo: jaxrl.PPO, tmp_path: Path) -> None:
    longer = ppo.replace(env_params=ppo.env_params.replace(length=2.0))
    jaxrl.fit(longer, fresh_key(), 1, out=tmp_path / "run", loggers=[])
    with pytest.raises(ValueError, match="env_params: the save was made with"):
        jaxrl.load(tmp_path / "run")


def test_a_look_at_a_run_removes_nothing(ppo: jaxrl.PPO, tmp_path: Path) -> None:
    jaxrl.fit(ppo, fresh_key(), 1, out=tmp_path / "run", loggers=[])
    unfinished = tmp_path / "run" / "checkpoints" / "2.orbax-checkpoint-tmp"
    unfinished.mkdir()
    jaxrl.load(tmp_path / "run")
    assert unfinished.exists()


def test_a_directory_without_a_finished_save_is_free(ppo: jaxrl.PPO, tmp_path: Path) -> None:
    out = tmp_path / "run"
    jaxrl.fit(ppo, fresh_key(), 1, out=out, loggers=[])
    for save in (out / "checkpoints").glob("[0-9]*"):
        save.rename(save.with_name(f"{save.name}.orbax-checkpoint-tmp"))
    with pytest.raises(ValueError, match="holds another run"):
        jaxrl.fit(ppo, fresh_key(), 1, out=out, loggers=[])  # its records would be lost
    (out / "metrics.jsonl").unlink()
    assert jaxrl.fit(ppo, fresh_key(), 1, out=out, loggers=[]).num_updates == 1


def test_a_function_without_a_name_is_compared_and_never_guessed(ppo: jaxrl.PPO, tmp_path: Path) -> None:
    ratio_loss = functools.partial(weighted_loss, weight=1.0)
    jaxrl.fit(ppo.replace(policy_loss=ratio_loss), fresh_key(), 1, out=tmp_path / "run", loggers=[])
    with pytest.raises(ValueError, match=r"policy_loss: .*without a name"):
        jaxrl.load(tmp_path / "run")
    other = functools.partial(weighted_loss, weight=2.0)
    with pytest.raises(ValueError, match="policy_loss: the save was made with"):
        jaxrl.fit(ppo.replace(policy_loss=other), resume=tmp_path / "run", loggers=[])
    again = functools.partial(weighted_loss, weight=1.0)
    assert jaxrl.fit(ppo.replace(policy_loss=again), resume=tmp_path / "run", loggers=[]).num_updates == 1


def weighted_loss(ratio: jax.Array, advantage: jax.Array, clip: Any, weight: float) -> jax.Array:
    """A user's own policy loss with a parameter."""
    return weight * jaxrl.ops.ppo_clip(ratio, advantage, clip)


def test_wrong_kinds_name_their_field(ppo: jaxrl.PPO) -> None:
    for name in ("num_minibatches", "num_envs"):
        with pytest.raises(TypeError, match=f"{name}='4' must be an integer"):
            jaxrl.check(ppo.replace(**{name: "4"}))
    with pytest.raises(TypeError, match="network: ActorCritic is a class; pass an instance"):
        jaxrl.check(ppo.replace(network=jaxrl.networks.ActorCritic))


def test_a_logger_that_cannot_begin_tells_why(ppo: jaxrl.PPO, tmp_path: Path) -> None:
    class Broken(Recorder):
        def begin(self, start: int, num_updates: int) -> None:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        jaxrl.fit(ppo, fresh_key(), 1, out=tmp_path / "run", loggers=[Broken()])


def test_the_first_random_steps_of_a_replay_count(tmp_path):
    dqn = jaxrl.DQN(*jaxrl.envs.make("CartPole-v1"), num_envs=2, num_steps=3, warmup=5, batch_size=4, hidden_sizes=(4,))
    jaxrl.fit(dqn, jax.random.key(0), 2, out=tmp_path / "run", loggers=None)
    assert read_jsonl(tmp_path / "run" / "metrics.jsonl")[-1]["env_steps"] == 2 * 5 + 2 * 2 * 3
    assert presets.updates_of(dqn, 2 * 5 + 2 * 2 * 3) == 2


class Sized(type(jaxrl.envs.make("CartPole-v1")[0])):
    """A user's own environment, of some size."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


def test_resume_refuses_an_environment_of_other_fields(ppo: jaxrl.PPO, tmp_path: Path) -> None:
    jaxrl.fit(ppo.replace(env=Sized(5)), fresh_key(), 1, out=tmp_path / "run", loggers=[])
    with pytest.raises(ValueError, match=r"env: the save was made with .*Sized.*'size': 5.*, not .*'size': 10"):
        jaxrl.fit(ppo.replace(env=Sized(10)), resume=tmp_path / "run", loggers=[])
    assert jaxrl.fit(ppo.replace(env=Sized(5)), resume=tmp_path / "run", loggers=[]).num_updates == 1


def test_an_environment_inside_another_is_told_by_its_fields(ppo: jaxrl.PPO) -> None:
    def described(size: int) -> str:
        legacy = jaxrl.envs.LegacyEnvironment(Sized(size), ppo.env_params)
        return describe(ppo.replace(env=jaxrl.envs.wrappers.FlattenObservation(legacy)))["fields"]["env"]["unnamed"]

    assert described(5) == described(5) != described(10)
