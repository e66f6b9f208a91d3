"""What a name on the command line and in a saved run stands for, and that another process finds it again."""

import dataclasses
import subprocess
import sys

import pytest

from jaxrl import flags, load, ops, presets
from jaxrl.cli import main
from jaxrl.engine.names import ALGORITHMS, CHOICES, name_of, resolve


@pytest.mark.parametrize("pair", presets.PRESETS, ids=" ".join)
def test_the_command_line_trains_what_the_preset_says(pair):
    name, _ = pair
    fields = presets.preset(*pair).fields
    _, parsed = flags.parse(ALGORITHMS[name], fields | {"total_steps": 1}, [], "test")
    default = {field.name: field.default for field in dataclasses.fields(ALGORITHMS[name])}
    for field, value in parsed.items():
        assert value == fields.get(field, default[field]), field


def test_numbers_of_a_named_choice_are_given_with_it():
    table = CHOICES["returns"]
    assert resolve("returns", "categorical(0, 200, 11)", table) == ops.CategoricalReturns(0, 200, 11)
    assert name_of(ops.CategoricalReturns(0.0, 200.0), table) == "categorical(0.0, 200.0, 51)"
    assert resolve("returns", name_of(ops.QuantileReturns(7), table), table) == ops.QuantileReturns(7)
    with pytest.raises(ValueError, match=r"returns=categorical\(3, 1\): low=3, high=1"):
        resolve("returns", "categorical(3, 1)", table)
    with pytest.raises(ValueError, match="returns=quantile"):
        resolve("returns", "quantile(1, 2)", table)


DESCRIBE = """
import json
from jaxrl import envs, presets
from jaxrl.engine.describe import describe
from jaxrl.engine.names import ALGORITHMS, VARIANTS
env = {"Box": envs.make("Pendulum-v1"), "Discrete": envs.make("CartPole-v1")}
for name, kind in ALGORITHMS.items():
    spaces = getattr(kind, "action_spaces", ())
    if spaces and not hasattr(kind, "observation_spaces"):
        problem = env["Discrete" if "Discrete" in spaces else "Box"]
        wrapped = envs.wrappers.ClipReward(problem[0], -1.0, 2.0), problem[1]
        masked = envs.wrappers.MaskActions(problem[0], envs.allowed_actions), problem[1]
        for one in (problem, wrapped, masked):
            print(json.dumps(describe(kind(*one, **VARIANTS.get(name, {})))))
"""


def test_another_process_describes_the_same_algorithm_alike():
    # An address in memory, say of a function in a field, would forbid every resume.
    command = [sys.executable, "-c", DESCRIBE]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second and first.count("\n") >= 36 and "0x" not in first
    inside = "{'env': {'name': 'CartPole-v1', 'options': {}}, 'low': -1.0, 'high': 2.0}"
    assert f"ClipReward({inside})" in first and "'mask': 'jaxrl.envs.tabular:allowed_actions'" in first


@pytest.mark.parametrize("name", ["dqn", "rainbow", "discrete-sac"])
def test_a_run_from_replay_is_evaluated_and_resumed_by_its_directory(name, tmp_path):
    out = tmp_path / "run"
    small = "--num-envs 2 --num-steps 4 --warmup 8 --capacity 100 --batch-size 4 --evaluate-every 0".split()
    main(["train", name, "CartPole-v1", "--total-steps", "16", *small, "--out", str(out)])
    main(["evaluate", str(out), "--episodes", "2"])
    main(["train", name, "CartPole-v1", "--total-steps", "32", "--resume", str(out)])
    assert load(out)[1].num_learned == 2 * 4, "of 32 steps the first 2 times 8 are random, and an update makes 8"
