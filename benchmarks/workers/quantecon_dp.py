"""quantecon's DiscreteDP: value iteration, modified policy iteration, policy iteration, on dense arrays in float64.

What cannot be made equal: its tolerance bounds the value of the policy that it returns by epsilon, ours every value by
half of the width of proved bounds; both get 1e-4 for the values (its epsilon is twice that).
"""

import time
from typing import Any

import numpy as np
from quantecon.markov import DiscreteDP  # pyright: ignore[reportMissingImports]

from benchmarks.workers.protocol import describe, serve


def main() -> None:
    processes: list[tuple[np.ndarray, np.ndarray]] = []

    def load(path: str) -> dict[str, Any]:
        held = np.load(path)
        processes[:] = list(zip(held["reward"], held["transition"], strict=True))
        return {}

    def solve(method: str, discount: float, tolerance: float) -> dict[str, Any]:
        # Its policy iteration may flip between tied actions for ever; the error of the values tells.
        most = 100 if method == "policy_iteration" else 10_000_000
        models = [DiscreteDP(reward, transition, discount) for reward, transition in processes]
        start = time.perf_counter()
        answers = [model.solve(method=method, epsilon=2 * tolerance, max_iter=most) for model in models]
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "values": [answer.v.tolist() for answer in answers]}

    serve({"describe": lambda: describe(("quantecon", "numba", "scipy"), {}), "load": load, "solve": solve})


if __name__ == "__main__":
    main()
