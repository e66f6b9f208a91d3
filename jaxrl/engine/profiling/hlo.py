"""Compiled programs as XLA prints them: their computations, and how often each of these runs."""

import dataclasses
import functools
import math
import re

BYTES = {"pred": 1, "s4": 1, "u4": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "s64": 8, "u64": 8}
BYTES |= {"bf16": 2, "f16": 2, "f32": 4, "f64": 8, "c64": 8, "c128": 16}
ARRAY = re.compile(r"\b([a-z]+[0-9]*(?:e[0-9]m[0-9][a-z]*)?)\[([0-9,]*)\]")
OPERAND = re.compile(r"%([\w.\-]+)")
CALLED = re.compile(r"\b(body|condition|calls|to_apply)=%([\w.\-]+)")
BRANCHES = re.compile(
    r"(?:branch_computations=\{([^}]*)\}|true_computation=(%[\w.\-]+), false_computation=(%[\w.\-]+))"
)
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclasses.dataclass(frozen=True)
class Array:
    """Type of a value: `f32[8,4]`."""

    dtype: str
    dims: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """Bytes; a token and what is unknown have none."""
        return self.size * BYTES.get(self.dtype, 1 if self.dtype.startswith("f8") else 0)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of a computation."""

    name: str
    opcode: str
    arrays: tuple[Array, ...]
    """What it gives: several for a tuple."""
    operands: tuple[str, ...]
    attributes: str
    is_root: bool

    @property
    def size(self) -> int:
        """Elements of what it gives."""
        return sum(array.size for array in self.arrays)

    @property
    def bytes(self) -> int:
        """Bytes of what it gives."""
        return sum(array.bytes for array in self.arrays)

    @functools.cached_property
    def called(self) -> dict[str, str]:
        """Names of the computations that it runs, by their parts."""
        return dict(CALLED.findall(self.attributes))

    @functools.cached_property
    def branches(self) -> list[str]:
        """Names of the computations of which it runs one."""
        found = BRANCHES.search(self.attributes)
        return OPERAND.findall(" ".join(filter(None, found.groups()))) if found else []

    @property
    def trips(self) -> int | None:
        """How often a loop runs; None where only the data say so."""
        found = TRIPS.search(self.attributes)
        return int(found[1]) if found else None


@dataclasses.dataclass(frozen=True)
class Computation:
    """Instructions, by name, in an order in which they can run."""

    name: str
    instructions: dict[str, Instruction]

    @property
    def root(self) -> Instruction:
        """What it gives.

        Raises:
          ValueError: if no instruction is marked as that.
        """
        for instruction in self.instructions.values():
            if instruction.is_root:
                return instruction
        raise ValueError(f"program: {self.name} has no root; XLA's format has changed")

    @functools.cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """Who reads each instruction."""
        found: dict[str, list[Instruction]] = {name: [] for name in self.instructions}
        for instruction in self.instructions.values():
            for operand in dict.fromkeys(instruction.operands):
                found.setdefault(operand, []).append(instruction)
        return found


@dataclasses.dataclass(frozen=True)
class Module:
    """A compiled program."""

    computations: dict[str, Computation]
    entry: str


def parse(text: str) -> Module:
    """Read what `Compiled.as_text()` gives.

    Args:
      text: of an optimized module.

    Returns:
      Its computations.

    Raises:
      ValueError: if there is no entry.

    Source: the format of XLA's HLO text.
    """
    computations: dict[str, Computation] = {}
    name, entry, lines = "", "", {}
    for line in text.splitlines():
        if line.endswith("{") and not line.startswith((" ", "HloModule")):
            words = line.split()
            is_entry = words[0] == "ENTRY"
            name, lines = words[is_entry].lstrip("%").partition("(")[0], {}
            entry = name if is_entry else entry
        elif line.startswith("}") and name:
            computations[name], name = Computation(name, lines), ""
        elif name and " = " in line:
            instruction = _instruction(line.strip())
            lines[instruction.name] = instruction
    if entry not in computations:
        raise ValueError("program: its text has no entry; XLA's format has changed")
    return Module(computations, entry)


def _instruction(line: str) -> Instruction:
    """One line, `ROOT %name = TYPE opcode(OPERANDS), ATTRIBUTES`."""
    left, _, right = line.partition(" = ")
    end = _closing(right) + 1 if right.startswith("(") else right.index(" ")
    kind, rest = right[:end], right[end:].lstrip()
    opcode, _, _ = rest.partition("(")
    inside = rest[len(opcode) :]
    close = _closing(inside)
    arrays = tuple(Array(dtype, tuple(int(d) for d in dims.split(",") if d)) for dtype, dims in ARRAY.findall(kind))
    return Instruction(
        name=left.removeprefix("ROOT ").lstrip("%"),
        opcode=opcode,
        arrays=arrays,
        operands=tuple(OPERAND.findall(inside[: close + 1])),
        attributes=inside[close + 1 :],
        is_root=left.startswith("ROOT "),
    )


def _closing(text: str) -> int:
    """Index of the bracket that closes the first one."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if not depth and character == ")":
            return index
    raise ValueError(f"program: unbalanced brackets in {text[:80]!r}; XLA's format has changed")
