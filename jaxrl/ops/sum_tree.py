"""Sampling in proportion to numbers that change: a tree of sums, of 16 children a node, which fill a cache line."""

import jax
import jax.numpy as jnp

FAN = 16


def init_tree(num_leaves: int) -> jax.Array:
    """A tree whose leaves are zero: `[R, FAN]`, a row for the children of each node.

    Row 0 holds the children of the root, row FAN r + c + 1 those of child c of row r, and the last rows the leaves.
    Each number is the sum of the row below it.

    Args:
      num_leaves: numbers to hold.

    Example:
      >>> init_tree(20).shape  # two sums, and the leaves in two rows
      (3, 16)

    Source: Schaul et al. (2016), Prioritized Experience Replay, appendix B.2.1, arXiv:1511.05952; there two children.
    """
    depth = 1
    while FAN**depth < num_leaves:
        depth += 1
    return jnp.zeros((_first_leaf_row(depth) + -(-num_leaves // FAN), FAN))


def _first_leaf_row(depth: int) -> int:
    """Rows above the leaves of a tree of so many levels: 1 + FAN + FAN² and so on."""
    return (FAN ** (depth - 1) - 1) // (FAN - 1)


def _depth(tree: jax.Array) -> int:
    """Levels of a tree; its rows tell."""
    depth = 1
    while _first_leaf_row(depth + 1) < len(tree):
        depth += 1
    return depth


def set_leaves(tree: jax.Array, index: jax.Array, value: jax.Array) -> jax.Array:
    """The tree with new numbers at leaves, and their sums: O(B log L).

    Args:
      tree: from `init_tree`.
      index: int `[B]`; where one stands there twice, which of its values counts is not said.
      value: `[B]`, at least zero.

    Example:
      >>> tree = set_leaves(init_tree(20), jnp.array([1, 18]), jnp.array([1.0, 3.0]))
      >>> tree[0, :3].tolist()
      [1.0, 3.0, 0.0]

    Source: as `init_tree`.
    """
    depth = _depth(tree)
    row = _first_leaf_row(depth) + index // FAN

    # A loop, not unrolled: there XLA's CPU backend copies the whole tree.
    def up(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        tree, row = carry
        above = (row - 1) // FAN
        return tree.at[above, (row - 1) % FAN].set(tree[row].sum(-1)), above

    return jax.lax.fori_loop(0, depth - 1, up, (tree.at[row, index % FAN].set(value), row))[0]


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
    depth = _depth(tree)
    up_to = jnp.triu(jnp.ones((FAN, FAN), tree.dtype))  # sums up to each child: a product is faster than a cumsum
    child = jnp.arange(FAN)[None]

    # The number comes along: reading it once more beside a later update would make XLA copy the whole tree.
    def down(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        row, rest = carry[:2]
        numbers = tree[row]
        sums = numbers @ up_to
        last = (sums < sums[:, -1:]).sum(-1)  # rounding may leave a rest where nothing is any more
        chosen = jnp.minimum((sums <= rest[:, None]).sum(-1), last)
        before = jnp.where(child < chosen[:, None], numbers, 0.0).sum(-1)
        number = jnp.where(child == chosen[:, None], numbers, 0.0).sum(-1)
        return FAN * row + chosen + 1, jnp.maximum(rest - before, 0.0), number

    rest = fraction * tree[0].sum()
    root = (jnp.zeros(fraction.shape, jnp.int32), rest, rest)
    row, _, number = jax.lax.fori_loop(0, depth, down, root)
    # The row below a leaf, which does not exist, has the leaf's number.
    return row - _first_leaf_row(depth + 1), number
