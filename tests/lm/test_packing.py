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


def test_seeds_pack_as_they_would_alone():
    many = [jnp.array(np.stack(x)) for x in zip(*(texts(seed, 8) for seed in range(3)), strict=True)]
    together = jax.vmap(lambda *text: lm.pack(*text, 3))(*many)
    for seed in range(3):
        for all_of_it, alone in zip(together, lm.pack(*(x[seed] for x in many), 3), strict=True):
            np.testing.assert_array_equal(all_of_it[seed], alone)
