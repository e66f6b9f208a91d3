"""What the outputs of a Q-network say about returns: their mean, or their distribution. A field of `jaxrl.DQN`.

Each has `mean` (action values), `atoms` (the distribution of the next return as weighted points) and `loss` (of a
prediction against points). A backup moves the points, y = r + d z, and leaves the weights.
"""

import math
from collections.abc import Callable

import chex
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl.types import whole_number


@flax.struct.dataclass
class MeanReturns:
    """One output for each action: its value.

    Args:
      error_loss: function of the error `[B]`: `optax.huber_loss`, `optax.l2_loss`.

    Example:
      >>> atoms, weights = MeanReturns().atoms(jnp.array([[1.0, 3.0]]), jnp.array([[0.5, 0.5]]))
      >>> loss, _ = MeanReturns().loss(jnp.array([1.5]), atoms, weights)
      >>> loss.tolist()  # (2 - 1.5)² / 2
      [0.125]

    Source: Mnih et al. (2015), Human-level Control through Deep Reinforcement Learning.
    """

    error_loss: Callable[[jax.Array], jax.Array] = flax.struct.field(pytree_node=False, default=optax.huber_loss)

    @property
    def num_outputs(self) -> int:
        """Numbers of an action; 0: outputs have no axis for them."""
        return 0

    def mean(self, outputs: jax.Array) -> jax.Array:
        """Action values `[B, A]` of outputs `[B, A]`."""
        return outputs

    def atoms(self, outputs: jax.Array, policy: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Points and their weights `[B, A]`, of outputs and a policy `[B, A]`."""
        return outputs, policy

    def loss(self, prediction: jax.Array, atoms: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Losses and sizes of the errors `[B]`, of predictions `[B]` and points `[B, K]`."""
        chex.assert_rank(prediction, 1)
        error = (atoms * weights).sum(-1) - prediction
        return self.error_loss(error), jnp.abs(error)


@flax.struct.dataclass
class CategoricalReturns:
    """Logits of probabilities of fixed returns: C51.

    Args:
      low: the smallest return.
      high: the largest one.
      num_atoms: Z, returns from one to the other. All three are static: others are another program.

    Raises:
      ValueError: for a range that is none, or less than two returns.

    Example:
      >>> returns = CategoricalReturns(0.0, 2.0, 3)
      >>> returns.mean(jnp.zeros((1, 2, 3))).tolist()
      [[1.0, 1.0]]
      >>> returns.project(jnp.array([[0.5, 9.0]]), jnp.array([[0.5, 0.5]])).tolist()  # 9 counts as 2
      [[0.25, 0.25, 0.5]]

    Source: Bellemare, Dabney & Munos (2017), A Distributional Perspective on Reinforcement Learning, algorithm 1,
    arXiv:1707.06887.
    """

    low: float = flax.struct.field(pytree_node=False, default=-10.0)
    high: float = flax.struct.field(pytree_node=False, default=10.0)
    num_atoms: int = flax.struct.field(pytree_node=False, default=51)

    def __post_init__(self) -> None:
        numbers = all(isinstance(bound, int | float) for bound in (self.low, self.high))
        if not (numbers and -math.inf < self.low < self.high < math.inf):
            raise ValueError(f"low={self.low}, high={self.high}: low must be below high, and both finite numbers")
        whole_number("num_atoms", self.num_atoms, 2)

    @property
    def num_outputs(self) -> int:
        """Numbers of an action, Z."""
        return self.num_atoms

    @property
    def support(self) -> jax.Array:
        """The returns `[Z]`."""
        return jnp.linspace(self.low, self.high, self.num_atoms)

    def mean(self, outputs: jax.Array) -> jax.Array:
        """Action values `[B, A]` of logits `[B, A, Z]`."""
        return (jax.nn.softmax(outputs) * self.support.reshape(*[1] * (outputs.ndim - 1), -1)).sum(-1)

    def atoms(self, outputs: jax.Array, policy: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Points and their weights `[B, Z]`, of logits `[B, A, Z]` and a policy `[B, A]`."""
        weights = (jax.nn.softmax(outputs) * policy[..., None]).sum(-2)
        return jnp.broadcast_to(self.support[None], weights.shape), weights

    def project(self, atoms: jax.Array, weights: jax.Array) -> jax.Array:
        """Probabilities `[B, Z]` of the support: each point `[B, K]` is shared by its two neighbours."""
        gap = (self.high - self.low) / (self.num_atoms - 1)
        distance = jnp.clip(atoms, self.low, self.high)[..., None] - self.support[None, None]
        return (weights[..., None] * jnp.maximum(1.0 - jnp.abs(distance) / gap, 0.0)).sum(-2)

    def loss(self, prediction: jax.Array, atoms: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Cross entropies, and as sizes of the errors divergences `[B]`, of logits `[B, Z]` and points `[B, K]`."""
        chex.assert_rank(prediction, 2)
        target = self.project(atoms, weights)
        loss = -(target * jax.nn.log_softmax(prediction)).sum(-1)
        least = -jnp.where(target > 0, target * jnp.log(jnp.where(target > 0, target, 1.0)), 0.0).sum(-1)
        return loss, jnp.maximum(loss - least, 0.0)


@flax.struct.dataclass
class QuantileReturns:
    """Quantiles of the returns at (i + 1/2) / Z: QR-DQN.

    Args:
      num_quantiles: Z.

    Raises:
      ValueError: for less than one.

    Example:
      >>> QuantileReturns(2).mean(jnp.array([[[0.0, 2.0]]])).tolist()
      [[1.0]]

    Source: Dabney et al. (2018), Distributional Reinforcement Learning with Quantile Regression, eq. 10 with κ = 1,
    arXiv:1710.10044.
    """

    num_quantiles: int = flax.struct.field(pytree_node=False, default=50)

    def __post_init__(self) -> None:
        whole_number("num_quantiles", self.num_quantiles, 1)

    @property
    def num_outputs(self) -> int:
        """Numbers of an action, Z."""
        return self.num_quantiles

    def mean(self, outputs: jax.Array) -> jax.Array:
        """Action values `[B, A]` of quantiles `[B, A, Z]`."""
        return outputs.mean(-1)

    def atoms(self, outputs: jax.Array, policy: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Points and their weights `[B, A Z]`, of quantiles `[B, A, Z]` and a policy `[B, A]`."""
        weights = jnp.broadcast_to(policy[..., None] / self.num_quantiles, outputs.shape)
        return outputs.reshape(len(outputs), -1), weights.reshape(len(outputs), -1)

    def loss(self, prediction: jax.Array, atoms: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Quantile regression losses, and sizes of the mean errors `[B]`, of quantiles `[B, Z]` and points `[B, K]`."""
        return quantile_loss(prediction, atoms, weights), jnp.abs((atoms * weights).sum(-1) - prediction.mean(-1))


def mean_loss(prediction: jax.Array, atoms: jax.Array, weights: jax.Array) -> jax.Array:
    """Half the squared error of the mean prediction: (Σ_k w_k y_k - mean θ)² / 2.

    Args:
      prediction: `[B, Z]`, θ.
      atoms: `[B, K]`, y.
      weights: `[B, K]`, of sum one.

    Returns:
      `[B]`.

    Example:
      >>> mean_loss(jnp.array([[1.0]]), jnp.array([[2.0, 4.0]]), jnp.array([[0.5, 0.5]])).tolist()
      [2.0]

    Source: Legendre (1805), the method of least squares.
    """
    chex.assert_rank([prediction, atoms, weights], 2)
    return 0.5 * jnp.square((atoms * weights).sum(-1) - prediction.mean(-1))


def quantile_loss(prediction: jax.Array, atoms: jax.Array, weights: jax.Array) -> jax.Array:
    """Σ_i Σ_k w_k |τ_i - 1(y_k < θ_i)| huber(y_k - θ_i), with τ_i = (i + 1/2) / Z.

    Args:
      prediction: `[B, Z]`, θ.
      atoms: `[B, K]`, y.
      weights: `[B, K]`, of sum one.

    Returns:
      `[B]`.

    Example:
      >>> quantile_loss(jnp.array([[0.0]]), jnp.array([[1.0]]), jnp.ones((1, 1))).tolist()
      [0.25]

    Source: Dabney et al. (2018), eq. 10, arXiv:1710.10044.
    """
    chex.assert_rank([prediction, atoms, weights], 2)
    size = prediction.shape[-1]
    fraction = (jnp.arange(size) + 0.5) / size
    error = atoms[:, None, :] - prediction[:, :, None]
    side = jnp.abs(fraction[None, :, None] - (error < 0))
    return (weights[:, None, :] * side * optax.huber_loss(error)).sum((-2, -1))
