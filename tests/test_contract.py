"""The contract of every algorithm. A new one joins by one line in `ALGORITHMS`.

All clauses of an algorithm share its compilations: `run` of 1 and of 3 updates, and one batched training run.
"""

import dataclasses
import functools
import importlib
import inspect
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import ops
from jaxrl.algorithms.dp import predecessors
from jaxrl.engine.train import split_run_key
from tests.helpers import (
    assert_parameters_differ,
    assert_trees_close,
    assert_trees_equal,
    compilations,
    readme_module,
    row,
    stack,
)

SMALL: dict[str, Any] = {
    "num_envs": 4,
    "num_steps": 4,
    "num_epochs": 2,
    "num_minibatches": 2,
    "hidden_sizes": (8,),
}

REPLAY: dict[str, Any] = {
    "num_envs": 4,
    "num_steps": 4,
    "batch_size": 8,
    "capacity": 40,
    "warmup": 4,
    "hidden_sizes": (8,),
}
STEPS: dict[str, Any] = {"num_envs": 3, "num_steps": 8}
ALWAYS = jnp.ones((7, 1))
make = functools.cache(jaxrl.envs.make)
WALK, PROCESS = make("RandomWalk")
SCATTERED = WALK, PROCESS.replace(start=None)  # begins anywhere, so that seeds differ from the start


def one_hot(state: jax.Array) -> jax.Array:
    """Features of the random walk."""
    return jax.nn.one_hot(state, 7)


def prioritized() -> Any:
    mdp = jaxrl.envs.textbook.garnet(6, 2, 2)
    return jaxrl.PrioritizedValueIteration(mdp, predecessors(mdp), num_backups=4)


PARITY = jaxrl.lm.tasks.Parity(4)
ANSWERS = jaxrl.lm.Sampling(2, (6,), banned=(0, 1, 2, 3))  # one in nine is right
SHAPE = jaxrl.networks.TransformerConfig(PARITY.tokenizer.vocab_size, width=8, num_layers=1, num_heads=2, max_length=16)
TRANSFORMER = jaxrl.networks.Transformer(SHAPE)
WITH_VALUES = jaxrl.networks.Transformer(dataclasses.replace(SHAPE, value_head=True))


def initial_params(model: Any = TRANSFORMER) -> Any:
    return jax.jit(model.init)(jax.random.key(5), jnp.zeros((1, 1), jnp.int32))


ALGORITHMS: dict[str, Callable[[], Any]] = {
    "ppo-discrete": lambda: jaxrl.PPO(*gymnax.make("CartPole-v1"), **SMALL),
    "ppo-continuous": lambda: jaxrl.PPO(
        *gymnax.make("Pendulum-v1"), **SMALL, normalize_observations=True, normalize_rewards=True, target_kl=0.01
    ),
    "reinforce": lambda: jaxrl.Reinforce(*make("CartPole-v1"), num_envs=4, num_steps=16, hidden_sizes=(8,)),
    "reinforce-without-baseline": lambda: jaxrl.Reinforce(
        *make("Pendulum-v1"), num_envs=4, num_steps=4, hidden_sizes=(8,), baseline=False, normalize_rewards=True
    ),
    "actor-critic": lambda: jaxrl.ActorCritic(*make("CartPole-v1"), num_envs=4, num_steps=4, hidden_sizes=(8,)),
    "actor-critic-one-step": lambda: jaxrl.ActorCritic(
        *make("Gridworld4x4"), num_envs=1, num_steps=1, hidden_sizes=(), normalize_rewards=True
    ),
    "dqn": lambda: jaxrl.DQN(*make("CartPole-v1"), **REPLAY),
    "rainbow": lambda: jaxrl.rainbow(*make("CartPole-v1"), **REPLAY),
    "dqn-quantiles": lambda: jaxrl.DQN(
        *make("Breakout-MinAtar"), **REPLAY, returns=ops.QuantileReturns(5), backup=ops.munchausen_backup
    ),
    "pqn": lambda: jaxrl.PQN(*make("CartPole-v1"), num_envs=4, num_steps=4, num_minibatches=2, hidden_sizes=(8,)),
    "recurrent-pqn": lambda: jaxrl.RecurrentPQN(
        *make("CartPole-v1"), num_envs=4, num_steps=4, num_minibatches=2, hidden_sizes=(8,)
    ),
    "recurrent-ppo": lambda: jaxrl.RecurrentPPO(
        *make("Pendulum-v1"), **SMALL, normalize_observations=True, target_kl=0.01, cell=nn.OptimizedLSTMCell
    ),
    "vtrace-actor-critic": lambda: jaxrl.VTraceActorCritic(
        *make("CartPole-v1"), num_envs=4, num_steps=4, hidden_sizes=(8,)
    ),
    "sac": lambda: jaxrl.SAC(*make("Pendulum-v1"), **REPLAY),
    "tqc": lambda: jaxrl.tqc(*make("Pendulum-v1"), **REPLAY, num_quantiles=5),
    "discrete-sac": lambda: jaxrl.DiscreteSAC(*make("CartPole-v1"), **REPLAY),
    "td3": lambda: jaxrl.TD3(*make("Pendulum-v1"), **REPLAY),
    "ddpg": lambda: jaxrl.ddpg(*make("Pendulum-v1"), **REPLAY),
    "value-iteration": lambda: jaxrl.ValueIteration(jaxrl.envs.textbook.garnet(6, 2, 2)),
    "policy-iteration": lambda: jaxrl.PolicyIteration(jaxrl.envs.textbook.garnet(6, 2, 2)),
    "value-iteration-in-blocks": lambda: jaxrl.ValueIteration(jaxrl.envs.textbook.garnet(7, 2, 2), num_blocks=3),
    "anchored-value-iteration": lambda: jaxrl.AnchoredValueIteration(jaxrl.envs.textbook.garnet(6, 2, 2)),
    "relative-value-iteration": lambda: jaxrl.RelativeValueIteration(jaxrl.envs.textbook.garnet(6, 2, 2)),
    "prioritized-value-iteration": prioritized,
    "backward-induction": lambda: jaxrl.BackwardInduction(jaxrl.envs.textbook.garnet(6, 2, 2), horizon=5),
    "stochastic-shortest-path": lambda: jaxrl.StochasticShortestPath(jaxrl.envs.textbook.random_walk()),
    "q-learning": lambda: jaxrl.QLearning(*make("Gridworld4x4"), **STEPS),
    "double-q-learning": lambda: jaxrl.DoubleQLearning(*make("Gridworld4x4"), **STEPS),
    "sarsa": lambda: jaxrl.Sarsa(*make("Gridworld4x4"), num_backup_steps=2, **STEPS),
    "sarsa-lambda": lambda: jaxrl.SarsaLambda(*make("Gridworld4x4"), **STEPS),
    "dyna-q": lambda: jaxrl.DynaQ(*make("Gridworld4x4"), num_plans=2, **STEPS),
    "prioritized-sweeping": lambda: jaxrl.PrioritizedSweeping(*make("Gridworld4x4"), **STEPS),
    "true-online-td": lambda: jaxrl.TrueOnlineTD(*SCATTERED, one_hot, **STEPS),
    "gradient-td": lambda: jaxrl.GradientTD(*SCATTERED, one_hot, ALWAYS, ALWAYS, **STEPS),
    "monte-carlo": lambda: jaxrl.MonteCarlo(*make("Gridworld4x4"), **STEPS),
    "off-policy-monte-carlo": lambda: jaxrl.OffPolicyMonteCarlo(*make("Gridworld4x4"), **STEPS),
    "grpo": lambda: jaxrl.GRPO(
        PARITY, TRANSFORMER, sampling=ANSWERS, num_prompts=16, group_size=4, num_kept=8, num_minibatches=2
    ),
    "grpo-with-a-reference": lambda: jaxrl.GRPO(
        PARITY,
        TRANSFORMER,
        num_prompts=4,
        group_size=2,
        advantage=ops.leave_one_out,
        policy_loss=ops.weight_clip,
        aggregate=ops.constant,
        kl_loss=ops.corrected_kl,
        kl_coef=0.1,
        overlong=2,
        reference_params=initial_params(),
    ),
    "token-ppo": lambda: jaxrl.TokenPPO(
        PARITY, WITH_VALUES, num_prompts=8, kl_coef=0.1, reference_params=initial_params(WITH_VALUES)
    ),
    "dpo": lambda: jaxrl.DPO(PARITY, TRANSFORMER, num_prompts=8, params=initial_params()),
    "pretraining": lambda: jaxrl.Pretraining(PARITY, TRANSFORMER, num_texts=8, texts_per_row=1.3),
    "a2c-of-the-readme": lambda: readme_module("a2c").A2C(*gymnax.make("CartPole-v1"), num_envs=4, num_steps=4),
}

RUN_KEY = jax.random.key(7)


@jax.jit
def init_by_key(algorithm: Any, key: jax.Array) -> Any:
    return algorithm.init(key)


def init(algorithm: Any, seed: int = 0) -> Any:
    """The initial state, from a key of its own."""
    return init_by_key(algorithm, jax.random.key(seed))


@dataclasses.dataclass
class Case:
    """An algorithm with what its clauses share."""

    algorithm: Any

    @functools.cached_property
    def state(self) -> Any:
        return init(self.algorithm)

    @functools.cached_property
    def after_three(self) -> tuple[Any, Any]:
        return self.run(self.state, 3)

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers: a solver gives the same for every key."""
        return not hasattr(self.algorithm, "solution")

    @property
    def init_draws(self) -> bool:
        """Whether `init` reads its key: learners from whole episodes keep no environments."""
        read = jax.make_jaxpr(self.algorithm.init)(jax.random.key(0)).jaxpr
        return any(read.invars[0] in equation.invars for equation in read.eqns)

    def run(self, state: Any, num_updates: int, start: int = 0) -> tuple[Any, Any]:
        return jaxrl.run(self.algorithm, state, RUN_KEY, num_updates, start)


VARIANTS = {
    "reinforce-without-baseline",
    "actor-critic-one-step",
    "dqn-quantiles",
    "tqc",
    "ddpg",
    "grpo-with-a-reference",
}
"""Other fields of an algorithm that is there already: for `pytest -m slow`."""
CASES = [pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else []) for name in ALGORITHMS]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(ALGORITHMS[request.param]())


def float_leaves(algorithm: Any) -> list[str]:
    """Names of the float fields that are leaves."""
    fields = dataclasses.fields(algorithm)
    leaves = [f.name for f in fields if f.metadata.get("pytree_node", True)]
    return [name for name in leaves if isinstance(getattr(algorithm, name), float)]


def differ(this: Any, that: Any) -> bool:
    """Whether any leaf does."""
    leaves = zip(jax.tree.leaves(this), jax.tree.leaves(that), strict=True)
    return any(not np.array_equal(a, b) for a, b in leaves)


def nudged(algorithm: Any, name: str) -> Any:
    """The algorithm with one float leaf changed, within its range: inf becomes finite."""
    value = getattr(algorithm, name)
    return algorithm.replace(**{name: 8.0 if np.isinf(value) else 0.9 * value})


def test_update_returns_the_structure_shapes_and_types_of_init(case):
    # weak_type is part of a ShapeDtypeStruct's equality: a weak leaf would compile the second call anew.
    before = jax.eval_shape(case.algorithm.init, jax.random.key(0))
    after, _ = jax.eval_shape(case.algorithm.update, before, jax.random.key(0))
    assert jax.tree.structure(before) == jax.tree.structure(after)
    assert jax.tree.leaves(before) == jax.tree.leaves(after)
    weak = [leaf for leaf in jax.tree.leaves((before, after)) if leaf.weak_type]
    assert not weak


def test_everything_stays_finite(case):
    for leaf in jax.tree.leaves(case.after_three):
        assert np.all(np.isfinite(leaf)) or not np.issubdtype(leaf.dtype, np.floating)


def test_metrics_are_flat_float32_scalars_for_each_update(case):
    _, metrics = jax.eval_shape(case.algorithm.update, case.state, jax.random.key(0))
    assert isinstance(metrics, dict)
    for name, value in metrics.items():
        assert (name, value.shape, value.dtype) == (name, (), jnp.float32)
    assert all(value.shape == (3,) for value in case.after_three[1].values())


def comparison(algorithm: Any, *summed: str) -> Callable[[Any, Any], None]:
    """Of states that are to be the same bits, by loops of two kinds; `summed`: attributes of who adds up most."""
    if any(hasattr(algorithm, name) for name in summed) and jax.config.read("jax_disable_most_optimizations"):
        # Without its passes LLVM adds up in another order in each of them. Bits are compared in optimized programs, by
        # `pytest -m slow`.
        return assert_trees_close
    return assert_trees_equal


def test_pieces_of_a_run_equal_one_run_bit_for_bit(case):
    # Pieces of one update are the hardest: XLA drops the loop around them.
    state, metrics = case.state, []
    for start in range(3):
        state, piece = case.run(state, 1, start)
        metrics.append(piece)
    whole_state, whole_metrics = case.after_three
    equal = comparison(case.algorithm, "task")
    equal(state, whole_state)
    equal(jax.tree.map(lambda *pieces: np.concatenate(pieces), *metrics), whole_metrics)


def test_the_same_seed_agrees_and_seeds_differ(case):
    assert_trees_equal(case.run(case.state, 3), case.after_three)
    other = init(case.algorithm, 1)
    assert differ(other, case.state) == case.init_draws
    assert differ(case.run(other, 3)[0], case.after_three[0]) == case.init_draws


def test_random_parameters_depend_on_the_seed(case):
    if getattr(case.algorithm, "params", None) is not None:  # given ones are kept
        assert_trees_equal(init(case.algorithm, 1).params, case.algorithm.params)
        return
    assert_parameters_differ(init(case.algorithm, 1), case.state)


def factorizations(program):
    return re.findall(r" = (qr|geqrf|householder_product|lu|svd|eigh|cholesky)\b", program)


def test_nothing_branches(case):
    # Under vmap a `lax.cond` runs both of its branches, and copies what only one of them changes.
    programs = (
        jax.make_jaxpr(case.algorithm.init)(jax.random.key(0)),
        jax.make_jaxpr(case.algorithm.update)(case.state, jax.random.key(0)),
    )
    for program in map(str, programs):  # branches by platform, as jnp.eye's, are chosen by the compiler
        assert program.count(" cond[") == program.count("branches_platforms=(")


def test_only_who_solves_linear_systems_begins_with_a_factorization(case):
    # XLA's CPU backend can wait for ever on LAPACK beside other work of a vmapped program.
    solves = isinstance(case.algorithm, jaxrl.StochasticShortestPath)
    assert bool(factorizations(str(jax.make_jaxpr(case.algorithm.init)(jax.random.key(0))))) == solves


def test_a_factorization_would_be_seen():
    orthogonal = jax.nn.initializers.orthogonal()
    assert factorizations(str(jax.make_jaxpr(lambda key: orthogonal(key, (3, 3)))(jax.random.key(0))))


def test_the_run_key_matters(case):
    other, _ = jaxrl.run(case.algorithm, case.state, jax.random.key(8), 3, 0)
    assert differ(other, case.after_three[0]) == case.draws


def test_the_second_call_compiles_nothing(case):
    state, _ = case.run(case.state, 3)
    with compilations() as messages:
        state, _ = jaxrl.run(case.algorithm, state, RUN_KEY, 3, 3)
        jaxrl.run(case.algorithm, state, RUN_KEY, 3, 6)
    assert not messages


def test_a_compilation_would_be_seen():
    with compilations() as messages:
        jax.jit(lambda x: x + 1)(jnp.zeros(3))
    assert messages


def test_changing_a_float_leaf_does_not_retrace(case):
    assert case.after_three  # compiles
    with compilations() as messages:
        for name in float_leaves(case.algorithm):
            jaxrl.run(nudged(case.algorithm, name), case.state, RUN_KEY, 3, 0)
    assert not messages


def test_vmap_over_seeds_and_over_each_float_leaf_equals_a_loop(case):
    # One batched program: two seeds of the algorithm as it is, and one row for each float leaf, nudged.
    names = float_leaves(case.algorithm)
    algorithms = [case.algorithm] * 2 + [nudged(case.algorithm, name) for name in names]
    seeds = [0, 1] + [0] * len(names)
    rows = stack([{name: jnp.float32(getattr(a, name)) for name in names} for a in algorithms])
    states = stack([init(case.algorithm, seed) for seed in seeds])

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, 0))
    def batched(values: Any, state: Any) -> Any:
        return jaxrl.run(case.algorithm.replace(**values), state, RUN_KEY, 3, 0)

    together = batched(rows, states)
    for index, (algorithm, seed) in enumerate(zip(algorithms, seeds, strict=True)):
        alone = jaxrl.run(algorithm, init(case.algorithm, seed), RUN_KEY, 3, 0)
        assert_trees_close(row(together, index), alone)


def test_no_state_holds_a_key(case):
    for leaf in jax.tree.leaves(case.state):
        assert not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        assert not (leaf.dtype == jnp.uint32 and leaf.shape[-1:] == (2,)), "the data of a key"


def test_no_key_is_used_twice(case):
    # The flag of conftest.py checks each trace; here a fresh one, of a batch of keys as well.
    key_reuse = importlib.import_module("jax.experimental.key_reuse._core")
    key_reuse.check_key_reuse(case.algorithm.init, jax.random.key(0))
    key_reuse.check_key_reuse(case.algorithm.update, case.state, jax.random.key(0))
    keys = jax.random.split(jax.random.key(0), 2)
    states = stack([case.state] * 2)
    key_reuse.check_key_reuse(lambda states, keys: jax.vmap(case.algorithm.update)(states, keys), states, keys)


def test_methods_name_their_parameters_alike(case):
    assert list(inspect.signature(case.algorithm.init).parameters) == ["key"]
    assert list(inspect.signature(case.algorithm.update).parameters) == ["state", "key"]
    remembers = ["memory"] if hasattr(case.algorithm, "initial_memory") else []
    optional = {
        "act": ["state", "obs", "key", *remembers],
        "rollout": ["state", "key"],
        "learn": ["state", "batch", "key"],
    }
    for name, parameters in optional.items():
        if hasattr(case.algorithm, name):
            assert list(inspect.signature(getattr(case.algorithm, name)).parameters) == parameters


def test_the_class_is_final_frozen_and_documented(case):
    kind = type(case.algorithm)
    assert kind.__bases__ == (object,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.algorithm.learning_rate = 1.0
    assert "Source:" in kind.__doc__
    for field in dataclasses.fields(kind):
        assert field.name == "_" or f"{field.name}:" in kind.__doc__, f"{field.name} is not documented"


def test_a_given_starting_point_stays_alive(case):
    fields = [name for name in ("params", "values", "q", "weights") if hasattr(case.algorithm, name)]
    if isinstance(case.algorithm, jaxrl.StochasticShortestPath):
        assert not fields, "it begins with a policy of its own, which must come to an end"
        return
    (field,) = fields
    given = jax.tree.map(lambda x: x + 1.0, getattr(case.state, field))
    start = getattr(case.algorithm.replace(**{field: given}).init(jax.random.key(0)), field)  # jit would copy anyway
    assert_trees_equal(start, given)
    buffers = [{x.unsafe_buffer_pointer() for x in jax.tree.leaves(tree)} for tree in (given, start)]
    assert not buffers[0] & buffers[1], "init must copy: a donated state would delete the user's weights"


def test_run_donates_nothing(case):
    case.run(case.state, 1)
    arrays = [leaf for leaf in jax.tree.leaves((case.algorithm, case.state)) if isinstance(leaf, jax.Array)]
    assert not any(array.is_deleted() for array in arrays)


def test_check_accepts_it_and_names_the_field_that_cannot_work(case):
    jaxrl.check(case.algorithm)
    for name in float_leaves(case.algorithm):
        with pytest.raises(ValueError, match=name):
            jaxrl.check(case.algorithm.replace(**{name: float("nan")}))
        with pytest.raises(TypeError, match=name):
            jaxrl.check(case.algorithm.replace(**{name: "many"}))


def test_save_and_resume_equal_no_interruption(case: Case, tmp_path: pathlib.Path) -> None:
    algorithm, equal = case.algorithm, comparison(case.algorithm, "task", "initial_memory")
    jaxrl.fit(algorithm, jax.random.key(11), 2, out=tmp_path / "run", loggers=[])
    resumed = jaxrl.fit(algorithm, resume=tmp_path / "run", num_updates=3, loggers=[])
    init_key, run_key = split_run_key(jax.random.key(11))  # as `train` does, by programs that are there already
    whole, _ = jaxrl.run(algorithm, init_by_key(algorithm, init_key), run_key, 3)
    equal(resumed.state, whole)


@pytest.mark.slow
def test_it_holds_in_optimized_programs_too():
    # The fast suite compiles without LLVM's costly passes (conftest.py). Bits must be those of users' programs too.
    own = "tests/test_contract.py::test_it_holds_in_optimized_programs_too"
    names = ("contract", "fit", "sharding", "dp", "td", "traps", "deep_traps", "buffers", "off_policy")
    files = [*(f"tests/test_{name}.py" for name in names), "tests/ops"]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", "--deselect", own, *files]
    done = subprocess.run(command, cwd=pathlib.Path(__file__).parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]
