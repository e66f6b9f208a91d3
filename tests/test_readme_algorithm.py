"""The README's "Add an algorithm" is a whole file: it passes `fit` and the command line (the contract has it too)."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxrl
from jaxrl.cli import main
from tests.helpers import readme_file


@pytest.fixture
def a2c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the file, as a user has it."""
    text = readme_file("a2c.py")
    assert len(text.splitlines()) <= 100
    (tmp_path / "a2c.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_fit_and_load(a2c: Path) -> None:
    import a2c as module  # pyright: ignore

    algorithm = module.A2C(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=4)
    result = jaxrl.fit(algorithm, jax.random.key(0), 3, out=a2c / "run", evaluate_every=3, loggers=[])
    assert np.isfinite(result.metrics["loss"]).all()
    loaded, _ = jaxrl.load(a2c / "run")
    assert type(loaded) is module.A2C and loaded.num_envs == 4


def test_command_line(a2c: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main("train a2c:A2C CartPole-v1 --num-envs 4 --num-steps 4 --total-steps 48 --discount 0.9 --out run".split())
    assert "48 of each seed in 3 updates" in capsys.readouterr().out
    assert json.loads((a2c / "run" / "config.json").read_text())["fields"]["discount"] == 0.9
    main("evaluate run --episodes 2".split())
    assert "median over seeds" in capsys.readouterr().out


@pytest.mark.slow
def test_it_learns(a2c: Path) -> None:
    import a2c as module  # pyright: ignore

    algorithm = module.A2C(*jaxrl.envs.make("CartPole-v1"))
    keys = jax.random.split(jax.random.key(0), 10)
    num_updates = 500_000 // algorithm.steps_per_update
    result = jaxrl.fit(algorithm, keys, num_updates, evaluate_every=num_updates // 10, loggers=[])
    assert np.median(result.evaluations["return"][-3:]) >= 475
