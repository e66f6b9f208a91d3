"""What several test modules share."""

import contextlib
import dataclasses
import logging
import math
import pathlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

import jaxrl
from benchmarks import exact
from jaxrl import envs


def assert_trees_equal(actual: Any, expected: Any) -> None:
    """Bit for bit."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def assert_trees_close(actual: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Within a tolerance that is absolute below one and relative above."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance), actual, expected)


def assert_parameters_differ(one: Any, other: Any) -> None:
    """What is random in the parameters of one state (not all of a leaf the same) is other in another one."""
    for (path, a), (_, b) in zip(*map(jax.tree_util.tree_leaves_with_path, (one, other)), strict=True):
        if "params" in jax.tree_util.keystr(path) and np.ptp(a) > 0:
            assert not np.array_equal(a, b), jax.tree_util.keystr(path)


def leaves_of(tree: Any, num_leaves: int) -> np.ndarray:
    """The numbers `[num_leaves]` of a tree of sums: its last rows."""
    rows = math.ceil(num_leaves / 16)
    return np.asarray(tree)[len(tree) - rows :].ravel()[:num_leaves]


def stack(trees: list[Any]) -> Any:
    """Trees of `[...]` as one of `[len(trees), ...]`."""
    return jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *trees)


def row(tree: Any, index: int) -> Any:
    """One of the trees that `stack` or `vmap` put together."""
    return jax.tree.map(lambda x: x[index], tree)


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """Names of what is traced or compiled within the context, those from a persistent cache included."""
    messages: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            # The checker of keys traces the `bind` of every eager operation on a key, each time.
            if "Compiling" in message or ("Finished tracing" in message and "tracing bind for jit" not in message):
                messages.append(message)

    logger, recorder = logging.getLogger("jax"), Recorder()
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [recorder], False
    try:
        with jax.log_compiles():
            yield messages
    finally:
        logger.handlers, logger.propagate = handlers, propagate


def readme_file(name: str) -> str:
    """A file that the README shows whole, between `<!-- file:NAME -->` and `<!-- /file -->`."""
    text = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
    _, _, after = text.partition(f"<!-- file:{name} -->\n```python\n")
    return after.partition("```\n<!-- /file -->")[0]


def readme_module(name: str) -> types.ModuleType:
    """The same file as a module, imported once."""
    registered = f"readme_{name}"  # not the plain name: another test imports the file from a directory
    if registered not in sys.modules:
        module = types.ModuleType(registered)
        sys.modules[registered] = module
        exec(compile(readme_file(f"{name}.py"), f"README.md:{name}.py", "exec"), vars(module))
    return sys.modules[registered]


def policy_values(mdp: Any, policy: Any, discount: float = 1.0) -> np.ndarray:
    """v_π `[S]` of actions `[S]` or probabilities `[S, A]`, by NumPy in float64: independent of our solvers."""
    dense: Any = envs.to_dense(mdp)
    transition, reward = (np.asarray(x, np.float64) for x in (dense.transitions.probability, mdp.reward))
    policy = np.asarray(policy)
    policy = np.eye(reward.shape[1])[policy] if policy.ndim == 1 else policy
    return exact.policy_values(transition, reward, policy, discount)


def undiscounted(mdp: Any) -> Any:
    """v* at γ = 1, by policy iteration over proper policies."""
    return jaxrl.solve(jaxrl.StochasticShortestPath(mdp), tolerance=1e-5, max_updates=1000)


def discounted(mdp: Any, discount: float) -> Any:
    """v*, in float64."""
    return jaxrl.solve(jaxrl.ValueIteration(mdp, discount=discount), tolerance=1e-10, max_updates=100_000)


def stick_on_20() -> np.ndarray:
    """Actions `[S]` of blackjack: hit below 20."""
    total = 12 + np.arange(211) // 20
    total[200:] = 21
    return (total < 20).astype(int)


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """Shape of a language model of three tokens whose logits are tables."""

    vocab_size: int = 3
    max_length: int = 8
    value_head: bool = False
