"""Pace: with workers where that was faster, alone where it was not, and never for long unasked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import rlp

from parallel_evm import BlockReport, workloads
from parallel_evm.scheduling.pace import Choice, Pace, Way
from tests.strategies import parallel

POOL, TOKEN = b"\xaa" * 20, b"\xbb" * 20


@dataclass(frozen=True)
class Tx:
    to: bytes
    data: bytes = b"\1\2\3\4" + bytes(32)


def block(to: bytes = POOL, count: int = 100) -> list[Any]:
    return [Tx(to)] * count


class World:
    """Where ``run`` seconds pass for each transaction, and blocks that do not run alone take so
    much more or less, after ``trip`` seconds."""

    def __init__(
        self, together: float, assisted: float = 1.2, trip: float = 0.0, run: float = 0.001
    ) -> None:
        self.pace = Pace(4)
        self.ratios = {Way.ALONE: 1.0, Way.ASSISTED: assisted, Way.TOGETHER: together}
        self.trip, self.run = trip, run
        self.teaching: list[bool] = []
        """Of each block, were forecasts to learn from it for the sake of the next?"""

    def next(self, transactions: list[Any], knows_senders: bool = False) -> Way:
        choice = self.pace.choose(transactions, knows_senders)
        self.teaching.append(choice.teaches)
        way = choice.way
        runs = [self.run] * len(transactions)
        trip = 0.0 if way is Way.ALONE else self.trip
        seconds = trip + sum(runs) * self.ratios[way]
        self.pace.note(way, transactions, runs, seconds, knows_senders)
        return way

    def ways(self, blocks: int, transactions: list[Any], knows_senders: bool = False) -> list[Way]:
        return [self.next(transactions, knows_senders) for _ in range(blocks)]


@pytest.mark.parametrize(
    ("together", "assisted", "best"),
    [
        (0.6, 0.9, Way.TOGETHER),
        (0.9, 0.6, Way.ASSISTED),
        (1.5, 0.8, Way.ASSISTED),
        (1.5, 1.2, Way.ALONE),
    ],
)
def test_the_fastest_way_is_found_and_kept(together: float, assisted: float, best: Way) -> None:
    ways = World(together, assisted).ways(2_000, block())
    assert ways[0] is Way.ALONE  # to be compared with
    assert ways[-100:].count(best) >= 97
    assert ways.count(best) > 0.96 * len(ways)


def test_ways_that_do_not_help_are_tried_again_ever_later() -> None:
    ways = World(together=1.5).ways(5_000, block())
    tried = [i for i, way in enumerate(ways) if way is Way.TOGETHER]
    gaps = [after - before for before, after in pairwise(tried) if after - before > 1]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 16
    assert len(tried) < 40


def test_workers_that_help_again_are_found_out() -> None:
    world = World(together=1.5)
    world.ways(30, block())
    world.ratios[Way.TOGETHER] = 0.5
    assert world.ways(200, block())[-50:].count(Way.TOGETHER) >= 48


def test_a_slow_block_in_a_trial_decides_nothing() -> None:
    """Whichever it is: somebody else needed the machine for a moment."""
    for slow in range(3):
        world = World(together=1.5, assisted=0.8)
        ways: list[Way] = []
        while ways.count(Way.ASSISTED) < 3:
            at = ways.count(Way.ASSISTED)
            world.ratios[Way.ASSISTED] = 3.0 if at == slow else 0.8
            ways.append(world.next(block()))
        world.ratios[Way.ASSISTED] = 0.8
        assert world.ways(100, block()).count(Way.ASSISTED) > 90


def test_in_a_trial_its_fastest_block_counts() -> None:
    """Workers have to learn and to translate first."""
    world = World(together=3.0, assisted=2.0)
    first = [world.next(block()) for _ in range(3)]
    assert first == [Way.ALONE, Way.TOGETHER, Way.TOGETHER]
    world.ratios[Way.TOGETHER] = 0.5
    assert world.ways(2, block()) == [Way.TOGETHER] * 2  # then the other way is tried, too
    assert world.ways(20, block())[-16:] == [Way.TOGETHER] * 16


def test_a_single_worker_is_given_transactions_late() -> None:
    """It would have to learn and to translate first, for a gain that is small at best."""
    world = World(together=0.9, assisted=0.85)
    world.pace = Pace(2)
    ways = world.ways(200, block())
    assert ways.index(Way.TOGETHER) > 20
    assert ways.count(Way.ASSISTED) > 150


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize(("together", "assisted"), [(0.9, 0.85), (0.6, 0.9), (1.5, 1.2)])
def test_the_last_block_before_transactions_go_to_workers_teaches(
    workers: int, together: float, assisted: float
) -> None:
    world = World(together, assisted)
    world.pace = Pace(workers)
    ways = world.ways(300, block())
    turns = [i for i in range(299) if ways[i] is not Way.TOGETHER and ways[i + 1] is Way.TOGETHER]
    teaching = [i for i in range(299) if world.teaching[i]]
    assert turns and set(teaching) <= set(turns)
    for turn in turns:
        # After a trial of something else it is known too late, and forecasts are as good as new.
        assert turn in teaching or Way.TOGETHER in ways[max(0, turn - 8) : turn]


def test_two_ways_that_are_alike_do_not_alternate() -> None:
    world = World(together=1.0)
    ways = []
    for number in range(30):
        world.ratios[Way.TOGETHER] = 0.97 if number % 2 else 1.03
        ways.append(world.next(block()))
    assert sum(before is not after for before, after in pairwise(ways)) <= 5


def test_small_blocks_stay_here_while_large_ones_go() -> None:
    world = World(together=0.6, trip=0.004)
    small = [world.next(block(count=3)) for _ in range(400)]
    assert small.count(Way.ALONE) > 370
    assert world.ways(20, block())[-10:] == [Way.TOGETHER] * 10
    assert world.next(block(count=3)) is Way.ALONE


def test_a_single_transaction_stays_here_however_long_it_takes() -> None:
    world = World(together=0.1, assisted=0.1, run=5.0)
    assert world.ways(100, block(count=1)) == [Way.ALONE] * 100


def test_known_senders_need_no_assistance() -> None:
    world = World(together=1.5, assisted=0.6)
    world.ways(20, block())
    assert world.next(block(), knows_senders=True) is Way.ALONE
    assert world.next(block()) is Way.ASSISTED


@pytest.mark.parametrize("knows_senders", [False, True])
def test_blocks_whose_senders_are_known_are_measured_apart(knows_senders: bool) -> None:
    """What was found for one kind of blocks is neither the other's way nor among its figures."""
    world = World(together=0.5)
    assert world.ways(20, block(), knows_senders)[-1] is Way.TOGETHER
    before = world.pace.choose(block(), knows_senders)
    world.ratios[Way.TOGETHER] = 3.0
    others = world.ways(30, block(), not knows_senders)
    assert others[0] is Way.ALONE  # to be compared with, as if there had been none before
    assert others[4:].count(Way.ALONE) > 20
    after = world.pace.choose(block(), knows_senders)
    assert after == before
    assert after.way is Way.TOGETHER


def test_no_workers_to_be_had_is_no_reason_to_ask_every_time() -> None:
    pace = Pace(4)
    asked = 0
    for _ in range(100):
        if pace.choose(block()).way is not Way.ALONE:
            asked += 1
            pace.note_absence()
        pace.note(Way.ALONE, block(), [0.001] * 100, 0.1)
    assert 1 <= asked <= 5


def test_the_choice_says_why() -> None:
    seconds = {Way.ALONE: 0.1, Way.ASSISTED: 0.08, Way.TOGETHER: 0.06}
    assert str(Choice(Way.TOGETHER, seconds)) == (
        "with workers: 60.0 ms expected; 100.0 ms in this process, "
        "80.0 ms in this process, senders recovered by workers"
    )
    assert str(Choice(Way.ALONE, seconds, "no processes")) == "in this process: no processes"


def test_costs_follow_what_was_measured() -> None:
    pace = Pace(4)
    pace.note(Way.ALONE, [Tx(POOL), Tx(TOKEN)], [0.004, 0.001], 0.006)
    for _ in range(60):
        pace.note_shares(own=0.4, others=0.6, coordinator=0.6, workers=0.9)
    costs = pace.costs([Tx(TOKEN), Tx(POOL)])
    assert list(costs.runs) == [0.001, 0.004]
    assert costs.burden == pytest.approx(0.2)
    assert costs.freight == pytest.approx(0.5)


def test_of_the_runs_of_a_block_the_latest_counts_most() -> None:
    pace = Pace(4)
    transactions = [Tx(POOL), Tx(TOKEN), Tx(POOL), Tx(POOL)]
    pace.note(Way.ALONE, transactions, [0.004, 0.001, 0.008, 0.005], 0.02)
    assert pace.costs([Tx(POOL), Tx(TOKEN)]).runs == pytest.approx([0.005, 0.001])
    pace.note(Way.ALONE, [Tx(POOL)] * 2, [0.009, 0.002], 0.02)
    assert pace.costs([Tx(POOL)]).runs == pytest.approx([0.005])


def test_what_no_transaction_accounts_for_is_part_of_what_a_way_costs() -> None:
    pace = Pace(4)
    transactions = block(POOL)
    pace.note(Way.ALONE, transactions, [0.001] * 100, 0.3)  # of which 0.2 is the same in any way
    pace.note(Way.ASSISTED, transactions, [0.001] * 100, 0.15)
    seconds = pace.choose(transactions).seconds
    assert seconds[Way.ALONE] == pytest.approx(0.3)
    assert seconds[Way.ASSISTED] == pytest.approx(0.15)


def test_a_list_that_comes_again_with_other_transactions_is_another_block() -> None:
    pace = Pace(4)
    transactions = block(POOL)
    pace.choose(transactions)
    pace.note(Way.ALONE, transactions, [0.004] * 100, 0.5)
    pace.choose(transactions)
    transactions[:] = block(TOKEN)
    pace.choose(transactions)
    assert pace.costs(block(POOL)).runs[0] == 0.004  # of another list than the one at hand
    pace.note(Way.ALONE, transactions, [0.001] * 100, 0.2)
    assert pace.costs([Tx(POOL), Tx(TOKEN)]).runs == [0.004, 0.001]
    pace.choose(transactions)
    del transactions[1:]
    assert len(pace.costs(transactions).runs) == 1


def test_as_many_senders_as_last_time_are_recovered_here() -> None:
    """Not quite: the coordinator takes over more wherever it would have to wait."""
    pace = Pace(4)
    assert pace.own_senders(Way.ASSISTED, 100) == 0
    pace.note_senders(Way.ASSISTED, 0.5)
    assert pace.own_senders(Way.ASSISTED, 100) == 40
    assert pace.own_senders(Way.ASSISTED, 10) == 4
    assert pace.own_senders(Way.TOGETHER, 100) == 0


@pytest.mark.parametrize("needed", [0.5, 0.1, 1.0])
def test_how_many_that_are_follows_what_was_needed(needed: float) -> None:
    pace = Pace(4)
    pace.note_senders(Way.ASSISTED, 0.6)
    share = 0.0
    for _ in range(60):
        share = pace.own_senders(Way.ASSISTED, 100) / 100
        pace.note_senders(Way.ASSISTED, max(share, needed))
    assert share == pytest.approx(0.8 * needed, abs=0.02)


def test_an_empty_block_and_a_malformed_transaction() -> None:
    pace = Pace(4)
    assert isinstance(pace.choose([]), Choice)
    pace.note(Way.ALONE, [], [], 0.001)
    odd: list[Any] = [object(), Tx(None)]  # type: ignore[arg-type]
    pace.choose(odd)
    pace.note(Way.TOGETHER, odd, [0.0, 0.0], 0.0)
    assert len(pace.costs(odd).runs) == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parallel_evm.scheduling.pace._MAX_CALLS", 10)
    pace = Pace(4)
    for number in range(50):
        pace.note(Way.ALONE, [Tx(bytes([number]) * 20)], [0.1], 0.1)
    assert len(pace._rates) == 10


def test_payments_are_alike_whoever_gets_them() -> None:
    """Most recipients are new in every block; that must not make each block the first one."""
    world = World(together=1.5, assisted=0.7, run=0.00003)
    numbers = iter(range(1 << 20))

    def payments() -> list[Any]:
        return [Tx(next(numbers).to_bytes(20, "big"), b"") for _ in range(1_000)]

    ways = [world.next(payments()) for _ in range(40)]
    assert ways.count(Way.ASSISTED) > 30


def test_contracts_that_are_new_in_every_block_get_workers_too() -> None:
    world = World(together=0.5, run=0.0001)
    numbers = iter(range(1 << 20))
    ways = [
        world.next([Tx(next(numbers).to_bytes(20, "big")) for _ in range(100)]) for _ in range(40)
    ]
    assert ways.count(Way.TOGETHER) > 30


def test_what_is_certain_to_help_is_tried_first() -> None:
    """Where there is one other process, the signatures are; with several, a share of the block."""
    seconds = {}
    for workers in (2, 4):
        pace = Pace(workers)
        pace.note(Way.ALONE, block(), [0.001] * 100, 0.11)
        seconds[workers] = pace.choose(block())
    assert seconds[2].way is Way.ASSISTED
    assert seconds[4].way is Way.TOGETHER


@pytest.mark.parametrize("way", [Way.ALONE, Way.ASSISTED])
def test_only_blocks_with_help_say_how_many_senders_it_left(way: Way) -> None:
    scene = workloads.build("transfers", transactions=60, accounts=8)
    reports: list[BlockReport] = []
    chain_class = parallel(scene.chain_class, reports, backend="auto", way=way)
    pace = chain_class.vm_configuration[0][1].parallel_engine._pace
    block = scene.open().mine_all(scene.blocks[0])[0].imported_block
    decoded: Any = rlp.codec.decode(rlp.encode(block), sedes=type(block))  # senders unknown
    assert scene.open(chain_class).import_block(decoded).imported_block.hash == block.hash
    assert list(pace._own_senders) == [way] * (way is Way.ASSISTED)
    assert all(0 <= share <= 1 for share in pace._own_senders.values())
    assert reports[0].choice is not None


@pytest.mark.parametrize("known", [False, True])
def test_blocks_say_whether_their_senders_were_known(known: bool) -> None:
    scene = workloads.build("transfers", transactions=10)
    chain_class = parallel(scene.chain_class, [], backend="auto", way=Way.ALONE)
    pace = chain_class.vm_configuration[0][1].parallel_engine._pace
    block = scene.open().mine_all(scene.blocks[0])[0].imported_block
    decoded: Any = rlp.codec.decode(rlp.encode(block), sedes=type(block))
    assert not known or all(sent.sender for sent in decoded.transactions)
    scene.open(chain_class).import_block(decoded)
    assert [size for size, habit in pace._habits.items() if habit.rest] == [(4, known)]
