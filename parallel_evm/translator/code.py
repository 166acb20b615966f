"""EVM bytecode as instructions and valid jump destinations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from eth.vm import opcode_values

from parallel_evm.translator.operations import Opcodes, stock_name

# Up to the next JUMPDEST, over PUSHes and their data. Nothing is given back (`+`): a match that
# began within the data of a PUSH would find what is no instruction.
_TO_JUMPDEST: Final = re.compile(
    rb"(?:[^\x5b\x60-\x7f]++|%s)*+\x5b"
    % b"|".join(rb"\x%x.{0,%d}+" % (0x5F + size, size) for size in range(1, 33)),
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Instruction:
    pc: int
    value: int
    """The opcode's byte."""
    operation: Any
    """The opcode object of the VM; None where the byte means nothing."""
    name: str | None
    """Of a stock opcode, without its number (PUSH, DUP, SWAP, LOG); None for a foreign one."""
    number: int
    """The size of a PUSH, the position of a DUP or SWAP, the topics of a LOG."""
    argument: int
    """What a PUSH pushes."""
    following: int
    """Where the next instruction is."""


class Code:
    """The bytecode of one contract under one opcode table."""

    def __init__(self, content: bytes, opcodes: Opcodes) -> None:
        self.content = content
        self.opcodes = opcodes
        self._instructions: dict[int, Instruction] = {}

    @cached_property
    def jumpdests(self) -> frozenset[int]:
        """Positions of the JUMPDESTs that are no PUSH's data (yellow paper, 9.4.3)."""
        found = []
        match = _TO_JUMPDEST.match(self.content)
        while match is not None:
            found.append(match.end() - 1)
            match = _TO_JUMPDEST.match(self.content, match.end())
        return frozenset(found)

    def at(self, pc: int) -> Instruction:
        """The instruction at ``pc``; beyond the end there is STOP."""
        instruction = self._instructions.get(pc)
        if instruction is None:
            instruction = self._instructions[pc] = self._read(pc)
        return instruction

    def _read(self, pc: int) -> Instruction:
        content = self.content
        value = content[pc] if pc < len(content) else opcode_values.STOP
        operation = self.opcodes.get(value)
        name = stock_name(value, operation)
        number = argument = 0
        following = pc + 1
        if name is not None:
            if 0x5F <= value <= 0x7F:
                name, number = "PUSH", value - 0x5F
                following += number
                argument = int.from_bytes(content[pc + 1 : following].ljust(number, b"\0"), "big")
            elif 0x80 <= value <= 0x8F:
                name, number = "DUP", value - 0x7F
            elif 0x90 <= value <= 0x9F:
                name, number = "SWAP", value - 0x8F
            elif 0xA0 <= value <= 0xA4:
                name, number = "LOG", value - 0xA0
        return Instruction(pc, value, operation, name, number, argument, following)
