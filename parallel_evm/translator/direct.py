"""Opcodes that cost gas by circumstances, done directly on the real stack and memory.

Responsible for: `direct`, which makes of a stock opcode the function that does its work.
Talks to: `machine`, `calls` and `words`, which it is made of; `operations`, for what they cost.
Never: fails. Where gas, stack or memory might not suffice it refuses before anything has changed,
and the opcode is py-evm's; memory that was paid for stays paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from eth.constants import GAS_LOGTOPIC
from eth.vm import opcode_values as op

from parallel_evm.translator.calls import direct_call, has_direct_form
from parallel_evm.translator.machine import (
    STACK_LIMIT,
    code_size,
    copy,
    grow,
    log,
    net_metered_sstore,
    noted_sha3,
    reach,
    reach_to_copy,
    reach_to_hash,
    reach_to_log,
    sha3,
    warm_up,
    warm_up_account,
)
from parallel_evm.translator.operations import (
    charges_cold_accounts,
    charges_cold_slots,
    exponent_byte_gas,
    exponent_gas,
    net_metering,
)
from parallel_evm.translator.words import power

Direct = Callable[[Any, list[int], int], int]
"""Does an opcode on (computation, its stack, gas that is on its meter), and returns the gas that is
left. Negative: py-evm's object is to do it, and finds everything as it was, but for memory that was
paid for."""


def direct(value: int, name: str, operation: Any, notes_sha3: bool) -> Direct | None:
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
    if name == "EXTCODESIZE":
        return _sizing(gas, charges_cold_accounts(operation))
    if name == "EXP":
        return _raising(gas, exponent_byte_gas(operation))
    if name in ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL") and has_direct_form(operation):
        return _calling(gas, direct_call(name, operation), 7 if value <= op.CALLCODE else 6)
    make = _BY_NAME.get(name)
    return None if make is None else make(gas)


def _mload(gas: int) -> Direct:
    def act(c: Any, S: list[int], left: int) -> int:
        if not S:
            return -1
        start, memory = S[-1], c._memory._bytes
        left -= gas
        if start + 32 > len(memory):
            left = grow(memory, left, start + 32)
        if left >= 0:
            S[-1] = int.from_bytes(memory[start : start + 32], "big")
        return left

    return act


def _mstore(gas: int) -> Direct:
    def act(c: Any, S: list[int], left: int) -> int:
        if len(S) < 2:
            return -1
        start, memory = S[-1], c._memory._bytes
        left -= gas
        if start + 32 > len(memory):
            left = grow(memory, left, start + 32)
        if left >= 0:
            memory[start : start + 32] = S[-2].to_bytes(32, "big")
            del S[-2:]
        return left

    return act


def _mstore8(gas: int) -> Direct:
    def act(c: Any, S: list[int], left: int) -> int:
        if len(S) < 2:
            return -1
        memory = c._memory._bytes
        left = reach(memory, left - gas, S[-1], 1)
        if left >= 0:
            memory[S[-1]] = S[-2] & 255
            del S[-2:]
        return left

    return act


def _copying(gas: int, source: Callable[[Any], bytes], fails_beyond: bool = False) -> Direct:
    """``fails_beyond``: nothing is to be copied from beyond the end of ``source`` (EIP-211)."""

    def act(c: Any, S: list[int], left: int) -> int:
        if len(S) < 3:
            return -1
        target, start, size = S[-1], S[-2], S[-3]
        if fails_beyond and start + size > len(source(c)):
            return -1
        memory = c._memory._bytes
        left = reach_to_copy(memory, left - gas, target, size)
        if left >= 0:
            if size:
                copy(memory, target, source(c), start, size)
            del S[-3:]
        return left

    return act


def _returning(gas: int) -> Direct:
    def act(c: Any, S: list[int], left: int) -> int:
        if len(S) < 2:
            return -1
        start, size = S[-1], S[-2]
        memory = c._memory._bytes
        left = reach(memory, left - gas, start, size)
        if left >= 0:
            c._output = bytes(memory[start : start + size])
            del S[-2:]
        return left

    return act


def _gas_left(gas: int) -> Direct:
    def act(c: Any, S: list[int], left: int) -> int:
        if len(S) >= STACK_LIMIT:
            return -1
        left -= gas
        if left >= 0:
            S.append(left)
        return left

    return act


def _stopping(gas: int) -> Direct:
    return lambda c, S, left: left - gas


_BY_NAME: Final[Mapping[str, Callable[[int], Direct]]] = {
    "GAS": _gas_left,
    "STOP": _stopping,
    "MLOAD": _mload,
    "MSTORE": _mstore,
    "MSTORE8": _mstore8,
    "CALLDATACOPY": lambda gas: _copying(gas, lambda c: c.msg.data_as_bytes),
    "CODECOPY": lambda gas: _copying(gas, lambda c: c.msg.code),
    "RETURNDATACOPY": lambda gas: _copying(gas, lambda c: c.return_data, fails_beyond=True),
    "RETURN": _returning,
}


def _hashing(gas: int, digest: Callable[[Any, bytes], int]) -> Direct:
    def act(c: Any, S: list[int], left: int) -> int:
        if len(S) < 2:
            return -1
        start, size = S[-1], S[-2]
        memory = c._memory._bytes
        left = reach_to_hash(memory, left - gas, start, size)
        if left >= 0:
            del S[-1]
            S[-1] = digest(c, bytes(memory[start : start + size]))
        return left

    return act


def _loading(gas: int, charges_cold: bool) -> Direct:
    def act(c: Any, S: list[int], left: int) -> int:
        left -= gas
        if not S or left < 0:
            return -1
        accounts, address = c.state._account_db, c.msg.storage_address
        if charges_cold:
            left = warm_up(accounts, left, address, S[-1])
        if left >= 0:
            S[-1] = accounts.load(address, S[-1])
        return left

    return act


def _storing(gas: int, sstore: Callable[..., int]) -> Direct:
    def act(c: Any, S: list[int], left: int) -> int:
        left -= gas
        if len(S) < 2 or left < 0:
            return -1
        address = c.msg.storage_address
        left = sstore(c, c.state._account_db, left, address, S[-1], S[-2], left)
        if left >= 0:
            del S[-2:]
        return left

    return act


def _raising(gas: int, gas_per_byte: int) -> Direct:
    def act(c: Any, S: list[int], left: int) -> int:
        if len(S) < 2:
            return -1
        base, exponent = S[-1], S[-2]
        left -= gas + exponent_gas(gas_per_byte, exponent)
        if left >= 0:
            del S[-1]
            S[-1] = power(base, exponent)
        return left

    return act


def _sizing(gas: int, charges_cold: bool) -> Direct:
    def act(c: Any, S: list[int], left: int) -> int:
        left -= gas
        if not S or left < 0:
            return -1
        if charges_cold:
            left = warm_up_account(c, left, S[-1])
        if left >= 0:
            S[-1] = code_size(c, S[-1])
        return left

    return act


def _logging(gas: int, topics: int) -> Direct:
    gas += GAS_LOGTOPIC * topics

    def act(c: Any, S: list[int], left: int) -> int:
        if len(S) < 2 + topics or c.msg.is_static:
            return -1
        start, size = S[-1], S[-2]
        memory = c._memory._bytes
        left = reach_to_log(memory, left - gas, start, size)
        if left >= 0:
            log(c, tuple(S[-3 : -3 - topics : -1]), bytes(memory[start : start + size]))
            del S[-2 - topics :]
        return left

    return act


def _calling(gas: int, call: Callable[..., int], count: int) -> Direct:
    """``call`` charges for the opcode itself, whose price ``gas`` comes before memory."""

    def act(c: Any, S: list[int], left: int) -> int:
        # What sends value in a static call is refused before memory is paid for, as by py-evm.
        if len(S) < count or (count == 7 and S[-3] and c.msg.is_static):
            return -1
        # Memory that was paid for stays paid for, also where the call is refused: py-evm, which
        # pays for one after the other too, then finds it there.
        meter, memory = c._gas_meter, c._memory
        room, out, size, start = S[-count], S[1 - count], S[2 - count], S[3 - count]
        for place, length in ((start, size), (out, room)):
            left = reach(memory._bytes, meter.gas_remaining - gas, place, length)
            if left < 0:
                return -1
            meter.gas_remaining = left + gas
        data = bytes(memory._bytes[start : start + size])
        target, wanted = S[-2], S[-1]
        value = (S[-3],) if count == 7 else ()
        result = call(c, meter, memory, data, out, room, wanted, target, *value)
        if result < 0:
            return -1
        del S[1 - count :]
        S[-1] = result
        return int(meter.gas_remaining)

    return act
