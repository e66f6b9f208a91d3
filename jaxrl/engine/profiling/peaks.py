"""What the device can do at most, measured: operations a second, bytes a second, seconds of a launch."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.engine.profiling.counts import count
from jaxrl.engine.profiling.memory import fits
from jaxrl.engine.profiling.programs import counted

REGION = 0.02
"""Seconds of a measurement at least."""
COPIES = 16
"""Of an array, and products of one with a vector, in one program."""
SMALLEST = 2**26
"""Numbers of an array that no cache of a CPU holds; of an accelerator's there are four times as many, if they fit."""
TURNS = 1000
"""Of the loop that is timed."""
SIZES = (1024, 2048, 4096, 8192)
"""Of square matrices, growing until a product takes a region."""


@dataclasses.dataclass(frozen=True)
class Peaks:
    """Limits of one device, each the best of several regions."""

    product_flops: float
    """FLOP/s of the largest float32 matrix product, by the precision that is the default on the device."""
    low_product_flops: float
    """The same in bfloat16."""
    copy_bytes: float
    """Bytes/s of an array that is read and written."""
    product_bytes: float
    """Bytes/s of a matrix–vector product, which reads."""
    launch_seconds: float
    """Seconds from the call of a compiled program of one kernel to its end."""
    turn_seconds: float
    """Seconds of a turn of a loop inside of a program, its kernels left out; zero where those explain all of it."""
    kernel_seconds: float
    """Seconds of one more small kernel in such a turn."""

    @property
    def bytes(self) -> float:
        """Bytes/s, the better one."""
        return max(self.copy_bytes, self.product_bytes)


def measure_peaks() -> Peaks:
    """Measure the first device, in a few seconds: anew each time, for the machine may be in another mood.

    Returns:
      Its limits.

    Source: the axes of Williams et al. (2009), Roofline: an Insightful Visual Performance Model.
    """
    small = jnp.zeros(8)
    loops = [_small_kernels.lower(small, kernels=n).compile() for n in (1, 17)]
    one, many = (fastest(loop, small) / TURNS for loop in loops)
    kernels = [counted(loop.as_text() or "", count).kernels / TURNS for loop in loops]
    kernel_seconds = _not_negative((many - one) / (kernels[1] - kernels[0] or math.nan))

    size = SMALLEST if jax.default_backend() == "cpu" else 4 * SMALLEST
    while size > SMALLEST and not fits(2 * 4 * size, None):
        size //= 2
    return Peaks(
        product_flops=_product(jnp.float32),
        low_product_flops=_product(jnp.bfloat16),
        copy_bytes=_copied(size),
        product_bytes=_multiplied(size),
        launch_seconds=fastest(jax.jit(lambda x: x + 1), small),
        turn_seconds=_not_negative(one - kernels[0] * kernel_seconds),
        kernel_seconds=kernel_seconds,
    )


def _not_negative(seconds: float) -> float:
    """Zero where noise makes a difference negative; NaN, of a program that nobody could count, stays."""
    return 0.0 if seconds < 0 else seconds


@functools.partial(jax.jit, static_argnames="kernels")
def _small_kernels(x: jax.Array, kernels: int) -> jax.Array:
    """A loop whose turns are so many kernels, each of which waits for the one before."""

    def turn(index: jax.Array, y: jax.Array) -> jax.Array:
        del index
        for _ in range(kernels):
            y = y[::-1] - 0.5 * y.sum()  # which nothing fuses with the next sum
        return y

    return jax.lax.fori_loop(0, TURNS, turn, x)


def fastest(function: Callable[..., Any], *arguments: Any, regions: int = 3) -> float:
    """Seconds of a call: the best of several regions of calls that wait for each other.

    Args:
      function: one that `jax.jit` has compiled, or that calls such a one.
      *arguments: of each call.
      regions: of `REGION` seconds at least, after a warm-up.
    """

    def region(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(function(*arguments))
        return (time.perf_counter() - start) / calls

    region(1)
    calls = max(1, round(REGION / region(1)))
    return min(region(calls) for _ in range(regions))


def _copied(size: int) -> float:
    """Bytes/s read and written of an array of so many numbers, in place: fresh memory would cost its pages."""

    @functools.partial(jax.jit, donate_argnums=0)
    def copies(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, COPIES, lambda i, x: x + i, x)

    array = jnp.zeros(size)

    def again() -> jax.Array:
        nonlocal array
        array = copies(array)
        return array

    return 2 * COPIES * array.nbytes / fastest(again)


def _multiplied(size: int) -> float:
    """Bytes/s of a matrix of so many numbers, 8192 in a row, times a vector."""
    matrix, vector = jnp.ones((size // 8192, 8192)), jnp.ones(8192)

    @jax.jit
    def multiply(matrix: jax.Array, vector: jax.Array) -> jax.Array:
        def again(_: Any, vector: jax.Array) -> jax.Array:
            return jnp.matmul(matrix, vector, precision="highest")[: len(vector)] / len(vector)

        return jax.lax.fori_loop(0, COPIES, again, vector)

    return COPIES * matrix.nbytes / fastest(multiply, matrix, vector)


def _product(dtype: Any) -> float:
    """FLOP/s of the fastest square matrix product."""
    best = 0.0
    for size in SIZES:
        matrix = jnp.ones((size, size), dtype)
        seconds = fastest(jax.jit(lambda x: x @ x), matrix)
        best = max(best, 2 * size**3 / seconds)
        if seconds > REGION:
            break
    return best
