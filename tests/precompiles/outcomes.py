"""One message to a precompile, through the computation class of a fork, with either table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from eth.constants import BLANK_ROOT_HASH, ZERO_ADDRESS
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks import PragueVM
from eth.vm.message import Message
from eth.vm.transaction_context import BaseTransactionContext

from parallel_evm.precompiles import fast_precompiles
from parallel_evm.precompiles.drop_in import DropIn

PLENTY = 10**9


@dataclass(frozen=True)
class Outcome:
    output: bytes
    gas_left: int
    refund: int
    error: tuple[type, str] | None

    @property
    def gas_used(self) -> int:
        return PLENTY - self.gas_left


def address(number: int) -> bytes:
    return number.to_bytes(20, "big")


def run(vm_class: Any, table: Mapping[Any, Any], number: int, data: bytes, gas: int) -> Outcome:
    state = _state(vm_class)
    stock_class = state.computation_class
    computation_class = type("Computation", (stock_class,), {"_precompiles": dict(table)})
    to = address(number)
    message = Message(
        gas=gas, to=to, sender=ZERO_ADDRESS, value=0, data=data, code=b"", code_address=to
    )
    context = BaseTransactionContext(gas_price=1, origin=ZERO_ADDRESS)
    computation = computation_class.apply_message(state, message, context)
    error = computation.error if computation.is_error else None
    return Outcome(
        computation.output,
        computation.get_gas_remaining(),
        computation.get_gas_refund(),
        (type(error), str(error)) if error else None,
    )


@cache
def _state(vm_class: Any) -> Any:
    context = ExecutionContext(
        coinbase=ZERO_ADDRESS,
        timestamp=1,
        block_number=1,
        difficulty=0,
        mix_hash=bytes(32),
        gas_limit=PLENTY,
        prev_hashes=(),
        chain_id=1,
        base_fee_per_gas=1,
        excess_blob_gas=0,
    )
    return vm_class.get_state_class()(AtomicDB(), context, BLANK_ROOT_HASH)


def stock_table(vm_class: Any) -> Mapping[Any, Any]:
    table: Mapping[Any, Any] = vm_class.get_state_class().computation_class.get_precompiles()
    return table


def fast_table(vm_class: Any) -> dict[Any, Any]:
    return fast_precompiles(vm_class.get_state_class().computation_class)


def _must_not_run(computation: Any) -> Any:
    raise AssertionError("py-evm's function ran for an input that is regular")


def hold(
    number: int, data: bytes, gas: int = PLENTY, *, regular: bool = False, vm_class: Any = PragueVM
) -> Outcome:
    """The same message with py-evm's table and with the fast one: the outcomes are equal.

    ``regular``: the drop-in answers without py-evm's function.
    """
    table = fast_table(vm_class)
    if regular:
        drop_in = table[address(number)]
        assert isinstance(drop_in, DropIn)
        table[address(number)] = replace(drop_in, stock=_must_not_run)
    expected = run(vm_class, stock_table(vm_class), number, data, gas)
    assert run(vm_class, table, number, data, gas) == expected, (number, data.hex(), gas)
    return expected


def hold_at_cost(number: int, data: bytes, *, vm_class: Any = PragueVM) -> Outcome:
    """`hold` for a regular input, with just enough gas, and with a unit less."""
    cost = fast_table(vm_class)[address(number)].arithmetic.price(data)
    outcome = hold(number, data, cost, regular=True, vm_class=vm_class)
    assert outcome.error is None
    assert outcome.gas_left == 0
    if cost:
        short = hold(number, data, cost - 1, vm_class=vm_class)
        assert short.error is not None
    return outcome
