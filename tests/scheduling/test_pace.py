"""Pace: with workers where that was faster, alone where it was not, and never for long unasked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from parallel_evm.scheduling.pace import Choice, Pace

POOL, TOKEN = b"\xaa" * 20, b"\xbb" * 20


@dataclass(frozen=True)
class Tx:
    to: bytes
    data: bytes = b"\1\2\3\4" + bytes(32)


def block(to: bytes = POOL, count: int = 100) -> list[Any]:
    return [Tx(to)] * count


class World:
    """Where ``run`` seconds pass for each transaction, and blocks with workers take so much more
    or less than those without, after ``trip`` seconds."""

    def __init__(self, ratio: float, trip: float = 0.0, run: float = 0.001) -> None:
        self.pace = Pace()
        self.ratio, self.trip, self.run = ratio, trip, run

    def next(self, transactions: list[Any]) -> Choice:
        choice = self.pace.choose(transactions)
        runs = [self.run] * len(transactions)
        if choice.together:
            seconds = self.trip + sum(runs) * self.ratio
            self.pace.note_together(transactions, runs, seconds)
        else:
            self.pace.note_alone(transactions, runs, sum(runs))
        return choice

    def together(self, blocks: int, transactions: list[Any]) -> list[bool]:
        return [self.next(transactions).together for _ in range(blocks)]


def test_workers_are_tried_and_kept_where_they_help() -> None:
    assert all(World(ratio=0.6).together(200, block()))


def test_workers_that_do_not_help_are_given_up_and_tried_again_ever_later() -> None:
    tried = [i for i, together in enumerate(World(ratio=1.5).together(2_000, block())) if together]
    assert tried[0] == 0
    gaps = [after - before for before, after in pairwise(tried)]
    assert 15 <= gaps[-1] <= 1_100
    assert gaps == sorted(gaps)
    assert len(tried) < 12


def test_workers_that_help_again_are_found_out() -> None:
    world = World(ratio=1.5)
    world.together(20, block())
    world.ratio = 0.5
    assert all(world.together(200, block())[-50:])


def test_two_ways_that_are_alike_do_not_alternate() -> None:
    world = World(ratio=1.0)
    noisy = []
    for number in range(64):
        world.ratio = 0.97 if number % 2 else 1.03
        noisy.append(world.next(block()).together)
    changes = sum(before != after for before, after in pairwise(noisy))
    assert changes <= 2


def test_small_blocks_stay_here_while_large_ones_go() -> None:
    world = World(ratio=0.6, trip=0.004)
    small = [world.next(block(count=3)).together for _ in range(400)]
    assert sum(small) <= 6
    assert all(world.together(20, block()))
    assert not world.next(block(count=3)).together


def test_what_one_contract_needs_says_nothing_of_another() -> None:
    world = World(ratio=1.5)
    world.together(10, block(POOL))
    assert not world.next(block(POOL)).together
    world.ratio = 0.5
    other = World(ratio=0.5)
    other.pace = world.pace
    # Blocks of this size went alone lately; the other contract's are worth a try all the same.
    assert other.next(block(TOKEN)).together


def test_no_workers_to_be_had_is_no_reason_to_ask_every_time() -> None:
    pace = Pace()
    asked = 0
    for _ in range(100):
        if pace.choose(block()).together:
            asked += 1
            pace.note_absence()
        pace.note_alone(block(), [0.001] * 100, 0.1)
    assert asked <= 5


def test_the_choice_says_why() -> None:
    assert (
        str(Choice(True, 0.1, 0.06)) == "with workers: 60.0 ms expected, 100.0 ms in this process"
    )
    assert str(Choice(False, 0.1, 0.2)) == (
        "in this process: 100.0 ms expected, 200.0 ms with workers"
    )


def test_costs_follow_what_was_measured() -> None:
    pace = Pace()
    pace.note_alone([Tx(POOL), Tx(TOKEN)], [0.004, 0.001], 0.006)
    for _ in range(60):
        pace.note_shares(own=0.4, others=0.6, coordinator=0.6, workers=0.9)
    costs = pace.costs([Tx(TOKEN), Tx(POOL)])
    assert list(costs.runs) == [0.001, 0.004]
    assert costs.burden == pytest.approx(0.2)
    assert costs.freight == pytest.approx(0.5)


def test_an_empty_block_and_a_malformed_transaction() -> None:
    pace = Pace()
    assert isinstance(pace.choose([]), Choice)
    pace.note_alone([], [], 0.001)
    odd: list[Any] = [object(), Tx(None)]  # type: ignore[arg-type]
    pace.choose(odd)
    pace.note_together(odd, [0.0, 0.0], 0.0)
    assert len(pace.costs(odd).runs) == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parallel_evm.scheduling.pace._MAX_CALLS", 10)
    pace = Pace()
    for number in range(50):
        pace.note_alone([Tx(bytes([number]) * 20)], [0.1], 0.1)
    assert len(pace._rates) == 10
