"""What a compiled program does, counted from the shapes of its instructions, loops as often as they run."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterable
from typing import Any

from jaxrl.engine.profiling.hlo import Computation, Instruction, Module

FREE = frozenset(
    "parameter constant tuple get-tuple-element bitcast after-all partition-id replica-id opt-barrier domain".split()
)
"""Instructions that only name what is there."""
MOVING = frozenset(
    "copy broadcast iota reshape transpose slice dynamic-slice dynamic-update-slice concatenate pad reverse "
    "gather bitcast-convert rng-get-and-update-state".split()
)
"""Instructions that move data and compute nothing."""
TRANSCENDENTAL = frozenset(
    "exponential exponential-minus-one log log-plus-one logistic power sqrt rsqrt cbrt sine cosine tan tanh atan2 "
    "erf".split()
)
"""Instructions that XLA counts apart from its FLOPs."""
CALLBACK = re.compile(r'custom_call_target="[^"]*(?:callback|host)[^"]*"', re.IGNORECASE)
HOST = frozenset("infeed outfeed send recv".split())
CONTRACTED = re.compile(r'lhs_contracting_dim(?:s=\{|ensions":\[)([0-9,"]*)')
LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")


@dataclasses.dataclass(frozen=True)
class Counts:
    """What a run of a program comes to."""

    flops: float = 0.0
    """Operations on numbers; a transcendental function is none."""
    product_flops: float = 0.0
    """Those of matrix products and convolutions."""
    bytes: float = 0.0
    """Read and written by kernels, as if nothing were cached between them."""
    kernels: float = 0.0
    """Kernels run: fusions, products, sorts, copies."""
    turns: float = 0.0
    """Turns of loops."""
    transfers: float = 0.0
    """Calls of the host, and values moved to it or from it, inside of the program."""
    unknown_loops: float = 0.0
    """Turns of loops whose length only the data say, each of which counts as one run of its loop."""
    low_product_flops: float = 0.0
    """Those of `product_flops` whose operands have 16 bits or fewer."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*map(sum, zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(*(x - y for x, y in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    def repeated(self, times: float) -> "Counts":
        """What so many runs come to."""
        return Counts(*(x * times for x in dataclasses.astuple(self)))


def count(module: Module, loops: float | None = None, unknown: float = 1.0) -> Counts:
    """Count a program.

    Args:
      module: from `hlo.parse`.
      loops: how often every loop runs, whatever it says: 1 is how XLA's own analysis counts. None: as each says.
      unknown: how often one runs whose length only the data say.

    Returns:
      Counts of the entry.

    Source: our own; the rules for slices and fusions are those of XLA's HloCostAnalysis.
    """

    @functools.cache
    def of(name: str) -> Counts:
        computation = module.computations[name]
        return functools.reduce(
            Counts.__add__, (one(computation, x) for x in computation.instructions.values()), Counts()
        )

    def one(computation: Computation, x: Instruction) -> Counts:
        if x.opcode == "while":
            trips = loops if loops is not None else unknown if x.trips is None else x.trips
            inside = (
                of(x.called["body"])
                + of(x.called["condition"])
                + Counts(turns=1.0, unknown_loops=float(x.trips is None))
            )
            return inside.repeated(trips)
        if x.opcode == "conditional":
            return max(map(of, x.branches), key=lambda counts: counts.bytes)
        if x.opcode == "async-start":
            return of(x.called["calls"])
        if x.opcode.endswith(("-done", "-update")):  # waits for what has been counted
            return Counts()
        if x.opcode.endswith("-start"):
            x = _begun(computation, x)
        if x.opcode == "call":
            return of(x.called["to_apply"])
        if x.opcode in FREE:
            return Counts()
        host = float(x.opcode in HOST or bool(CALLBACK.search(x.attributes)))
        if x.opcode == "fusion":
            inner = module.computations[x.called["calls"]]
            moved, flops = _fusion_bytes(computation, x, inner), _arithmetic(inner, module)
        else:
            moved, flops = _bytes(computation, x), _flops(computation, x, module)
        return flops + Counts(bytes=moved, kernels=1.0, transfers=host)

    return of(module.entry)


def _begun(computation: Computation, x: Instruction) -> Instruction:
    """What an instruction does that others go on beside: it gives what it reads, its result and a sign of its end."""
    read = sum(len(operand.arrays) for operand in (_operand(computation, name) for name in x.operands) if operand)
    arrays = x.arrays if len(x.arrays) <= read else x.arrays[read : read + 1]
    return dataclasses.replace(x, opcode=x.opcode.removesuffix("-start"), arrays=arrays)


def of_a_turn(module: Module) -> Counts:
    """What a turn of the outermost loops comes to whose length only the data say; such loops in it run once.

    Args:
      module: from `hlo.parse`.

    Source: our own.
    """
    return count(module, unknown=1.0) - count(module, unknown=0.0) - Counts(turns=1.0, unknown_loops=1.0)


def _arithmetic(computation: Computation, module: Module) -> Counts:
    """FLOPs of all instructions of a fusion."""
    every = (_flops(computation, x, module) for x in computation.instructions.values())
    return functools.reduce(Counts.__add__, every, Counts())


def _flops(computation: Computation, x: Instruction, module: Module) -> Counts:
    """FLOPs of an instruction, and those of a product."""
    if x.opcode in FREE or x.opcode in MOVING or x.opcode in TRANSCENDENTAL:
        return Counts()
    if x.opcode in ("dot", "convolution", "custom-call"):
        product, read = _product_flops(computation, x), [_operand(computation, name) for name in x.operands[:2]]
        low = all(operand is not None and 0 < operand.bytes <= 2 * operand.size for operand in read)
        return Counts(product, product, low_product_flops=product if low else 0.0)
    if x.opcode in ("fusion", "call"):
        return _arithmetic(module.computations[x.called.get("calls") or x.called["to_apply"]], module)
    if x.opcode == "scatter":  # of n arrays: n operands, the indices, n updates
        updates = [_operand(computation, name) for name in x.operands[len(x.operands) // 2 + 1 :]]
        return Counts(float(sum(update.size for update in updates if update is not None)))
    if x.opcode in ("reduce", "reduce-window", "sort", "select-and-scatter"):
        read = [_operand(computation, name) for name in x.operands]
        size = max((operand.size for operand in read if operand is not None), default=0)
        return Counts(float(size * ((size - 1).bit_length() if x.opcode == "sort" else 1)))  # comparisons, as XLA says
    return Counts(float(x.size))


def _product_flops(computation: Computation, x: Instruction) -> float:
    """Two for every multiplication of a matrix product or a convolution; zero for other calls of a library."""
    operands = [_operand(computation, name) for name in x.operands[:2]]
    if len(operands) < 2 or any(operand is None or not operand.arrays for operand in operands):
        return 0.0
    left, right = (operand.arrays[0] for operand in operands if operand is not None)
    labels, contracted = LABELS.search(x.attributes), CONTRACTED.search(x.attributes)
    if labels is not None:
        given = x.arrays[0]
        image, kernel = (left, given) if "BackwardFilter" in x.attributes else (given, right)
        image = left if "BackwardInput" in x.attributes else image
        outputs = kernel.dims[labels[2].index("o")]
        return 2.0 * image.size * kernel.size / outputs
    if contracted is None:
        return 0.0
    dims = [int(d) for d in contracted[1].replace('"', "").split(",") if d]
    return 2.0 * x.arrays[0].size * math.prod(left.dims[d] for d in dims)


def _operand(computation: Computation, name: str) -> Instruction | None:
    return computation.instructions.get(name)


def _bytes(computation: Computation, x: Instruction) -> float:
    """Bytes that an instruction of its own reads and writes; one that slices touches its slice only."""
    operands = [operand.bytes if operand else 0 for operand in (_operand(computation, name) for name in x.operands)]
    if x.opcode in ("dynamic-slice", "slice"):
        return 2.0 * x.bytes
    if x.opcode == "gather":
        return 2.0 * x.bytes + sum(operands[1:])
    if x.opcode == "dynamic-update-slice":
        return 2.0 * operands[1]
    if x.opcode == "scatter":  # of n arrays: n operands, the indices, n updates
        return 2.0 * sum(operands[len(operands) // 2 + 1 :]) + operands[len(operands) // 2]
    written = x.arrays[0].bytes if x.opcode == "custom-call" and x.arrays else x.bytes  # behind it: room to work in
    return float(sum(operands) + written)


def _fusion_bytes(computation: Computation, x: Instruction, inner: Computation) -> float:
    """Bytes of a fusion: of what it slices or updates in place, the slice only."""
    parameters = [i for i in inner.instructions.values() if i.opcode == "parameter"]
    return float(sum(_read(inner, p) for p in parameters) + sum(_written(inner, r) for r in _results(inner)))


def _read(inner: Computation, x: Instruction) -> int:
    """Bytes read of a parameter, or of what only names it."""
    total = 0
    for user in inner.users[x.name]:
        if user.opcode in ("bitcast", "get-tuple-element"):
            total += _read(inner, user)
        elif user.opcode in ("dynamic-slice", "slice", "gather") and user.operands[0] == x.name:
            total += user.bytes
        elif not (user.opcode in ("dynamic-update-slice", "scatter") and user.operands[0] == x.name):
            return x.bytes
    return min(total, x.bytes)


def _results(inner: Computation) -> Iterable[Instruction]:
    """What a fusion writes: its root, or the parts of a tuple."""
    root = inner.root
    names: Any = root.operands if root.opcode == "tuple" else (root.name,)
    return [inner.instructions[name] for name in names]


def _written(inner: Computation, x: Instruction) -> int:
    """Bytes written of a result; an update in place writes its slice, and reads it before."""
    while x.opcode == "bitcast" and x.operands[0] in inner.instructions:
        x = inner.instructions[x.operands[0]]
    if x.opcode == "dynamic-update-slice":
        return 2 * inner.instructions[x.operands[1]].bytes
    if x.opcode == "scatter":
        return 2 * sum(inner.instructions[name].bytes for name in x.operands[len(x.operands) // 2 + 1 :])
    return x.bytes
