"""Cold code, decoded once: runs of simple instructions as lists of small Python functions.

By py-evm's opcodes a block can be run some dozen times while it is translated; decoding it costs
less than one such run, and what is decoded runs about eight times as fast. So code
runs like this until it has proved hot, which most code of a block never does.

A *stretch* is what can be charged at once: instructions that only compute, push or move words. What
costs gas by circumstances comes between two stretches: most of it is done directly (`direct`), the
rest by py-evm's own opcode objects. Wherever gas, stack or memory might not suffice, nothing has
been changed yet but memory that was paid for, and py-evm's opcodes run from there: failures are its
own.

Talks to: `simple` and `direct`, which do the work; `operations`, to know stock opcodes; `machine`,
for what others leave on the stack.
Never: runs on linear values, records, or decides what is hot; that is `program`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from eth.vm import opcode_values as op

from parallel_evm.translator.code import Code
from parallel_evm.translator.direct import Direct, direct
from parallel_evm.translator.machine import STACK_LIMIT, number, only_numbers
from parallel_evm.translator.operations import (
    Opcodes,
    exponent_byte_gas,
    exponent_gas,
    stock_name,
)
from parallel_evm.translator.simple import (
    WITH_CONSTANT,
    Simple,
    Step,
    drop_second,
    dup,
    pop,
    push,
    simple,
    swap,
)
from parallel_evm.translator.words import power


class Stretch(NamedTuple):
    """Simple instructions in a row."""

    gas: int
    needed: int
    """Words that have to be on the stack."""
    room: int
    """Words that may be on the stack at most."""
    steps: tuple[Step, ...]
    end: int
    """Where the next instruction is."""
    target: int = -1
    """Where a JUMP or JUMPI to a known place goes that ends it, and is included."""
    otherwise: int = -1
    """Where such a JUMPI goes if it does not jump; -1: it is a JUMP."""


class StepTable:
    """How the opcodes of one table are decoded."""

    def __init__(self, opcodes: Opcodes, meanings: Opcodes, notes_sha3: bool) -> None:
        """``meanings``: the table with each object replaced by the stock one whose work it does."""
        self.opcodes = opcodes
        self.simple: list[Simple | None] = [None] * 256
        self.direct: dict[int, Direct] = {}
        self.foreign: set[int] = set()
        """Opcodes that are not py-evm's: nobody knows what they leave on the stack."""
        self.jump_gas: dict[int, int] = {}
        self._exp: tuple[int, int] | None = None
        """Gas of a stock EXP, and for each byte of the exponent."""
        for value in range(256):
            operation = meanings.get(value)
            name = stock_name(value, operation)
            if name is None:
                self.foreign.add(value)
            elif operation is None or not hasattr(operation, "gas_cost"):
                continue  # a function around an opcode object
            elif value in (op.JUMP, op.JUMPI):
                self.jump_gas[value] = operation.gas_cost
            else:
                self.simple[value] = simple(value, name, operation.gas_cost)
                act = direct(value, name, operation, notes_sha3)
                if act is not None:
                    self.direct[value] = act
                if name == "EXP":
                    self._exp = operation.gas_cost, exponent_byte_gas(operation)

    def exp_of(self, steps: list[Step]) -> Simple | None:
        """EXP after those steps, where they leave constants for it: what it costs is known."""
        if self._exp is None or not _two_constants(steps):
            return None
        cost, per_byte = self._exp
        return Simple((push, 0), cost + exponent_gas(per_byte, steps[-2][1]), 2, 1, power)


class ColdCode:
    """The code of one contract, decoded as far as it has run."""

    def __init__(self, code: Code, table: StepTable, interpret: Callable[[Any, int], int]) -> None:
        """``interpret``: runs py-evm's opcodes to the end of the block, and says where to go on."""
        self._code = code
        self._content = code.content
        self._table = table
        self._interpret = interpret
        self._stretches: dict[int, Stretch] = {}

    def run(self, computation: Any, pc: int) -> int:
        """Run to the end of the block at ``pc``; where to go on, -1: nowhere.

        There are only numbers on the stack, before and after. Raises what py-evm's opcodes raise.
        """
        content, table, stretches = self._content, self._table, self._stretches
        stack, meter = computation._stack.values, computation._gas_meter
        length = len(content)
        acts, code = table.direct, computation.code
        while True:
            stretch = stretches.get(pc)
            if stretch is None:
                stretch = stretches[pc] = self._decoded(pc)
            gas, needed, room, steps, end, target, otherwise = stretch
            if end != pc:
                left = meter.gas_remaining - gas
                if left < 0 or not needed <= len(stack) <= room:
                    return self._interpret(computation, pc)
                meter.gas_remaining = left
                for run, argument in steps:
                    run(computation, stack, argument)
                if target >= 0:
                    return target if otherwise < 0 or stack.pop() else otherwise
                pc = end
                if pc >= length or content[pc] == op.JUMPDEST:
                    break
            value = content[pc] if pc < length else op.STOP
            if value == op.JUMP or value == op.JUMPI:
                place = self._jump(value, pc, stack, meter)
                return self._interpret(computation, pc) if place is None else place
            act = acts.get(value)
            left = -1 if act is None else act(computation, stack, meter.gas_remaining)
            if left >= 0:
                meter.gas_remaining = left
                if value == op.RETURN or value == op.STOP:
                    return -1
                pc += 1
            else:
                operation = table.opcodes.get(value)
                if operation is None or pc >= length:
                    return self._interpret(computation, pc)
                code.program_counter = pc + 1
                operation(computation=computation)
                pc = code.program_counter
                if value in table.foreign:
                    only_numbers(stack)
                elif stack and type(stack[-1]) is not int:
                    stack[-1] = number(stack[-1])
            if pc >= length or content[pc] == op.JUMPDEST:
                break
        return pc if pc < length else self._interpret(computation, pc)

    def _jump(self, value: int, pc: int, stack: list[int], meter: Any) -> int | None:
        """Where a JUMP or JUMPI goes, which has been done then; None: let py-evm say."""
        gas = self._table.jump_gas.get(value)
        if gas is None or len(stack) < 2 - (value == op.JUMP):
            return None
        left = meter.gas_remaining - gas
        if left < 0:
            return None
        target = stack[-1]
        if value == op.JUMPI and not stack[-2]:
            target = pc + 1
        elif target not in self._code.jumpdests:
            return None
        meter.gas_remaining = left
        if value == op.JUMP:
            del stack[-1]
        else:
            del stack[-2:]
        return target

    def _decoded(self, start: int) -> Stretch:
        content, simple = self._content, self._table.simple
        length = len(content)
        gas = height = needed = highest = 0
        steps: list[Step] = []
        pc = start
        while pc < length:
            value = content[pc]
            if value == op.JUMPDEST and pc != start:
                break
            known = simple[value] or (value == op.EXP and self._table.exp_of(steps))
            if not known:
                break
            step, cost, taken, left, fold = known
            if taken > height + needed:
                needed = taken - height
            height += left - taken
            if height > highest:
                highest = height
            gas += cost
            following = pc + 1
            if op.PUSH1 <= value <= op.PUSH32:
                size = value - op.PUSH1 + 1
                following += size
                data = content[pc + 1 : following].ljust(size, b"\0")
                step = push, int.from_bytes(data, "big")
            elif value == op.PC:
                step = push, pc
            elif value == op.CODESIZE:
                step = push, length
            previous = steps[-1][0] if steps else None
            if step is None:
                pass  # JUMPDEST
            elif previous is not push:
                if previous is swap and step[0] is pop and steps[-1][1] == -2:
                    steps[-1] = drop_second, 0
                else:
                    steps.append(step)
            elif fold is not None and (taken == 1 or _two_constants(steps)):
                operands = [steps.pop()[1] for _ in range(taken)]
                steps.append((push, fold(*operands)))
            elif step[0] in WITH_CONSTANT:
                steps[-1] = WITH_CONSTANT[step[0]], steps[-1][1]
            elif step[0] is dup and step[1] == -1:
                steps.append(steps[-1])
            else:
                steps.append(step)
            pc = following
        room = STACK_LIMIT - highest
        jump = content[pc] if pc < length else op.STOP
        if jump in self._table.jump_gas and steps and steps[-1][0] is push:
            target = steps[-1][1]
            words = 1 if jump == op.JUMP else 2
            if target in self._code.jumpdests:
                gas += self._table.jump_gas[jump]
                needed = max(needed, words - height)
                otherwise = -1 if jump == op.JUMP else pc + 1
                return Stretch(gas, needed, room, tuple(steps[:-1]), pc, target, otherwise)
        return Stretch(gas, needed, room, tuple(steps), pc)


def _two_constants(steps: list[Step]) -> bool:
    """Do the last two steps push constants?"""
    return len(steps) >= 2 and steps[-1][0] is push and steps[-2][0] is push
