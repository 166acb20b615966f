"""What translated code calls at run time: memory, hashing, storage, logs.

Each function does the work of one opcode on py-evm's own objects. Those that cost gas take the
gas left and return what remains, or -1 *before anything was changed* where py-evm would run out
of gas or refuse for another reason: the caller then leaves the opcode to py-evm, whose failures,
texts included, are thereby its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eth.constants import (
    GAS_COPY,
    GAS_LOGDATA,
    GAS_LOGTOPIC,
    GAS_MEMORY,
    GAS_MEMORY_QUADRATIC_DENOMINATOR,
    GAS_SHA3WORD,
)
from eth.vm.forks.berlin.constants import COLD_SLOAD_COST, WARM_STORAGE_READ_COST
from eth.vm.logic.storage import NetSStoreGasSchedule

from parallel_evm.hashing import keccak
from parallel_evm.translator.words import CEILING, MAX, SIGN, sar, sdiv, signextend, smod

_SENTRY: Final = 2300


def expansion_gas(length: int, end: int) -> int:
    """What it costs to expand memory from ``length`` bytes so that it reaches ``end``."""
    before = length >> 5
    after = (end + 31) >> 5
    return (
        GAS_MEMORY * (after - before)
        + after * after // GAS_MEMORY_QUADRATIC_DENOMINATOR
        - before * before // GAS_MEMORY_QUADRATIC_DENOMINATOR
    )


def grow(memory: bytearray, gas: int, end: int) -> int:
    """Expand memory to ``end`` bytes, rounded up to a word. ``end`` lies beyond it."""
    length = len(memory)
    gas -= expansion_gas(length, end)
    if gas < 0:
        return -1
    try:
        memory.extend(bytes(((end + 31) & ~31) - length))
    except BufferError:  # somebody holds a view of it; py-evm then makes a new one
        return -1
    return gas


def reach(memory: bytearray, gas: int, start: int, size: int) -> int:
    """Expand memory, if need be, for an access to ``size`` bytes."""
    if size and start + size > len(memory):
        return grow(memory, gas, start + size)
    return gas


def copy(memory: bytearray, gas: int, target: int, source: bytes, start: int, size: int) -> int:
    """CALLDATACOPY and CODECOPY: beyond the end of ``source`` there are zeros."""
    if size == 0:
        return gas
    gas = reach(memory, gas - GAS_COPY * ((size + 31) >> 5), target, size)
    if gas >= 0:
        memory[target : target + size] = source[start : start + size].ljust(size, b"\0")
    return gas


def copy_returned(
    memory: bytearray, gas: int, target: int, source: bytes, start: int, size: int
) -> int:
    """RETURNDATACOPY: beyond the end of ``source`` it fails (EIP-211)."""
    return -1 if start + size > len(source) else copy(memory, gas, target, source, start, size)


def move(memory: bytearray, gas: int, target: int, start: int, size: int) -> int:
    """MCOPY (EIP-5656)."""
    if size == 0:
        return gas
    gas = reach(memory, gas - GAS_COPY * ((size + 31) >> 5), max(target, start), size)
    if gas >= 0:
        memory[target : target + size] = memory[start : start + size]
    return gas


def reach_to_hash(memory: bytearray, gas: int, start: int, size: int) -> int:
    """All that SHA3 costs beyond its fixed price."""
    return reach(memory, gas - GAS_SHA3WORD * ((size + 31) >> 5), start, size)


def sha3(computation: Any, content: bytearray) -> int:
    return int.from_bytes(keccak(bytes(content)), "big")


def noted_sha3(computation: Any, content: bytearray) -> int:
    """SHA3 that notes what 64 bytes became in ``state.preimages``."""
    preimage = bytes(content)
    digest = keccak(preimage)
    if len(preimage) == 64:
        computation.state.preimages[digest] = preimage
    return int.from_bytes(digest, "big")


def log(
    computation: Any,
    memory: bytearray,
    gas: int,
    start: int,
    size: int,
    topics: tuple[int, ...],
) -> int:
    """LOG0 to LOG4."""
    message = computation.msg
    if message.is_static:
        return -1
    gas = reach(memory, gas - GAS_LOGDATA * size - GAS_LOGTOPIC * len(topics), start, size)
    if gas >= 0:
        position = computation.transaction_context.get_next_log_counter()
        data = bytes(memory[start : start + size])
        computation._log_entries.append((position, message.storage_address, topics, data))
    return gas


def warm_up(accounts: Any, gas: int, address: bytes, slot: int) -> int:
    """The price of SLOAD since EIP-2929; the slot is warm afterwards."""
    if accounts.is_storage_warm(address, slot):
        return gas - WARM_STORAGE_READ_COST
    gas -= COLD_SLOAD_COST
    if gas >= 0:
        accounts.mark_storage_warm(address, slot)
    return gas


def net_metered_sstore(
    schedule: NetSStoreGasSchedule, has_sentry: bool, charges_cold: bool
) -> Callable[[Any, Any, int, bytes, int, int, int], int]:
    """SSTORE of one fork.

    The function's ``gas`` may already lack what later opcodes cost; ``exact`` is what py-evm would
    see, which matters to the sentry of EIP-2200.
    """
    reading, setting, resetting, clearing = schedule

    def sstore(
        computation: Any,
        accounts: Any,
        gas: int,
        address: bytes,
        slot: int,
        value: int,
        exact: int,
    ) -> int:
        if computation.msg.is_static or (has_sentry and exact <= _SENTRY):
            return -1
        current = accounts.get_storage(address, slot)
        cost = reading
        refund = 0
        if current != value:
            original = accounts.get_storage(address, slot, False)
            if original == current:
                if original == 0:
                    cost = setting
                else:
                    cost = resetting
                    if value == 0:
                        refund = clearing
            else:
                if original != 0:
                    if current == 0:
                        refund -= clearing
                    if value == 0:
                        refund += clearing
                if original == value:
                    refund += (setting if original == 0 else resetting) - reading
        cold = charges_cold and not accounts.is_storage_warm(address, slot)
        gas -= cost + COLD_SLOAD_COST if cold else cost
        if gas < 0:
            return -1
        if refund:
            computation.refund_gas(refund)
        accounts.set_storage(address, slot, value)
        if cold:
            accounts.mark_storage_warm(address, slot)
        return gas

    return sstore


def only_numbers(stack: list[Any]) -> None:
    """Turn the bytes that py-evm's opcodes leave on its stack into the numbers they stand for."""
    for position, item in enumerate(stack):
        if isinstance(item, bytes):
            stack[position] = int.from_bytes(item, "big")


NAMESPACE: Final[dict[str, Any]] = {
    "CEILING": CEILING,
    "MAX": MAX,
    "SIGN": SIGN,
    "copy": copy,
    "copy_returned": copy_returned,
    "from_bytes": int.from_bytes,
    "grow": grow,
    "log": log,
    "move": move,
    "only_numbers": only_numbers,
    "reach": reach,
    "reach_to_hash": reach_to_hash,
    "sar": sar,
    "sdiv": sdiv,
    "signextend": signextend,
    "smod": smod,
    "warm_up": warm_up,
}
"""The names that translated code uses; a program adds its own (`program`)."""
