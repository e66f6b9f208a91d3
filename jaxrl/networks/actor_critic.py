"""Actor-critic networks: one call gives the action distribution and the value."""

from typing import Any

import flax.linen as nn
import jax

from jaxrl.networks.heads import PolicyAndValue, allowed_only
from jaxrl.ops.distributions import Categorical, Gaussian


class ActorCritic(nn.Module):
    """Separate or shared torsos with a policy head and a value head.

    Where a caller uses only one of the two results, XLA drops the computation of the other.

    Args:
      num_actions: number of discrete actions, or dimensions of a continuous action.
      discrete: whether the policy is a `Categorical` or a `Gaussian` whose log-deviation is a free parameter.
      actor: torso of the policy, `[B, ...]` to `[B, D]`.
      critic: torso of the value; None shares the policy's.
      bias: whether policy and value have constants besides what they make of features.

    Maps observations `[B, ...]` to a distribution over `[B]` or `[B, A]` and values `[B]`.

    Example:
      >>> from jaxrl import networks
      >>> model = ActorCritic(2, True, networks.MLP((8,)), networks.MLP((8,)))
      >>> (policy, value), _ = model.init_with_output(jax.random.key(0), jax.numpy.zeros((5, 3)))
      >>> policy.logits.shape, value.shape
      ((5, 2), (5,))

    Source: Huang et al. (2022), The 37 Implementation Details of Proximal Policy Optimization, separate networks
    (detail 13).
    """

    num_actions: int
    discrete: bool
    actor: nn.Module
    critic: nn.Module | None = None
    bias: bool = True

    @nn.compact
    def __call__(self, obs: Any) -> tuple[Categorical | Gaussian, jax.Array]:
        """Return the distribution and the value `[B]`."""
        actor_features = self.actor(obs)
        critic_features = actor_features if self.critic is None else self.critic(obs)
        heads = PolicyAndValue(self.num_actions, self.discrete, self.bias, name="heads")
        return heads(actor_features, critic_features)


class Masked(nn.Module):
    """A discrete policy that gives no probability to what the observation forbids.

    Observations are dicts of `obs` `[B, ...]` for the model inside and `action_mask` `[B, A]`, True where allowed.

    Args:
      model: maps observations `[B, ...]` to a `Categorical` of `[B, A]` logits and values `[B]`.

    Example:
      >>> from jaxrl import networks
      >>> model = Masked(ActorCritic(2, True, networks.MLP((8,))))
      >>> obs = {"obs": jax.numpy.zeros((1, 3)), "action_mask": jax.numpy.array([[False, True]])}
      >>> (policy, _), _ = model.init_with_output(jax.random.key(0), obs)
      >>> policy.logits.tolist()
      [[-inf, 0.0]]

    Source: as `allowed_only`.
    """

    model: nn.Module

    def __call__(self, obs: dict[str, Any]) -> tuple[Categorical, jax.Array]:
        """Return the distribution and the value `[B]`."""
        return allowed_only(self.model(obs["obs"]), obs)
