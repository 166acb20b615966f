"""Lanes that do not meet come to what one transaction after the other gives; and what meets.

Little programs run in lanes, as in `test_judge`, and the same interpreter is the model. Where
`meeting` finds nothing, every program read what it reads in block order, and all lanes together
wrote what the block writes.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from eth.vm.interrupt import EVMMissingData
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.scheduling.independence import _LONGEST_PAUSE, Hope, meeting
from parallel_evm.speculation.result import WholeLane
from parallel_evm.state.flat import Effects, FlatState
from parallel_evm.state.keys import BALANCE, CODE, EPOCH, LIFE, NONCE, Key
from parallel_evm.state.lane import Lane
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
    assert_same_state,
    interpret,
    programs,
)
from tests.strategies import tried

Numbered = Sequence[tuple[int, Program]]
"""Programs, and their places in the block."""


def ran(below: Below, numbered: Numbered) -> tuple[WholeLane, dict[int, Any]]:
    """A lane, and what each of its programs read. Raises `Refused`."""
    lane = Lane(below, Effects())
    outcomes = {}
    for index, program in numbered:
        view = FlatState(Recorder(lane), index)
        outcomes[index] = interpret(program, Flat(view))
        lane.fold(view.effects)
    return WholeLane(lane.observations, lane.effects, ()), outcomes


#
# Any programs, dealt in every way
#
def modelled(before: dict[bytes, Any], block: Sequence[Program]) -> tuple[Plain, dict[int, Any]]:
    """The block in its order: the state after it, and what each program read, None if refused."""
    model = Plain(before)
    outcomes: dict[int, Any] = {}
    for index, program in enumerate(block):
        untouched = copy.deepcopy(model.accounts)
        try:
            outcomes[index] = interpret(program, model)
        except Refused:
            model.accounts, model.saved = untouched, []
            outcomes[index] = None
    return model, outcomes


def deals(count: int) -> list[list[list[int]]]:
    """All ways to deal so many transactions to two or three lanes."""
    found = []
    for places in product(range(3), repeat=count):
        firsts = list(dict.fromkeys(places))
        if len(firsts) > 1 and firsts == sorted(firsts) == list(range(len(firsts))):
            found.append([[i for i, at in enumerate(places) if at == lane] for lane in firsts])
    return found


def judged(before: dict[bytes, Any], block: Sequence[Program], answers: Counter[bool]) -> None:
    """Counts in ``answers`` how often lanes were found to be independent, and how often not."""
    below = Below(before)
    model, expected = modelled(before, block)
    for deal in deals(len(block)):
        try:
            lanes = [ran(below, [(index, block[index]) for index in lane]) for lane in deal]
        except Refused:
            continue
        for order in (lanes, lanes[::-1]):
            wholes = [whole for whole, _ in order]
            independent = meeting(wholes, FlatState(below)) is None
            answers[independent] += 1
            if independent:
                assert {
                    i: read for _, outcomes in lanes for i, read in outcomes.items()
                } == expected
                together = FlatState(below)
                for whole in wholes:
                    together.fold(whole.effects)
                assert_same_state(Flat(together), model)


X, Y = ADDRESSES


def judge_many(examples: int) -> Counter[bool]:
    answers: Counter[bool] = Counter()
    state = st.fixed_dictionaries({}, optional={X: accounts, Y: accounts})

    @tried(examples)
    @given(before=state, block=st.lists(programs(), min_size=2, max_size=4))
    def run(before: dict[bytes, Any], block: list[Program]) -> None:
        judged(before, block, answers)

    run()
    return answers


def test_lanes_that_do_not_meet_give_what_one_after_the_other_gives() -> None:
    answers = judge_many(100)
    assert min(answers[True], answers[False]) > 200


@pytest.mark.slow
def test_lanes_that_do_not_meet_give_what_one_after_the_other_gives_at_length() -> None:
    answers = judge_many(2_000)
    assert min(answers[True], answers[False]) > 4_000


# Lanes that can meet in one way only: nothing else gives them away.
THINGS: dict[str, Program] = {
    "storage": [("slot", X, 1), ("put", X, 1, 0), ("put", X, 1, 2), ("slot", X, 0)],
    "wiping": [("slot", X, 1), ("put", X, 1, 2), ("touch", X), ("wipe", X)],
    "life": [("alive", X), ("touch", X), ("die", X), ("add", X, 0)],
    "money": [("at_least", X, 2), ("pay", X, Y, 1), ("pay", X, Y, 2), ("add", X, 1)],
    "looking": [("balance", X), ("at_least", X, 2), ("pay", X, Y, 2), ("add", X, 1)],
    "nonce": [("nonce", X), ("bump", X), ("empty", X), ("alive", X)],
    "code": [("code", X), ("become", X, 1), ("empty", X), ("touch", X)],
}


def judge_all(what: str, size: int) -> Counter[bool]:
    """Every block of so many programs, each of which does a single thing."""
    answers: Counter[bool] = Counter()
    some = {"nonce": 1, "code": CODES[1], "storage": {1: 1}}
    nobody = {"balance": 0, "nonce": 0, "code": b"", "storage": {}}
    states = [{}, {X: nobody}, {X: {**some, "balance": 2}}, {X: {**some, "balance": 4}}]
    for things in product(THINGS[what], repeat=size):
        for before in states:
            judged(before, [[thing] for thing in things], answers)
    return answers


@pytest.mark.parametrize("what", THINGS)
def test_all_short_blocks_in_all_lanes(what: str) -> None:
    answers = judge_all(what, 3)
    assert min(answers[True], answers[False]) > 400


@pytest.mark.slow
@pytest.mark.parametrize("what", THINGS)
def test_all_blocks_of_four_in_all_lanes(what: str) -> None:
    answers = judge_all(what, 4)
    assert min(answers[True], answers[False]) > 2_000


#
# What meets, and what does not
#
THERE = {"balance": 5, "nonce": 1, "code": CODES[1], "storage": {0: 1, 1: 4}}
STATE = {X: THERE}
"""X is there, with 5 wei; Y is not."""


def met(*lanes: Program, state: dict[bytes, Any] = STATE) -> Key | None:
    below = Below(state)
    wholes = [ran(below, [(index, program)])[0] for index, program in enumerate(lanes)]
    return meeting(wholes, FlatState(below))


LOOKS = ("slot", X, 1)
PUTS = ("put", X, 1, 3)
PAYS = ("pay", X, Y, 2)
MEETINGS: dict[str, tuple[Program, Program, Key]] = {
    "slot read": ([LOOKS], [PUTS], (X, 1)),
    "slot written by both": ([PUTS], [PUTS], (X, 1)),
    "slot written twice": ([PUTS, ("put", X, 1, 0)], [LOOKS], (X, 1)),
    "nonce read": ([("nonce", X)], [("bump", X)], (X, NONCE)),
    "nonce written by both": ([("bump", X)], [("bump", X)], (X, NONCE)),
    "code read": ([("code", X)], [("become", X, 2)], (X, CODE)),
    "code written by both": ([("become", X, 2)], [("become", X, 2)], (X, CODE)),
    "life seen and ended": ([("alive", X)], [("die", X)], (X, LIFE)),
    "life seen and begun": ([("alive", Y)], [("touch", Y)], (Y, LIFE)),
    "life said and ended": ([("touch", X)], [("die", X)], (X, LIFE)),
    "life seen, ended and begun": ([("alive", X)], [("die", X), ("touch", X)], (X, LIFE)),
    "life said, ended and begun": ([("touch", X)], [("die", X), ("touch", X)], (X, LIFE)),
    "storage wiped and read": ([("slot", X, 0)], [("wipe", X)], (X, EPOCH)),
    "storage wiped and said to live": ([("touch", X)], [("wipe", X)], (X, LIFE)),
    "enough, and a debit": ([("at_least", X, 5)], [PAYS], (X, BALANCE)),
    "debits that are too much together": ([PAYS], [("pay", X, Y, 4)], (X, BALANCE)),
    "debits of the same who earned something": (
        [("add", X, 3), ("pay", X, Y, 4), PAYS],
        [("pay", X, Y, 3)],
        (X, BALANCE),
    ),
    "exact balance and a credit": ([("balance", X)], [("add", X, 1)], (X, BALANCE)),
    "exact balance and a credit of nothing": ([("balance", X)], [("add", X, 0)], (X, BALANCE)),
    "too little, and a credit": ([("at_least", X, 6)], [("add", X, 1)], (X, BALANCE)),
    "enough, and a debit by who looked": (
        [("at_least", X, 5)],
        [("balance", X), PAYS],
        (X, BALANCE),
    ),
    "emptiness and a credit": ([("empty", Y)], [("add", Y, 1)], (Y, BALANCE)),
}


@pytest.mark.parametrize("what", MEETINGS)
def test_lanes_meet_whichever_is_looked_at_first(what: str) -> None:
    one, other, key = MEETINGS[what]
    for lanes in ((one, other), (other, one)):
        found = met(*lanes)
        assert found is not None
        if not what.startswith(("life", "storage")):  # these meet at several keys
            assert found == key
    bystander = [("nonce", Y)]
    for lanes in ((bystander, one, other), (one, bystander, other), (other, one, bystander)):
        assert met(*lanes) is not None


STRANGERS: dict[str, tuple[Program, Program]] = {
    "another slot": ([LOOKS], [("put", X, 0, 3)]),
    "both read": ([LOOKS, ("nonce", X), ("balance", X), ("code", X)],) * 2,
    "life seen and said": ([("alive", X)], [("touch", X)]),
    "life said by both": ([("touch", Y)], [("touch", Y)]),
    "two credits": ([("add", Y, 1)], [("add", Y, 2)]),
    "enough, and a credit": ([("at_least", X, 5)], [("add", X, 1)]),
    "enough for both": ([("at_least", X, 5)], [("at_least", X, 2)]),
    "a debit and a credit": ([PAYS], [("add", X, 1)]),
    "a debit and what was earned before": ([("pay", X, Y, 5)], [("add", X, 2), PAYS]),
    "debits for which there is enough": ([PAYS], [("pay", X, Y, 3)]),
    "slot written as it was": ([("slot", X, 0)], [("slot", X, 0), ("put", X, 0, 0)]),
    "nonce, code, balance, slot of one account": (
        [("bump", X), ("add", X, 1)],
        [("code", X), ("put", X, 1, 3)],
    ),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_lanes_that_touch_the_same_without_minding(what: str) -> None:
    one, other = STRANGERS[what]
    assert met(one, other) is None
    assert met(other, one) is None


def test_one_lane_meets_nobody() -> None:
    assert met([LOOKS, PUTS, PAYS, ("die", X)]) is None
    assert meeting([], FlatState(Below({}))) is None


def test_what_a_lane_touched_is_known_to_all_after_it() -> None:
    assert met([("nonce", X)], [LOOKS], [PUTS]) == (X, 1)
    assert met([PUTS], [("slot", X, 0)], [LOOKS]) == (X, 1)
    assert met([PAYS], [("add", X, 1)], [("balance", X)]) == (X, BALANCE)
    assert met([PAYS], [PAYS], [("pay", X, Y, 1)]) is None
    assert met([PAYS], [PAYS], [PAYS]) == (X, BALANCE)  # five are enough for two of them
    assert met([("wipe", X)], [("add", Y, 1)], [("touch", X)]) == (X, LIFE)


def test_lanes_are_left_as_they_are() -> None:
    """They are folded afterwards."""
    things: list[Program] = [[PUTS, ("add", X, 1)], [("put", X, 0, 2), PAYS], [("put", X, 0, 3)]]
    wholes = [ran(Below(STATE), [(index, thing)])[0] for index, thing in enumerate(things)]
    before = copy.deepcopy(wholes)
    assert meeting(wholes, FlatState(Below(STATE))) == (X, 0)
    assert wholes == before


#
# Sums of unheard-of wealth
#
WEALTH = 1 << 200


def credit(*, exact: int | None = None, bound: int | None = None, to: bytes = Y) -> WholeLane:
    """A lane that credits somebody after it looked at the balance of X."""
    observed = Observations()
    if exact is not None:
        observed.cells[X, BALANCE] = exact
    if bound is not None:
        observed.bounds[X] = bound
    return WholeLane(observed, Effects(deltas={to: 1}), ())


@pytest.mark.parametrize("kind", ["exact", "bound"])
@pytest.mark.parametrize("wei", [WEALTH - 1, WEALTH])
def test_credits_that_unheard_of_wealth_may_have_paid(kind: str, wei: int) -> None:
    below = FlatState(Below({}))
    rich = credit(exact=wei) if kind == "exact" else credit(bound=wei)
    for lanes in ([rich, credit()], [credit(), rich], [rich, credit(to=X), credit()]):
        if kind == "exact" and len(lanes) == 3:
            continue  # the exact balance and the credit to X meet anyhow
        assert meeting(lanes, below) == ((X, BALANCE) if wei >= WEALTH else None)
    # Nobody is credited twice, as far as anything is left of it.
    apart = meeting([rich, credit(to=b"\x07" * 20)], below)
    assert apart == ((X, BALANCE) if wei >= WEALTH else None)


@pytest.mark.parametrize("wei", [WEALTH - 1, WEALTH])
def test_credits_to_unheard_of_wealth(wei: int) -> None:
    below = FlatState(Below({Y: {**THERE, "balance": wei}}))
    found = meeting([credit(), credit()], below)
    assert found == ((Y, BALANCE) if wei >= WEALTH else None)
    assert meeting([credit(), credit(to=X)], below) is None


def test_a_balance_that_the_database_lacks_is_not_taken_for_anything() -> None:
    class Gap(Below):
        def balance(self, address: bytes) -> int:
            raise EVMMissingData

    below = Gap({})
    assert meeting([credit(), credit(to=X)], below) is None
    with pytest.raises(EVMMissingData):
        meeting([credit(), credit()], below)


#
# Hope
#
def pauses(hope: Hope, blocks: int) -> list[int]:
    """How many blocks hope leaves out before each of these that meet all the same."""
    found = []
    for _ in range(blocks):
        left_out = 0
        while not hope.is_left():
            left_out += 1
        found.append(left_out)
        hope.note(in_vain=True)
    return found


def test_pauses_double_up_to_a_bound_and_shrink_after_success() -> None:
    hope = Hope()
    hope.note_conflicts(0)
    doubled = [min(1 << number, _LONGEST_PAUSE) for number in range(12)]
    assert pauses(hope, 13) == [0, *doubled]
    assert 1 < _LONGEST_PAUSE == doubled[-1] == doubled[-2]
    while not hope.is_left():
        pass
    hope.note(in_vain=False)
    assert pauses(hope, 4) == [0, 1, 2, 4]


def test_hope_stays_as_long_as_nothing_is_known_to_have_met() -> None:
    hope = Hope()
    hope.note_conflicts(0)
    for _ in range(3):
        assert hope.is_left()
    hope.note(in_vain=False)
    assert all(hope.is_left() for _ in range(3))


def test_hope_comes_from_blocks_without_conflicts() -> None:
    hope = Hope()
    assert not hope.is_left()  # nothing is known yet
    for count, is_left in ((3, False), (0, True), (1, False)):
        hope.note_conflicts(count)
        assert hope.is_left() is is_left
