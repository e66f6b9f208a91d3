"""Strings of letters, written again: backwards, or in order."""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.lm.decoding import Completions
from jaxrl.lm.prompts import Prompts, Text
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.splits import of_split
from jaxrl.lm.tokenizers import Characters
from jaxrl.types import leaf, static

ALPHABET = ".abcdefghij=;"
"""Padding, letters, the sign that asks, and the end."""
NUM_LETTERS, EQUALS, END = 10, 11, 12


def reversed_letters(letters: jax.Array) -> jax.Array:
    """Letters `[B, n]`, the last first, of letters padded on the left by 0; padded on the right by 0.

    Example:
      >>> reversed_letters(jnp.array([[0, 3, 1]])).tolist()
      [[1, 3, 0]]

    Source: our own.
    """
    return letters[:, ::-1]


def sorted_letters(letters: jax.Array) -> jax.Array:
    """Letters `[B, n]` in the order of the alphabet, of letters padded by 0; padded on the right by 0.

    Example:
      >>> sorted_letters(jnp.array([[0, 3, 1]])).tolist()
      [[1, 3, 0]]

    Source: our own.
    """
    last = jnp.iinfo(letters.dtype).max
    ordered = jnp.sort(jnp.where(letters == 0, last, letters), axis=1)
    return jnp.where(ordered == last, 0, ordered)


@flax.struct.dataclass
class Strings:
    """A string of letters to write again: reversed, `cab=` is answered by `bac;`; sorted, by `abc;`.

    Strings have random lengths, and are padded on the left. The teacher of the corpus replaces each letter by a random
    one with probability `slip`.

    Args:
      longest: n, letters of a string at most; of less than 2 none would be held out.
      shortest: letters at least.
      rule: function of letters `[B, n]` that gives the answer, `reversed_letters` or `sorted_letters`.
      slip: probability that the teacher replaces a letter; the new one may be the old one.

    Example:
      >>> task = Strings(5, shortest=5, rule=sorted_letters)
      >>> text = task.corpus(jax.random.key(0), 3).tokens[1]
      >>> task.tokenizer.decode(text)
      'jceae=aceej;'

    Source: after Lee et al. (2025), Self-Improving Transformers Overcome Easy-to-Hard and Length Generalization
    Challenges, arXiv:2502.01612.
    """

    longest: int = static(8, low=2)
    shortest: int = static(1, low=1)
    rule: Callable[[jax.Array], jax.Array] = static(reversed_letters)
    slip: float = leaf(0.0, low=0, high=1)

    def __post_init__(self) -> None:
        if self.shortest > self.longest:
            raise ValueError(f"shortest={self.shortest} must be at most longest={self.longest}")

    @property
    def tokenizer(self) -> Characters:
        """One token per character of the alphabet."""
        return Characters(ALPHABET)

    @property
    def sampling(self) -> Sampling:
        """Of at most n + 1 tokens: the letters, and the end."""
        return Sampling(self.longest + 1, (END,))

    def prompts(self, key: jax.Array, num_prompts: int, held_out: bool = False) -> Prompts:
        """Random strings and the sign `[P, n + 1]`; the answer is the tokens of the right one. The key is consumed.

        A string is of the same split whatever `longest` is.
        """

        def draw(key: jax.Array) -> tuple[jax.Array, Prompts]:
            length_key, letter_key = jax.random.split(key)
            lengths = jax.random.randint(length_key, (num_prompts,), self.shortest, self.longest + 1)
            start = self.longest - lengths
            letters = jax.random.randint(letter_key, (num_prompts, self.longest), 1, NUM_LETTERS + 1)
            letters = jnp.where(jnp.arange(self.longest)[None] >= start[:, None], letters, 0)
            tokens = jnp.concatenate([letters, jnp.full((num_prompts, 1), EQUALS)], axis=1)
            return _number(letters), Prompts(tokens, start, _ended(self.rule(letters), lengths))

        return of_split(draw, key, held_out)

    def verify(self, prompts: Prompts, completions: Completions) -> jax.Array:
        """1 for exactly the letters and the end, `[B]`."""
        asked = jnp.where(prompts.answer > 0, prompts.answer, -1)
        return completions.equal(asked).astype(jnp.float32)

    def conclusion(self, completions: Completions) -> jax.Array:
        """All tokens of the answers `[B, T]`."""
        return completions.counted

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """Texts `[B, 2 n + 2]` of prompts with answers of the teacher. The key is consumed."""
        prompt_key, slip_key, letter_key = jax.random.split(key, 3)
        prompts = self.prompts(prompt_key, num_texts)
        letters = (prompts.answer > 0) & (prompts.answer < END)
        slips = letters & jax.random.bernoulli(slip_key, self.slip, letters.shape)
        new = jax.random.randint(letter_key, letters.shape, 1, NUM_LETTERS + 1)
        answer = jnp.where(slips, new, prompts.answer)
        tokens = jnp.concatenate([prompts.tokens, answer], axis=1)
        return Text(tokens, prompts.tokens.shape[1], prompts.answer > 0, prompts.start)


def _number(letters: jax.Array) -> jax.Array:
    """Strings `[B, n]` as numbers `[B, 1]`, modulo 2³²: padding on the left does not change them."""
    powers = (NUM_LETTERS + 1) ** jnp.arange(letters.shape[1])[None, ::-1]
    return (letters * powers).sum(axis=1, keepdims=True)


def _ended(letters: jax.Array, lengths: jax.Array) -> jax.Array:
    """Tokens `[B, n + 1]` of letters padded on the right by 0, with the end behind them."""
    padded = jnp.pad(letters, ((0, 0), (0, 1)))
    return jnp.where(jnp.arange(padded.shape[1])[None] == lengths[:, None], END, padded)
