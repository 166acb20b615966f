"""A lane: what all of its transactions together observed of the state before the block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from eth.constants import EMPTY_SHA3

from parallel_evm.hashing import keccak
from parallel_evm.state.flat import Effects, FlatState
from parallel_evm.state.keys import BALANCE, CODE, EPOCH, NO_WIPE, NONCE
from parallel_evm.state.lane import Lane
from parallel_evm.state.recorder import Observations, Recorder
from parallel_evm.state.source import Account, AccountSource

X, Y = b"\x01" * 20, b"\x02" * 20
CODE_OF_X = b"\x60\x00"


class Below(AccountSource):
    """X has ten wei and code; of Y nothing is known. Counts what is asked."""

    def __init__(self) -> None:
        self.asked: Counter[Any] = Counter()

    def account(self, address: bytes) -> Account | None:
        self.asked[address] += 1
        return Account(3, 10, keccak(CODE_OF_X)) if address == X else None

    def slot(self, address: bytes, slot: int) -> int:
        self.asked[address, slot] += 1
        return slot * 2

    def code(self, code_hash: bytes) -> bytes:
        return CODE_OF_X


@pytest.fixture
def lane() -> Lane:
    return Lane(Below(), Effects())


def run(lane: Lane, *transactions: Callable[[FlatState], Any]) -> list[Observations]:
    """Run transactions one after another; returns what each of them observed."""
    observed = []
    for index, transaction in enumerate(transactions):
        recorder = Recorder(lane)
        view = FlatState(recorder, index)
        transaction(view)
        lane.fold(view.effects)
        observed.append(recorder.observations)
    return observed


def reads_everything(view: FlatState) -> None:
    for address in (X, Y):
        view.slot(address, 1)
        view.nonce(address)
        view.code_hash(address)
        view.exists(address)


def test_a_lane_observes_what_its_transactions_do_each_key_once(lane: Lane) -> None:
    first, second = run(lane, reads_everything, reads_everything)
    assert lane.observations == first == second
    assert lane.observations.slots == {X: {1: 2}, Y: {1: 2}}
    assert lane.observations.cells[X, NONCE] == 3
    assert lane.effects == Effects()


def test_it_does_not_observe_what_its_own_transactions_wrote(lane: Lane) -> None:
    def writes(view: FlatState) -> None:
        for address in (X, Y):
            view.set_nonce(address, 9)
            view.set_code(address, b"\xfe")
        view.delete_account(X)
        view.touch_account(X)
        view.set_storage(X, 1, 7)
        view.set_storage(X, 2, 7)

    (_, reader) = run(lane, writes, reads_everything)
    assert reader.cells[Y, NONCE] == 9 and reader.cells[X, EPOCH] == 0
    assert reader.slots == {X: {1: 7}, Y: {1: 2}}
    # Only what a deletion looks at, and Y's slot, which nobody had written.
    assert lane.observations.cells == {(X, BALANCE): 10, (Y, EPOCH): NO_WIPE}
    assert lane.observations.slots == {Y: {1: 2}}
    assert lane.effects.slots == {X: {1: 7, 2: 7}}


def test_code_that_a_transaction_deployed_is_there_for_the_next(lane: Lane) -> None:
    seen: list[bytes] = []
    run(
        lane,
        lambda view: view.set_code(Y, b"\xfe"),
        lambda view: seen.append(view.get_code(Y)),
    )
    assert seen == [b"\xfe"]
    assert lane.effects.codes == {keccak(b"\xfe"): b"\xfe"}
    assert lane.observations == Observations()


def test_it_observes_the_value_before_the_block_where_it_is_written_later(lane: Lane) -> None:
    run(
        lane,
        lambda view: view.get_storage(X, 1),
        lambda view: view.set_storage(X, 1, 7),
        lambda view: view.increment_nonce(X),
        lambda view: view.get_storage(X, 1),
        lambda view: view.increment_nonce(X),
    )
    assert lane.observations.slots == {X: {1: 2}}
    assert lane.observations.cells == {(X, NONCE): 3, (X, EPOCH): NO_WIPE}
    assert lane.effects.cells[X, NONCE] == 5


#
# What comes to nothing
#
def guarded(view: FlatState) -> None:
    """A lock that goes up and down again."""
    for value in (7, 2):
        view.set_storage(X, 1, value)


def test_a_slot_that_each_transaction_left_as_it_was_is_only_observed(lane: Lane) -> None:
    run(lane, guarded)
    assert lane.effects.slots == {}
    run(lane, guarded, lambda view: view.set_storage(X, 2, 5), guarded)
    assert lane.effects.slots == {X: {2: 5}}
    assert lane.observations.slots == {X: {1: 2, 2: 4}}


def test_a_slot_that_a_later_transaction_put_back_is_written(lane: Lane) -> None:
    observed = run(
        lane,
        lambda view: view.set_storage(X, 1, 7),
        lambda view: view.set_storage(X, 1, 2),
        lambda view: view.get_storage(X, 1),
    )
    assert observed[2].slots == {X: {1: 2}}
    assert lane.effects.slots == {X: {1: 2}}


@pytest.mark.parametrize("together", [True, False])
def test_a_slot_that_is_what_it_was_before_a_wipe_is_written(lane: Lane, together: bool) -> None:
    def wipes(view: FlatState) -> None:
        view.get_storage(X, 1)
        view.delete_account(X)

    def writes(view: FlatState) -> None:
        view.set_storage(X, 1, 2)
        view.set_storage(X, 2, 0)

    if together:
        run(lane, lambda view: (wipes(view), writes(view)))
    else:
        run(lane, wipes, writes)
    assert lane.slot(X, 1) == 2 and lane.slot(X, 2) == 0 and lane.slot(X, 3) == 0
    assert lane.effects.slots[X][1] == 2
    assert lane.effects.cells[X, EPOCH] == 0


#
# Balances
#
def test_credits_observe_nothing(lane: Lane) -> None:
    observed = run(lane, *[lambda view: view.delta_balance(X, 5)] * 3)
    assert observed == [Observations()] * 3
    assert lane.observations == Observations()
    assert lane.effects.deltas == {X: 15}


@pytest.mark.parametrize(
    ("before", "needed", "bound"),
    [
        (0, 6, 6),
        (4, 6, 2),  # four of them were earned in the lane
        (4, 4, None),
        (4, 3, None),
        (-3, 6, 9),  # three are gone already
        (-3, 7, 10),
    ],
)
def test_a_bound_asks_for_what_the_lane_did_not_earn(
    lane: Lane, before: int, needed: int, bound: int | None
) -> None:
    asker = run(
        lane,
        lambda view: view.delta_balance(X, before),
        lambda view: view.at_least(X, needed),
    )[1]
    assert asker == Observations(bounds={X: needed})
    assert lane.observations.cells == {}
    assert lane.observations.bounds == ({} if bound is None else {X: bound})


def test_a_debit_asks_for_a_bound_and_so_does_emptiness(lane: Lane) -> None:
    def pays(view: FlatState) -> None:
        view.delta_balance(X, -4)
        view.delta_balance(Y, 4)

    def spends(view: FlatState) -> None:
        view.delta_balance(Y, -3)
        assert not view.account_is_empty(Y)

    run(lane, pays, spends, pays)
    assert lane.observations.bounds == {X: 8}
    assert lane.observations.cells == {(Y, CODE): EMPTY_SHA3}
    assert lane.effects.deltas == {X: -8, Y: 5}


def test_too_little_is_the_exact_balance_before_the_block(lane: Lane) -> None:
    _, asker = run(lane, lambda view: view.delta_balance(X, 5), lambda view: view.at_least(X, 16))
    assert asker == Observations(cells={(X, BALANCE): 15})
    assert lane.observations == Observations(cells={(X, BALANCE): 10})


def test_each_layer_asks_the_one_below_no_more_than_it_was_asked() -> None:
    asked: list[Any] = []

    class Noting(Below):
        def at_least(self, address: bytes, needed: int) -> bool:
            asked.append(("at least", needed))
            return super().at_least(address, needed)

        def below(self, address: bytes, limit: int) -> bool:
            asked.append(("below", limit))
            return super().below(address, limit)

    lane = Lane(Noting(), Effects())
    run(
        lane,
        lambda view: view.delta_balance(X, -2),
        lambda view: view.delta_balance(X, 3),
        lambda view: view.delta_balance(X, -6),
    )
    assert asked[0] == ("at least", 2) and asked[-1] == ("at least", 5)
    ((kind, limit),) = asked[1:-1]
    assert kind == "below" and limit > 1 << 253  # halved once by each recorder
    assert lane.observations == Observations(bounds={X: 5})


@pytest.mark.parametrize(
    ("wei", "observed"), [(1 << 200, False), (1 << 252, False), (3 << 252, True)]
)
def test_credits_of_unheard_of_sums_observe_the_balance(
    lane: Lane, wei: int, observed: bool
) -> None:
    """Each of them may seem credible; the lane knows of all."""
    observations = run(lane, *[lambda view: view.delta_balance(X, wei)] * 3)
    assert observations == [Observations()] * 3
    assert ((X, BALANCE) in lane.observations.cells) == observed
    assert not lane.observations.bounds


#
# What the block wrote before its first transaction
#
def test_what_was_written_before_is_seen_and_is_none_of_the_lanes_effects() -> None:
    written = Effects(
        slots={X: {1: 50}}, cells={(X, NONCE): 8}, deltas={X: 30}, codes={b"hash": b"new"}
    )
    lane = Lane(Below(), written)

    def looks(view: FlatState) -> None:
        seen = [view.slot(X, 1), view.slot(X, 2), view.nonce(X), view.balance(X), view.nonce(Y)]
        assert seen == [50, 4, 8, 40, 0]
        assert view.code(b"hash") == b"new"

    (observed,) = run(lane, looks)
    assert lane.observations == observed
    assert lane.observations.cells[X, BALANCE] == 40
    assert lane.effects == Effects()


@pytest.mark.parametrize("part", ["slots", "cells", "deltas", "codes"])
def test_each_kind_of_what_was_written_before_is_seen(part: str) -> None:
    values: dict[str, dict[Any, Any]] = {
        "slots": {X: {1: 50}},
        "cells": {(X, NONCE): 8},
        "deltas": {X: 30},
        "codes": {b"hash": b"new"},
    }
    lane = Lane(Below(), Effects(**{part: values[part]}))
    seen = {
        "slots": lane.slot(X, 1),
        "cells": lane.nonce(X),
        "deltas": lane.balance(X),
        "codes": lane.code(b"hash"),
    }
    new = {"slots": 50, "cells": 8, "deltas": 40, "codes": b"new"}
    assert seen == {"slots": 2, "cells": 3, "deltas": 10, "codes": CODE_OF_X, part: new[part]}


def test_what_was_written_before_is_not_written_to_by_lanes() -> None:
    """All lanes of a block are given the same."""
    written = Effects(slots={X: {1: 50}}, deltas={X: 30}, cells={(X, NONCE): 8})
    for _ in range(2):
        lane = Lane(Below(), written)
        run(
            lane,
            lambda view: view.set_storage(X, 1, 51),
            lambda view: view.delta_balance(X, 1),
            lambda view: view.increment_nonce(X),
        )
        assert lane.effects.slots == {X: {1: 51}}
        assert lane.effects.deltas == {X: 1}
        assert lane.effects.cells[X, NONCE] == 9
    assert written == Effects(slots={X: {1: 50}}, deltas={X: 30}, cells={(X, NONCE): 8})
