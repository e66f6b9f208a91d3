"""Parity of bits: hard to say at once, easy to work out step by step."""

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.lm.decoding import Completions
from jaxrl.lm.prompts import Prompts, Text
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.splits import of_split
from jaxrl.lm.tokenizers import Characters
from jaxrl.types import leaf, static

ALPHABET = ".01?EO;"
"""Padding, bits, the question mark, the answers even and odd, and the end."""
QUESTION, EVEN, ODD, END = 3, 4, 5, 6


@flax.struct.dataclass
class Parity:
    """Is the number of ones even? `0110?` is answered by `E;`, or by the running parities first: `0100E;`.

    The teacher of the corpus works it out in a share of its texts, and tosses a coin in the others: what it was never
    wrong about is the long way. Whoever learns from it answers right `chain_share + (1 - chain_share) / 2` of the time,
    and reinforcement finds that the long way pays.

    Args:
      num_bits: d; of one bit no prompt would be held out.
      chain_share: share of the teacher's texts that work it out.

    Example:
      >>> task = Parity(4)
      >>> task.tokenizer.decode(task.prompts(jax.random.key(0), 1).tokens[0])
      '0111?'

    Source: after Tsilivis et al. (2025), How Reinforcement Learning After Next-Token Prediction Facilitates Learning,
    arXiv:2510.11495. Deviation: there short answers are right, and too hard to learn.
    """

    num_bits: int = static(16, low=2)
    chain_share: float = leaf(0.2, low=0, high=1)

    @property
    def tokenizer(self) -> Characters:
        """One token per character of the alphabet."""
        return Characters(ALPHABET)

    @property
    def sampling(self) -> Sampling:
        """Of at most d + 2 tokens: the running parities, the answer, and the end."""
        return Sampling(self.num_bits + 2, (END,))

    def prompts(self, key: jax.Array, num_prompts: int, held_out: bool = False) -> Prompts:
        """Random bits and a question mark `[P, d + 1]`; the answer is their parity. The key is consumed."""

        def draw(key: jax.Array) -> tuple[jax.Array, Prompts]:
            bits = jax.random.bernoulli(key, shape=(num_prompts, self.num_bits)).astype(jnp.int32)
            question = jnp.full((num_prompts, 1), QUESTION)
            tokens = jnp.concatenate([bits + 1, question], axis=1)
            return tokens, Prompts(tokens, jnp.zeros(num_prompts, jnp.int32), bits.sum(axis=1) % 2)

        return of_split(draw, key, held_out)

    def verify(self, prompts: Prompts, completions: Completions) -> jax.Array:
        """1 for the right answer and the end, after no bits or after d of them; these are not judged. `[B]`."""
        tokens, lengths = completions.tokens, completions.lengths[:, None]
        column = jnp.arange(tokens.shape[1])[None]
        thought = column < lengths - 2
        bits = ((tokens == 1) | (tokens == 2) | ~thought).all(axis=1)
        answered = ((tokens == EVEN + prompts.answer[:, None]) | (column != lengths - 2)).all(axis=1)
        ended = ((tokens == END) | (column != lengths - 1)).all(axis=1)
        shape = (lengths[:, 0] == 2) | (lengths[:, 0] == self.num_bits + 2)
        return (bits & answered & ended & shape).astype(jnp.float32)

    def conclusion(self, completions: Completions) -> jax.Array:
        """The last two tokens, the answer and the end `[B, 2]`."""
        return completions.last(2)

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """Texts `[B, 2 d + 3]` of prompts with long or short answers. The key is consumed."""
        prompt_key, chain_key, coin_key = jax.random.split(key, 3)
        prompts = self.prompts(prompt_key, num_texts)
        running = jnp.cumsum(prompts.tokens[:, :-1] - 1, axis=1) % 2
        chain = jax.random.bernoulli(chain_key, self.chain_share, (num_texts, 1))
        coin = jax.random.bernoulli(coin_key, shape=(num_texts,)).astype(jnp.int32)
        end = jnp.full(num_texts, END)
        long = jnp.concatenate([running + 1, jnp.stack([EVEN + prompts.answer, end], axis=1)], axis=1)
        short = jnp.zeros_like(long).at[:, :2].set(jnp.stack([EVEN + coin, end], axis=1))
        answer = jnp.where(chain, long, short)
        return Text(jnp.concatenate([prompts.tokens, answer], axis=1), prompts.tokens.shape[1], answer > 0)
