"""Which functions are replaced, and that nothing else is."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from eth.precompiles import ecadd, identity, modexp, sha256
from eth.precompiles.point_evaluation import point_evaluation_precompile
from eth.precompiles.ripemd160 import ripemd160
from eth.vm.forks import BerlinVM, ByzantiumVM, CancunVM, FrontierVM, PragueVM

from parallel_evm.precompiles import fast_precompiles, table
from parallel_evm.precompiles.drop_in import DropIn
from parallel_evm.speculation.rules import Liberties, speculative_state
from parallel_evm.speculation.stock import STOCK_VMS
from tests.precompiles.outcomes import PLENTY, address, fast_table, run, stock_table

REPLACED = {
    FrontierVM: {1},
    ByzantiumVM: {1, 5, 6, 7, 8},
    CancunVM: {1, 5, 6, 7, 8, 10},
    PragueVM: {1, 5, 6, 7, 8, *range(10, 18)},
}


@pytest.mark.parametrize("vm_class", STOCK_VMS)
def test_the_addresses_stay_the_same(vm_class: Any) -> None:
    assert list(fast_table(vm_class)) == list(stock_table(vm_class))


@pytest.mark.parametrize("vm_class", REPLACED)
def test_what_is_replaced(vm_class: Any) -> None:
    stock, fast = stock_table(vm_class), fast_table(vm_class)
    replaced = {int.from_bytes(where, "big") for where in fast if fast[where] is not stock[where]}
    assert replaced - {9} == REPLACED[vm_class]
    for where in fast:
        if stock[where] is point_evaluation_precompile and fast[where] is not stock[where]:
            assert fast[where].__code__ is point_evaluation_precompile.__code__
        elif fast[where] is not stock[where]:
            assert isinstance(fast[where], DropIn)
            assert fast[where].stock is stock[where]
        else:
            assert fast[where] in (sha256, identity, ripemd160, stock[where])


def customised(vm_class: Any, **precompiles: Any) -> Any:
    stock = vm_class.get_state_class().computation_class
    own = {address(int(name[1:], 16)): operation for name, operation in precompiles.items()}
    return type("Customised", (stock,), {"_precompiles": {**stock.get_precompiles(), **own}})


def test_a_customised_function_stays() -> None:
    def own(computation: Any) -> Any:
        computation.output = b"mine"
        return computation

    fast = fast_precompiles(customised(PragueVM, x01=own, x20=own))
    assert fast[address(1)] is own
    assert fast[address(0x20)] is own


def test_prices_that_were_curried_are_kept() -> None:
    fast = fast_precompiles(
        customised(
            BerlinVM, x06=ecadd(gas_cost=7), x05=modexp(gas_calculator=lambda data: len(data))
        )
    )
    assert run(BerlinVM, fast, 6, b"", PLENTY).gas_used == 7
    data = bytes(31) + b"\x01" + bytes(31) + b"\x01" + bytes(31) + b"\x01\x03\x02\x05"
    outcome = run(BerlinVM, fast, 5, data, PLENTY)
    assert outcome.gas_used == len(data)
    assert outcome.output == b"\x04"


def test_a_vm_without_precompiles() -> None:
    stock = PragueVM.get_state_class().computation_class
    assert fast_precompiles(type("Bare", (stock,), {"_precompiles": None})) == {}


def test_without_its_library_blake2f_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake2b", None)
    monkeypatch.delitem(sys.modules, "parallel_evm.precompiles.blake2f", raising=False)
    table._makers.cache_clear()
    try:
        stock, fast = stock_table(PragueVM), fast_table(PragueVM)
        assert fast[address(9)] is stock[address(9)]
        assert fast[address(1)] is not stock[address(1)]
    finally:
        table._makers.cache_clear()


def test_speculations_use_the_table_unless_told() -> None:
    state = PragueVM.get_state_class()
    stock = stock_table(PragueVM)
    fast = speculative_state(state, Liberties()).computation_class.get_precompiles()
    slow = speculative_state(
        state, Liberties(fast_precompiles=False)
    ).computation_class.get_precompiles()
    assert slow == stock
    assert list(fast) == list(stock)
    assert isinstance(fast[address(8)], DropIn)


def test_customised_rules_keep_their_table() -> None:
    state = type(
        "State",
        (PragueVM.get_state_class(),),
        {"computation_class": customised(PragueVM, x01=identity, x20=lambda computation: None)},
    )
    table_of = speculative_state(state, Liberties()).computation_class.get_precompiles()
    assert table_of == state.computation_class.get_precompiles()
