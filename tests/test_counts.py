"""A guard against regressions that needs no clock: what programs compile to, next to what they compiled to before."""

import json
import math
import os
import subprocess
import sys

import pytest

from benchmarks import counts, results

CODE = """
import json
from benchmarks import counts
print(json.dumps({"key": counts.key(), "counts": {n: counts.counted(x) for n, x in counts.learners().items()}}))
"""


def differences(before, now):
    """What is more than a few percent away, in words."""
    for learner in sorted(before.keys() ^ now.keys()):
        yield f"{learner}: counted {'before' if learner in before else 'now'} only"
    for learner in sorted(before.keys() & now.keys()):
        for name, number in before[learner].items():
            if not abs(now[learner][name] - number) <= counts.TOLERANCE * max(abs(number), 1e-9):  # NaN is a change
                yield f"{learner}: {name} was {number:g}, is {now[learner][name]:g}"


def test_programs_compile_to_what_they_did():
    # In a process without the settings of the tests, which change programs.
    env = {
        name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS")
    }
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, cwd=results.ROOT, env=env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    stored = counts.stored()
    assert stored, "benchmarks/counts.json is missing"
    if found["key"] not in stored:
        print(json.dumps(found, indent=1))
        pytest.skip(f"no counts are stored for {found['key']}; `python -m benchmarks.counts` stores them")
    changed = list(differences(stored[found["key"]], found["counts"]))
    assert not changed, "\n".join([*changed, "if it is meant, run `python -m benchmarks.counts`"])


def test_the_guard_finds_a_change():
    before = {"PPO": {"flops": 100.0, "kernels": 10.0}}
    assert not list(differences(before, {"PPO": {"flops": 104.0, "kernels": 10.0}}))
    assert list(differences(before, {"PPO": {"flops": 106.0, "kernels": 10.0}})) == ["PPO: flops was 100, is 106"]
    assert list(differences(before, {"PPO": {"flops": 94.0, "kernels": 10.0}}))
    assert list(differences(before, before | {"DQN": {"flops": 1.0}})) == ["DQN: counted now only"]
    assert list(differences(before, {})) == ["PPO: counted before only"]
    assert list(differences(before, {"PPO": {"flops": math.nan, "kernels": 10.0}}))
