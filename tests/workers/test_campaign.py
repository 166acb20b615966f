"""A slice of the fault campaign: each fault at a few random moments (`tests.workers.campaign`)."""

from __future__ import annotations

import pytest

from tests.strategies import mostly_slow
from tests.workers.campaign import mine_again_and_again, run
from tests.workers.faults import CLEAN, FAULTS, SAME, Disk, Strike, whole, workload

QUICKLY = ("killed", "garbage", "interrupted", "disk full")


# A Ctrl-C that strikes while Python calls somebody back (Hypothesis counts collections) is lost.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", mostly_slow(QUICKLY, "killed", "interrupted", "disk full"))
def test_a_fault_at_two_moments(name: str) -> None:
    strikes = run(name, times=2, seed=1, scenario="erc20", transactions=6, blocks=2)
    check(name, strikes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_at_random_moments(name: str) -> None:
    check(name, run(name, times=8, seed=2))


def check(name: str, strikes: list[Strike]) -> None:
    allowed = {SAME, CLEAN} if FAULTS[name].errors else {SAME}
    assert [strike for strike in strikes if strike.outcome not in allowed] == []


@pytest.mark.slow
def test_the_same_block_a_hundred_times_with_random_delays() -> None:
    same = mine_again_and_again(100, seed=3, transactions=10)
    assert (same.hashes, same.receipts) == (1, 1)
    assert same.schedules > 1


def test_a_batch_that_finds_no_room_is_not_written_at_all() -> None:
    disk = Disk({})
    disk.room = 1
    with pytest.raises(OSError, match="No space left"), disk.atomic_batch() as batch:
        batch[b"a"] = b"1"
        batch[b"b"] = b"2"
    assert disk.content == {}
    disk[b"a"] = b"1"
    assert disk.content == {b"a": b"1"}


def test_a_hole_in_the_state_is_found() -> None:
    made = workload("erc20", 6, 2, 1)
    content = dict(made.database)
    root = made.open().get_canonical_head().state_root
    assert whole(content, root)
    found = 0
    for key in made.database:
        without = {k: v for k, v in content.items() if k != key}
        found += not whole(without, root)
    assert found > len(content) / 2
