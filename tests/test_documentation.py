"""Every example runs: those of the docstrings, and the Python of the README."""

import doctest
import importlib
import pathlib
import pkgutil
import re

import jax
import jax.numpy as jnp
import pytest

import jaxrl

README = pathlib.Path(__file__).parent.parent / "README.md"
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
MODULES = ["jaxrl", *(info.name for info in pkgutil.walk_packages(jaxrl.__path__, "jaxrl."))]


def examples(name):
    """Doctests of a module's own docstrings."""
    module = importlib.import_module(name)
    names = vars(module) | {"jax": jax, "jnp": jnp}
    return [test for test in doctest.DocTestFinder().find(module, globs=names) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in examples(name):
        # A reader's session has jax's own settings: examples must not need ours, nor break under them.
        output = []
        runner.run(test, out=output.append)
        assert not runner.failures, "".join(output)


def test_some_docstrings_have_examples():
    assert sum(len(examples(name)) for name in ("jaxrl.ops.returns", "jaxrl.engine.train")) >= 2


def test_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "readme"}
    for snippet in FENCE.findall(README.read_text()):
        exec(compile(snippet, "README.md", "exec"), names)
