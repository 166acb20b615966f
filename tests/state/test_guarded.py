"""A view on which hot slots are linear: what it hands out, and the plain data that it leaves."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.exceptions import ValidationError

from parallel_evm.state.flat import FlatState
from parallel_evm.state.guarded import GuardedRecorder, GuardedView
from parallel_evm.state.keys import EPOCH, NO_WIPE
from parallel_evm.state.linear import Linear
from parallel_evm.state.source import Account, AccountSource

X = b"\xaa" * 20
MAX = 2**256 - 1
A: Any = X


class Ledger(AccountSource):
    def __init__(self, **slots: int) -> None:
        self.slots = {int(name[1:]): value for name, value in slots.items()}

    def account(self, address: bytes) -> Account | None:
        return None

    def slot(self, address: bytes, slot: int) -> int:
        return self.slots.get(slot, 0) if address == X else 0


def view_of(hot: dict[int, bool] | None = None, **slots: int) -> GuardedView:
    named = {(X, slot): one for slot, one in ({7: False} if hot is None else hot).items()}
    return GuardedView(GuardedRecorder(Ledger(**slots)), 3, named)


def settled(view: GuardedView, is_last: bool = False) -> tuple[Any, Any, Any, Any]:
    """Observed values and ranges, written slots and increments."""
    view.settle(is_last)
    assert all(
        type(value) is int for slots in view.effects.slots.values() for value in slots.values()
    )
    observed = view.source.observations
    return observed.slots, observed.ranges, view.effects.slots, view.effects.increments


def test_only_hot_slots_are_linear_and_only_when_loaded() -> None:
    view = view_of(_7=5, _8=6)
    assert isinstance(view.load(X, 7), Linear)
    assert view.load(X, 8) == 6 and isinstance(view.load(X, 8), int)
    assert view.get_storage(A, 7) == 5 and isinstance(view.get_storage(A, 7), int)


def test_what_was_only_loaded_is_a_range_of_all_there_is() -> None:
    view = view_of(_7=5)
    view.load(X, 7)
    assert settled(view) == ({}, {X: {7: (0, MAX)}}, {}, {})
    assert view.source.observations.cells == {(X, EPOCH): NO_WIPE}


def test_an_increment() -> None:
    view = view_of(_7=5)
    view.set_storage(A, 7, view.load(X, 7) + 4)
    assert isinstance(view.load(X, 7), Linear)
    assert settled(view) == ({}, {X: {7: (0, MAX - 4)}}, {X: {7: 9}}, {X: {7: 4}})


def test_increments_add_up() -> None:
    view = view_of(_7=5)
    for change in (4, -2, 1):
        view.set_storage(A, 7, view.load(X, 7) + change)
    assert settled(view)[3] == {X: {7: 3}}


def test_who_looks_observes() -> None:
    view = view_of(_7=5)
    view.set_storage(A, 7, view.load(X, 7) + 4)
    assert view.get_storage(A, 7) == 9
    assert settled(view) == ({X: {7: 5}}, {}, {X: {7: 9}}, {})


def test_who_looked_first_has_observed_whatever_comes_then() -> None:
    view = view_of(_7=5)
    assert view.get_storage(A, 7) == 5
    view.set_storage(A, 7, view.load(X, 7) + 1)
    assert settled(view) == ({X: {7: 5}}, {}, {X: {7: 6}}, {})


def test_who_asks_for_the_slot_observes() -> None:
    view = view_of(_7=5)
    assert type(view.slot(X, 7)) is int
    assert settled(view) == ({X: {7: 5}}, {}, {}, {})


def test_a_slot_has_one_guard_however_often_it_is_loaded() -> None:
    recorder = GuardedRecorder(Ledger(_7=5))
    for limit in (9, 7, 8):
        assert recorder.linear((X, 7), zero_is_one=False) < limit
    (guard,) = recorder.guards.values()
    assert (guard.low, guard.high, guard.exact) == (0, 6, False)
    int(recorder.linear((X, 7), zero_is_one=False))
    assert type(recorder.linear((X, 7), zero_is_one=False)) is int


def test_what_was_observed_before_needs_no_guard() -> None:
    recorder = GuardedRecorder(Ledger(_7=5))
    assert recorder.slot(X, 7) == 5
    known = recorder.linear((X, 7), zero_is_one=True)
    assert type(known) is int and known == 5
    assert recorder.guards == {}


def test_what_is_replaced_is_written_as_it_is() -> None:
    view = view_of(_7=5)
    assert view.load(X, 7) < 8
    view.set_storage(A, 7, 8)
    assert settled(view) == ({}, {X: {7: (0, 7)}}, {X: {7: 8}}, {})


def test_what_was_replaced_is_known_as_a_number() -> None:
    view = view_of(_7=5)
    view.set_storage(A, 7, 8)
    assert view.get_storage(A, 7) == 8
    original = view.get_storage(A, 7, from_journal=False)
    assert type(original) is int and original == 5
    assert settled(view)[0] == {X: {7: 5}}


def test_what_is_stored_in_another_slot_is_a_number() -> None:
    view = view_of({7: False, 8: False}, _7=5, _8=6)
    view.set_storage(A, 8, view.load(X, 7) + 1)
    slots, ranges, written, increments = settled(view)
    assert (slots, written, increments) == ({X: {7: 5}}, {X: {8: 6}}, {})
    assert ranges.get(X, {}).keys() <= {8}


def test_what_is_undone_leaves_only_what_was_asked() -> None:
    view = view_of(_7=5)
    checkpoint = view.record()
    assert view.load(X, 7) >= 2
    view.set_storage(A, 7, view.load(X, 7) + 4)
    view.discard(checkpoint)
    assert settled(view)[1:] == ({X: {7: (2, MAX - 4)}}, {X: {}}, {})


def test_a_wiped_slot_is_zero_and_what_it_held_is_observed() -> None:
    view = view_of(_7=5)
    old = view.load(X, 7)
    view.delete_account(A)
    assert (view.load(X, 7), view.epoch(X)) == (0, 3)
    view.set_storage(A, 7, old + 1)
    assert settled(view) == ({X: {7: 5}}, {}, {X: {7: 6}}, {})


def test_a_zero_that_somebody_is_about_to_fill_is_taken_for_a_one() -> None:
    view = view_of({7: True})
    value = view.load(X, 7)
    assert value.now == 1
    assert value != 0
    view.set_storage(A, 7, value + 4)
    assert settled(view) == ({}, {X: {7: (1, MAX - 4)}}, {X: {7: 5}}, {X: {7: 4}})


def test_what_was_assumed_and_looked_at_stays_an_interval_of_one() -> None:
    view = view_of({7: True})
    assert int(view.load(X, 7)) == 1
    assert settled(view) == ({}, {X: {7: (1, 1)}}, {}, {})


def test_a_value_that_is_there_is_not_assumed() -> None:
    view = view_of({7: True}, _7=9)
    assert view.load(X, 7).now == 9
    int(view.load(X, 7))
    assert settled(view)[1] == {X: {7: (9, 9)}}


@pytest.mark.parametrize("value", [-1, MAX + 1, "text", None, 1.5])
def test_what_is_no_word_is_refused_as_ever(value: Any) -> None:
    said = []
    for view in (view_of(), FlatState(Ledger())):
        with pytest.raises(ValidationError) as refusal:
            view.set_storage(A, 7, value)
        said.append(refusal.value.args)
    assert said[0] == said[1]


def test_a_sum_beyond_all_words_wraps_where_it_is_stored() -> None:
    view = view_of(_7=MAX)
    view.set_storage(A, 7, view.load(X, 7) + 3)
    assert settled(view) == ({}, {X: {7: (MAX - 2, MAX)}}, {X: {7: 2}}, {X: {7: 3 - 2**256}})


def test_originals_of_the_last_transaction_can_be_made_up_afterwards() -> None:
    view = view_of({7: False, 8: False, 9: False}, _7=5, _8=6, _9=7)
    view.set_storage(A, 7, view.load(X, 7) + 4)
    view.load(X, 8)
    view.set_storage(A, 8, 1)
    view.set_storage(A, 9, view.load(X, 9) * 2)
    view.settle(is_last=True)
    warm, originals = view.transaction_traces()
    assert originals == {(X, 7): None, (X, 8): 6, (X, 9): 7}
    assert view.source.observations.slots == {X: {8: 6, 9: 7}}
    committed = FlatState(Ledger(_7=105))
    committed.set_storage(A, 7, 109)  # by the judge's sum
    committed.resume((warm, originals), view.effects.increments)
    assert committed.get_storage(A, 7, from_journal=False) == 105


def test_originals_of_what_was_undone_are_what_the_slot_holds() -> None:
    """It was added to, and that was undone: nothing of the slot's value need be known."""
    view = view_of({7: False, 8: False}, _7=5, _8=6)
    view.set_storage(A, 8, view.load(X, 8) + 2)
    checkpoint = view.record()
    view.set_storage(A, 7, view.load(X, 7) + 4)
    view.discard(checkpoint)
    view.settle(is_last=True)
    traces, increments = view.transaction_traces(), view.effects.increments
    assert (traces[1], increments) == ({(X, 7): None, (X, 8): None}, {X: {8: 2}})
    committed = FlatState(Ledger(_7=105, _8=108))
    committed.resume(traces, increments)
    assert committed.original(X, 7) == 105
    assert committed.original(X, 8) == 106
    committed.resume(traces, {})
    assert [committed.original(X, slot) for slot in (7, 8)] == [105, 108]
