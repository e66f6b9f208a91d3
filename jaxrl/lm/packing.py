"""Several texts in one row, so that little of a batch is padding."""

import jax
import jax.numpy as jnp

from jaxrl.types import whole_number


def pack(
    tokens: jax.Array, start: jax.Array, mask: jax.Array, num_rows: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Put texts beside each other, the longest first, each into the first row that has room for it.

    Positions of a text count from its own first token, and it sees nothing of its neighbours: its loss is what it is in
    a row of its own. A text that is longer than the room that is left in any row when its turn comes is left out.

    Args:
      tokens: int `[B, C]`, texts in their rows.
      start: int `[B]`, column of each text's first token.
      mask: bool `[B, C]`, tokens that count, of which a text's first is none: nothing of the text foretells it. A text
        ends with its last one; without any it needs no room.
      num_rows: R.

    Returns:
      Tokens int, for each the column of its text's first one, int, and the mask, bool, `[R, C]`; and which texts have
      been placed, bool `[B]`.

    Raises:
      ValueError: if there are no rows.

    Example:
      >>> tokens, mask = jnp.array([[5, 6, 0, 0], [7, 8, 0, 0]]), jnp.array([[False, True, False, False]] * 2)
      >>> packed, start, mask, placed = pack(tokens, jnp.zeros(2, jnp.int32), mask, 1)
      >>> packed.tolist(), start.tolist(), mask.tolist()
      ([[5, 6, 7, 8]], [[0, 0, 2, 2]], [[False, True, False, True]])

    Source: Krell et al. (2021), Efficient Sequence Packing without Cross-contamination, arXiv:2107.02027, for the
    attention; the rule is first-fit decreasing.
    """
    whole_number("num_rows", num_rows, 1)
    width = tokens.shape[1]
    columns = jnp.arange(width)[None]
    length = jnp.maximum(jnp.where(mask, columns + 1, 0).max(axis=1) - start, 0)
    order = jnp.argsort(-length)
    tokens, start, mask, length = (x[order] for x in (tokens, start, mask, length))

    def place(room: jax.Array, length: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        fits = room >= length
        row = jnp.where(fits.any(), fits.argmax(), num_rows)  # no row of that index is ever written
        return room.at[row].add(-length, mode="drop"), (row, width - room.at[row].get(mode="fill", fill_value=0))

    _, (row, column) = jax.lax.scan(place, jnp.full(num_rows, width), length)
    behind = columns - start[:, None]
    own = (behind >= 0) & (behind < length[:, None])
    index = (jnp.where(own, row[:, None], num_rows), behind + column[:, None])

    def scattered(x: jax.Array) -> jax.Array:
        return jnp.zeros((num_rows, width), x.dtype).at[index].set(x, mode="drop")

    first = jnp.broadcast_to(column[:, None], tokens.shape)
    placed = jnp.zeros(len(row), bool).at[order].set(row < num_rows)
    return scattered(tokens), scattered(first), scattered(mask & (behind > 0)), placed
