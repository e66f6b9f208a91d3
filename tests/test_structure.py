"""The shape of the code itself: directions of imports, sizes, what an import costs, what is documented."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import statistics
import subprocess
import sys
import time

import pytest

import jaxrl

ROOT = pathlib.Path(jaxrl.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# A module imports what stands above it. What shares a line may import one another, except the families.
LAYERS = [
    ("types", "ranges", "ops"),
    ("networks", "envs", "buffers", "lm"),
    ("algorithms",),
    ("engine",),
    ("cli", "commands", "flags", "presets"),
]
SHARED = ("replaying",)  # by families that learn from replay: it holds environments, so it cannot stand in ops
LAZY = ("gymnax", "orbax", "matplotlib", "tyro")
LONGEST_MODULE, LONGEST_FUNCTION, DEEPEST_DEF, MOST_PARAMETERS = 250, 50, 2, 8


def layer(part):
    places = [index for index, parts in enumerate(LAYERS) if part in parts]
    assert places, f"jaxrl.{part} has no place in LAYERS"
    return places[0]


def imported(path):
    """Names `jaxrl.a.b` that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def internal(path):
    """Parts of `jaxrl` that a file imports: `["algorithms", "pg", "ppo"]`; a bare name is the engine's."""
    known = {part for parts in LAYERS for part in parts}
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "jaxrl" and len(parts) > 1:
            yield parts[1:] if parts[1] in known else ["engine"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    own = path.relative_to(ROOT).with_suffix("").parts
    if own == ("__init__",):
        return
    for parts in internal(path):
        assert layer(parts[0]) <= layer(own[0]), f"{path} imports {'.'.join(parts)}"
        if own[0] == parts[0] == "algorithms" and len(own) > 2 and len(parts) > 1 and parts[1] not in SHARED:
            assert own[1] == parts[1], f"{own[1]} imports {parts[1]}: what families share belongs to ops"


def functions(tree, depth=0):
    """Every function with the number of functions around it."""
    for node in ast.iter_child_nodes(tree):
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if inside:
            yield node, depth
        yield from functions(node, depth + inside)


def length(function):
    """Lines without the docstring."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = first.end_lineno - first.lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


def num_parameters(function):
    arguments = function.args
    names = [a.arg for a in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
    return len([name for name in names if name not in ("self", "cls")])


BENCHMARKS = sorted((ROOT.parent / "benchmarks").rglob("*.py"))


@pytest.mark.parametrize("path", FILES + BENCHMARKS, ids=lambda path: str(path.relative_to(ROOT.parent)))
def test_modules_and_functions_stay_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_MODULE
    for function, depth in functions(ast.parse(text)):
        where = f"{path.name}:{function.lineno} {function.name}"
        assert length(function) <= LONGEST_FUNCTION, where
        assert depth <= DEEPEST_DEF, where
        assert num_parameters(function) <= MOST_PARAMETERS, where


def output_of(code):
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT.parent)
    return result.stdout.strip()


def test_an_import_does_not_pay_for_what_it_may_not_use():
    code = f"import sys, jaxrl; print([name for name in {LAZY!r} if name in sys.modules])"
    assert output_of(code) == "[]"


def test_an_import_changes_no_setting_of_jax_and_starts_no_device():
    code = (
        "import jax, jax._src.xla_bridge as bridge\n"
        "before = dict(jax.config.values)\n"
        "import jaxrl\n"
        "print(before == dict(jax.config.values), bridge.backends_are_initialized())"
    )
    assert output_of(code) == "True False"


def packages():
    names = [info.name for info in pkgutil.walk_packages([str(ROOT)], "jaxrl.") if info.ispkg]
    return [jaxrl, *map(importlib.import_module, names)]


@pytest.mark.parametrize("package", packages(), ids=lambda package: package.__name__)
def test_every_public_name_exists_and_is_documented(package):
    assert package.__doc__
    for name in getattr(package, "__all__", []):
        public = getattr(package, name)
        if not inspect.isclass(public) and not inspect.isfunction(public):
            continue  # a module has a test of its own; `Metrics` is a type alias
        assert inspect.getdoc(public), f"{package.__name__}.{name}"
        if inspect.isclass(public):
            for attribute, value in vars(public).items():
                if inspect.isfunction(value) and not attribute.startswith("_"):
                    generated = attribute == "replace"  # by flax.struct
                    assert generated or inspect.getdoc(value), f"{package.__name__}.{name}.{attribute}"


def test_equations_state_shapes():
    for name in jaxrl.ops.__all__:
        public = getattr(jaxrl.ops, name)
        if not callable(public):
            continue  # a constant
        documentation = inspect.getdoc(public)
        if "jax.Array" in str(inspect.signature(public)):
            assert "`[" in documentation, f"{name} states no shapes"


@pytest.mark.parametrize("package", [jaxrl.ops, jaxrl.networks], ids=lambda package: package.__name__)
def test_equations_and_networks_name_their_source(package):
    for name in package.__all__:
        if not callable(getattr(package, name)):
            continue  # a constant
        documentation = inspect.getdoc(getattr(package, name))
        assert "Source:" in documentation or "ur own" in documentation, f"{package.__name__}.{name}"


def test_algorithms_cite_their_source():
    classes = [public for public in vars(jaxrl).values() if inspect.isclass(public) and hasattr(public, "update")]
    for algorithm in classes:
        if algorithm is not jaxrl.Algorithm:
            assert "Source:" in algorithm.__doc__, algorithm.__name__


@pytest.mark.slow
def test_import_costs_little_more_than_its_three_packages():
    def seconds(code):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    pairs = [(seconds("import jaxrl"), seconds("import jax, flax, optax")) for _ in range(7)]
    assert statistics.median(ours / theirs for ours, theirs in pairs) <= 1.3
