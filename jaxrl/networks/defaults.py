"""The networks for an environment's spaces."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxrl.networks.actor_critic import ActorCritic, Masked
from jaxrl.networks.torsos import MLP, Flatten, MinAtarCNN, OneHot, tanh


def action_size(action_space: Any) -> int:
    """Dimensions of a continuous action.

    Args:
      action_space: gymnax `Box`.

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("Pendulum-v1")
      >>> action_size(env.action_space(env_params))
      1

    Source: our own.
    """
    return int(np.prod(action_space.shape))


def has_mask(obs_space: Any) -> bool:
    """Whether observations are dicts of `obs` and `action_mask`. Our own convention, as many suites have it.

    Args:
      obs_space: gymnax space.

    Example:
      >>> from gymnax.environments import spaces
      >>> has_mask(spaces.Dict({"obs": spaces.Discrete(3), "action_mask": spaces.Box(0, 1, (2,))}))
      True
    """
    parts = getattr(obs_space, "spaces", None)
    return isinstance(parts, dict) and parts.keys() == {"obs", "action_mask"}


def without_mask(obs_space: Any, action_space: Any) -> tuple[Any, bool]:
    """The space that a torso reads, and whether observations have a mask besides. Our own convention, as `has_mask`.

    Args:
      obs_space: gymnax space.
      action_space: gymnax `Discrete` or `Box`.

    Raises:
      TypeError: for masks of continuous actions.

    Example:
      >>> from gymnax.environments import spaces
      >>> without_mask(spaces.Discrete(3), spaces.Discrete(2))[1]
      False
    """
    if not has_mask(obs_space):
        return obs_space, False
    if not hasattr(action_space, "n"):
        raise TypeError("env: an action_mask is for discrete actions; leave it out of the observation")
    return obs_space.spaces["obs"], True


def _is_image(obs_space: Any) -> bool:
    """Whether a 3x3 convolution fits in."""
    shape = getattr(obs_space, "shape", ())
    return len(shape) == 3 and min(shape[:2]) >= 3


def default_torso(
    obs_space: Any,
    hidden_sizes: tuple[int, ...],
    activation: Callable[[jax.Array], jax.Array] = nn.relu,
    *,
    noisy: bool = False,
    layer_norm: bool = False,
) -> nn.Module:
    """The torso for an observation space: a CNN for images `[H, W, C]`, an MLP for the rest, of one-hot integers.

    Images are of at least 3x3; smaller ones are flattened.

    Args:
      obs_space: gymnax space.
      hidden_sizes: widths of the fully connected layers.
      activation: of an MLP; a CNN has its own.
      noisy: whether the fully connected layers are noisy.
      layer_norm: whether outputs are normalized before the activation.

    Returns:
      A module from observations `[B, ...]` to features `[B, D]`.

    Raises:
      TypeError: if the observation is a dict or tuple, which only a network of your own can read.

    Example:
      >>> from gymnax.environments import spaces
      >>> torso = default_torso(spaces.Discrete(3), (8,))
      >>> torso.init_with_output(jax.random.key(0), jax.numpy.array([2, 0]))[0].shape
      (2, 8)

    Source: our own choice among networks of this package.
    """
    if not hasattr(obs_space, "shape"):
        raise TypeError(
            f"network: no default network reads observations of {type(obs_space).__name__} space; pass a linen module "
            "of your own, or flatten them by envs.wrappers.FlattenObservation"
        )
    if _is_image(obs_space):
        return MinAtarCNN(hidden_sizes=hidden_sizes, noisy=noisy, layer_norm=layer_norm)
    first = OneHot(obs_space.n) if hasattr(obs_space, "n") else Flatten()
    return nn.Sequential([first, MLP(hidden_sizes, activation, noisy, layer_norm)])


def default_actor_critic(obs_space: Any, action_space: Any, hidden_sizes: tuple[int, ...]) -> nn.Module:
    """The policy and value for an environment's spaces.

    Args:
      obs_space: gymnax space: images `[H, W, C]` of at least 3x3 go through a convolution shared by policy and value,
        everything else through two separate torsos. A dict of `obs` and `action_mask` is `Masked`.
      action_space: gymnax `Discrete` or `Box`.
      hidden_sizes: widths of the fully connected layers; none, and integers make tables of preferences and values.

    Returns:
      A module whose `apply(params, obs)` gives `(distribution, value)`.

    Raises:
      TypeError: if the observation is another dict or a tuple, which only a network of your own can read; for masks of
        continuous actions.

    Example:
      >>> import gymnax
      >>> env, env_params = gymnax.make("CartPole-v1")
      >>> spaces = env.observation_space(env_params), env.action_space(env_params)
      >>> default_actor_critic(*spaces, hidden_sizes=(64, 64)).num_actions
      2

    Source: our own choice among networks of this package.
    """
    inner, masked = without_mask(obs_space, action_space)
    if masked:
        return Masked(default_actor_critic(inner, action_space, hidden_sizes))
    discrete = hasattr(action_space, "n")
    num_actions = action_space.n if discrete else action_size(action_space)
    actor, critic = (default_torso(obs_space, hidden_sizes, tanh) for _ in range(2))
    table = hasattr(obs_space, "n") and not hidden_sizes
    return ActorCritic(num_actions, discrete, actor, None if _is_image(obs_space) else critic, bias=not table)
