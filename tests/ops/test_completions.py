"""What completions are worth together."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import ops


def test_more_completions_than_there_are_cannot_be_drawn():
    np.testing.assert_allclose(ops.pass_at_k(jnp.array([0, 1, 3]), 3, 3), [0.0, 1.0, 1.0])
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"k={k} must be at least 1 and at most the 3 samples"):
            ops.pass_at_k(jnp.array([1]), 3, k)
