"""What a task asks, and how it is asked."""

from typing import Any, Protocol

import flax.struct
import jax

from jaxrl.lm.decoding import Completions
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.tokenizers import Tokenizer


@flax.struct.dataclass
class Prompts:
    """Questions, padded on the left, `[P, ...]`.

    Args:
      tokens: int `[P, L]`.
      start: int `[P]`, column of each first token.
      answer: what the verifier needs to know besides, a pytree `[P, ...]`.

    Example:
      >>> prompts = Prompts(jnp.array([[0, 5], [6, 7]]), jnp.array([1, 0]))
      >>> prompts.repeat(2).start.tolist()
      [1, 1, 0, 0]

    Source: our own.
    """

    tokens: jax.Array
    start: jax.Array
    answer: Any = None

    def repeat(self, group_size: int) -> "Prompts":
        """Every question `group_size` times, beside each other: `[P G, ...]`."""
        return jax.tree.map(lambda x: x.repeat(group_size, axis=0), self)


@flax.struct.dataclass
class Text:
    """Prompts with their answers, `[B, L + T]`.

    Args:
      tokens: int; prompts all end in the same column.
      prompt_length: L; 0 for texts without prompts.
      mask: bool `[B, T]`, tokens of the answers that count.
      start: int `[B]`, column of each first token; None: 0.

    Example:
      >>> Text(jnp.array([[5, 6, 7]]), 1, jnp.array([[True, True]])).tokens.shape
      (1, 3)

    Source: our own.
    """

    tokens: jax.Array
    prompt_length: int = flax.struct.field(pytree_node=False)
    mask: jax.Array
    start: jax.Array | None = None


class Task(Protocol):
    """A sampler of prompts, a strict verifier, and a corpus: a pytree, whose floats and arrays are leaves."""

    @property
    def tokenizer(self) -> Tokenizer:
        """From text to tokens and back."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How completions are drawn, unless the learner says otherwise."""
        ...

    def prompts(self, key: jax.Array, num_prompts: int, held_out: bool = False) -> Prompts:
        """Prompts of the training split, or of the held-out one. The key is consumed."""
        ...

    def verify(self, prompts: Prompts, completions: Completions) -> jax.Array:
        """Rewards `[B]`, float32: 1 for exactly what was asked. Anything else, one stray token, is 0."""
        ...

    def conclusion(self, completions: Completions) -> jax.Array:
        """What completions say in the end, `[B, ...]`: equal where two of them agree."""
        ...

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """Texts of prompts of the training split with answers as its teacher gives them. The key is consumed."""
        ...
