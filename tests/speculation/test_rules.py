"""Lazy balances are the numbers that they stand for, and what is customised is recognised."""

from __future__ import annotations

import operator
import threading
from typing import Any

import pytest
from eth.constants import EMPTY_SHA3
from eth.vm import opcode_values
from eth.vm.forks.byzantium import ByzantiumVM
from eth.vm.forks.cancun.state import CancunState
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState, PragueTransactionExecutor
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm import parallelize
from parallel_evm.speculation.balances import LazyBalance
from parallel_evm.speculation.stock import (
    STOCK_VMS,
    is_stock_class,
    is_stock_method,
    state_runs_stock_rules,
    stock_base,
)
from parallel_evm.state.flat import FlatState
from parallel_evm.state.keys import BALANCE
from parallel_evm.state.recorder import Recorder
from parallel_evm.state.source import Account, AccountSource

X = b"\x01" * 20
numbers = st.integers(0, 20)


class Below(AccountSource):
    def __init__(self, balance: int) -> None:
        self._balance = balance

    def account(self, address: bytes) -> Account | None:
        return Account(0, self._balance, EMPTY_SHA3)


def lazy(balance: int, delta: int = 0) -> tuple[LazyBalance, FlatState, Recorder]:
    recorder = Recorder(Below(balance))
    view = FlatState(recorder)
    if delta:
        view.delta_balance(X, delta)
    return LazyBalance(view, X), view, recorder


COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
ARITHMETIC = [operator.add, operator.sub, operator.mul]


@given(numbers, numbers, numbers)
def test_whatever_is_done_with_it_gives_what_the_number_gives(
    balance: int, credit: int, other: int
) -> None:
    number = balance + credit
    for operation in (*COMPARISONS, *ARITHMETIC):
        assert operation(lazy(balance, credit)[0], other) == operation(number, other)
        assert operation(other, lazy(balance, credit)[0]) == operation(other, number)
    value, _, _ = lazy(balance, credit)
    assert int(value) == number
    assert bool(lazy(balance, credit)[0]) == bool(number)
    assert (-value, hash(value), str(value), f"{value:>5}", range(50)[value]) == (
        -number,
        hash(number),
        str(number),
        f"{number:>5}",
        number,
    )


@given(numbers, numbers, st.sampled_from(COMPARISONS[:4]))
def test_a_comparison_observes_a_bound_at_most_where_it_can(
    balance: int, other: int, operation: Any
) -> None:
    value, _, recorder = lazy(balance)
    enough = balance >= other + (operation in (operator.gt, operator.le))
    assert operation(value, other) == operation(balance, other)
    assert ((X, BALANCE) in recorder.observations.cells) == (not enough)


def test_it_stays_what_it_was_when_it_was_read() -> None:
    """EIP-6780's SELFDESTRUCT to oneself reads, credits, and only then debits what it read."""
    value, view, _ = lazy(10, 1)
    view.delta_balance(X, 5)
    assert int(value) == 11
    assert value < 12
    assert not value >= 12
    view.delta_balance(X, -1 * value)
    assert view.balance(X) == 5


def test_every_fork_of_py_evm_is_stock_and_stays_so_when_wrapped() -> None:
    assert len(STOCK_VMS) >= 17
    for vm in STOCK_VMS:
        assert state_runs_stock_rules(vm.get_state_class())
        wrapped = parallelize(vm, workers=1, backend="serial")
        assert state_runs_stock_rules(wrapped.sequential_vm_class.get_state_class())


def _subclass(base: type, **attributes: Any) -> type:
    return type("Own", (base,), attributes)


@pytest.mark.parametrize(
    ("base", "attributes"),
    [
        (PragueState, {"get_balance": lambda self, address: 0}),
        (PragueState, {"get_tip": lambda self, transaction: 0}),
        (PragueState, {"transaction_context_class": object}),
        (PragueState, {"anything": 1}),
        (PragueState, {"__init__": lambda self, *_: None}),
        (PragueComputation, {"apply_message": None}),
        (PragueTransactionExecutor, {"build_evm_message": None}),
        (PragueTransactionExecutor, {"__call__": lambda self, transaction: None}),
        (PragueComputation, {"__enter__": lambda self: self}),
        (PragueComputation, {"__exit__": lambda self, *_: True}),
        (PragueState, {"__getattr__": lambda self, name: 0}),
        (PragueState, {"__new__": lambda cls, *_: None}),
    ],
)
def test_a_class_with_anything_of_its_own_is_not_stock(
    base: type, attributes: dict[str, Any]
) -> None:
    assert is_stock_class(base)
    assert is_stock_class(_subclass(base))
    assert not is_stock_class(_subclass(base, **attributes))
    assert not is_stock_class(_subclass(_subclass(base, **attributes)))


def test_the_stock_class_that_a_class_comes_from() -> None:
    mixin = type("Mixin", (), {"anything": 1})
    assert stock_base(PragueState) is PragueState
    assert stock_base(_subclass(_subclass(PragueState, anything=1))) is PragueState
    assert stock_base(type("Mixed", (mixin, PragueState), {})) is PragueState
    assert stock_base(mixin) is object
    assert not is_stock_class(type("Mixed", (mixin, PragueState), {}))


def test_own_opcodes_precompiles_and_parts_of_a_state_are_seen() -> None:
    assert state_runs_stock_rules(_subclass(PragueState))
    own = {**PragueComputation.opcodes, 0x0C: lambda computation: None}
    table = {**PragueComputation._precompiles, X: lambda computation: None}
    for attributes in ({"opcodes": own}, {"_precompiles": table}):
        computation = _subclass(PragueComputation, **attributes)
        assert not state_runs_stock_rules(_subclass(PragueState, computation_class=computation))
    executor = _subclass(PragueTransactionExecutor, finalize_computation=None)
    assert not state_runs_stock_rules(_subclass(PragueState, transaction_executor_class=executor))
    # An opcode of py-evm's in another place is still one of py-evm's.
    moved = {**PragueComputation.opcodes, 0x0C: PragueComputation.opcodes[opcode_values.ADD]}
    computation = _subclass(PragueComputation, opcodes=moved)
    assert state_runs_stock_rules(_subclass(PragueState, computation_class=computation))


def test_whose_method_it_is() -> None:
    assert is_stock_method(PragueVM, "apply_transaction")
    assert is_stock_method(_subclass(ByzantiumVM), "make_receipt")
    assert not is_stock_method(_subclass(PragueVM, make_receipt=None), "make_receipt")
    assert not is_stock_method(PragueVM, "there_is_no_such_method")
    assert is_stock_method(CancunState, "delta_balance")
    assert not is_stock_method(
        _subclass(CancunState, delta_balance=threading.Lock), "delta_balance"
    )
