"""List the benchmarks, run one or all of them, compare results: `python -m benchmarks learning --envs CartPole-v1`."""

import importlib
import sys

BENCHMARKS = {
    "learning": "What does an algorithm reach, over seeds, after a fixed number of environment steps?",
    "ppo_vs_peers": "How fast is PPO and how well does it learn, next to rejax, Stable-Baselines3 and SBX?",
    "deep_vs_peers": "How fast are the deep learners, and how well do they learn, next to rejax and SBX?",
    "time_to_score": "How long until the median of ten seeds reaches a score, with compilation, next to others?",
    "throughput": "How fast is everything on this device, and how far from its limits?",
    "many_seeds": "How fast are 64 seeds in one program, and what memory does each of them take?",
    "replay": "What do adding to a replay and sampling from it cost, and does that grow with its capacity?",
    "suites": "Does PPO learn in one environment of each other suite?",
    "lm_learning": "Does reinforcement make a small language model better than what it was pretrained on?",
    "lm_vs_peers": "How fast are generation, GRPO and pretraining, next to transformers, TRL and PyTorch? (two cores)",
    "lm_memory": "How much memory does a step of GRPO take with 0.5 billion parameters? (10.3 GiB)",
    "dynamic_programming": "How fast are processes solved, next to quantecon and SciPy, and near the memory's limit?",
    "complexity": "What does a sweep cost as a process grows in states and actions?",
    "independent_runs": "How fast are 1024 runs of Q-learning in one call, and are they those of separate calls?",
    "tabular_learning": "How well does every tabular learner learn, against the exact process?",
    "counts": "What do programs compile to, in numbers that no machine's mood changes? (stored for the tests)",
    "tables": "Generate the README's tables from benchmarks/results (--check: only compare).",
}


USAGE = """usage: python -m benchmarks NAME [options]               one of these; NAME --help shows the options
       python -m benchmarks --quick                     speed of this device, in minutes
       python -m benchmarks --full                      everything, in hours
       python -m benchmarks --compare A.json B.json     ratios of two results, and which are noise within a process
"""


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, BENCHMARKS))
        print(USAGE)
        print("\n".join(f"  {name:{width}}  {question}" for name, question in BENCHMARKS.items()))
        return
    name = arguments[0]
    if name in ("--quick", "--full"):
        from benchmarks import suite

        if len(arguments) > 1:
            raise SystemExit(f"{name} takes no more arguments, not {' '.join(arguments[1:])}")
        others = [each for each in BENCHMARKS if each not in ("throughput", "counts", "tables")]
        suite.run(name.removeprefix("--"), others)
        return
    if name == "--compare":
        from benchmarks import compare

        compare.show(arguments[1:])
        return
    if name not in BENCHMARKS:
        raise SystemExit(f"unknown benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    importlib.import_module(f"benchmarks.{name}").main(arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
