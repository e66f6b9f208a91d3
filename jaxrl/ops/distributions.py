"""Action distributions, small pytrees with `sample`, `log_prob`, `entropy` and `mode`.

The squashed one has `mode` and, for the first two together, `sample_and_log_prob`; its entropy has no closed form.
"""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Categorical:
    """Distribution over `A` discrete actions.

    Args:
      logits: `[..., A]` unnormalized log-probabilities; -inf masks an action.

    Example:
      >>> policy = Categorical(jnp.array([0.0, 0.0, -jnp.inf]))
      >>> print(policy.log_prob(jnp.array(1)), policy.entropy())
      -0.6931472 0.6931472

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., section 13.1, eq. 13.2.
    """

    logits: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """Sample int32 actions `[...]`. The key is consumed."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log-probability `[...]` of integer actions `[...]`."""
        # A one-hot product, not a gather: XLA fuses it into the log-softmax, forward and backward.
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=bool)
        return jnp.sum(jnp.where(chosen, jax.nn.log_softmax(self.logits), 0.0), axis=-1)

    def entropy(self) -> jax.Array:
        """Entropy `[...]` in nats."""
        log_probs = jax.nn.log_softmax(self.logits)
        # A masked action has log-probability -inf and adds nothing: 0 · inf would be NaN, in the gradient too.
        finite = jnp.where(jnp.isfinite(log_probs), log_probs, 0.0)
        return -jnp.sum(jnp.exp(log_probs) * finite, axis=-1)

    def expectation(self, values: jax.Array) -> jax.Array:
        """Mean `[...]` of values `[..., A]`; that of a masked action counts nothing, whatever it is."""
        log_probs = jax.nn.log_softmax(self.logits)
        return jnp.sum(jnp.exp(log_probs) * jnp.where(jnp.isfinite(log_probs), values, 0.0), axis=-1)

    def mode(self) -> jax.Array:
        """The most probable action `[...]`, int32."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)


@flax.struct.dataclass
class Gaussian:
    """Diagonal normal distribution over actions `[..., A]`.

    Args:
      mean: `[..., A]`.
      log_std: `[..., A]` logarithm of the standard deviation.

    Example:
      >>> policy = Gaussian(jnp.zeros(2), jnp.zeros(2))
      >>> policy.sample(jax.random.key(0)).shape, policy.mode().tolist()
      ((2,), [0.0, 0.0])

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., section 13.7, eq. 13.19.
    """

    mean: jax.Array
    log_std: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """Sample actions `[..., A]`. The key is consumed."""
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log-density `[...]` of actions `[..., A]`: pass what `sample` gave, not what a bound made of it."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * jnp.square(z) - self.log_std - 0.5 * jnp.log(2.0 * jnp.pi), axis=-1)

    def entropy(self) -> jax.Array:
        """Differential entropy `[...]` in nats."""
        return jnp.sum(self.log_std + 0.5 * jnp.log(2.0 * jnp.pi * jnp.e), axis=-1)

    def mode(self) -> jax.Array:
        """The mean `[..., A]`."""
        return self.mean


@flax.struct.dataclass
class SquashedGaussian:
    """The hyperbolic tangent of a diagonal normal variable: actions in (-1, 1).

    Args:
      mean: `[..., A]`, before the tangent.
      log_std: `[..., A]` logarithm of the standard deviation before the tangent.

    Example:
      >>> action, log_prob = SquashedGaussian(jnp.zeros(2), jnp.zeros(2)).sample_and_log_prob(jax.random.key(0))
      >>> action.shape, log_prob.shape
      ((2,), ())

    Source: Haarnoja et al. (2018), Soft Actor-Critic, appendix C, eq. 21, arXiv:1801.01290.
    """

    mean: jax.Array
    log_std: jax.Array

    def sample_and_log_prob(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Actions `[..., A]` and their log-densities `[...]`. The key is consumed."""
        normal = Gaussian(self.mean, self.log_std)
        before = normal.sample(key)
        # log(1 - tanh²(u)) without the tangent, which rounds to one: 2 (log 2 - u - softplus(-2u)).
        slope = 2.0 * (jnp.log(2.0) - before - jax.nn.softplus(-2.0 * before))
        return jnp.tanh(before), normal.log_prob(before) - slope.sum(-1)

    def mode(self) -> jax.Array:
        """The action of the mean `[..., A]`."""
        return jnp.tanh(self.mean)
