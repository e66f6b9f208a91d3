"""The command line, called as a function; bad input gives one sentence and exit code 2."""

import json
import logging
import sys
from pathlib import Path
from typing import Any, ClassVar

import flax.struct
import pytest

import jaxrl
from jaxrl.cli import main
from jaxrl.engine.logging import read_jsonl

TINY = "--num-envs 4 --num-steps 8 --num-minibatches 2 --hidden-sizes 8 --total-steps 96".split()


def train(out: Path, *flags: str, env: str = "CartPole-v1") -> None:
    main(["train", "ppo", env, *TINY, "--out", str(out), *flags])


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    train(out, "--seeds", "2", "--learning-rate", "1e-3", "--evaluate-every", "3", "--env.length", "0.7")
    return out


def test_train_writes_the_run(run_directory: Path) -> None:
    config = json.loads((run_directory / "config.json").read_text())
    assert config["fields"]["hidden_sizes"] == [8] and config["fields"]["learning_rate"] == 1e-3
    assert config["fields"]["env"] == {"name": "CartPole-v1", "options": {"length": 0.7}}
    records = read_jsonl(run_directory / "metrics.jsonl")
    assert [record["env_steps"] for record in records if "loss" in record] == [32, 64, 96]
    assert len(records[-1]["evaluation_return"]) == 2
    assert (run_directory / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "run")
    output = capsys.readouterr().out
    for word in ("final return", "steps/s", "compiled in", "device", "96 of each seed in 3 updates"):
        assert word in output


def test_evaluate_and_gif(
    run_directory: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("absl").addHandler(caplog.handler)
    try:
        main(["evaluate", str(run_directory), "--episodes", "3", "--gif"])
    finally:
        logging.getLogger("absl").removeHandler(caplog.handler)
    assert not caplog.records  # no library of ours warns of what is as it should be
    output = capsys.readouterr().out
    assert "seed 0" in output and "seed 1" in output and "median over seeds" in output
    assert (run_directory / "episode.gif").read_bytes().startswith(b"GIF8")


def test_resume_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    train(out, "--learning-rate", "1e-3")
    main(["train", "ppo", "CartPole-v1", "--resume", str(out), "--total-steps", "160"])
    assert "160 of each seed in 5 updates" in capsys.readouterr().out
    refused(
        ["train", "ppo", "CartPole-v1", "--resume", str(out), "--learning-rate", "2e-3"],
        "learning_rate",
        capsys,
    )


def test_resume_keeps_seeds_and_random_numbers(run_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resume = ["train", "ppo", "CartPole-v1", "--resume", str(run_directory)]
    refused([*resume, "--seeds", "3"], "seeds=3", capsys)
    refused([*resume, "--seed", "1"], "seed: a resumed run", capsys)
    refused([*resume, "--out", "elsewhere"], "out=elsewhere", capsys)
    refused([*resume[:2], "Acrobot-v1", *resume[3:]], "was trained on CartPole-v1", capsys)


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    train(tmp_path / "run", "--tensorboard")
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_the_tuned_horizon_is_the_whole_run(tmp_path: Path) -> None:
    train(tmp_path / "run")
    fields = json.loads((tmp_path / "run" / "config.json").read_text())["fields"]
    assert fields["anneal_updates"] == 3.0  # 96 steps in updates of 32
    train(tmp_path / "given", "--anneal-updates", "489")
    fields = json.loads((tmp_path / "given" / "config.json").read_text())["fields"]
    assert fields["anneal_updates"] == 489.0


def test_options_reach_the_environment(tmp_path: Path) -> None:
    train(tmp_path / "run", "--env.map-name", "8x8", "--env.max_steps_in_episode=7", env="FrozenLake-misc")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["fields"]["env"]["options"] == {"map_name": "8x8", "max_steps_in_episode": 7}


def test_an_array_of_the_environment(tmp_path: Path) -> None:
    train(tmp_path / "run", "--env.available-torque", "(-2.0, 0.0, 2.0)", env="Acrobot-v1")
    algorithm, _ = jaxrl.load(tmp_path / "run")
    assert algorithm.env_params.available_torque.tolist() == [-2.0, 0.0, 2.0]


def test_own_function_by_name(tmp_path: Path) -> None:
    train(tmp_path / "run", "--optimizer", "optax:sgd")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["fields"]["optimizer"].endswith(":sgd")


def test_envs_lists_the_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    main(["envs"])
    output = capsys.readouterr().out
    assert "CartPole-v1" in output and "Discrete(2)" in output and "MNISTBandit-bsuite" in output


def test_help_names_every_field_with_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["train", "ppo", "CartPole-v1", "--help"])
    output = capsys.readouterr().out
    assert exit_.value.code == 0
    for word in (
        "--learning-rate",
        "step size of the optimizer",
        "--hidden-sizes",
        "--normalize-rewards",
        "--seeds",
    ):
        assert word in output


def refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, a sentence with the words, no traceback."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert words in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["CartPol-v1"], "did you mean CartPole-v1"),
        (["CartPole-v1", "--discount", "1.5"], "discount=1.5 must be in [0, 1]"),
        (["CartPole-v1", "--discount", "-0.1"], "discount=-0.1 must be in [0, 1]"),
        (["CartPole-v1", "--learning-rate", "0"], "learning_rate=0.0 must be positive"),
        (["CartPole-v1", "--learning-rate", "nan"], "learning_rate=nan must be positive and finite"),
        (["CartPole-v1", "--learning-rate", "inf"], "learning_rate=inf must be positive and finite"),
        (["CartPole-v1", "--entropy-coef", "-1"], "entropy_coef=-1.0 must be at least 0"),
        (["CartPole-v1", "--num-envs", "0"], "num_envs=0 must be at least 1"),
        (["CartPole-v1", "--num-envs", "3", "--num-steps", "5"], "num_minibatches=4 does not divide"),
        (["CartPole-v1", "--num-minibatches", "0"], "num_minibatches=0 must be at least 1"),
        (["CartPole-v1", "--num-envs", "many"], "num-envs"),
        (["CartPole-v1", "--lerning-rate", "1"], "learning-rate"),
        (["CartPole-v1", "--optimizer", "adan"], "did you mean adam"),
        (["CartPole-v1", "--optimizer", "no.such:thing"], "cannot import"),
        (["CartPole-v1", "--env.lenght", "1"], "did you mean length"),
        (["CartPole-v1", "--env.length"], "--env.length needs a value"),
        (["CartPole-v1", "--env.length", "abc"], "env.length='abc' must be a number"),
        (["FrozenLake-misc", "--normalize-observations"], "leave normalize_observations off"),
        (["CartPole-v1", "--network", "math:sin"], "is no network"),
        (["CartPole-v1", "--num-steps", "0"], "num_steps=0 must be at least 1"),
        (["Acrobot-v1", "--env.available-torque", "abc"], "must be numbers of shape (3,)"),
        (["MetaMaze-misc", "--env.maze-size", "8"], "cannot be made with env.maze_size=8"),
        (["CartPole-v1", "--network", "math:pi"], "neither a function, a class nor a network"),
        (["CartPole-v1", "--seeds", "0"], "seeds=0 must be at least 1"),
        (["CartPole-v1", "--total-steps", "0"], "total_steps=0 must be at least 1"),
        (["CartPole-v1", "--evaluate-every", "-1"], "evaluate_every=-1"),
        (["CartPole-v1", "--seed", "99999999999999999999"], "seed=99999999999999999999 must be in [0, 4294967295]"),
        (["CartPole-v1", "--seed", "-1"], "seed=-1 must be in"),
        (["CartPole-v1", "--env.max-steps-in-episode", "0"], "env.max_steps_in_episode=0 must be at least 1"),
        (["CartPole-v1", "--resume", "no/such/run"], "holds no run"),
    ],
)
def test_bad_input(flags: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = [] if "--resume" in flags else ["--out", str(tmp_path / "run")]
    refused(["train", "ppo", *flags, *out], words, capsys)
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "unknown command 'trian'"),
        (["train", "ppo"], "needs an algorithm and an environment"),
        (["train", "pppo", "CartPole-v1"], "did you mean ppo"),
        (["evaluate"], "needs the directory of a run"),
        (["evaluate", "no/such/run"], "holds no run"),
        (["envs", "more"], "envs takes no arguments"),
        (["train", "math:pi", "CartPole-v1"], "neither a function"),
        (["train", "optax:adam", "CartPole-v1"], "is no algorithm"),
    ],
)
def test_bad_command(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(arguments, words, capsys)


def test_bad_directories(run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["train", "ppo", "CartPole-v1", "--out", str(run_directory)], "holds another run", capsys)
    refused(["evaluate", str(run_directory), "--episodes", "0"], "episodes=0", capsys)
    refused(["evaluate", str(run_directory), "--seed", "4294967296"], "seed=4294967296 must be in", capsys)
    (tmp_path / "file").touch()
    refused(["train", "ppo", "CartPole-v1", "--out", str(tmp_path / "file")], "is a file", capsys)


def test_a_run_of_a_suite_that_is_gone_is_refused(
    run_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((run_directory / "config.json").read_text())
    config["fields"]["env"] = {"name": "xland:MiniGrid-Empty-5x5", "options": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setitem(sys.modules, "xminigrid", None)
    refused(["evaluate", str(tmp_path)], "xland:MiniGrid-Empty-5x5 needs xminigrid; pip install", capsys)


def test_solve_prints_and_draws_a_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        [
            "solve",
            "value-iteration",
            "FrozenLake-misc",
            "--discount",
            "0.99",
            "--tolerance",
            "1e-9",
            "--out",
            str(tmp_path / "lake.png"),
        ]
    )
    out = capsys.readouterr().out
    assert "value of the start: 0.542026" in out
    assert "←→" in out and "■" in out
    assert (tmp_path / "lake.png").read_bytes()[:4] == b"\x89PNG"


def test_solve_prints_a_list_for_a_world_that_is_no_grid(capsys: pytest.CaptureFixture[str]) -> None:
    main(["solve", "policy-iteration", "Taxi", "--discount", "0.9", "--tolerance", "1e-6", "--evaluate", "exact"])
    out = capsys.readouterr().out
    assert "501 states, 6 actions; value of the start: -1.26332" in out and "… and 481 states more" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["solve"], "solve needs a solver and an environment"),
        (["solve", "value-iteratio", "Taxi"], "did you mean value-iteration"),
        (["solve", "jaxrl:PPO", "Taxi"], "is no solver"),
        (["solve", "value-iteration", "CartPole-v1"], "a reset of CartPole-v1 draws random numbers"),
        (["solve", "value-iteration", "Taxi", "--discount", "1"], "discount=1.0 must be in [0, 1)"),
        (["solve", "stochastic-shortest-path", "Gridworld5x5"], "state 0 cannot come to an end"),
        (["solve", "relative-value-iteration", "CliffWalking"], "no average reward"),
        (["solve", "value-iteration", "Taxi", "--tolerance", "0"], "tolerance=0.0 must be positive"),
    ],
)
def test_bad_solve(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(arguments, words, capsys)


def test_training_on_a_grid_prints_and_draws_its_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    main(["train", "sarsa", "CliffWalking", "--total-steps", "3000", "--num-backup-steps", "2", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "■" in printed and "policy.png" in printed
    assert (out / "policy.png").read_bytes()[:4] == b"\x89PNG"
    algorithm, state = jaxrl.load(out)
    assert algorithm.num_backup_steps == 2 and state.q.shape == (48, 4)


def test_wrong_action_space(capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        ["train", "tests.test_cli:OnlyDiscrete", "Pendulum-v1"],
        "needs Discrete action spaces, but Pendulum-v1 has a Box one",
        capsys,
    )


@flax.struct.dataclass
class OnlyDiscrete:
    """An algorithm that is refused before it does anything."""

    env: Any = jaxrl.static()
    env_params: Any
    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)
