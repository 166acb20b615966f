"""Ancestors are fetched as far as somebody looks.

And a transaction is run linearly as long as that works, and with numbers when it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.speculation.executor import Irregular
from parallel_evm.speculation.rules import Liberties, speculative_state
from parallel_evm.speculation.run import (
    ANCESTORS_AT_ONCE,
    MAX_PREIMAGES,
    Speculator,
    ancestors,
)
from parallel_evm.state.flat import FlatState
from parallel_evm.state.linear import Linear
from parallel_evm.state.source import Account, AccountSource
from parallel_evm.translator import NotRecorded
from parallel_evm.workloads.forks import fork
from tests.strategies import GHOST, Act, Pen, open_chain, state_of

RULES = fork("prague")
CHAIN = open_chain(RULES.chain_class, state_of("prague"))


def signed(**act: Any) -> Any:
    return Pen(RULES, CHAIN).sign(Act(0, GHOST, **act))


@given(st.integers(0, 3 * ANCESTORS_AT_ONCE), st.integers(0, 3 * ANCESTORS_AT_ONCE))
def test_ancestors_come_in_batches_and_end_where_the_chain_does(length: int, wanted: int) -> None:
    chain = [number.to_bytes(32, "big") for number in range(length)]
    asked: list[tuple[int, int]] = []

    def fetch(depth: int, count: int) -> list[bytes]:
        asked.append((depth, count))
        return chain[depth : depth + count]

    assert list(islice(ancestors(fetch), wanted)) == chain[:wanted]
    assert len(asked) <= wanted // ANCESTORS_AT_ONCE + 1


#
# Linear runs
#
X: Any = b"\xaa" * 20
SLOT = 7
HOT = {(X, SLOT): False}

Attempt = Callable[[Any], Any]


class Fives(AccountSource):
    """Nobody has anything, and every slot holds five."""

    def account(self, address: bytes) -> Account | None:
        return None

    def slot(self, address: bytes, slot: int) -> int:
        return 5


class Scripted(Speculator):
    """A transaction is a list of what its attempts do to the state, one after the other."""

    def __init__(self, last: int = 9) -> None:
        vm = CHAIN.get_vm()
        rules = speculative_state(vm.get_state_class(), Liberties(translate=False))
        super().__init__(rules, vm.state.execution_context, FlatState(Fives()), last)

    def _directly(self, transaction: Any, fields: Any = None) -> Any:
        return transaction.pop(0)(self._state._account_db)


def increment(kind: type) -> Attempt:
    def attempt(view: Any) -> str:
        value = view.load(X, SLOT)
        assert type(value) is kind
        view.set_storage(X, SLOT, value + 4)
        return "done"

    return attempt


def half_way(error: Exception) -> Attempt:
    def attempt(view: Any) -> None:
        increment(Linear)(view)
        view.set_nonce(X, 1)
        raise error

    return attempt


def test_what_runs_linearly_observes_an_interval() -> None:
    speculator, attempts = Scripted(), [increment(Linear)]
    result = speculator.run(0, attempts, HOT)
    assert (result.outcome, result.traces) == ("done", None)
    assert result.observations.ranges == {X: {SLOT: (0, 2**256 - 5)}}
    assert result.observations.slots == {}
    assert result.effects.increments == {X: {SLOT: 4}}
    assert speculator.lane.slot(X, SLOT) == 9


def test_without_hot_slots_it_runs_with_numbers() -> None:
    for hot in (None, {}):
        result = Scripted().run(0, [increment(int)], hot)
        assert result.observations.slots == {X: {SLOT: 5}}


def replace(view: Any) -> str:
    assert view.load(X, SLOT) < 6
    view.set_storage(X, SLOT, 8)
    return "done"


def test_only_the_last_transaction_observes_for_the_sake_of_its_traces() -> None:
    between = Scripted(last=3).run(2, [replace], HOT)
    assert (between.traces, between.observations.slots) == (None, {})
    last = Scripted(last=3).run(3, [replace], HOT)
    assert (last.traces, last.observations.slots) == (((), {(X, SLOT): 5}), {X: {SLOT: 5}})
    last = Scripted(last=3).run(3, [increment(Linear)], HOT)
    assert (last.traces, last.observations.slots) == (((), {(X, SLOT): None}), {})


@pytest.mark.parametrize(("hashes", "told"), [(3, 3), (MAX_PREIMAGES, MAX_PREIMAGES), (5000, 0)])
def test_who_hashes_too_much_is_not_asked_for_it(hashes: int, told: int) -> None:
    class Hashing(Scripted):
        def _directly(self, transaction: Any, fields: Any = None) -> Any:
            preimages = self._state.preimages
            preimages.update((number.to_bytes(32, "big"), b"") for number in range(hashes))
            return super()._directly(transaction)

    result = Hashing().run(0, [increment(int)])
    assert result.preimages is not None
    assert len(result.preimages) == told


def numbers_only(result: Any, speculator: Speculator) -> None:
    assert result.outcome == "done"
    assert result.observations.slots == {X: {SLOT: 5}}
    assert result.observations.ranges == result.effects.increments == result.effects.cells == {}
    assert speculator.lane.slot(X, SLOT) == 9


@pytest.mark.parametrize("error", [TypeError("no number"), ZeroDivisionError(), Irregular()])
def test_a_use_that_nobody_foresaw_makes_it_run_with_numbers(error: Exception) -> None:
    speculator, attempts = Scripted(), [half_way(error), increment(int)]
    numbers_only(speculator.run(0, attempts, HOT), speculator)
    assert attempts == []


def test_what_the_translator_has_to_see_is_rehearsed_with_numbers() -> None:
    rehearsal = [half_way(NotRecorded()), increment(int)]
    speculator, attempts = Scripted(), [*rehearsal * 3, increment(Linear)]
    result = speculator.run(0, attempts, HOT)
    assert result.effects.increments == {X: {SLOT: 4}}
    assert result.effects.cells == {}
    assert (attempts, speculator.lane.slot(X, SLOT)) == ([], 9)


def test_rehearsals_end() -> None:
    rehearsal = [half_way(NotRecorded()), increment(int)]
    speculator, attempts = Scripted(), [*rehearsal * 4, increment(int)]
    numbers_only(speculator.run(0, attempts, HOT), speculator)
    assert attempts == []
