"""One contract's code at run time: what is translated, what is still cold, how often it ran.

Cold code is run by py-evm's own opcodes, block by block; a block that was entered often enough is
translated. `Programs` keeps the programs of one opcode table, by code, a bounded number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from types import CodeType
from typing import Any, Final

from eth.vm import opcode_values
from eth.vm.logic.invalid import InvalidOpcode

from parallel_evm.translator.cache import Cache, Record, identity
from parallel_evm.translator.calls import direct_call, has_direct_form
from parallel_evm.translator.code import Code
from parallel_evm.translator.machine import (
    NAMESPACE,
    net_metered_sstore,
    noted_sha3,
    only_numbers,
    sha3,
)
from parallel_evm.translator.operations import Opcodes, net_metering, stock_name
from parallel_evm.translator.trace import Trace

THRESHOLD: Final = 16
"""Visits of a block before it is translated: translating costs as much as some dozen of them."""

FREE_TRACES: Final = 8
VISITS_PER_TRACE: Final = 4
"""A program may have so many traces, and one more for so many times the threshold of visits to its
cold blocks: whoever writes code to be translated and never run again at most doubles its time."""

MAX_PROGRAMS: Final = 1024

Function = Callable[[Any, list[int], Any, Any, bytes, bytes], int]
"""A trace: (computation, stack, gas meter, memory, padded call data, storage address) -> the
position to go on at, or -1 when the computation has halted."""


class Dialect:
    """The opcode table that programs are written in."""

    def __init__(
        self,
        opcodes: Opcodes,
        noted_sha3: Any = None,
        threshold: int = THRESHOLD,
        cache: Cache | None = None,
    ) -> None:
        """``opcodes``: the table that py-evm would use. ``noted_sha3``: the stock SHA3 under the
        table's own, where that one also notes preimages in ``state.preimages``. ``cache``: where
        translations outlive the process."""
        self.opcodes = opcodes
        self.threshold = threshold
        self.notes_sha3 = noted_sha3 is not None
        self.meanings: Opcodes = opcodes
        """The table with each object replaced by the stock one whose work it does."""
        if noted_sha3 is not None:
            self.meanings = {**opcodes, opcode_values.SHA3: noted_sha3}
        self.namespace = self._namespace()
        self._cache = cache
        self._identity: bytes | None = None
        if cache is not None:
            self._identity = identity(opcodes, self.meanings, self.notes_sha3)

    def record(
        self, content: bytes, seen: dict[int, int], functions: Container[int]
    ) -> Record | None:
        """What is kept of the program ``content``; None if nothing can be."""
        if self._cache is None or self._identity is None or not content:
            return None
        return self._cache.record(self._identity, content, seen, functions)

    def _namespace(self) -> dict[str, Any]:
        names = {**NAMESPACE, "noted_sha3": noted_sha3, "sha3": sha3}
        for value, operation in self.meanings.items():  # for functions from the cache
            names[f"op_{value:02x}"] = operation
            name = stock_name(value, operation)
            if name is not None and has_direct_form(operation):
                names[name.lower()] = direct_call(name, operation)
        sstore = self.opcodes.get(opcode_values.SSTORE)
        if stock_name(opcode_values.SSTORE, sstore) is not None:
            rules = net_metering(sstore)
            if rules is not None:
                names["sstore"] = net_metered_sstore(*rules)
        return names


class Program:
    """The code of one contract, partly translated."""

    def __init__(self, content: bytes, dialect: Dialect) -> None:
        self.functions: dict[int, Function] = {}
        """What is translated, by the position where it starts."""
        self._content = content
        self._dialect = dialect
        self._code = Code(content, dialect.meanings)
        self._visits: dict[int, int] = {}
        self._cold_visits = 0
        self._made = 0
        """How many functions were translated here; others come from the cache."""
        self._seen: dict[int, int] = {}
        self._namespace: dict[str, Any] = {}
        self._record = dialect.record(content, self._seen, self.functions)

    def cold(self, computation: Any, pc: int) -> int:
        """Run the block at ``pc``, or get its translation and return ``pc`` itself.

        Raises what py-evm's opcodes raise.
        """
        visits = self._visits[pc] = self._visits.get(pc, 0) + 1
        self._cold_visits += 1
        is_hot = visits >= self._dialect.threshold and self._may_translate()
        if is_hot or visits == 1:
            try:
                function = self._kept(pc, is_hot)
                if function is None and is_hot:
                    function = self._translated(pc)
                if function is not None:
                    self.functions[pc] = function
                    return pc
            except RecursionError:  # deep in calls of calls: another time
                pass
        following = self._seen[pc] = self.leave(computation, pc)
        return following

    def _may_translate(self) -> bool:
        earned = self._cold_visits // (VISITS_PER_TRACE * self._dialect.threshold)
        return self._made < FREE_TRACES + earned

    def leave(self, computation: Any, pc: int) -> int:
        """Run py-evm's opcodes from ``pc`` to the end of the block; where to go on, -1: nowhere.

        Raises what they raise. Afterwards there are only numbers on the stack.
        """
        content, opcodes, code = self._content, self._dialect.opcodes, computation.code
        length = len(content)
        while pc < length:
            value = content[pc]
            code.program_counter = pc + 1
            operation = opcodes.get(value)
            if operation is None:
                operation = InvalidOpcode(value)
            operation(computation=computation)
            pc = code.program_counter
            if (
                value == opcode_values.JUMPI
                or value == opcode_values.JUMP
                or (pc < length and content[pc] == opcode_values.JUMPDEST)
            ):
                only_numbers(computation._stack.values)
                return pc
        code.program_counter = pc
        opcodes[opcode_values.STOP](computation=computation)
        return -1

    def python(self, pc: int) -> str:
        """The Python of the trace from ``pc``."""
        return self._trace(pc).python(_name(pc))

    def entries(self) -> list[int]:
        """Where blocks start that no other block falls into or branches past: 0 and JUMPDESTs."""
        return sorted({0} | self._code.jumpdests)

    def _trace(self, pc: int) -> Trace:
        return Trace(self._code, pc, self._seen, self._dialect.notes_sha3)

    def _kept(self, pc: int, look_again: bool) -> Function | None:
        """The function as another process has translated it."""
        if self._record is None:
            return None
        if look_again:
            self._record.look_again()
        kept = self._record.take(pc)
        if kept is None or not all(name in self._dialect.namespace for name in kept[0]):
            return None
        return self._defined(pc, kept[1])

    def _translated(self, pc: int) -> Function:
        trace = self._trace(pc)
        code = compile(trace.python(_name(pc)), f"<EVM code at {pc}>", "exec")
        function = self._defined(pc, code)
        self._namespace.update(trace.operations)
        self._made += 1
        if self._record is not None:
            self._record.add(pc, tuple(trace.operations), code)
        return function

    def _defined(self, pc: int, code: CodeType) -> Function:
        if not self._namespace:
            self._namespace = {
                **self._dialect.namespace,
                "CODE": self._content,
                "jumpdests": self._code.jumpdests,
                "leave": self.leave,
            }
        exec(code, self._namespace)
        function: Function = self._namespace.pop(_name(pc))
        return function


def _name(pc: int) -> str:
    return f"at_{pc}"


class Programs:
    """The programs of one dialect; the oldest makes room when there are too many."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._programs: dict[bytes, Program] = {}

    def __getitem__(self, content: bytes) -> Program:
        program = self._programs.get(content)
        if program is None:
            program = Program(content, self._dialect)
            while len(self._programs) >= MAX_PROGRAMS:
                self._programs.pop(next(iter(self._programs)), None)
            self._programs[content] = program
        return program

    def __iter__(self) -> Any:
        return iter(list(self._programs.values()))
