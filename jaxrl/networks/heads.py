"""Last layers: from features `[B, D]` to what an algorithm needs."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.ops.distributions import Categorical, Gaussian


class Head(nn.Module):
    """A narrow linear layer that begins at zero: `[B, D]` to `[B, num_outputs]`.

    Zeros make the first policy exactly uniform and the first values zero, and cost no random numbers. The kernel is
    stored `[num_outputs, D]`, the transpose of `nn.Dense`'s: XLA's CPU backend is slow at the gradient of a `[D, 2]`
    kernel. Our own arrangement.

    Args:
      num_outputs: width of the output.
      bias: whether every output has a constant of its own.

    Example:
      >>> Head(2).init_with_output(jax.random.key(0), jnp.ones((3, 4)))[0].shape
      (3, 2)
    """

    num_outputs: int
    bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return `[B, num_outputs]`."""
        kernel = self.param("kernel", nn.initializers.zeros, (self.num_outputs, x.shape[-1]))
        if not self.bias:
            return x @ kernel.T
        return x @ kernel.T + self.param("bias", nn.initializers.zeros, (self.num_outputs,))[None]


class PolicyAndValue(nn.Module):
    """A policy of features `[B, D]`, and a value of the same or of others.

    Args:
      num_actions: number of discrete actions, or dimensions of a continuous action.
      discrete: whether the policy is a `Categorical` or a `Gaussian` whose log-deviation is a free parameter.
      bias: whether outputs have constants: without them one-hot features make a table.

    Example:
      >>> (policy, value), _ = PolicyAndValue(2, True).init_with_output(jax.random.key(0), jnp.zeros((5, 8)))
      >>> policy.logits.shape, value.shape
      ((5, 2), (5,))

    Source: Huang et al. (2022), The 37 Implementation Details of Proximal Policy Optimization, the state-independent
    log-deviation of continuous actions; the zero heads are our own.
    """

    num_actions: int
    discrete: bool
    bias: bool = True

    @nn.compact
    def __call__(
        self, features: jax.Array, value_features: jax.Array | None = None
    ) -> tuple[Categorical | Gaussian, jax.Array]:
        """Return the distribution and the value `[B]`."""
        output = Head(self.num_actions, self.bias, name="policy")(features)
        value = Head(1, self.bias, name="value")(features if value_features is None else value_features)[..., 0]
        if self.discrete:
            return Categorical(output), value
        log_std = self.param("log_std", nn.initializers.zeros, (self.num_actions,))
        return Gaussian(output, jnp.broadcast_to(log_std, output.shape)), value


def allowed_only(outputs: tuple[Any, jax.Array], obs: dict[str, Any]) -> tuple[Any, jax.Array]:
    """A discrete policy without what the observation's `action_mask` `[B, A]` forbids, and the value.

    Where nothing is allowed, as some environments say of the observation after an episode's end, nothing is masked.

    Args:
      outputs: a `Categorical` and values `[B]`.
      obs: dict with `action_mask`, True where allowed.

    Example:
      >>> obs = {"action_mask": jnp.array([[False, True], [False, False]])}
      >>> allowed_only((Categorical(jnp.zeros((2, 2))), jnp.zeros(2)), obs)[0].logits.tolist()
      [[-inf, 0.0], [0.0, 0.0]]

    Source: Huang & Ontañón (2022), A Closer Look at Invalid Action Masking in Policy Gradient Algorithms,
    arXiv:2006.14171.
    """
    policy, value = outputs
    mask = obs["action_mask"].astype(bool)
    allowed = mask | ~mask.any(-1, keepdims=True)
    return Categorical(jnp.where(allowed, policy.logits, -jnp.inf)), value
