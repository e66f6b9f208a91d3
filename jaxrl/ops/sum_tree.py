"""Sampling in proportion to numbers that change: a binary tree of sums."""

import jax
import jax.numpy as jnp


def init_tree(num_leaves: int) -> jax.Array:
    """A tree whose leaves are zero: `[2 L]` with L the next power of two; node i is the sum of 2 i and 2 i + 1.

    Args:
      num_leaves: numbers to hold.

    Example:
      >>> init_tree(3).shape
      (8,)

    Source: Schaul et al. (2016), Prioritized Experience Replay, appendix B.2.1, arXiv:1511.05952.
    """
    return jnp.zeros(2 << max(num_leaves - 1, 0).bit_length())


def set_leaves(tree: jax.Array, index: jax.Array, value: jax.Array) -> jax.Array:
    """The tree with new numbers at leaves, and their sums: O(B log L).

    Args:
      tree: from `init_tree`.
      index: int `[B]`; where one stands there twice, which of its values counts is not said.
      value: `[B]`, at least zero.

    Example:
      >>> tree = set_leaves(init_tree(4), jnp.array([1, 2]), jnp.array([1.0, 3.0]))
      >>> tree.tolist()[1:]
      [4.0, 1.0, 3.0, 0.0, 1.0, 3.0, 0.0]

    Source: as `init_tree`.
    """
    num_leaves = len(tree) // 2
    node = num_leaves + index

    # A loop, not unrolled: there XLA's CPU backend copies the whole tree.
    def up(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        tree, node = carry
        node = node // 2
        return tree.at[node].set(tree[2 * node] + tree[2 * node + 1]), node

    return jax.lax.fori_loop(0, num_leaves.bit_length() - 1, up, (tree.at[node].set(value), node))[0]


def find_leaves(tree: jax.Array, fraction: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The leaves at fractions of the total: leaf i owns a part as large as its number. O(B log L).

    Args:
      tree: from `init_tree`, with a positive total.
      fraction: `[B]` in [0, 1).

    Returns:
      Leaves, int32 `[B]`, and their numbers `[B]`; one of zero is never found.

    Example:
      >>> tree = set_leaves(init_tree(4), jnp.array([1, 2]), jnp.array([1.0, 3.0]))
      >>> leaf, number = find_leaves(tree, jnp.array([0.0, 0.2, 0.3, 0.99]))
      >>> leaf.tolist(), number.tolist()
      ([1, 1, 2, 2], [1.0, 1.0, 3.0, 3.0])

    Source: as `init_tree`.
    """
    num_leaves = len(tree) // 2

    # The number comes along: reading it once more beside a later update would make XLA copy the whole tree.
    def down(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        node, rest = carry[:2]
        left, right = tree[2 * node], tree[2 * node + 1]
        go_right = (rest >= left) & (right > 0)  # rounding may leave a rest where nothing is
        return 2 * node + go_right, jnp.where(go_right, rest - left, rest), jnp.where(go_right, right, left)

    total = jnp.broadcast_to(tree[1], fraction.shape)
    root = (jnp.ones(fraction.shape, jnp.int32), fraction * total, total)
    node, _, number = jax.lax.fori_loop(0, num_leaves.bit_length() - 1, down, root)
    return node - num_leaves, number
