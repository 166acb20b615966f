"""CALL and its kin since Berlin, done directly where nothing is special about them.

`direct_call` wraps an opcode object of py-evm. A call that sends no value, to no delegated account
(EIP-7702), that can be paid and is not too deep is prepared here in one go; all others are left to
the object, before anything was changed. What is called runs through py-evm's own
``apply_child_computation`` in both cases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eth._utils.state import code_is_delegation_designation
from eth.constants import STACK_DEPTH_LIMIT
from eth.vm.forks.berlin.constants import COLD_ACCOUNT_ACCESS_COST, WARM_STORAGE_READ_COST
from eth.vm.forks.berlin.logic import BaseCallEIP2929
from eth.vm.forks.prague.logic import BaseCallEIP7702

from parallel_evm.translator.machine import expansion_gas

_ADDRESS: Final = 2**160 - 1


def has_direct_form(operation: Any) -> bool:
    """Is this a call of Berlin or later? Others are rare by now, and are called as they are."""
    return isinstance(operation, BaseCallEIP2929)


def direct_call(name: str, operation: Any) -> Callable[[Any, list[Any], Any, Any], Any]:
    """The stock opcode ``name``: (computation, stack of numbers, gas meter, memory) -> None.

    Takes its operands from the stack and leaves 1 or 0 on it, as ``operation`` does. Gas: EIP-2929
    for the account, EIP-150 for what the callee gets.
    """
    has_value = name in ("CALL", "CALLCODE")
    is_foreign_code = name in ("CALLCODE", "DELEGATECALL")  # run on the caller's account
    follows_delegations = isinstance(operation, BaseCallEIP7702)
    count = 7 if has_value else 6

    def call(computation: Any, stack: list[Any], meter: Any, memory: Any) -> Any:
        room, out, size, start = stack[-count : -count + 4]
        wanted, target = stack[-1], stack[-2]
        message = computation.msg
        if (has_value and stack[-3]) or message.depth >= STACK_DEPTH_LIMIT:
            return operation(computation=computation)
        state = computation.state
        address = (target & _ADDRESS).to_bytes(20, "big")
        is_warm = state.is_address_warm(address)
        left = meter.gas_remaining
        left -= WARM_STORAGE_READ_COST if is_warm else COLD_ACCOUNT_ACCESS_COST
        end = max(start + size if size else 0, out + room if room else 0)
        if end > len(memory._bytes):
            left -= expansion_gas(len(memory._bytes), end)
        if left < 0:
            return operation(computation=computation)
        code = state.get_code(address)
        if follows_delegations and code_is_delegation_designation(code):
            return operation(computation=computation)
        memory.extend(0, end)
        if not is_warm:
            state.mark_address_warm(address)
        given = min(wanted, left - left // 64)
        meter.gas_remaining = left - given

        own = message.storage_address
        parts: dict[str, Any] = {}
        if is_foreign_code:
            parts["code_address"] = address
            parts["sender"] = message.sender if name == "DELEGATECALL" else own
        child = computation.apply_child_computation(
            computation.prepare_child_message(
                gas=given,
                to=own if is_foreign_code else address,
                value=message.value if name == "DELEGATECALL" else 0,
                data=bytes(memory._bytes[start : start + size]),
                code=code,
                should_transfer_value=has_value,
                is_static=True if name == "STATICCALL" else message.is_static,
                **parts,
            )
        )
        error = child._error
        if error is None or not error.erases_return_data:
            output = child.output[:room]
            memory._bytes[out : out + len(output)] = output
        if error is None or not error.burns_gas:
            meter.gas_remaining += child._gas_meter.gas_remaining
        del stack[-count:]
        stack.append(1 if error is None else 0)
        return None

    return call
