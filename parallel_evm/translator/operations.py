"""What an opcode object means: recognised by identity among py-evm's own, never by its name.

A VM's opcode table maps numbers to objects. An object that lies under the same number in a table
of one of py-evm's forks is *stock*: how many words it takes and leaves is known, and translated
code may do its work itself. Every other object is *foreign*: it is called, nothing is assumed.

Gas costs come from the objects themselves, so every fork is right by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from eth.vm import opcode_values
from eth.vm.forks.berlin.logic import (
    GAS_SCHEDULE_EIP2929,
    extcodesize_eip2929,
    sload_eip2929,
)
from eth.vm.forks.berlin.opcodes import BERLIN_OPCODES
from eth.vm.forks.constantinople.opcodes import CONSTANTINOPLE_OPCODES
from eth.vm.forks.constantinople.storage import GAS_SCHEDULE_EIP1283
from eth.vm.forks.istanbul.opcodes import ISTANBUL_OPCODES
from eth.vm.forks.istanbul.storage import GAS_SCHEDULE_EIP2200
from eth.vm.forks.london.opcodes import LONDON_OPCODES
from eth.vm.forks.london.storage import GAS_SCHEDULE_EIP3529
from eth.vm.logic.storage import NetSStoreGasSchedule

from parallel_evm.forks import VM_CLASSES

Opcodes = Mapping[int, Any]


class OpcodeTable(dict[int, Any]):
    """Opcode objects by number, for a computation class: knows whether it was changed since.

    Tracers and test tools exchange opcodes in the table of a class that they are given. What was
    translated knows nothing of that, so it is not used any more.
    """

    has_changed = False


def _noting(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def noted(self: OpcodeTable, *arguments: Any, **named: Any) -> Any:
        self.has_changed = True
        return method(self, *arguments, **named)

    return noted


for _name in (
    "__delitem__", "__ior__", "__setitem__", "clear", "pop", "popitem", "setdefault", "update",
):  # fmt: skip
    setattr(OpcodeTable, _name, _noting(getattr(dict, _name)))

NAMES: Final[dict[int, str]] = {
    value: name for name, value in vars(opcode_values).items() if name.isupper()
} | {opcode_values.DIFFICULTY: "DIFFICULTY"}

_STOCK: Final[dict[tuple[int, int], str]] = {
    (value, id(operation)): vm.__name__
    for vm in VM_CLASSES.values()
    for value, operation in vm.get_state_class().computation_class.opcodes.items()
}

ARITY: Final[dict[str, tuple[int, int]]] = {
    "BALANCE": (1, 1),
    "EXTCODECOPY": (4, 0),
    "EXTCODEHASH": (1, 1),
    "BLOCKHASH": (1, 1),
    "COINBASE": (0, 1),
    "DIFFICULTY": (0, 1),
    "GASLIMIT": (0, 1),
    "CHAINID": (0, 1),
    "SELFBALANCE": (0, 1),
    "BASEFEE": (0, 1),
    "BLOBHASH": (1, 1),
    "BLOBBASEFEE": (0, 1),
    "TLOAD": (1, 1),
    "TSTORE": (2, 0),
    "CREATE": (3, 1),
    "CREATE2": (4, 1),
    "CALL": (7, 1),
    "CALLCODE": (7, 1),
    "DELEGATECALL": (6, 1),
    "STATICCALL": (6, 1),
    "SSTORE": (2, 0),
    "SELFDESTRUCT": (1, 0),
}
"""Words taken and left by the stock opcodes that translated code calls (yellow paper, H.2)."""

ENDINGS: Final = frozenset({"SELFDESTRUCT"})
"""Called opcodes after which nothing follows: they always raise."""


def stock_name(value: int, operation: Any) -> str | None:
    """The name of a stock opcode; None for a foreign object."""
    return NAMES.get(value) if (value, id(operation)) in _STOCK else None


def origin(value: int, operation: Any) -> str | None:
    """The VM class of a fork that has this very object; None for a foreign object."""
    return _STOCK.get((value, id(operation)))


def exponent_byte_gas(operation: Any) -> int:
    """Gas for each byte of the exponent of a stock EXP (EIP-160 raised it)."""
    return int(operation.logic_fn.keywords["gas_per_byte"])


def exponent_gas(per_byte: int, exponent: int) -> int:
    """What EXP costs beyond its fixed price (yellow paper, appendix G)."""
    return per_byte * ((exponent.bit_length() + 7) // 8)


def charges_cold_accounts(extcodesize: Any) -> bool:
    """Does this stock EXTCODESIZE charge by warm and cold accounts (EIP-2929)?"""
    return extcodesize.logic_fn is extcodesize_eip2929


def charges_cold_slots(sload: Any) -> bool:
    """Does this stock SLOAD charge by warm and cold slots (EIP-2929)?"""
    return sload.logic_fn is sload_eip2929


def net_metering(sstore: Any) -> tuple[NetSStoreGasSchedule, bool, bool] | None:
    """(schedule, has the 2,300 gas sentry, charges cold slots) of a stock SSTORE.

    EIP-1283, EIP-2200, EIP-2929, EIP-3529. None before net metering.
    """
    for table, schedule, sentry, cold in (
        (CONSTANTINOPLE_OPCODES, GAS_SCHEDULE_EIP1283, False, False),
        (ISTANBUL_OPCODES, GAS_SCHEDULE_EIP2200, True, False),
        (BERLIN_OPCODES, GAS_SCHEDULE_EIP2929, True, True),
        (LONDON_OPCODES, GAS_SCHEDULE_EIP3529, True, True),
    ):
        if sstore.logic_fn is table[opcode_values.SSTORE].logic_fn:
            return schedule, sentry, cold
    return None
