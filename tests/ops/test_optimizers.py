"""The optimizer of few arrays is that of the parameters as they are."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import ops
from jaxrl.ops import optimizers


@pytest.mark.parametrize("optimizer", [ops.adam, ops.adamw, ops.sgd])
@pytest.mark.parametrize("largest", [1, optimizers.LARGE])
def test_few_arrays_take_the_steps_of_many(optimizer, largest):
    sizes = {"a": (3,), "b": (largest,), "c": (), "d": (2, largest), "e": (4, 2)}
    keys = jax.random.split(jax.random.key(0), len(sizes))
    params = {name: jax.random.normal(key, sizes[name]) for name, key in zip(sizes, keys, strict=True)}
    algorithm = types.SimpleNamespace(optimizer=optimizer, learning_rate=0.1, anneal_updates=jnp.inf, max_grad_norm=0.5)
    few, many = (of(algorithm, jnp.array(0)) for of in (ops.transform_of, ops.clipped_optimizer))
    ours, theirs, ours_state, theirs_state = params, params, few.init(params), many.init(params)
    for turn in range(3):
        slope = jax.tree.map(lambda x, turn=turn: jnp.sin(x + turn), theirs)
        step, ours_state = few.update(slope, ours_state, ours)
        ours = jax.tree.map(jnp.add, ours, step)
        step, theirs_state = many.update(slope, theirs_state, theirs)
        theirs = jax.tree.map(jnp.add, theirs, step)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), ours, theirs)
    if optimizer is ops.adam:
        moments = [x.size for x in jax.tree.leaves(ours_state) if x.ndim]
        large = [largest, 2 * largest] if largest > 1 else []
        small = sum(x.size for x in jax.tree.leaves(params)) - sum(large)
        assert moments == 2 * [*large, small]


def test_large_arrays_alone_leave_nothing_empty_behind():
    algorithm = types.SimpleNamespace(optimizer=ops.adam, learning_rate=0.1, anneal_updates=jnp.inf, max_grad_norm=1.0)
    transform, params = ops.transform_of(algorithm, jnp.array(0)), {"kernel": jnp.ones((2, optimizers.LARGE))}
    updates, state = transform.update(params, transform.init(params), params)
    assert updates["kernel"].shape == params["kernel"].shape
    assert all(x.size for x in jax.tree.leaves(state))  # orbax saves no array of no numbers
