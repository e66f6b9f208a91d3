"""Countdown: reach a number by three others, each used once."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.lm.decoding import Completions
from jaxrl.lm.prompts import Prompts, Text
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.splits import of_split
from jaxrl.lm.tokenizers import Characters
from jaxrl.types import leaf, static

ALPHABET = ".0123456789+-*=;,"
"""Padding, digits, the operators (the first two are signs as well), and the ends of questions, answers and needs."""
ZERO, ADD, SUBTRACT, MULTIPLY, EQUALS, END, NEXT = 1, 11, 12, 13, 14, 15, 16
LENGTH = 5
"""Tokens of an expression: three numbers and two operators, in reverse Polish notation."""
NEEDS = 9
"""What a first step may have to come to: three needs for each of the numbers that it leaves out."""
NEED = 3
"""Tokens of a need: two digits, and the operator that meets it or a comma."""
PAIRS = np.array([[0, 1, 2], [0, 2, 1], [1, 2, 0]])
"""The two numbers of a first step, and the one that it leaves out."""


def _forms(pair: np.ndarray, operator: int) -> list[tuple[int, ...]]:
    """The twelve expressions that begin with this pair and operator: 0 to 2 are numbers, 3 to 5 operators."""
    p, q, left_out = pair
    return [
        form
        for a, b in ((p, q), (q, p))
        for last in (3, 4, 5)
        for form in ((a, b, operator, left_out, last), (left_out, a, b, operator, last))
    ]


FORMS = np.array([[_forms(pair, operator) for operator in (3, 4, 5)] for pair in PAIRS])
"""All expressions, by the pair and the operator of their first step, `[3, 3, 12, 5]`."""


@flax.struct.dataclass
class Countdown:
    """Three numbers and a target; `372+042=` is answered by `37*2*;`, as 3 x 7 x 2 = 42.

    Answers are in reverse Polish notation: operators stand behind what they work on. A search backwards may come first,
    `40,44,21*37*2*;`: if 2 is used last, the other two must come to 40 (and 2 is added), to 44 (subtracted) or to 21
    (multiplied); 3 and 7 make neither 40 nor 44, but 21 by `*`. Then the second number is used last, then the first.
    Needs of three digits and quotients that are not whole are written `--`. Needs have no sign: signs are left to the
    expression.

    The teacher of the corpus always searches, and stops at the first need that can be met. At each one before, it slips
    with probability `slip`: it takes the need for met by `+`, and writes down the sum of all three, or what else begins
    with that sum and is right. Whoever is rewarded for right expressions searches more patiently than the teacher.

    Args:
      largest: numbers are from 1 to it, 9 at most.
      slip: probability that the teacher stops at a need that cannot be met.

    Example:
      >>> task = Countdown()
      >>> task.tokenizer.decode(task.prompts(jax.random.key(0), 1).tokens[0])
      '497+091='

    Source: after Gandhi et al. (2024), Stream of Search, arXiv:2404.03683, with three numbers.
    """

    largest: int = static(9, low=1, high=9)
    slip: float = leaf(0.08, low=0, high=1)

    @property
    def tokenizer(self) -> Characters:
        """One token per character of the alphabet."""
        return Characters(ALPHABET)

    @property
    def sampling(self) -> Sampling:
        """Of at most 33 tokens: nine needs, an expression, and the end."""
        return Sampling(NEEDS * NEED + LENGTH + 1, (END,))

    def prompts(self, key: jax.Array, num_prompts: int, held_out: bool = False) -> Prompts:
        """Numbers, sign and digits of what a random expression comes to `[P, 8]`; the answer is numbers and target.

        The same numbers in another order are of the same split. The key is consumed.
        """

        def draw(key: jax.Array) -> tuple[jax.Array, Prompts]:
            number_key, form_key = jax.random.split(key)
            numbers = jax.random.randint(number_key, (num_prompts, 3), 1, self.largest + 1)
            form = jax.random.choice(form_key, jnp.array(FORMS.reshape(-1, LENGTH)), (num_prompts,))
            expression = jnp.take_along_axis(_symbols(numbers), form, axis=1)
            target, _ = jax.vmap(evaluate)(expression, numbers)
            identity = jnp.concatenate([jnp.sort(numbers, axis=1), target[:, None]], axis=1)
            return identity, Prompts(_question(numbers, target), jnp.zeros(num_prompts, jnp.int32), (numbers, target))

        return of_split(draw, key, held_out)

    def verify(self, prompts: Prompts, completions: Completions) -> jax.Array:
        """1 for an expression that uses each number once and comes to the target, and the end; `[B]`.

        What stands before must be needs by their form, of which only the last has an operator; they are not judged.
        """
        numbers, target = prompts.answer
        tokens = self.conclusion(completions)
        value, valid = jax.vmap(evaluate)(tokens[:, :LENGTH], numbers)
        right = valid & (value == target) & (tokens[:, LENGTH] == END)
        return (right & _thought(completions)).astype(jnp.float32)

    def conclusion(self, completions: Completions) -> jax.Array:
        """The last six tokens, the expression and the end `[B, 6]`."""
        return completions.last(LENGTH + 1)

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """Texts `[B, 41]` of prompts with the teacher's search and expression. The key is consumed."""
        prompt_key, slip_key = jax.random.split(key)
        prompts = self.prompts(prompt_key, num_texts)
        slips = jax.random.bernoulli(slip_key, self.slip, (num_texts, NEEDS))
        numbers, target = prompts.answer
        needs, expression = jax.vmap(_search)(numbers, target, slips)
        end = jnp.pad(expression, ((0, 0), (0, 1)), constant_values=END)
        room = jnp.pad(needs, ((0, 0), (0, end.shape[1])))
        answer = jax.vmap(jax.lax.dynamic_update_slice)(room, end, (needs > 0).sum(axis=1, keepdims=True))
        return Text(jnp.concatenate([prompts.tokens, answer], axis=1), prompts.tokens.shape[1], answer > 0)


def _symbols(numbers: jax.Array) -> jax.Array:
    """Tokens `[..., 6]` of numbers `[..., 3]` and of the three operators."""
    operators = jnp.broadcast_to(jnp.array([ADD, SUBTRACT, MULTIPLY]), numbers.shape)
    return jnp.concatenate([numbers + ZERO, operators], axis=-1)


def _question(numbers: jax.Array, target: jax.Array) -> jax.Array:
    """Tokens `[P, 8]` of numbers `[P, 3]` and targets `[P]`."""
    sign = jnp.where(target < 0, SUBTRACT, ADD)
    digits = [ZERO + jnp.abs(target) // power % 10 for power in (100, 10, 1)]
    rest = jnp.stack([sign, *digits, jnp.full(len(target), EQUALS)], axis=1)
    return jnp.concatenate([numbers + ZERO, rest], axis=1)


def _search(numbers: jax.Array, target: jax.Array, slips: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Needs `[27]`, padded behind the first that can be met or is taken for it, and an expression `[5]` that follows.

    Args:
      numbers: int `[3]`.
      target: int `[]`, what some expression comes to.
      slips: bool `[9]`, whether a need that cannot be met is taken for met.
    """
    a, b, last = numbers[PAIRS].T
    made = jnp.stack([a + b, jnp.abs(a - b), a * b], axis=1)
    size = jnp.abs(target)
    divided = jnp.where(size % last == 0, size // last, -1)
    needs = jnp.stack([jnp.abs(size - last), size + last, divided], axis=1)
    expressions = _symbols(numbers)[FORMS]
    values, _ = jax.vmap(evaluate, in_axes=(0, None))(expressions.reshape(-1, LENGTH), numbers)
    right = (values == target).reshape(FORMS.shape[:-1])
    met = ((needs[:, :, None] == made[:, None, :]) & right.any(axis=2)[:, None, :]).reshape(NEEDS, 3)
    first = jnp.argmax(met.any(axis=1) | slips)
    pair, operator = first // 3, jnp.argmax(met[first])
    expression = expressions[pair, operator, jnp.argmax(right[pair, operator])]
    needs, order = needs.reshape(NEEDS), jnp.arange(NEEDS)
    possible = (needs >= 0) & (needs < 100)
    digits = [jnp.where(possible, ZERO + needs // power % 10, SUBTRACT) for power in (10, 1)]
    tokens = jnp.stack([*digits, jnp.where(order == first, ADD + operator, NEXT)], axis=1)
    return jnp.where(order[:, None] <= first, tokens, 0).reshape(NEEDS * NEED), expression


def _thought(completions: Completions) -> jax.Array:
    """Whether what stands before the last six tokens are needs, nine at most, the last with an operator, `[B]`."""
    tokens, length = completions.tokens, completions.lengths[:, None] - LENGTH - 1
    column = jnp.arange(tokens.shape[1])[None]
    digit, dash = (tokens >= ZERO) & (tokens < ADD), tokens == SUBTRACT
    operator = (tokens >= ADD) & (tokens <= MULTIPLY)
    mark = jnp.where(column == length - 1, operator, tokens == NEXT)
    same = jnp.roll(dash, -1, axis=1) == dash  # both of a need's characters are digits, or both are dashes
    number = (digit | dash) & (same | (column % NEED == 1))
    needs = (jnp.where(column % NEED == NEED - 1, mark, number) | (column >= length)).all(axis=1)
    length = length[:, 0]
    return needs & (length >= 0) & (length <= NEEDS * NEED) & (length % NEED == 0)


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
