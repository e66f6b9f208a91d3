"""Countdown: reach a number by three others, each used once."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.lm.generate import Completions
from jaxrl.lm.prompts import Prompts, Text
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.splits import of_split
from jaxrl.lm.tokenizers import Characters
from jaxrl.types import static

ALPHABET = ".0123456789+-*=;"
"""Padding, digits, the operators (the first two are signs as well), and the end."""
ZERO, ADD, SUBTRACT, MULTIPLY, EQUALS, END = 1, 11, 12, 13, 14, 15
LENGTH = 5
"""Tokens of an expression: three numbers and two operators, in reverse Polish notation."""


@flax.struct.dataclass
class Countdown:
    """Three numbers and a target; `372+042=` is answered by `37*2*;`, as 3 x 7 x 2 = 42.

    Answers are in reverse Polish notation: operators stand behind what they work on. The teacher writes a random
    expression, and asks afterwards for what it comes to.

    Args:
      largest: numbers are from 1 to it, 9 at most.

    Example:
      >>> task = Countdown()
      >>> task.tokenizer.decode(task.prompts(jax.random.key(0), 1).tokens[0])
      '735+015='

    Source: after Gandhi et al. (2024), Stream of Search, arXiv:2404.03683, with three numbers.
    """

    largest: int = static(9, low=1, high=9)

    @property
    def tokenizer(self) -> Characters:
        """One token per character of the alphabet."""
        return Characters(ALPHABET)

    @property
    def sampling(self) -> Sampling:
        """Of at most six tokens: an expression, and the end."""
        return Sampling(LENGTH + 1, (END,))

    def prompts(self, key: jax.Array, num_prompts: int, held_out: bool = False) -> Prompts:
        """Numbers, sign and digits of a target that some expression reaches `[P, 8]`; the answer is both again.

        The same numbers in another order are of the same split. The key is consumed.
        """
        return self._asked(key, num_prompts, held_out)[0]

    def verify(self, prompts: Prompts, completions: Completions) -> jax.Array:
        """1 for an expression that uses each number once and comes to the target, and the end, `[B]`."""
        numbers, target = prompts.answer
        short = max(0, LENGTH + 1 - completions.tokens.shape[1])
        tokens = jnp.pad(completions.counted, ((0, 0), (0, short)), constant_values=-1)
        value, valid = jax.vmap(evaluate)(tokens[:, :LENGTH], numbers)
        ended = (completions.lengths == LENGTH + 1) & (tokens[:, LENGTH] == END)
        return (valid & ended & (value == target)).astype(jnp.float32)

    def conclusion(self, completions: Completions) -> jax.Array:
        """All tokens of the answers `[B, T]`."""
        return completions.counted

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """Texts `[B, 14]` of prompts with the expression they were made of. The key is consumed."""
        prompts, expression = self._asked(key, num_texts, held_out=False)
        answer = jnp.concatenate([expression, jnp.full((num_texts, 1), END)], axis=1)
        tokens = jnp.concatenate([prompts.tokens, answer], axis=1)
        return Text(tokens, prompts.tokens.shape[1], jnp.ones(answer.shape, bool))

    def _asked(self, key: jax.Array, num_prompts: int, held_out: bool) -> tuple[Prompts, jax.Array]:
        """Prompts, and the expression `[P, 5]` behind each."""

        def draw(key: jax.Array) -> tuple[jax.Array, Any]:
            number_key, order_key, operator_key, shape_key = jax.random.split(key, 4)
            numbers = jax.random.randint(number_key, (num_prompts, 3), 1, self.largest + 1)
            ordered = jax.random.permutation(order_key, numbers, axis=1, independent=True) + ZERO
            operators = jax.random.randint(operator_key, (num_prompts, 2), ADD, MULTIPLY + 1)
            a, b, c = ordered.T
            first, second = operators.T
            left = jax.random.bernoulli(shape_key, shape=(num_prompts,))
            third, fourth = jnp.where(left, first, c), jnp.where(left, c, first)
            expression = jnp.stack([a, b, third, fourth, second], axis=1)
            target, _ = jax.vmap(evaluate)(expression, numbers)
            identity = jnp.concatenate([jnp.sort(numbers, axis=1), target[:, None]], axis=1)
            start = jnp.zeros(num_prompts, jnp.int32)
            return identity, (Prompts(_question(numbers, target), start, (numbers, target)), expression)

        return of_split(draw, key, held_out)


def _question(numbers: jax.Array, target: jax.Array) -> jax.Array:
    """Tokens `[P, 8]` of numbers `[P, 3]` and targets `[P]`."""
    sign = jnp.where(target < 0, SUBTRACT, ADD)
    digits = [ZERO + jnp.abs(target) // power % 10 for power in (100, 10, 1)]
    rest = jnp.stack([sign, *digits, jnp.full(len(target), EQUALS)], axis=1)
    return jnp.concatenate([numbers + ZERO, rest], axis=1)


def evaluate(expression: jax.Array, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What an expression comes to, by a stack machine.

    Args:
      expression: int `[5]` tokens.
      numbers: int `[3]`, what may be used, each once.

    Returns:
      The value, and whether the expression is one: every token a number that is left or an operator that finds two
      values, all numbers used, one value left.

    Example:
      >>> value, valid = evaluate(jnp.array([4, 8, 13, 3, 13]), jnp.array([3, 7, 2]))
      >>> print(value, valid)
      42 True

    Source: our own.
    """
    stack, height = jnp.zeros(LENGTH, jnp.int32), jnp.int32(0)
    used, valid = jnp.zeros(3, bool), jnp.bool_(True)
    for token in expression:
        free = (numbers + ZERO == token) & ~used
        is_number = (token >= ZERO) & (token < ADD)
        is_operator = (token >= ADD) & (token <= MULTIPLY)
        valid &= jnp.where(is_number, free.any(), is_operator & (height >= 2))
        a, b = stack[jnp.maximum(height - 2, 0)], stack[jnp.maximum(height - 1, 0)]
        result = jnp.select([token == ADD, token == SUBTRACT], [a + b, a - b], a * b)
        place = jnp.where(is_number, height, jnp.maximum(height - 2, 0))
        stack = stack.at[place].set(jnp.where(is_number, token - ZERO, result))
        height = place + 1
        used |= (jnp.arange(3) == jnp.argmax(free)) & free
    return stack[0], valid & (height == 1) & used.all()
