"""A run killed with SIGKILL at random moments, some inside a save, resumes to the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

import jaxrl
from tests.helpers import assert_trees_equal

KILLS = 20
EARLY = 6
NUM_UPDATES = 400
CHILD = """
import sys
from pathlib import Path
from tests.test_kill import fit_or_resume
fit_or_resume(Path(sys.argv[1]))
"""


def make_ppo() -> jaxrl.PPO:
    return jaxrl.PPO(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=8, num_minibatches=2, hidden_sizes=(8,))


def fit_or_resume(out: Path) -> jaxrl.Fit:
    if finished_saves(out):
        return jaxrl.fit(make_ppo(), resume=out, save_every=1, loggers=[])
    return jaxrl.fit(make_ppo(), jax.random.key(0), NUM_UPDATES, out=out, save_every=1, loggers=[])


def finished_saves(out: Path) -> set[str]:
    return {save.name for save in (out / "checkpoints").glob("*") if save.name.isdigit()}


def wait_until(condition: object, child: subprocess.Popen) -> None:
    while child.poll() is None and not condition():  # type: ignore[operator]
        time.sleep(0.0005)


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    out, chance = tmp_path / "run", random.Random(0)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    inside_a_save = 0
    for kill in range(KILLS):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(out)], env=environment)
        saves, known = out / "checkpoints", finished_saves(out)
        if kill < EARLY:  # anywhere from the start of the process on, before its first save too
            time.sleep(chance.uniform(0.0, 8.0))
        else:
            wait_until(lambda known=known: finished_saves(out) - known, child)
            time.sleep(chance.uniform(0.0, 1.0))
        if kill % 2:  # wait for a save to begin, so that the kill falls into it
            wait_until(lambda saves=saves: list(saves.glob("*tmp*")), child)
        inside_a_save += bool(list(saves.glob("*tmp*")))
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, "the run ended before it was killed: raise NUM_UPDATES"
        if not finished_saves(out):
            continue
        _, state = jaxrl.load(out)
        update = int(state.num_updates)
        assert_trees_equal(state, jaxrl.run(make_ppo(), *initial(), update)[0])
    assert inside_a_save >= KILLS // 4
    resumed = fit_or_resume(out)
    assert resumed.num_updates == NUM_UPDATES
    assert_trees_equal(resumed.state, jaxrl.train(make_ppo(), jax.random.key(0), NUM_UPDATES)[0])


def initial() -> tuple[object, jax.Array]:
    init_key, run_key = jax.random.split(jax.random.key(0))
    return jax.jit(make_ppo().init)(init_key), run_key
