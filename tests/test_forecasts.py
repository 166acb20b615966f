"""Forecasts at the public seam: counters that number things, and contracts that mislead.

What a forecast says never shows in a block; how much runs twice is bounded also for those who set
out to mislead it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from parallel_evm import BlockReport
from parallel_evm.scheduling.forecast import Forecast, Forecaster
from parallel_evm.scheduling.pace import Choice, Way
from parallel_evm.state.source import Source
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    ETHER,
    SENDERS,
    Act,
    Bound,
    Play,
    account,
    assemble,
    hold,
    parallel,
    words,
)

DESKS = [bytes([0xD0 + number]) * 20 for number in range(4)]
OPEN, USE, TURN = range(3)
FIRST = (0, "CALLDATALOAD", 2**224, "SWAP1", "DIV")

DESK = assemble(
    # open(amount): deals[count += step] = amount, or fails if there is none
    # use(id): deals[id] += 1
    # turn(step)
    *FIRST, "DUP1", 1, "EQ", "@use", "JUMPI", 2, "EQ", "@turn", "JUMPI",
    4, "CALLDATALOAD", "ISZERO", "@fail", "JUMPI",
    2, "SLOAD", 0, "SLOAD", "ADD", "DUP1", 0, "SSTORE",
    0, "MSTORE", 1, 32, "MSTORE", 4, "CALLDATALOAD", 64, 0, "SHA3", "SSTORE", "STOP",
    "use:", 4, "CALLDATALOAD", 0, "MSTORE", 1, 32, "MSTORE", 64, 0, "SHA3",
    "DUP1", "SLOAD", 1, "ADD", "SWAP1", "SSTORE", "STOP",
    "turn:", 4, "CALLDATALOAD", 2, "SSTORE", "STOP",
    "fail:", 0, 0, "REVERT",
)  # fmt: skip

Calls = Sequence[tuple[int, int, int]]
"""(desk, function, argument)"""


def run(*blocks: Calls, forecaster: Forecaster | None = None, **options: Any) -> list[BlockReport]:
    """Everything is as with stock py-evm; the reports of the chain that mined."""
    reports: list[BlockReport] = []
    chain_class = parallel(fork("cancun").chain_class, reports, **options)
    if forecaster is not None:
        chain_class.vm_configuration[0][1].parallel_engine._forecaster = forecaster
    acts = tuple(map(acts_of, blocks))
    hold(Play("cancun", b"\xcb" * 20, acts, state=desks()), chain_class, reports)
    return reports[::2]


def desks() -> dict[bytes, Any]:
    """All of them, and those who call them."""
    state = {sender: account(100 * ETHER) for sender in SENDERS}
    return state | {desk: account(0, 1, DESK, {0: 10, 2: 1}) for desk in DESKS}


def acts_of(calls: Calls) -> tuple[Act, ...]:
    return tuple(
        Act(
            number % len(SENDERS),
            DESKS[desk],
            data=bytes([0, 0, 0, function]) + words(argument),
        )
        for number, (desk, function, argument) in enumerate(calls)
    )


def trade(counts: list[int], step: int = 1, desks: Sequence[int] = (0, 1)) -> list[Any]:
    """Each desk opens deals, and somebody uses each of them later in the block."""
    calls: list[Any] = []
    for _ in range(3):
        calls += [(desk, OPEN, 70) for desk in desks]
        for desk in desks:
            counts[desk] += step
            calls.append((desk, USE, counts[desk]))
    return calls


def test_what_a_counter_numbers_is_used_in_the_same_block() -> None:
    counts = [10] * 4
    reports = run(*(trade(counts) for _ in range(4)))
    assert [report.reexecutions for report in reports[1:]] == [0, 0, 0]
    for report in reports[1:]:
        assert {t.worker for t in report.transactions} == {0, 1}


def test_the_second_number_of_a_block_is_not_the_first() -> None:
    """Nobody sends twice, so only the numbers tie a use to its desk."""
    blocks = [
        [*((desk, OPEN, 70) for desk in (0, 0, 1, 1)), (1, USE, last), (0, USE, last)]
        for last in (12, 14, 16, 18)
    ]
    assert len(blocks[0]) <= len(SENDERS)
    reports = run(*blocks)
    assert [report.reexecutions for report in reports[1:]] == [0, 0, 0]
    for report in reports[1:]:
        assert {t.worker for t in report.transactions} == {0, 1}


def test_after_a_probe_the_whole_block_is_forecast_anew_in_order() -> None:
    """What counts is counted once, not once more for being forecast again."""
    seen: list[int | None] = []

    class Spy(Forecaster):
        def begin(self, before: Source) -> None:
            seen.append(None)
            super().begin(before)

        def forecast(self, index: int, transaction: Any, sender: bytes | None) -> Forecast:
            seen.append(index)
            return super().forecast(index, transaction, sender)

    calls = [(desk, OPEN, 70) for desk in (0, 1, 0, 1, 0, 1, 0, 1)]
    run(calls, calls, forecaster=Spy())
    # Mined, then imported by another chain. Only the very first time is anything unknown.
    once = [None, *range(len(calls))]
    assert seen == once * 5


@pytest.mark.parametrize("way", [Way.ALONE, Way.ASSISTED])
def test_before_transactions_go_to_workers_what_they_touch_is_learned_here(way: Way) -> None:
    reports: list[BlockReport] = []

    class Turning(Bound):
        """From the third block on transactions go to workers; forecasts learn from the second."""

        def choose(self, transactions: Sequence[Any], knows_senders: bool = False) -> Choice:
            chosen = super().choose(transactions, knows_senders)
            turn = way if len(reports) < 2 else Way.TOGETHER
            return replace(chosen, way=turn, teaches=len(reports) == 1)

    chain_class = parallel(fork("cancun").chain_class, reports, backend="auto")
    engine = chain_class.vm_configuration[0][1].parallel_engine
    engine._pace = Turning(way)
    calls = [(desk, USE, 10) for desk in (0, 1, 2, 3)] * 2
    play = Play("cancun", b"\xcb" * 20, (acts_of(calls), acts_of(calls)), state=desks())
    hold(play, chain_class, reports)  # mined, then imported: two blocks of each
    assert [report.reexecutions for report in reports] == [0] * 4  # not even as a probe
    assert {t.worker for t in reports[2].transactions} == {None, 0}
    assert {address for address, _ in engine.forecaster().templates()} == set(DESKS)


def test_learning_for_the_next_block_is_not_what_this_one_takes() -> None:
    class Slow(Forecaster):
        def learn(self, *arguments: Any, **options: Any) -> None:
            time.sleep(0.05)
            super().learn(*arguments, **options)

    class Teaching(Bound):
        def choose(self, transactions: Sequence[Any], knows_senders: bool = False) -> Choice:
            return replace(super().choose(transactions, knows_senders), teaches=True)

    reports: list[BlockReport] = []
    chain_class = parallel(fork("cancun").chain_class, reports, backend="auto")
    engine = chain_class.vm_configuration[0][1].parallel_engine
    engine._pace, engine._forecaster = Teaching(Way.ALONE), Slow()
    hold(
        Play("cancun", b"\xcb" * 20, (acts_of([(0, USE, 10)] * 8),), state=desks()),
        chain_class,
        reports,
    )
    assert all(report.seconds > 8 * 0.05 for report in reports)
    assert all(0 < habit.rest < 0.04 for habit in engine._pace._habits.values())


def test_a_desk_that_was_never_seen_is_known_by_its_code() -> None:
    counts = [10] * 4
    reports = run(trade(counts), trade(counts), trade(counts, desks=(2, 3)))
    assert reports[2].reexecutions == 0
    assert {t.worker for t in reports[2].transactions} == {0, 1}


@pytest.mark.slow
def test_a_counter_that_leaps_after_a_hundred_steps() -> None:
    counts = [10] * 4
    blocks = [trade(counts) for _ in range(17)]  # 102 deals
    blocks.append([(desk, TURN, 7) for desk in (0, 1)])
    blocks += [trade(counts, step=7) for _ in range(6)]
    reports = run(*blocks)
    executions = sum(report.executions for report in reports)
    assert executions <= 1.25 * sum(map(len, blocks))
    assert sum(report.reexecutions for report in reports[1:17]) == 0


def test_counters_that_leap_now_and_then() -> None:
    counts = [10] * 4
    blocks: list[Any] = []
    for number in range(12):
        step = 1 + number % 3
        blocks.append([(0, TURN, step), (1, TURN, step), *trade(counts, step)])
    reports = run(*blocks)
    executions = sum(report.executions for report in reports)
    assert executions <= 1.25 * sum(map(len, blocks))


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_calls_that_fail_throw_counting_out(backend: str) -> None:
    """Every other opening fails, so the numbers forecast are too high."""
    counts = [10] * 4
    blocks: list[Any] = []
    for _ in range(8):
        calls: list[Any] = []
        for call in trade(counts):
            calls += [(call[0], OPEN, 0), call] if call[1] == OPEN else [call]
        blocks.append(calls)
    reports = run(*blocks, backend=backend)
    executions = sum(report.executions for report in reports)
    assert executions <= 1.25 * sum(map(len, blocks))


def test_a_number_that_names_another_deal_than_the_last_block_had() -> None:
    """``use`` of what does not exist yet, of what the block before made, and of what is far off."""
    counts = [10] * 4
    first = trade(counts)
    odd = [(0, USE, 2**255), (1, USE, 0), (0, USE, counts[0] + 2), (0, OPEN, 5), (0, OPEN, 5)]
    odd += [(1, USE, counts[1]), (1, OPEN, 9), (1, USE, counts[1] + 1)]
    run(first, odd, odd, first)
