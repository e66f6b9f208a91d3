"""Devices enter by sharding inputs alone: two host devices give what one gives."""

import functools

import gymnax
import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxrl
from tests.helpers import assert_trees_close

NUM_UPDATES = 3
ALONG_ENVIRONMENTS = ("obs", "env_state", "episode")

pytestmark = pytest.mark.skipif(len(jax.devices()) < 2, reason="needs two devices")


@functools.cache
def ppo():
    return jaxrl.PPO(
        *gymnax.make("CartPole-v1"),
        num_envs=4,
        num_steps=4,
        num_epochs=2,
        num_minibatches=2,
        hidden_sizes=(8,),
        normalize_observations=True,
        normalize_rewards=True,
    )


def shardings(axis):
    # `Mesh` leaves to the compiler what is not said. `jax.make_mesh` of new JAX makes shardings part of every
    # type, and a program that makes its own keys and counters would have to say where each of them lives.
    mesh = Mesh(np.array(jax.devices()[:2]), (axis,))
    return NamedSharding(mesh, PartitionSpec(axis)), NamedSharding(mesh, PartitionSpec())


@jax.jit
@jax.vmap
def train(key):
    """One training run for each key."""
    return jaxrl.train(ppo(), key, NUM_UPDATES)


def devices(tree):
    return {device for leaf in jax.tree.leaves(tree) for device in leaf.sharding.device_set}


def test_runs_of_different_seeds_are_spread_over_devices():
    sharded, _ = shardings("seed")
    alone = train(jax.random.split(jax.random.key(0), 4))
    spread = train(jax.device_put(jax.random.split(jax.random.key(0), 4), sharded))
    assert len(devices(alone)) == 1
    for leaf in jax.tree.leaves(spread[0].params):
        assert [len(shard.data) for shard in leaf.addressable_shards] == [2, 2]  # seeds on each device
    assert_trees_close(spread, alone)


def test_one_run_is_sharded_over_its_environments():
    along, everywhere = shardings("env")
    state = jax.jit(ppo().init)(jax.random.key(0))
    key = jax.random.key(1)
    alone = jaxrl.run(ppo(), state, key, NUM_UPDATES, 0)
    placement = state.replace(
        **{
            name: jax.tree.map(lambda _: along if name in ALONG_ENVIRONMENTS else everywhere, value)
            for name, value in vars(state).items()
        }
    )
    placement = placement.replace(reward_scaling=placement.reward_scaling.replace(discounted_sum=along))
    state, key = jax.device_put(state, placement), jax.device_put(key, everywhere)
    spread = jaxrl.run(ppo(), state, key, NUM_UPDATES, 0)
    for array in (spread[0].obs, spread[0].reward_scaling.discounted_sum):
        assert [len(shard.data) for shard in array.addressable_shards] == [2, 2]  # environments on each device
    assert_trees_close(spread, alone)
    np.testing.assert_array_equal(spread[1]["episodes"], alone[1]["episodes"])


def test_fit_and_its_resume_keep_seeds_where_their_keys_are(tmp_path):
    sharded, _ = shardings("seed")

    def keys():
        return jax.device_put(jax.random.split(jax.random.key(0), 2), sharded)

    jaxrl.fit(ppo(), keys(), 1, out=tmp_path / "run", loggers=[])
    resumed = jaxrl.fit(ppo(), keys(), NUM_UPDATES, resume=tmp_path / "run", loggers=[])
    for leaf in jax.tree.leaves(resumed.state.params):
        assert [len(shard.data) for shard in leaf.addressable_shards] == [1, 1]
    assert_trees_close(resumed.state, jaxrl.fit(ppo(), keys(), NUM_UPDATES, loggers=[]).state)
