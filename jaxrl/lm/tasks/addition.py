"""Addition, learned from a teacher who slips."""

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.lm.decoding import Completions
from jaxrl.lm.prompts import Prompts, Text
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.splits import of_split
from jaxrl.lm.tokenizers import Characters
from jaxrl.types import leaf, static

ALPHABET = ".0123456789+=;"
"""Padding, digits, the signs, and the end."""
PLUS, EQUALS, END = 11, 12, 13


@flax.struct.dataclass
class Addition:
    """The sum of two numbers, its last digit first: `123+989=` is answered by `2111;`.

    The teacher of the corpus replaces each digit of a sum by a random one with probability `slip`. What it writes is
    right (1 - 0.9 slip) to the power of the number of digits; what it means is right always, and whoever is rewarded
    for right sums ends up better than the teacher.

    Args:
      num_digits: of both numbers, leading zeros included.
      slip: probability that the teacher replaces a digit; the new one may be the old one.

    Example:
      >>> task = Addition(3)
      >>> task.tokenizer.decode(task.prompts(jax.random.key(0), 1).tokens[0])
      '117+764='

    Source: Lee et al. (2023), Teaching Arithmetic to Small Transformers, arXiv:2307.03381, for the order of digits;
    the teacher is our own.
    """

    num_digits: int = static(3, low=1)
    slip: float = leaf(0.1, low=0, high=1)

    @property
    def tokenizer(self) -> Characters:
        """One token per character of the alphabet."""
        return Characters(ALPHABET)

    @property
    def sampling(self) -> Sampling:
        """Of at most d + 2 tokens: the digits of the sum, and the end."""
        return Sampling(self.num_digits + 2, (END,))

    def prompts(self, key: jax.Array, num_prompts: int, held_out: bool = False) -> Prompts:
        """Two random numbers `[P, 2 d + 2]`; the answer is the digits of their sum `[P, d + 1]`.

        `12+34` and `34+12` are of one split. The key is consumed.
        """

        def draw(key: jax.Array) -> tuple[jax.Array, Prompts]:
            digits = jax.random.randint(key, (2, num_prompts, self.num_digits), 0, 10)
            sign, equals = (jnp.full((num_prompts, 1), token) for token in (PLUS, EQUALS))
            tokens = jnp.concatenate([digits[0] + 1, sign, digits[1] + 1, equals], axis=1)
            powers = 10 ** jnp.arange(self.num_digits)[None, None, ::-1]
            identity = jnp.sort((digits * powers).sum(axis=2).T, axis=1)
            return identity, Prompts(tokens, jnp.zeros(num_prompts, jnp.int32), _sum_digits(digits))

        return of_split(draw, key, held_out)

    def verify(self, prompts: Prompts, completions: Completions) -> jax.Array:
        """1 for exactly the digits of the sum and the end, `[B]`."""
        end = jnp.full((len(prompts.answer), 1), END)
        right = jnp.concatenate([prompts.answer + 1, end], axis=1)
        return completions.equal(right).astype(jnp.float32)

    def conclusion(self, completions: Completions) -> jax.Array:
        """All tokens of the answers `[B, T]`."""
        return completions.counted

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """Texts `[B, 3 d + 4]` of prompts with answers of the teacher. The key is consumed."""
        prompt_key, slip_key, digit_key = jax.random.split(key, 3)
        prompts = self.prompts(prompt_key, num_texts)
        shape = prompts.answer.shape
        slips = jax.random.bernoulli(slip_key, self.slip, shape)
        digits = jnp.where(slips, jax.random.randint(digit_key, shape, 0, 10), prompts.answer)
        answer = jnp.concatenate([digits + 1, jnp.full((num_texts, 1), END)], axis=1)
        tokens = jnp.concatenate([prompts.tokens, answer], axis=1)
        return Text(tokens, prompts.tokens.shape[1], jnp.ones(answer.shape, bool))


def _sum_digits(digits: jax.Array) -> jax.Array:
    """Digits `[P, d + 1]` of sums, the last first, of digits `[2, P, d]`, the first first."""
    columns = jnp.moveaxis(digits.sum(axis=0), 1, 0)[::-1]

    def add(carry: jax.Array, column: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (column + carry) // 10, (column + carry) % 10

    carry, low = jax.lax.scan(add, jnp.zeros_like(columns[0]), columns)
    return jnp.concatenate([jnp.moveaxis(low, 0, 1), carry[:, None]], axis=1)
