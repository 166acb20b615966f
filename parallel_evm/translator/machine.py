"""What translated and cold code call at run time: memory, hashing, storage, logs.

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
    GAS_MEMORY,
    GAS_MEMORY_QUADRATIC_DENOMINATOR,
    GAS_SHA3WORD,
)
from eth.exceptions import Revert
from eth.vm.forks.berlin.constants import (
    COLD_ACCOUNT_ACCESS_COST,
    COLD_SLOAD_COST,
    WARM_STORAGE_READ_COST,
)
from eth.vm.logic.storage import NetSStoreGasSchedule

from parallel_evm.hashing import keccak
from parallel_evm.translator.words import CEILING, MAX, SIGN, sar, sdiv, signextend, smod

STACK_LIMIT: Final = 1024
"""Words (yellow paper, 9.1)."""
_SENTRY: Final = 2300
_ADDRESS: Final = 2**160 - 1


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


def extend(memory: Any, length: int) -> bytearray:
    """Make py-evm's memory ``length`` bytes long, which has been paid for; its bytes."""
    content: bytearray = memory._bytes
    missing = bytes(length - len(content))
    try:
        content.extend(missing)
    except BufferError:  # somebody holds a view of it
        content = memory._bytes = content + missing
    return content


def reach(memory: bytearray, gas: int, start: int, size: int) -> int:
    """Expand memory, if need be, for an access to ``size`` bytes."""
    if size and start + size > len(memory):
        return grow(memory, gas, start + size)
    return gas


def reach_to_copy(memory: bytearray, gas: int, start: int, size: int) -> int:
    """All that copying costs beyond its fixed price."""
    return reach(memory, gas - GAS_COPY * ((size + 31) >> 5), start, size)


def reach_to_hash(memory: bytearray, gas: int, start: int, size: int) -> int:
    """All that SHA3 costs beyond its fixed price."""
    return reach(memory, gas - GAS_SHA3WORD * ((size + 31) >> 5), start, size)


def reach_to_log(memory: bytearray, gas: int, start: int, size: int) -> int:
    """What LOG costs beyond its fixed price and its topics."""
    return reach(memory, gas - GAS_LOGDATA * size, start, size)


def copy(memory: bytearray, target: int, source: bytes, start: int, size: int) -> None:
    """Copy to memory that is there; beyond the end of ``source`` there are zeros."""
    memory[target : target + size] = source[start : start + size].ljust(size, b"\0")


def sha3(computation: Any, content: bytes) -> int:
    return int.from_bytes(keccak(content), "big")


NOTED_SIZES: Final = (32, 64)
"""Bytes of which it is noted what they became: so Solidity names where the elements of an array
are, and the slots of a mapping."""


def noted_sha3(computation: Any, content: bytes) -> int:
    """SHA3 that notes what a slot may come from in ``state.preimages``."""
    digest = keccak(content)
    if len(content) in NOTED_SIZES:
        computation.state.preimages[digest] = content
    return int.from_bytes(digest, "big")


_MAX_PAIRS: Final = 1 << 16
_pairs: dict[tuple[int, int], tuple[int, bytes, bytes]] = {}


def _hashed(first: int, second: int) -> tuple[int, bytes, bytes]:
    """(hash, the same as bytes, what was hashed) of two words: mostly a mapping's slot."""
    content = first.to_bytes(32, "big") + second.to_bytes(32, "big")
    digest = keccak(content)
    found = int.from_bytes(digest, "big"), digest, content
    if len(_pairs) >= _MAX_PAIRS:
        _pairs.clear()
    _pairs[first, second] = found
    return found


def sha3_of_pair(computation: Any, first: int, second: int) -> int:
    return (_pairs.get((first, second)) or _hashed(first, second))[0]


def noted_sha3_of_pair(computation: Any, first: int, second: int) -> int:
    found = _pairs.get((first, second)) or _hashed(first, second)
    computation.state.preimages[found[1]] = found[2]
    return found[0]


def log(computation: Any, topics: tuple[int, ...], data: bytes) -> None:
    """LOG0 to LOG4, paid for, where writing is allowed."""
    position = computation.transaction_context.get_next_log_counter()
    entry = (position, computation.msg.storage_address, topics, data)
    computation._log_entries.append(entry)


def number(word: Any) -> int:
    """What py-evm's opcodes left on its stack, as a number."""
    return int.from_bytes(word, "big") if isinstance(word, bytes) else word


def warm_up_account(computation: Any, gas: int, word: int) -> int:
    """The price of looking at an account since EIP-2929; it is warm afterwards."""
    state = computation.state
    address = (word & _ADDRESS).to_bytes(20, "big")
    if state.is_address_warm(address):
        return gas - WARM_STORAGE_READ_COST
    gas -= COLD_ACCOUNT_ACCESS_COST
    if gas >= 0:
        state.mark_address_warm(address)
    return gas


def code_size(computation: Any, word: int) -> int:
    return len(computation.state.get_code((word & _ADDRESS).to_bytes(20, "big")))


def warm_up(accounts: Any, gas: int, address: bytes, slot: int) -> int:
    """The price of SLOAD since EIP-2929; the slot is warm afterwards."""
    key = (address, slot)
    if key in accounts.warm:
        return gas - WARM_STORAGE_READ_COST
    gas -= COLD_SLOAD_COST
    if gas >= 0:
        accounts.mark_warm(key)
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
        current, original, is_warm = accounts.standing(address, slot)
        cost = reading
        refund = 0
        if current != value:
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
        cold = charges_cold and not is_warm
        gas -= cost + COLD_SLOAD_COST if cold else cost
        if gas < 0:
            return -1
        if refund:
            computation.refund_gas(refund)
        accounts.store(address, slot, value, current)
        if cold:
            accounts.mark_warm((address, slot))
        return gas

    return sstore


def only_numbers(stack: list[Any]) -> None:
    """Turn the bytes that py-evm's opcodes leave on its stack into the numbers they stand for.

    Linear values, which those opcodes do not know, become what they are now.
    """
    for position, item in enumerate(stack):
        if type(item) is not int:
            stack[position] = int.from_bytes(item, "big") if isinstance(item, bytes) else int(item)


NAMESPACE: Final[dict[str, Any]] = {
    "CEILING": CEILING,
    "MAX": MAX,
    "Revert": Revert,
    "SIGN": SIGN,
    "code_size": code_size,
    "copy": copy,
    "extend": extend,
    "from_bytes": int.from_bytes,
    "grow": grow,
    "log": log,
    "noted_sha3": noted_sha3,
    "noted_sha3_of_pair": noted_sha3_of_pair,
    "number": number,
    "only_numbers": only_numbers,
    "reach": reach,
    "reach_to_copy": reach_to_copy,
    "reach_to_hash": reach_to_hash,
    "reach_to_log": reach_to_log,
    "sar": sar,
    "sdiv": sdiv,
    "sha3": sha3,
    "sha3_of_pair": sha3_of_pair,
    "signextend": signextend,
    "smod": smod,
    "warm_up": warm_up,
    "warm_up_account": warm_up_account,
}
"""The names that translated code uses; a program adds its own (`program`)."""
