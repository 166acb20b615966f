"""Cold code, decoded once: runs of simple instructions as lists of small Python functions.

Translating a block costs as much as running it some dozen times; decoding it costs less than
running it once by py-evm's opcodes, and what is decoded runs about eight times as fast. So code
runs like this until it has proved hot, which most code of a block never does.

A *stretch* is what can be charged at once: instructions that only compute, push or move words. What
costs gas by circumstances comes between two stretches: some of it is done directly (`_direct`), the
rest by py-evm's own opcode objects. Wherever gas, stack or memory might not suffice, nothing has
been changed yet, and py-evm's opcodes run from there: failures are its own.

Talks to: `machine` and `words`, which do the work; `operations`, to know stock opcodes.
Never: runs on linear values, records, or decides what is hot; that is `program`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from eth.constants import GAS_LOGTOPIC
from eth.vm import opcode_values as op

from parallel_evm.translator.calls import direct_call, has_direct_form
from parallel_evm.translator.code import Code
from parallel_evm.translator.machine import (
    code_size,
    copy,
    grow,
    log,
    net_metered_sstore,
    noted_sha3,
    number,
    only_numbers,
    reach,
    reach_to_copy,
    reach_to_hash,
    reach_to_log,
    sha3,
    warm_up,
    warm_up_account,
)
from parallel_evm.translator.operations import (
    Opcodes,
    charges_cold_accounts,
    charges_cold_slots,
    net_metering,
    stock_name,
)
from parallel_evm.translator.words import FOLD, MAX

_STACK_LIMIT: Final = 1024

Step = tuple[Callable[[Any, list[int], int], None], int]
"""(function of the computation, its stack and the number here, that number)."""
Direct = Callable[[Any, list[int], Any], bool]
"""Does an opcode on (computation, its stack, its gas meter), or returns False and does nothing."""


class _Simple(NamedTuple):
    """An opcode that only computes, pushes or moves words."""

    run: Callable[[Any, list[int], int], None] | None
    """None: nothing is to be done."""
    gas: int
    taken: int
    left: int
    argument: int
    """For DUP and SWAP: where on the stack. For PUSH: bytes that follow, negated."""


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
        self.simple: list[_Simple | None] = [None] * 256
        self.direct: dict[int, Direct] = {}
        self.foreign: set[int] = set()
        """Opcodes that are not py-evm's: nobody knows what they leave on the stack."""
        self.jump_gas: dict[int, int] = {}
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
                self.simple[value] = _simple(value, name, operation.gas_cost)
                direct = _direct(value, name, operation, notes_sha3)
                if direct is not None:
                    self.direct[value] = direct


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
        direct, code = table.direct, computation.code
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
            act = direct.get(value)
            if act is not None and act(computation, stack, meter):
                if value == op.RETURN:
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
            known = simple[value]
            if known is None:
                break
            run, cost, taken, left, argument = known
            if taken > height + needed:
                needed = taken - height
            height += left - taken
            if height > highest:
                highest = height
            gas += cost
            following = pc + 1
            if op.PUSH1 <= value <= op.PUSH32:
                following -= argument
                data = content[pc + 1 : following].ljust(-argument, b"\0")
                argument = int.from_bytes(data, "big")
            elif value == op.PC:
                argument = pc
            elif value == op.CODESIZE:
                argument = length
            if run is not None:
                previous = steps[-1][0] if steps else None
                if previous is _push and run in _WITH_CONSTANT:
                    steps[-1] = _WITH_CONSTANT[run], steps[-1][1]
                elif previous is _swap and run is _pop and steps[-1][1] == -2:
                    steps[-1] = _drop_second, 0
                else:
                    steps.append((run, argument))
            pc = following
        room = _STACK_LIMIT - highest
        jump = content[pc] if pc < length else op.STOP
        if jump in self._table.jump_gas and steps and steps[-1][0] is _push:
            target = steps[-1][1]
            words = 1 if jump == op.JUMP else 2
            if target in self._code.jumpdests:
                gas += self._table.jump_gas[jump]
                needed = max(needed, words - height)
                otherwise = -1 if jump == op.JUMP else pc + 1
                return Stretch(gas, needed, room, tuple(steps[:-1]), pc, target, otherwise)
        return Stretch(gas, needed, room, tuple(steps), pc)


# -- simple opcodes ------------------------------------------------------------------------------


def _push(c: Any, S: list[int], n: int) -> None:
    S.append(n)


def _dup(c: Any, S: list[int], n: int) -> None:
    S.append(S[n])


def _swap(c: Any, S: list[int], n: int) -> None:
    S[-1], S[n] = S[n], S[-1]


def _pop(c: Any, S: list[int], n: int) -> None:
    del S[-1]


def _add(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = (top + S[-1]) & MAX


def _sub(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = (top - S[-1]) & MAX


def _mul(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = (top * S[-1]) & MAX


def _div(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = top // S[-1] if S[-1] else 0


def _and(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] &= top


def _or(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] |= top


def _lt(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = 1 if top < S[-1] else 0


def _gt(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = 1 if top > S[-1] else 0


def _eq(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = 1 if top == S[-1] else 0


def _iszero(c: Any, S: list[int], n: int) -> None:
    S[-1] = 0 if S[-1] else 1


def _not(c: Any, S: list[int], n: int) -> None:
    S[-1] ^= MAX


def _shr(c: Any, S: list[int], n: int) -> None:
    shift = S.pop()
    S[-1] = S[-1] >> shift if shift < 256 else 0


def _shl(c: Any, S: list[int], n: int) -> None:
    shift = S.pop()
    S[-1] = (S[-1] << shift) & MAX if shift < 256 else 0


# Two instructions in one step: a PUSH and what uses it, SWAP1 and POP.


def _add_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] = (n + S[-1]) & MAX


def _subtract_from_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] = (n - S[-1]) & MAX


def _and_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] &= n


def _equals_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] = 1 if n == S[-1] else 0


def _constant_is_less(c: Any, S: list[int], n: int) -> None:
    S[-1] = 1 if n < S[-1] else 0


def _constant_is_greater(c: Any, S: list[int], n: int) -> None:
    S[-1] = 1 if n > S[-1] else 0


def _shift_right_by_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] = S[-1] >> n if n < 256 else 0


def _shift_left_by_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] = (S[-1] << n) & MAX if n < 256 else 0


def _drop_second(c: Any, S: list[int], n: int) -> None:
    del S[-2]


_WITH_CONSTANT: Final = {
    _add: _add_constant,
    _sub: _subtract_from_constant,
    _and: _and_constant,
    _eq: _equals_constant,
    _lt: _constant_is_less,
    _gt: _constant_is_greater,
    _shr: _shift_right_by_constant,
    _shl: _shift_left_by_constant,
}

_COMMON: Final[Mapping[str, Callable[[Any, list[int], int], None]]] = {
    "ADD": _add,
    "SUB": _sub,
    "MUL": _mul,
    "DIV": _div,
    "AND": _and,
    "OR": _or,
    "LT": _lt,
    "GT": _gt,
    "EQ": _eq,
    "ISZERO": _iszero,
    "NOT": _not,
    "SHR": _shr,
    "SHL": _shl,
}


def _folding(name: str, count: int) -> Callable[[Any, list[int], int], None]:
    fold = FOLD[name]

    def run(c: Any, S: list[int], n: int) -> None:
        S[-count:] = (fold(*S[: -count - 1 : -1]),)

    return run


def _calldataload(c: Any, S: list[int], n: int) -> None:
    start = S[-1]
    S[-1] = int.from_bytes(c.msg.data_as_bytes[start : start + 32].ljust(32, b"\0"), "big")


def _address(c: Any, S: list[int], n: int) -> None:
    S.append(int.from_bytes(c.msg.storage_address, "big"))


def _origin(c: Any, S: list[int], n: int) -> None:
    S.append(int.from_bytes(c.transaction_context.origin, "big"))


def _caller(c: Any, S: list[int], n: int) -> None:
    S.append(int.from_bytes(c.msg.sender, "big"))


def _callvalue(c: Any, S: list[int], n: int) -> None:
    S.append(c.msg.value)


def _calldatasize(c: Any, S: list[int], n: int) -> None:
    S.append(len(c.msg.data))


def _gasprice(c: Any, S: list[int], n: int) -> None:
    S.append(c.transaction_context.gas_price)


def _timestamp(c: Any, S: list[int], n: int) -> None:
    S.append(c.state.timestamp)


def _block_number(c: Any, S: list[int], n: int) -> None:
    S.append(c.state.block_number)


def _returndatasize(c: Any, S: list[int], n: int) -> None:
    S.append(len(c.return_data))


_PUSHING: Final[Mapping[str, Callable[[Any, list[int], int], None]]] = {
    "ADDRESS": _address,
    "ORIGIN": _origin,
    "CALLER": _caller,
    "CALLVALUE": _callvalue,
    "CALLDATASIZE": _calldatasize,
    "GASPRICE": _gasprice,
    "TIMESTAMP": _timestamp,
    "NUMBER": _block_number,
    "RETURNDATASIZE": _returndatasize,
    "CODESIZE": _push,
    "PC": _push,
}


def _simple(value: int, name: str, gas: int) -> _Simple | None:
    if 0x5F <= value <= 0x7F:
        return _Simple(_push, gas, 0, 1, 0x5F - value)
    if 0x80 <= value <= 0x8F:
        return _Simple(_dup, gas, value - 0x7F, value - 0x7E, 0x7F - value)
    if 0x90 <= value <= 0x9F:
        return _Simple(_swap, gas, value - 0x8E, value - 0x8E, 0x8E - value)
    if name == "JUMPDEST":
        return _Simple(None, gas, 0, 0, 0)
    if name == "POP":
        return _Simple(_pop, gas, 1, 0, 0)
    if name == "CALLDATALOAD":
        return _Simple(_calldataload, gas, 1, 1, 0)
    if name in _PUSHING:
        return _Simple(_PUSHING[name], gas, 0, 1, 0)
    if name in FOLD:
        taken = FOLD[name].__code__.co_argcount
        return _Simple(_COMMON.get(name) or _folding(name, taken), gas, taken, 1, 0)
    return None


# -- opcodes that cost gas by circumstances ------------------------------------------------------


def _direct(value: int, name: str, operation: Any, notes_sha3: bool) -> Direct | None:
    """What does the work of this stock opcode; None: its object does."""
    gas = operation.gas_cost
    if 0xA0 <= value <= 0xA4:
        return _logging(gas, value - 0xA0)
    if name == "SHA3":
        return _hashing(gas, noted_sha3 if notes_sha3 else sha3)
    if name == "SLOAD":
        return _loading(gas, charges_cold_slots(operation))
    if name == "SSTORE":
        rules = net_metering(operation)
        return None if rules is None else _storing(gas, net_metered_sstore(*rules))
    if name == "EXTCODESIZE" and charges_cold_accounts(operation):
        return _sizing(gas)
    if name in ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL") and has_direct_form(operation):
        return _calling(direct_call(name, operation), 7 if value <= op.CALLCODE else 6)
    make = _BY_MEMORY.get(name)
    return None if make is None else make(gas)


def _mload(gas: int) -> Direct:
    def act(c: Any, S: list[int], G: Any) -> bool:
        if not S:
            return False
        start, memory, left = S[-1], c._memory._bytes, G.gas_remaining - gas
        if start + 32 > len(memory):
            left = grow(memory, left, start + 32)
        if left < 0:
            return False
        G.gas_remaining = left
        S[-1] = int.from_bytes(memory[start : start + 32], "big")
        return True

    return act


def _mstore(gas: int) -> Direct:
    def act(c: Any, S: list[int], G: Any) -> bool:
        if len(S) < 2:
            return False
        start, memory, left = S[-1], c._memory._bytes, G.gas_remaining - gas
        if start + 32 > len(memory):
            left = grow(memory, left, start + 32)
        if left < 0:
            return False
        G.gas_remaining = left
        memory[start : start + 32] = S[-2].to_bytes(32, "big")
        del S[-2:]
        return True

    return act


def _copying(gas: int, source: Callable[[Any], bytes]) -> Direct:
    def act(c: Any, S: list[int], G: Any) -> bool:
        if len(S) < 3:
            return False
        target, start, size = S[-1], S[-2], S[-3]
        memory = c._memory._bytes
        left = reach_to_copy(memory, G.gas_remaining - gas, target, size)
        if left < 0:
            return False
        G.gas_remaining = left
        if size:
            copy(memory, target, source(c), start, size)
        del S[-3:]
        return True

    return act


def _returning(gas: int) -> Direct:
    def act(c: Any, S: list[int], G: Any) -> bool:
        if len(S) < 2:
            return False
        start, size = S[-1], S[-2]
        memory = c._memory._bytes
        left = reach(memory, G.gas_remaining - gas, start, size)
        if left < 0:
            return False
        G.gas_remaining = left
        c._output = bytes(memory[start : start + size])
        del S[-2:]
        return True

    return act


_BY_MEMORY: Final[Mapping[str, Callable[[int], Direct]]] = {
    "MLOAD": _mload,
    "MSTORE": _mstore,
    "CALLDATACOPY": lambda gas: _copying(gas, lambda c: c.msg.data_as_bytes),
    "CODECOPY": lambda gas: _copying(gas, lambda c: c.msg.code),
    "RETURN": _returning,
}


def _hashing(gas: int, digest: Callable[[Any, bytes], int]) -> Direct:
    def act(c: Any, S: list[int], G: Any) -> bool:
        if len(S) < 2:
            return False
        start, size = S[-1], S[-2]
        memory = c._memory._bytes
        left = reach_to_hash(memory, G.gas_remaining - gas, start, size)
        if left < 0:
            return False
        G.gas_remaining = left
        del S[-1]
        S[-1] = digest(c, bytes(memory[start : start + size]))
        return True

    return act


def _loading(gas: int, charges_cold: bool) -> Direct:
    def act(c: Any, S: list[int], G: Any) -> bool:
        left = G.gas_remaining - gas
        if not S or left < 0:
            return False
        accounts, address = c.state._account_db, c.msg.storage_address
        if charges_cold:
            left = warm_up(accounts, left, address, S[-1])
            if left < 0:
                return False
        G.gas_remaining = left
        S[-1] = accounts.load(address, S[-1])
        return True

    return act


def _storing(gas: int, sstore: Callable[..., int]) -> Direct:
    def act(c: Any, S: list[int], G: Any) -> bool:
        left = G.gas_remaining - gas
        if len(S) < 2 or left < 0:
            return False
        address = c.msg.storage_address
        left = sstore(c, c.state._account_db, left, address, S[-1], S[-2], left)
        if left < 0:
            return False
        G.gas_remaining = left
        del S[-2:]
        return True

    return act


def _sizing(gas: int) -> Direct:
    def act(c: Any, S: list[int], G: Any) -> bool:
        left = G.gas_remaining - gas
        if not S or left < 0:
            return False
        left = warm_up_account(c, left, S[-1])
        if left < 0:
            return False
        G.gas_remaining = left
        S[-1] = code_size(c, S[-1])
        return True

    return act


def _logging(gas: int, topics: int) -> Direct:
    gas += GAS_LOGTOPIC * topics

    def act(c: Any, S: list[int], G: Any) -> bool:
        if len(S) < 2 + topics or c.msg.is_static:
            return False
        start, size = S[-1], S[-2]
        memory = c._memory._bytes
        left = reach_to_log(memory, G.gas_remaining - gas, start, size)
        if left < 0:
            return False
        G.gas_remaining = left
        log(c, tuple(S[-3 : -3 - topics : -1]), bytes(memory[start : start + size]))
        del S[-2 - topics :]
        return True

    return act


def _calling(call: Callable[..., int], count: int) -> Direct:
    def act(c: Any, S: list[int], G: Any) -> bool:
        if len(S) < count:
            return False
        # Memory that was paid for stays paid for, also where the call is refused: py-evm, which
        # pays for one after the other too, then finds it there.
        room, out, size, start = S[-count], S[1 - count], S[2 - count], S[3 - count]
        for place, length in ((start, size), (out, room)):
            left = reach(c._memory._bytes, G.gas_remaining, place, length)
            if left < 0:
                return False
            G.gas_remaining = left
        memory = c._memory
        data = bytes(memory._bytes[start : start + size])
        target, wanted = S[-2], S[-1]
        value = (S[-3],) if count == 7 else ()
        result = call(c, G, memory, data, out, room, wanted, target, *value)
        if result < 0:
            return False
        del S[1 - count :]
        S[-1] = result
        return True

    return act
