"""The recorder: the first value of every key, bounds for balances, nothing of what is new."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from eth.constants import EMPTY_SHA3

from parallel_evm.state.flat import FlatState
from parallel_evm.state.keys import BALANCE, CODE, EPOCH, LIFE, NO_WIPE, NONCE
from parallel_evm.state.recorder import Recorder
from parallel_evm.state.source import Account, AccountSource

X, Y = b"\x01" * 20, b"\x02" * 20


class Below(AccountSource):
    """One account with ten wei, and a count of what is asked."""

    def __init__(self) -> None:
        self.asked: Counter[Any] = Counter()

    def account(self, address: bytes) -> Account | None:
        self.asked[address] += 1
        return Account(3, 10, EMPTY_SHA3) if address == X else None

    def slot(self, address: bytes, slot: int) -> int:
        self.asked[address, slot] += 1
        return slot * 2

    def code(self, code_hash: bytes) -> bytes:
        return b"code"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(Below())


def test_every_question_is_remembered_with_its_first_answer(recorder: Recorder) -> None:
    assert recorder.balance(X) == 10
    assert recorder.nonce(X) == 3
    assert recorder.code_hash(Y) == EMPTY_SHA3
    assert not recorder.exists(Y)
    assert recorder.epoch(Y) == NO_WIPE
    assert recorder.observations.cells == {
        (X, BALANCE): 10,
        (X, NONCE): 3,
        (Y, CODE): EMPTY_SHA3,
        (Y, LIFE): False,
        (Y, EPOCH): NO_WIPE,
    }
    assert recorder.observations.slots == {}
    assert recorder.observations.bounds == {}


def test_what_was_answered_once_is_not_asked_again() -> None:
    below = Below()
    recorder = Recorder(below)
    for _ in range(3):
        assert recorder.slot(X, 4) == 8
        assert recorder.nonce(X) == 3
        assert recorder.balance(X) == 10
        assert recorder.code_hash(X) == EMPTY_SHA3
        assert recorder.exists(X) is True
        assert recorder.at_least(Y, 1) is False
        assert recorder.epoch(X) == NO_WIPE
    assert below.asked == {(X, 4): 1, X: 4, Y: 2}  # Y: the bound, and then the number


def test_the_epoch_is_asked_once_too() -> None:
    class Wiped(Below):
        def epoch(self, address: bytes) -> int:
            self.asked["epoch", address] += 1
            return 5

    below = Wiped()
    recorder = Recorder(below)
    for slot in (1, 2, 1):
        recorder.slot(X, slot)
        assert recorder.epoch(X) == 5
    assert below.asked["epoch", X] == 1
    assert recorder.observations.cells == {(X, EPOCH): 5}


def test_a_slot_is_observed_with_the_epoch_of_its_storage(recorder: Recorder) -> None:
    assert [recorder.slot(X, 1), recorder.slot(X, 0)] == [2, 0]
    assert recorder.observations.slots == {X: {1: 2, 0: 0}}
    assert recorder.observations.cells == {(X, EPOCH): NO_WIPE}


def test_code_is_named_by_its_hash_and_observes_nothing(recorder: Recorder) -> None:
    assert recorder.code(b"hash") == b"code"
    assert recorder.observations.cells == {}


@pytest.mark.parametrize(
    ("asked", "answers", "bounds", "cells"),
    [
        ([5], [True], {X: 5}, {}),
        ([5, 3, 7], [True, True, True], {X: 7}, {}),
        ([10], [True], {X: 10}, {}),
        ([0, -5], [True, True], {}, {}),
        ([11], [False], {}, {(X, BALANCE): 10}),
        ([4, 11, 6], [True, False, True], {X: 4}, {(X, BALANCE): 10}),
    ],
)
def test_enough_is_a_bound_and_too_little_a_number(
    recorder: Recorder,
    asked: list[int],
    answers: list[bool],
    bounds: dict[bytes, int],
    cells: dict[Any, int],
) -> None:
    assert [recorder.at_least(X, needed) for needed in asked] == answers
    assert recorder.observations.bounds == bounds
    assert recorder.observations.cells == cells


def test_what_follows_from_bound_or_number_is_not_asked_again() -> None:
    below = Below()
    recorder = Recorder(below)
    for needed in (5, 5, 3, 5):
        assert recorder.at_least(X, needed)
    assert below.asked == {X: 1}
    assert recorder.balance(X) == 10
    for needed, enough in ((9, True), (10, True), (11, False)):
        assert recorder.at_least(X, needed) is enough
    assert below.asked == {X: 2}
    assert recorder.observations.bounds == {X: 5}


def test_staying_below_a_limit_observes_nothing_until_it_does_not(recorder: Recorder) -> None:
    assert recorder.below(X, 1 << 255)
    assert recorder.observations.cells == {}
    assert recorder.below(X, 11)
    assert recorder.observations.cells == {(X, BALANCE): 10}
    assert not recorder.below(X, 10)


@pytest.mark.parametrize(("limit", "observed"), [(1 << 253, False), ((1 << 253) - 1, True)])
def test_who_is_credited_nearly_all_numbers_is_observed(
    recorder: Recorder, limit: int, observed: bool
) -> None:
    assert recorder.below(X, limit)
    assert recorder.observations.cells == ({(X, BALANCE): 10} if observed else {})


@pytest.mark.parametrize(("balance", "observed"), [((1 << 255) - 1, False), (1 << 255, True)])
def test_accounts_near_the_end_of_numbers_are_observed(balance: int, observed: bool) -> None:
    """Two credits could overflow only together: then the order must be seen."""

    class Rich(Below):
        def balance(self, address: bytes) -> int:
            return balance

    recorder = Recorder(Rich())
    assert recorder.below(X, 1 << 256)
    assert recorder.observations.cells == ({(X, BALANCE): balance} if observed else {})


def test_what_a_view_wrote_itself_is_not_observed(recorder: Recorder) -> None:
    view = FlatState(recorder, 0)
    view.set_nonce(Y, 7)
    view.set_code(Y, b"\x00")
    view.touch_account(Y)
    view.delta_balance(Y, 5)
    view.set_storage(Y, 1, 9)
    before = {key for key in recorder.observations.cells if key[0] == Y}
    assert view.nonce(Y) == 7
    assert view.get_code(Y) == b"\x00"
    assert view.exists(Y)
    assert view.slot(Y, 1) == 9
    assert not view.account_is_empty(Y)
    assert {key for key in recorder.observations.cells if key[0] == Y} == before
    assert before == {(Y, EPOCH)}  # the original value of the slot, for SSTORE's price


def test_a_transfer_observes_bounds_and_no_balance(recorder: Recorder) -> None:
    view = FlatState(recorder, 0)
    view.delta_balance(X, -4)
    view.delta_balance(Y, 4)
    assert view.at_least(X, 6)
    assert recorder.observations.cells == {}
    assert recorder.observations.bounds == {X: 10}
    assert not view.at_least(X, 7)
    assert recorder.observations.cells == {(X, BALANCE): 10}
    assert view.effects.deltas == {X: -4, Y: 4}


def test_emptiness_asks_for_as_little_as_it_can(recorder: Recorder) -> None:
    view = FlatState(recorder, 0)
    assert not view.account_is_empty(X)
    assert recorder.observations.bounds == {X: 1}
    assert recorder.observations.cells == {(X, CODE): EMPTY_SHA3}
    view.delta_balance(Y, 1)
    assert not view.account_is_empty(Y)
    assert (Y, CODE) not in recorder.observations.cells


def test_storage_after_a_wipe_is_zero_and_observes_nothing(recorder: Recorder) -> None:
    view = FlatState(recorder, 5)
    view.delete_account(X)
    assert view.get_storage(X, 7) == 0
    assert view.epoch(X) == 5
    assert recorder.observations.slots == {}
    assert (X, EPOCH) not in recorder.observations.cells
