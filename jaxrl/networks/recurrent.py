"""Networks with a memory: a torso, a recurrent cell, and a head."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.networks.heads import allowed_only
from jaxrl.networks.torsos import scaled_uniform
from jaxrl.ops.shuffling import flat


class Recurrent(nn.Module):
    """Observations through a torso, a cell with a memory, and a head.

    One step is `apply(params, carry, obs, start)`; `unroll` makes many. Where `start` is true, an episode begins: the
    memory of the one before is dropped.

    Args:
      torso: observations `[B, ...]` to features `[B, D]`.
      cell: linen recurrent cell: `nn.GRUCell(D)` or `nn.OptimizedLSTMCell(D)`.
      head: features `[B, D]` to what the algorithm needs.
      masked: whether observations are dicts of `obs` for the torso and `action_mask`, and the head gives a policy
        first: it then gives no probability to what is forbidden.

    Example:
      >>> from jaxrl import networks
      >>> model = Recurrent(networks.MLP((8,)), nn.GRUCell(8), networks.PolicyAndValue(2, True))
      >>> carry, obs, start = model.initial_carry(5), jnp.zeros((5, 3)), jnp.ones(5, bool)
      >>> (carry, (policy, value)), _ = model.init_with_output(jax.random.key(0), carry, obs, start)
      >>> carry.shape, value.shape
      ((5, 8), (5,))

    Source: Cho et al. (2014), arXiv:1406.1078 (GRU); Hochreiter & Schmidhuber (1997), Long Short-Term Memory.
    """

    torso: nn.Module
    cell: nn.RNNCellBase
    head: nn.Module
    masked: bool = False

    def initial_carry(self, batch_size: int) -> Any:
        """The memory before an episode, `[B, D]` or a pair of them: zeros."""
        cell: Any = self.cell
        return cell.clone(parent=None).initialize_carry(jax.random.key(0), (batch_size, cell.features))

    def __call__(self, carry: Any, obs: Any, start: jax.Array) -> tuple[Any, Any]:
        """The next memory, and the outputs for observations `[B, ...]`."""
        carry, features = self.remember(carry, self.encode(obs), start)
        return carry, self.decode(features, obs)

    def encode(self, obs: Any) -> jax.Array:
        """Features `[B, D]` of observations `[B, ...]`, without memory."""
        return self.torso(obs["obs"] if self.masked else obs)

    def remember(self, carry: Any, features: jax.Array, start: jax.Array) -> tuple[Any, jax.Array]:
        """The next memory, and features that know it; an episode that starts knows none."""
        kept = jax.tree.map(lambda x: jnp.where(start[:, None], 0.0, x), carry)
        return self.cell(kept, features)

    def decode(self, features: jax.Array, obs: Any) -> Any:
        """Outputs of features `[B, D]`; of the observations only masks are read."""
        outputs = self.head(features)
        return allowed_only(outputs, obs) if self.masked else outputs


def make_cell(cell: Callable[..., Any], features: int) -> Any:
    """A recurrent cell that begins without a QR factorization.

    The orthogonal matrices that are usual for the recurrent weights take LAPACK's, and a vmapped program that calls
    LAPACK beside other work can wait for ever on XLA's CPU backend (jaxlib 0.10.2, two cores: 16 of 52 processes).

    Args:
      cell: class of a linen recurrent cell, `nn.GRUCell` or `nn.OptimizedLSTMCell`.
      features: D, width of the memory.

    Example:
      >>> make_cell(nn.GRUCell, 8).features
      8

    Source: our own choice; the weights' scale is an orthogonal matrix's, as `scaled_uniform`.
    """
    return cell(features, recurrent_kernel_init=scaled_uniform(1.0))


def unroll(model: Any, params: Any, carry: Any, obs: Any, start: jax.Array) -> tuple[Any, Any]:
    """A recurrent network over sequences.

    Torso and head see all steps at once; the cell alone goes step by step.

    Args:
      model: a `Recurrent`.
      params: its parameters.
      carry: memory `[N, ...]` before the first step.
      obs: `[T, N, ...]`.
      start: bool `[T, N]`, whether the observation is the first one of an episode.

    Returns:
      The memories after each step `[T, N, ...]`, and the outputs `[T N, ...]`.

    Example:
      >>> from jaxrl import networks
      >>> model = Recurrent(networks.MLP((8,)), nn.GRUCell(8), networks.Head(1))
      >>> carry, obs, start = model.initial_carry(5), jnp.zeros((7, 5, 3)), jnp.zeros((7, 5), bool)
      >>> params = model.init(jax.random.key(0), carry, obs[0], start[0])
      >>> carries, outputs = unroll(model, params, carry, obs, start)
      >>> carries.shape, outputs.shape
      ((7, 5, 8), (35, 1))

    Source: our own arrangement.
    """
    features = model.apply(params, flat(obs), method="encode").reshape(*start.shape, -1)

    def step(carry: Any, inputs: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
        carry, features = model.apply(params, carry, *inputs, method="remember")
        return carry, (carry, features)

    _, (carries, features) = jax.lax.scan(step, carry, (features, start))
    return carries, model.apply(params, flat(features), flat(obs), method="decode")


def peek(model: Any, params: Any, carries: Any, obs: Any) -> Any:
    """Outputs `[T N, ...]` for observations `[T, N, ...]`, each by the memory that stands beside it `[T, N, ...]`.

    For true successors: at the end of an episode they come after the memory of before the reset.

    Source: our own arrangement.
    """
    obs = flat(obs)
    never = jnp.zeros(len(jax.tree.leaves(obs)[0]), bool)
    return model.apply(params, flat(carries), obs, never)[1]
