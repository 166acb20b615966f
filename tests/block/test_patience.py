"""How long others are waited for: as long as running it here takes, and less after each miss."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.block.patience import Patience
from parallel_evm.scheduling.lanes import Costs
from parallel_evm.workers.session import FLUSH_SECONDS

RUNS = [0.25, 0.5, 4.0]


def patience() -> Patience:
    return Patience(Costs(RUNS, burden=0.0, freight=0.0))


def test_where_nothing_is_run_here_there_is_no_end_to_waiting() -> None:
    endless = Patience(None)
    endless.note(in_vain=True)
    assert endless.seconds() == endless.seconds(0, 1) == inf


def test_waiting_takes_as_long_as_running_all_of_it_and_sending_what_came_of_it() -> None:
    assert patience().seconds(1) == pytest.approx(0.5 + FLUSH_SECONDS)
    assert patience().seconds(0, 2) == pytest.approx(4.25 + FLUSH_SECONDS)
    assert patience().seconds() == pytest.approx(FLUSH_SECONDS)


def test_each_wait_in_vain_halves_the_next_one_and_each_success_doubles_it() -> None:
    subject = patience()
    whole = subject.seconds(2)
    subject.note(in_vain=True)
    subject.note(in_vain=True)
    assert subject.seconds(2) == pytest.approx(whole / 4)
    subject.note(in_vain=False)
    assert subject.seconds(2) == pytest.approx(whole / 2)


def test_nobody_is_waited_for_longer_than_at_first() -> None:
    subject = patience()
    whole = subject.seconds(2)
    for _ in range(3):
        subject.note(in_vain=False)
    assert subject.seconds(2) == whole
    subject.note(in_vain=True)
    assert subject.seconds(2) == pytest.approx(whole / 2)


def test_after_many_misses_it_is_soon_as_before() -> None:
    """A thousand misses are forgiven like ten."""
    subject = patience()
    whole = subject.seconds(2)
    for _ in range(1000):
        subject.note(in_vain=True)
    assert 0 < subject.seconds(2) <= whole / 1000
    for _ in range(10):
        subject.note(in_vain=False)
    assert subject.seconds(2) == whole


@given(misses=st.lists(st.booleans(), max_size=40))
def test_whoever_is_late_again_and_again_is_waited_for_ever_less(misses: list[bool]) -> None:
    subject = patience()
    first = before = subject.seconds(0)
    for missed in misses:
        subject.note(missed)
        now = subject.seconds(0)
        assert 0 < now <= before if missed else before <= now <= first
        before = now
