"""What one call did, block by block: the path that a trace follows.

Responsible for: remembering which blocks a call went through, and what the opcodes that use memory
had on the stack. `Program` records one call of a kind when that kind has become hot; `trace` reads.
Never: decides anything. A recorded path is only a hint; the trace checks what it relies on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from eth.vm import opcode_values as op

from parallel_evm.translator.machine import number

MAX_BLOCKS: Final = 2000
"""A longer path is not recorded to its end."""


Kind = tuple[int, bytes]
"""Calls with equally many bytes of call data and the same function selector: its first four bytes,
fewer where there are fewer."""

Packed = tuple[int, bytes, tuple[int, ...], tuple[tuple[int, tuple[int, ...]], ...]]


@dataclass(slots=True)
class Recording:
    """One call of a contract."""

    size: int
    selector: bytes
    path: list[int] = field(default_factory=list)
    """Where each block started."""
    operands: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    """(position, words from the top of the stack) of each opcode in `LOOKED_AT`."""

    @property
    def kind(self) -> Kind:
        return self.size, self.selector

    def packed(self) -> Packed:
        """As constants of Python."""
        return self.size, self.selector, tuple(self.path), tuple(self.operands)

    @classmethod
    def unpacked(cls, packed: Packed) -> Recording:
        size, selector, path, operands = packed
        return cls(size, selector, list(path), list(operands))

    LOOKED_AT: ClassVar[dict[int, int]] = {
        op.SHA3: 2,
        op.CALLDATACOPY: 3,
        op.CODECOPY: 3,
        op.RETURNDATACOPY: 3,
        op.MCOPY: 3,
        op.MLOAD: 1,
        op.MSTORE: 1,
        op.MSTORE8: 1,
        op.LOG0: 2,
        op.LOG1: 2,
        op.LOG2: 2,
        op.LOG3: 2,
        op.LOG4: 2,
        op.CALL: 7,
        op.CALLCODE: 7,
        op.DELEGATECALL: 6,
        op.STATICCALL: 6,
        op.RETURN: 2,
        op.REVERT: 2,
    }
    """Opcodes that use memory, and how many of their operands may say where."""

    def look(self, pc: int, value: int, stack: list[Any]) -> None:
        """The opcode ``value`` at ``pc`` is about to run."""
        count = self.LOOKED_AT.get(value)
        if count is not None and len(stack) >= count:
            words = tuple(number(word) for word in stack[: -count - 1 : -1])
            self.operands.append((pc, words))
