"""The judge as a state machine, with a trivial sequential interpreter as the model.

Transactions are little programs over a few keys; what they do depends on what they read. Each is
speculated in some lane and judged when its turn comes. Whatever the lanes, and whichever
speculations are lost, its trace and the state after it are those of the interpreter, which runs one
program after another on plain dictionaries.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from eth.constants import EMPTY_SHA3
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from parallel_evm.hashing import keccak
from parallel_evm.scheduling.judge import WEALTH, Judge, written_keys
from parallel_evm.speculation.result import Speculation
from parallel_evm.state.flat import Effects, FlatState
from parallel_evm.state.keys import BALANCE, CODE, EPOCH, LIFE, NO_WIPE, NONCE
from parallel_evm.state.recorder import Observations, Recorder
from tests.scheduling.machine import (
    ADDRESSES,
    CODES,
    Below,
    Flat,
    Plain,
    Program,
    Refused,
    accounts,
    address,
    assert_same_state,
    interpret,
    programs,
)

LANES = range(2)


class JudgeMachine(RuleBasedStateMachine):
    """A block that grows by one transaction a step."""

    @initialize(before=st.dictionaries(address, accounts))
    def start(self, before: dict[bytes, Any]) -> None:
        self.model = Plain(before)
        self.below = Below(before)
        self.committed = FlatState(self.below)
        self.judge = Judge(self.committed)
        self.lanes: list[FlatState | None] = [FlatState(self.below) for _ in LANES]
        self.count = 0

    @rule(program=programs(), lane=st.sampled_from(LANES))
    def transaction(self, program: Program, lane: int) -> None:
        index, self.count = self.count, self.count + 1
        untouched = copy.deepcopy(self.model.accounts)
        try:
            expected: tuple[int, ...] | None = interpret(program, self.model)
        except Refused:
            self.model.accounts, self.model.saved = untouched, []
            expected = None

        speculation = self.speculate(index, program, self.lanes[lane])
        if (
            speculation is not None
            and speculation.outcome is not None
            and self.judge.holds(speculation)
        ):
            assert speculation.outcome == expected
            self.judge.accept(speculation)
        else:
            if speculation is not None:
                assert speculation.outcome is None or list(self.judge.failures(speculation))
                self.judge.reject(speculation)
            again = self.speculate(index, program, self.committed)
            assert again is not None
            assert again.outcome == expected
            if expected is not None:
                self.judge.note_accepted(again)
        assert_same_state(Flat(self.committed), self.model)

    def speculate(self, index: int, program: Program, lane: FlatState | None) -> Any:
        if lane is None:
            return None
        recorder = Recorder(lane)
        view = FlatState(recorder, index)
        effects = view.effects
        try:
            outcome: Any = interpret(program, Flat(view))
        except Refused:
            outcome, effects = None, Effects()
        lane.fold(effects)
        return Speculation(index, recorder.observations, effects, outcome, 0.0)

    @rule(lane=st.sampled_from(LANES))
    def lose_worker(self, lane: int) -> None:
        """From now on nobody speculates in this lane."""
        self.lanes[lane] = None


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        JudgeMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_lanes_give_what_one_after_the_other_gives() -> None:
    run(examples=120, steps=10)


@pytest.mark.slow
def test_any_lanes_give_what_one_after_the_other_gives_at_length() -> None:
    run(examples=2_000, steps=15)


FLAG, OTHER = ADDRESSES


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (("put", OTHER, 1, 3), ("slot", OTHER, 1)),
        (("add", OTHER, 2), ("balance", OTHER)),
        (("add", OTHER, 2), ("at_least", OTHER, 1)),
        (("bump", OTHER), ("nonce", OTHER)),
        (("become", OTHER, 1), ("code", OTHER)),
        (("touch", OTHER), ("alive", OTHER)),
        (("wipe", FLAG), ("slot", FLAG, 1)),
        (("die", FLAG), ("slot", FLAG, 1)),
    ],
    ids=lambda operation: operation[0],
)
def test_what_a_rejected_speculation_wrote_is_not_believed(
    write: tuple[Any, ...], read: tuple[Any, ...]
) -> None:
    """Nobody has written the key in the end; but the one who read it saw it written.

    In its lane, 1 finds the flag down and writes, and 2 reads that. But 0 had raised the flag.
    """
    machine = JudgeMachine()
    machine.start({FLAG: {"balance": 0, "nonce": 0, "code": b"", "storage": {1: 1}}})
    machine.transaction([("put", FLAG, 0, 1)], lane=0)
    machine.transaction([("slot", FLAG, 0), ("skip if odd", 1), write], lane=1)
    machine.transaction([read], lane=1)


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (("put", OTHER, 1, 3), ("slot", OTHER, 1)),
        (("add", OTHER, 2), ("balance", OTHER)),
        (("bump", OTHER), ("nonce", OTHER)),
        (("become", OTHER, 1), ("code", OTHER)),
        (("touch", OTHER), ("alive", OTHER)),
        (("wipe", OTHER), ("slot", OTHER, 0)),
    ],
    ids=lambda operation: operation[0],
)
def test_what_came_true_all_the_same_is_believed(
    write: tuple[Any, ...], read: tuple[Any, ...]
) -> None:
    """The speculation was rejected, and its second run wrote the same: nothing else has to run."""
    machine = JudgeMachine()
    machine.start({FLAG: {"balance": 0, "nonce": 0, "code": b"", "storage": {}}})
    machine.transaction([("put", FLAG, 0, 1)], lane=0)
    machine.transaction([("slot", FLAG, 0), ("at_least", OTHER, 1), write], lane=1)
    reader = machine.speculate(2, [read], machine.lanes[1])
    assert machine.judge.holds(reader)
    stranger = machine.speculate(2, [read], machine.lanes[0])
    assert not machine.judge.holds(stranger)


def test_credits_do_not_disturb_each_other() -> None:
    machine = JudgeMachine()
    machine.start({})
    machine.transaction([("add", OTHER, 5)], lane=0)
    assert machine.judge.holds(machine.speculate(1, [("add", OTHER, 5)], machine.lanes[1]))
    # But what comes near the end of numbers is looked at.
    machine.transaction([("add", OTHER, 1 << 255)], lane=0)
    assert not machine.judge.holds(machine.speculate(2, [("add", OTHER, 5)], machine.lanes[1]))


#
# What is reported
#
X = ADDRESSES[1]


def speculation(index: int, effects: Effects, observations: Observations) -> Speculation:
    return Speculation(index, observations, effects, outcome=None, seconds=0.0)


def test_the_last_writer_of_each_kind_of_key_is_known() -> None:
    judge = Judge(FlatState(Below({})))
    judge.accept(speculation(3, Effects(slots={X: {7: 1, 0: 1}}, deltas={X: 1}), Observations()))
    judge.accept(speculation(5, Effects(cells={(X, NONCE): 1}, deltas={X: 1}), Observations()))
    judge.note_accepted(speculation(8, Effects(cells={(X, LIFE): True}), Observations()))
    written = {
        (X, 7): 3,
        (X, 0): 3,
        (X, BALANCE): 5,
        (X, NONCE): 5,
        (X, LIFE): 8,
        (X, CODE): None,
        (X, 8): None,
    }
    for key, writer in written.items():
        assert judge.last_writer(key) == writer


def test_every_key_that_fails_is_named() -> None:
    committed = FlatState(Below({X: {"balance": 5, "nonce": 0, "code": b"", "storage": {}}}))
    judge = Judge(committed)
    committed.set_storage(X, 1, 1)
    committed.set_balance(X, 4)
    committed.set_nonce(X, 1)
    observed = Observations(
        cells={(X, BALANCE): 5, (X, NONCE): 0, (X, CODE): EMPTY_SHA3, (X, EPOCH): -1},
        slots={X: {1: 0, 2: 0}},
        bounds={X: 5},
    )
    failed = list(judge.failures(speculation(1, Effects(), observed)))
    assert sorted(failed) == sorted([(X, BALANCE), (X, NONCE), (X, BALANCE), (X, 1)])


TRUE = {
    (X, BALANCE): 5,
    (X, NONCE): 2,
    (X, CODE): keccak(CODES[1]),
    (X, LIFE): True,
    (X, EPOCH): NO_WIPE,
}
FALSE = {(X, BALANCE): 6, (X, NONCE): 1, (X, CODE): EMPTY_SHA3, (X, LIFE): False, (X, EPOCH): 0}


def judge_of(balance: int = 5) -> Judge:
    held = {"balance": balance, "nonce": 2, "code": CODES[1], "storage": {1: 4}}
    return Judge(FlatState(Below({X: held})))


def test_of_what_was_rejected_only_the_value_in_the_committed_state_is_believed() -> None:
    judge = judge_of()
    written = Effects(cells=dict.fromkeys(TRUE, 9), slots={X: {1: 9, 2: 9}}, deltas={X: 9})
    del written.cells[X, BALANCE]
    judge.reject(speculation(0, written, Observations()))
    believed = Observations(cells=TRUE, slots={X: {1: 4, 2: 0, 3: 0}}, bounds={X: 5})
    assert judge.holds(speculation(1, Effects(), believed))
    for key, value in FALSE.items():
        seen = Observations(cells={**TRUE, key: value})
        assert list(judge.failures(speculation(1, Effects(), seen))) == [key]
    seen = Observations(slots={X: {1: 4, 2: 1, 3: 1}}, bounds={X: 6})
    assert list(judge.failures(speculation(1, Effects(), seen))) == [(X, BALANCE), (X, 2)]


def test_what_nobody_wrote_is_believed_without_looking() -> None:
    judge = judge_of()
    judge.accept(speculation(0, Effects(slots={X: {1: 1}}, deltas={FLAG: 1}), Observations()))
    judge.reject(speculation(1, Effects(slots={X: {3: 1}, FLAG: {2: 1}}), Observations()))
    seen = Observations(cells=FALSE, slots={X: {2: 9}}, bounds={X: 10**9})
    assert judge.holds(speculation(2, Effects(), seen))


@pytest.mark.parametrize(
    ("held", "seen", "failed"),
    [
        ({0: 1, 1: 1, 2: 1}, {1: 0}, [1]),
        ({1: 1}, {0: 0, 1: 0, 2: 0}, [1]),
        ({0: 1, 1: 1}, {0: 0, 1: 0}, [0, 1]),
        ({0: 1, 1: 1}, {0: 1, 1: 2}, [1]),
        ({0: 1}, {0: 1}, []),
        ({0: 1}, {1: 5}, []),
        ({0: 1, 1: 1}, {2: 5}, []),
        ({0: 1}, {1: 5, 2: 5}, []),
        ({}, {0: 5}, []),
    ],
)
def test_slots_that_both_have_are_compared(
    held: dict[int, int], seen: dict[int, int], failed: list[int]
) -> None:
    judge = judge_of()
    judge.accept(speculation(0, Effects(slots={X: held}), Observations()))
    found = judge.failures(speculation(1, Effects(), Observations(slots={X: seen, FLAG: {0: 7}})))
    assert list(found) == [(X, slot) for slot in failed]


def test_what_was_written_and_came_back_holds() -> None:
    judge = judge_of()
    judge.accept(
        speculation(
            0, Effects(cells={(X, NONCE): 2, (X, LIFE): True}, deltas={X: 0}), Observations()
        )
    )
    assert judge.holds(speculation(1, Effects(), Observations(cells=TRUE, bounds={X: 5})))
    for key in ((X, NONCE), (X, LIFE), (X, BALANCE)):
        seen = Observations(cells={**TRUE, key: FALSE[key]})
        assert list(judge.failures(speculation(1, Effects(), seen))) == [key]


def test_whoever_holds_an_eighth_of_all_numbers_is_looked_at() -> None:
    judge = judge_of()

    def disputed(delta: int, address: bytes = X) -> list[Any]:
        return list(
            judge.failures(speculation(1, Effects(deltas={address: delta}), Observations()))
        )

    assert disputed(1) == []
    judge._committed.delta_balance(X, (1 << 253) - 1 - judge._committed.balance(X))
    assert disputed(1) == []
    judge._committed.delta_balance(X, 1)
    assert disputed(1) == disputed(0) == disputed(-1) == [(X, BALANCE)]
    assert disputed(1, FLAG) == []


@pytest.mark.parametrize("here", [True, False])
def test_where_wealth_was_moved_nothing_is_believed(here: bool) -> None:
    """What is given to its new owner may be too much, be undone, and leave no trace."""
    judge = judge_of()
    note = judge.note_accepted if here else judge.accept
    later = speculation(2, Effects(deltas={FLAG: -1}), Observations())
    note(speculation(0, Effects(deltas={X: WEALTH - 1}), Observations()))
    assert judge.holds(later)
    note(speculation(1, Effects(deltas={X: WEALTH}), Observations()))
    assert list(judge.failures(later)) == [(FLAG, BALANCE)]


@pytest.mark.parametrize("wei", [WEALTH, -WEALTH])
def test_where_wealth_was_seen_to_move_nothing_is_believed(wei: int) -> None:
    """A later one of the lane may have paid on top of it, or into what was left, for nothing."""
    judge = judge_of()
    later = speculation(2, Effects(deltas={FLAG: -1}), Observations())
    judge.reject(speculation(0, Effects(deltas={X: wei - wei // abs(wei)}), Observations()))
    assert judge.holds(later)
    judge.reject(speculation(1, Effects(deltas={X: wei}), Observations()))
    assert list(judge.failures(later)) == [(FLAG, BALANCE)]


def test_where_others_moved_wealth_nothing_is_believed() -> None:
    judge = judge_of()
    later = speculation(2, Effects(deltas={FLAG: -1}), Observations())
    judge.note_run_by_others()
    assert judge.holds(later)
    judge._committed.delta_balance(X, WEALTH)
    judge.note_run_by_others()
    assert list(judge.failures(later)) == [(FLAG, BALANCE)]


def test_a_payment_that_is_not_believed_hides_no_riches() -> None:
    """Its lane saw too little: what it credits later may be too much."""
    rich = FlatState(Below({X: {"balance": 1 << 254, "nonce": 0, "code": b"", "storage": {}}}))
    judge = Judge(rich)
    later = speculation(1, Effects(deltas={X: 1}), Observations())
    assert judge.holds(later)
    judge.reject(speculation(0, Effects(deltas={X: -(1 << 254)}), Observations()))
    assert list(judge.failures(later)) == [(X, BALANCE)]


def test_written_keys_of_every_kind() -> None:
    effects = Effects(
        cells={(X, NONCE): 1, (X, EPOCH): 0}, slots={X: {2: 0}}, deltas={X: 0}, codes={b"": b""}
    )
    assert set(written_keys(effects)) == {(X, NONCE), (X, EPOCH), (X, 2), (X, BALANCE)}


def test_a_bound_holds_as_long_as_there_is_enough() -> None:
    committed = FlatState(Below({X: {"balance": 5, "nonce": 0, "code": b"", "storage": {}}}))
    judge = Judge(committed)
    asks = speculation(1, Effects(), Observations(bounds={X: 3}))
    for delta, holds in ((-2, True), (-1, False), (1, True), (10**30, True)):
        committed.delta_balance(X, delta)
        assert judge.holds(asks) == holds


#
# Slots of which only an interval is known
#
def adds(index: int, change: int, low: int, high: int, slot: int = 1) -> Speculation:
    """Saw the slot at 4, wherever its lane was, and added to it."""
    return speculation(
        index,
        Effects(slots={X: {slot: 4 + change}}, increments={X: {slot: change}}),
        Observations(ranges={X: {slot: (low, high)}}),
    )


def test_increments_add_up_whatever_they_saw() -> None:
    judge = judge_of()
    for index, change in enumerate((5, -3, 10)):
        addition = adds(index, change, 0, 100)
        assert judge.holds(addition)
        judge.accept(addition)
    assert judge._committed.slot(X, 1) == 16
    assert addition.effects.slots == {X: {1: 16}}  # what it has become
    assert judge.last_writer((X, 1)) == 2


@pytest.mark.parametrize("before", [[], [(1, 3)], [(1, 1), (2, 2)]])
def test_an_interval_holds_up_to_its_ends(before: list[tuple[int, int]]) -> None:
    judge = judge_of()
    for index, change in before:
        judge.accept(adds(index, change, 0, 100))
    now = 4 + sum(change for _, change in before)
    for low, high, holds in (
        (now, now, True),
        (0, now, True),
        (now, 2**256 - 1, True),
        (now + 1, 100, False),
        (0, now - 1, False),
        (5, 3, False),
    ):
        failed = list(judge.failures(adds(9, 1, low, high)))
        assert failed == ([] if holds else [(X, 1)])


def test_an_interval_is_looked_up_where_nobody_has_written() -> None:
    judge = judge_of()
    assert list(judge.failures(adds(1, 1, 1, 9, slot=5))) == [(X, 5)]  # there is nothing
    assert judge.holds(adds(1, 1, 0, 9, slot=5))
    judge.accept(adds(1, 1, 0, 9, slot=5))
    assert judge._committed.slot(X, 5) == 1


def test_an_interval_is_of_what_was_not_wiped() -> None:
    judge = judge_of()
    judge.accept(speculation(0, Effects(cells={(X, EPOCH): 0}, slots={X: {}}), Observations()))
    assert list(judge.failures(adds(1, 1, 1, 9))) == [(X, 1)]
    judge.accept(adds(1, 2, 0, 9))
    assert judge._committed.slot(X, 1) == 2


def test_what_is_replaced_is_added_to_from_there() -> None:
    judge = judge_of()
    judge.accept(adds(0, 5, 0, 100))
    judge.accept(speculation(1, Effects(slots={X: {1: 50}}), Observations()))
    judge.accept(adds(2, 5, 0, 100))
    assert judge._committed.slot(X, 1) == 55


def test_what_a_rejected_increment_wrote_is_not_believed() -> None:
    judge = judge_of()
    judge.reject(adds(0, 5, 0, 3))
    assert not judge.holds(speculation(1, Effects(), Observations(slots={X: {1: 9}})))
    assert judge.holds(speculation(1, Effects(), Observations(slots={X: {1: 4}})))
    assert judge.holds(adds(1, 1, 0, 4))


def test_a_sum_that_is_no_word_is_never_accepted() -> None:
    judge = judge_of()
    for change in (-5, 2**256 - 4):
        assert list(judge.failures(adds(1, change, 0, 2**256 - 1))) == [(X, 1)]
    for change in (-4, 2**256 - 5):
        assert judge.holds(adds(1, change, 0, 2**256 - 1))
