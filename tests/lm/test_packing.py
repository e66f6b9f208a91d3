"""Texts in one row: each is there whole, once, and nothing of another one with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import lm

WIDTH = 12


def texts(seed, count):
    """Texts `[count, WIDTH]` of tokens that are different everywhere, with zeros on both sides; some are empty."""
    rng = np.random.default_rng(seed)
    start, length = rng.integers(0, 4, count), rng.integers(0, WIDTH - 3, count)
    columns = np.arange(WIDTH)
    own = (columns >= start[:, None]) & (columns < (start + length)[:, None])
    tokens = np.where(own, 1 + np.arange(count * WIDTH).reshape(count, WIDTH), 0)
    mask = own & (columns > start[:, None]) & (rng.random(own.shape) < 0.7)
    mask[np.arange(count), start + length - 1] = length > 1  # a text ends with the last token that counts
    return tokens, start, mask


@pytest.mark.parametrize("num_rows", [1, 5, 20])
@pytest.mark.parametrize("seed", range(3))
def test_every_text_stands_once_whole_or_not_at_all(seed, num_rows):
    tokens, start, mask = texts(seed, 20)
    packed, begins, counted, placed = (np.asarray(x) for x in lm.pack(*map(jnp.array, (tokens, start, mask)), num_rows))

    lengths = np.where(mask.any(axis=1), WIDTH - mask[:, ::-1].argmax(axis=1) - start, 0)
    expected, found = np.zeros_like(packed), []
    for text, first, own, length in zip(tokens, start, mask, lengths, strict=True):
        found.append(length > 0 and text[first] in packed)
        if not found[-1]:
            continue
        row, column = np.argwhere(packed == text[first])[0]
        there = slice(column, column + length)
        np.testing.assert_array_equal(packed[row, there], text[first : first + length])
        np.testing.assert_array_equal(counted[row, there], own[first : first + length])
        np.testing.assert_array_equal(begins[row, there], column)
        expected[row, there] += packed[row, there]
    np.testing.assert_array_equal(packed, expected)  # nothing but these texts, and no token of two of them
    assert counted.sum() == mask[placed].sum()
    np.testing.assert_array_equal(placed[lengths > 0], np.array(found)[lengths > 0])
    assert placed.all() == (num_rows == 20)
    room = WIDTH - (packed > 0).sum(axis=1)
    assert (lengths[~placed] > room.max()).all()  # who was left out did not fit


def test_the_longest_come_first_into_the_first_row_with_room():
    length = jnp.array([3, 8, 4, 9, 2])  # 9 and 8 open rows; 4 fits behind 8, 3 behind 9; nothing is left for 2
    columns = jnp.arange(WIDTH)[None]
    mask = (columns > 0) & (columns < length[:, None])
    packed, _, _, placed = lm.pack(jnp.where(mask | (columns == 0), length[:, None], 0), 0 * length, mask, 2)
    assert packed.tolist() == [[9] * 9 + [3] * 3, [8] * 8 + [4] * 4]
    assert placed.tolist() == [True, True, True, True, False]


def test_a_first_token_is_foretold_by_no_neighbour():
    _, _, counted, _ = lm.pack(
        jnp.ones((2, 4), jnp.int32),
        jnp.array([0, 2]),
        jnp.array([[True, True, False, False], [False, False, True, True]]),
        1,
    )
    assert counted.tolist() == [[False, True, False, True]]


def test_there_must_be_a_row():
    with pytest.raises(ValueError, match="num_rows=0 must be an integer, at least 1"):
        lm.pack(jnp.ones((2, 4), jnp.int32), jnp.zeros(2, jnp.int32), jnp.ones((2, 4), bool), 0)


def test_seeds_pack_as_they_would_alone():
    many = [jnp.array(np.stack(x)) for x in zip(*(texts(seed, 8) for seed in range(3)), strict=True)]
    together = jax.vmap(lambda *text: lm.pack(*text, 3))(*many)
    for seed in range(3):
        for all_of_it, alone in zip(together, lm.pack(*(x[seed] for x in many), 3), strict=True):
            np.testing.assert_array_equal(all_of_it[seed], alone)
