"""Actor-critic networks: one call gives the action distribution and the value."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxrl.networks.torsos import MLP, Flatten, MinAtarCNN, OneHot
from jaxrl.ops.distributions import Categorical, Gaussian


class Head(nn.Module):
    """A narrow linear layer that begins at zero: `[B, D]` to `[B, num_outputs]`.

    Zeros make the first policy exactly uniform and the first values zero, and cost no random numbers. The kernel is
    stored `[num_outputs, D]`, the transpose of `nn.Dense`'s: XLA's CPU backend is slow at the gradient of a `[D, 2]`
    kernel. Our own arrangement.

    Args:
      num_outputs: width of the output.

    Example:
      >>> Head(2).init_with_output(jax.random.key(0), jax.numpy.ones((3, 4)))[0].shape
      (3, 2)
    """

    num_outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return `[B, num_outputs]`."""
        kernel = self.param("kernel", nn.initializers.zeros, (self.num_outputs, x.shape[-1]))
        bias = self.param("bias", nn.initializers.zeros, (self.num_outputs,))
        return x @ kernel.T + bias[None]


class ActorCritic(nn.Module):
    """Separate or shared torsos with a policy head and a value head.

    Where a caller uses only one of the two results, XLA drops the computation of the other.

    Args:
      num_actions: number of discrete actions, or dimensions of a continuous action.
      discrete: whether the policy is a `Categorical` or a `Gaussian` whose log-deviation is a free parameter.
      actor: torso of the policy, `[B, ...]` to `[B, D]`.
      critic: torso of the value; None shares the policy's.

    Maps observations `[B, ...]` to a distribution over `[B]` or `[B, A]` and values `[B]`.

    Example:
      >>> model = ActorCritic(2, True, MLP((8,)), MLP((8,)))
      >>> (policy, value), _ = model.init_with_output(jax.random.key(0), jax.numpy.zeros((5, 3)))
      >>> policy.logits.shape, value.shape
      ((5, 2), (5,))

    Source: Huang et al. (2022), The 37 Implementation Details of Proximal Policy Optimization, separate networks
    (detail 13) and the state-independent log-deviation of continuous actions; the zero heads are our own.
    """

    num_actions: int
    discrete: bool
    actor: nn.Module
    critic: nn.Module | None = None

    @nn.compact
    def __call__(self, obs: Any) -> tuple[Categorical | Gaussian, jax.Array]:
        """Return the distribution and the value `[B]`."""
        actor_features = self.actor(obs)
        critic_features = actor_features if self.critic is None else self.critic(obs)
        output = Head(self.num_actions, name="policy")(actor_features)
        value = Head(1, name="value")(critic_features)
        if self.discrete:
            return Categorical(output), value[..., 0]
        log_std = self.param("log_std", nn.initializers.zeros, (self.num_actions,))
        return Gaussian(output, jax.numpy.broadcast_to(log_std, output.shape)), value[..., 0]


def default_actor_critic(obs_space: Any, action_space: Any, hidden_sizes: tuple[int, ...]) -> ActorCritic:
    """The network for an environment's spaces.

    Args:
      obs_space: gymnax space: integers become one-hot, images `[H, W, C]` go through a convolution shared by
        policy and value, everything else through two separate MLPs.
      action_space: gymnax `Discrete` or `Box`.
      hidden_sizes: widths of the fully connected layers.

    Returns:
      A module whose `apply(params, obs)` gives `(distribution, value)`.

    Raises:
      TypeError: if the observation is a dict or tuple, which only a network of your own can read.

    Example:
      >>> import gymnax
      >>> env, env_params = gymnax.make("CartPole-v1")
      >>> spaces = env.observation_space(env_params), env.action_space(env_params)
      >>> default_actor_critic(*spaces, hidden_sizes=(64, 64)).num_actions
      2

    Source: our own choice among networks of this package.
    """
    discrete = hasattr(action_space, "n")
    num_actions = action_space.n if discrete else int(np.prod(action_space.shape))
    if not hasattr(obs_space, "shape"):
        raise TypeError(
            f"network: no default network reads observations of {type(obs_space).__name__} space; "
            "pass a linen module whose apply(params, obs) gives (distribution, value)"
        )
    if len(obs_space.shape) == 3:
        return ActorCritic(num_actions, discrete, MinAtarCNN(hidden_sizes=hidden_sizes))
    first = OneHot(obs_space.n) if hasattr(obs_space, "n") else Flatten()
    torsos = (nn.Sequential([first, MLP(hidden_sizes)]) for _ in range(2))
    return ActorCritic(num_actions, discrete, *torsos)
