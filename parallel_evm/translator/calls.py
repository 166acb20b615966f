"""CALL and its kin since EIP-150, done directly.

`direct_call` makes a function of an opcode object of py-evm that prepares the call in one go. What
py-evm would refuse, and what is rare (a delegated account, CALLCODE with a value, a caller who
cannot pay, before EIP-161 an account that is not there), it refuses before anything was changed:
the opcode is then py-evm's. What is called runs through py-evm's own ``apply_child_computation`` in
both cases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eth._utils.state import code_is_delegation_designation
from eth.constants import (
    GAS_CALLSTIPEND,
    GAS_CALLVALUE,
    GAS_NEWACCOUNT,
    STACK_DEPTH_LIMIT,
)
from eth.vm.forks.berlin.constants import COLD_ACCOUNT_ACCESS_COST, WARM_STORAGE_READ_COST
from eth.vm.forks.berlin.logic import BaseCallEIP2929
from eth.vm.forks.prague.logic import BaseCallEIP7702
from eth.vm.logic.call import CallCodeEIP150, CallEIP150, CallEIP161, DelegateCallEIP150

REFUSED: Final = -1

_ADDRESS: Final = 2**160 - 1


def has_direct_form(operation: Any) -> bool:
    """Is this a call since EIP-150? Before, a callee got what was asked for, or nothing."""
    return isinstance(operation, (CallEIP150, CallCodeEIP150, DelegateCallEIP150))


def direct_call(name: str, operation: Any) -> Callable[..., int]:
    """The stock opcode ``name``: (computation, gas meter, memory, data, where output goes, how much
    room there is, gas, address[, value]) -> 1, 0, or `REFUSED`.

    Memory is there already, and paid for. Gas: what the opcode costs, EIP-2929 for the account,
    EIP-150 for what the callee gets, EIP-161 for an account that comes to life.
    """
    gas_cost = operation.gas_cost
    has_value = name in ("CALL", "CALLCODE")
    is_static = name == "STATICCALL"
    is_foreign_code = name in ("CALLCODE", "DELEGATECALL")  # run on the caller's account
    charges_cold = isinstance(operation, BaseCallEIP2929)
    follows_delegations = isinstance(operation, BaseCallEIP7702)
    pays_for_absent = isinstance(operation, CallEIP150) and not isinstance(operation, CallEIP161)

    def call(
        computation: Any,
        meter: Any,
        memory: Any,
        data: bytes,
        out: int,
        room: int,
        wanted: int,
        target: int,
        value: int = 0,
    ) -> int:
        message = computation.msg
        if message.depth >= STACK_DEPTH_LIMIT:
            return REFUSED
        state = computation.state
        accounts = state._account_db
        address = (target & _ADDRESS).to_bytes(20, "big")
        own = message.storage_address
        left = meter.gas_remaining - gas_cost
        is_warm = True
        if charges_cold:
            is_warm = state.is_address_warm(address)  # precompiles always are
            left -= WARM_STORAGE_READ_COST if is_warm else COLD_ACCOUNT_ACCESS_COST
        if value:
            if is_foreign_code or message.is_static:
                return REFUSED
            left -= GAS_CALLVALUE
        if left < 0:  # before anything is looked at that py-evm would not get to
            return REFUSED
        code = accounts.get_code(address)
        if follows_delegations and code_is_delegation_designation(code):
            return REFUSED  # the delegate costs gas, too, before balances are looked at
        stipend = 0
        if pays_for_absent:
            # Before EIP-161 an absent account costs without a value too, and an empty one is there.
            if not accounts.account_exists(address):
                return REFUSED
        elif value and (not accounts.account_exists(address) or accounts.account_is_empty(address)):
            left -= GAS_NEWACCOUNT
        if value:
            if left < 0 or not accounts.at_least(own, value):
                return REFUSED
            stipend = GAS_CALLSTIPEND
        if not is_warm:
            state.mark_address_warm(address)
        given = min(wanted, left - left // 64)
        meter.gas_remaining = left - given

        prepare = computation.prepare_child_message
        static = is_static or message.is_static
        if is_foreign_code:
            child_message = prepare(
                gas=given + stipend,
                to=own,
                value=message.value if name == "DELEGATECALL" else value,
                data=data,
                code=code,
                sender=message.sender if name == "DELEGATECALL" else own,
                code_address=address,
                should_transfer_value=has_value,
                is_static=static,
            )
        else:
            child_message = prepare(
                gas=given + stipend,
                to=address,
                value=value,
                data=data,
                code=code,
                should_transfer_value=has_value,
                is_static=static,
            )
        child = computation.apply_child_computation(child_message)
        error = child._error
        if room and (error is None or not error.erases_return_data):
            output = child.output[:room]
            memory._bytes[out : out + len(output)] = output
        if error is None:
            meter.gas_remaining += child._gas_meter.gas_remaining
            return 1
        if not error.burns_gas:
            meter.gas_remaining += child._gas_meter.gas_remaining
        return 0

    return call
