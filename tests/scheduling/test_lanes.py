"""Lanes: every transaction once, in order, with whatever it conflicts with, and well balanced."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.scheduling.forecast import Forecast
from parallel_evm.scheduling.lanes import Costs, chains_of, plan, plan_with_coordinator
from parallel_evm.state.keys import BALANCE, NONCE, Key

ALICE, BOB, POOL = b"\xaa" * 20, b"\xbb" * 20, b"\xcc" * 20
SENDERS = [bytes([number]) * 20 for number in range(4)]


def forecast(index: int, reads: set[Key], writes: set[Key], gas: int = 21_000) -> Forecast:
    return Forecast(index, frozenset(reads), frozenset(writes), gas)


def lane_of(lanes: list[list[int]]) -> dict[int, int]:
    return {index: number for number, lane in enumerate(lanes) for index in lane}


def conflict(one: Forecast, other: Forecast) -> bool:
    """The rule, said as slowly as possible."""
    for key in one.reads | one.writes:
        for same in other.reads | other.writes:
            if key != same or not (key in one.writes or key in other.writes):
                continue
            if key[1] != BALANCE or key in one.reads or key in other.reads:
                return True
    return False


keys = st.tuples(
    st.sampled_from([ALICE, BOB, POOL]), st.sampled_from([NONCE, BALANCE, 0, 1, 2**256 - 1])
)
forecasts = st.lists(
    st.tuples(
        st.frozensets(keys, max_size=3),
        st.frozensets(keys, max_size=2),
        st.integers(21_000, 1_000_000),
    ),
    max_size=25,
).map(
    # Plans are also made for the rest of a block: indices neither start at 0 nor are they dense.
    lambda parts: [
        Forecast(3 * position + 7, reads, writes, gas)
        for position, (reads, writes, gas) in enumerate(parts)
    ]
)


@given(forecasts, st.integers(1, 6))
def test_every_transaction_once_in_order_and_conflicts_share_a_lane(
    block: list[Forecast], workers: int
) -> None:
    lanes = plan(block, workers)

    assert len(lanes) == workers
    assert all(lane == sorted(lane) for lane in lanes)
    assert sorted(index for lane in lanes for index in lane) == [f.index for f in block]
    lane = lane_of(lanes)
    for one, other in combinations(block, 2):
        if conflict(one, other):
            assert lane[one.index] == lane[other.index]


@given(forecasts, st.integers(1, 6))
def test_no_lane_holds_more_than_its_share_and_the_longest_chain(
    block: list[Forecast], workers: int
) -> None:
    """Graham's bound for list scheduling, on chains found by brute force."""
    chains = [{f.index} for f in block]
    for one, other in combinations(block, 2):
        if conflict(one, other):
            first = next(chain for chain in chains if one.index in chain)
            second = next(chain for chain in chains if other.index in chain)
            if first is not second:
                chains.remove(second)
                first |= second
    gas = {f.index: f.gas for f in block}
    longest = max((sum(gas[i] for i in chain) for chain in chains), default=0)

    for lane in plan(block, workers):
        assert sum(gas[i] for i in lane) <= sum(gas.values()) / workers + longest


@given(forecasts, st.integers(1, 4))
def test_same_forecasts_same_plan(block: list[Forecast], workers: int) -> None:
    again = [
        Forecast(
            f.index,
            frozenset(sorted(f.reads, reverse=True)),
            frozenset(sorted(f.writes, reverse=True)),
            f.gas,
            f.puzzle,
        )
        for f in block
    ]

    assert plan(block, workers) == plan(again, workers)


def test_readers_of_what_nobody_writes_are_independent() -> None:
    block = [forecast(i, {(POOL, 0)}, {(bytes([i]) * 20, NONCE)}) for i in range(4)]

    assert [len(lane) for lane in plan(block, 4)] == [1, 1, 1, 1]


def test_a_chain_is_transitive() -> None:
    block = [
        forecast(0, set(), {(POOL, 1)}),
        forecast(1, {(POOL, 2)}, set()),
        forecast(2, {(POOL, 1)}, {(POOL, 2)}),
        forecast(3, set(), {(POOL, 3)}),
    ]

    assert sorted(plan(block, 2)) == [[0, 1, 2], [3]]


def test_credits_to_one_account_commute() -> None:
    block = [forecast(i, set(), {(POOL, BALANCE), (bytes([i]) * 20, NONCE)}) for i in range(4)]

    assert [len(lane) for lane in plan(block, 2)] == [2, 2]


def test_whoever_reads_a_balance_joins_all_who_change_it() -> None:
    block = [forecast(i, set(), {(POOL, BALANCE)}) for i in range(4)]
    block.append(forecast(4, {(POOL, BALANCE)}, set()))
    block.append(forecast(5, {(BOB, BALANCE)}, set()))

    assert sorted(plan(block, 2)) == [[0, 1, 2, 3, 4], [5]]


def test_the_longest_chains_are_packed_first() -> None:
    gas = [30_000, 40_000, 100_000, 80_000]
    block = [forecast(i, set(), {(bytes([i]) * 20, NONCE)}, gas=g) for i, g in enumerate(gas)]

    # 100, then 80 beside it, 40 on the 80, 30 on the 100.
    assert plan(block, 2) == [[0, 2], [1, 3]]


def test_workers_without_work_get_empty_lanes() -> None:
    assert plan([forecast(0, set(), {(ALICE, NONCE)})], 3) == [[0], [], []]
    assert plan([], 2) == [[], []]


def test_no_worker_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one worker, not 0"):
        plan([], 0)


def test_a_long_chain_is_planned_without_deep_recursion() -> None:
    order = list(range(20_000))
    random.Random(1).shuffle(order)
    block = [forecast(i, {(POOL, n)}, {(POOL, n + 1)}) for i, n in enumerate(order)]

    lanes = plan(block, 2)

    assert lanes[0] == list(range(20_000))


def test_what_is_free_orders_nobody() -> None:
    paying = [forecast(i, {(POOL, 1)}, {(POOL, 1), (SENDERS[i], NONCE)}) for i in range(4)]
    assert plan(paying, 2) == [[0, 1, 2, 3], []]
    assert plan(paying, 2, chains_of(paying, frozenset({(POOL, 1)}))) == [[0, 2], [1, 3]]
    both = [forecast(i, set(), {(POOL, 1), (POOL, 2)}) for i in range(2)]
    assert plan(both, 2, chains_of(both, frozenset({(POOL, 1)}))) == [[0, 1], []]


#
# With a lane of the coordinator's own
#
@given(forecasts, st.integers(1, 4), st.floats(0, 3), st.floats(0, 3))
def test_the_coordinators_lane_is_one_of_them(
    block: list[Forecast], workers: int, burden: float, freight: float
) -> None:
    chains = chains_of(block)
    costs = Costs([forecast.gas / 1e9 for forecast in block], burden, freight)
    lanes = plan_with_coordinator(block, workers, chains, costs)
    assert len(lanes) == workers + 1
    assert sorted(index for lane in lanes for index in lane) == [f.index for f in block]
    where = lane_of(lanes)
    for chain in chains:
        assert len({where[block[position].index] for position in chain}) == 1


def alone(count: int) -> list[Forecast]:
    return [forecast(index, set(), set()) for index in range(count)]


@pytest.mark.parametrize(
    ("burden", "freight", "own"),
    [
        (0.0, 0.0, 50),  # nothing else to do: half of them
        (0.5, 0.0, 25),  # 25 runs and 50 units of duty are what the worker needs for 75
        (1.0, 0.0, 0),  # the duty alone takes as long as all runs
        (9.0, 0.0, 0),
        (0.0, 1.0, 66),  # a worker needs twice as long for each
    ],
)
def test_the_coordinator_runs_what_workers_have_no_time_for(
    burden: float, freight: float, own: int
) -> None:
    lanes = plan_with_coordinator(
        alone(100), 1, chains_of(alone(100)), Costs([1.0] * 100, burden, freight)
    )
    assert len(lanes[-1]) == pytest.approx(own, abs=1)


def test_the_coordinators_share_falls_with_the_workers() -> None:
    shares = [
        len(
            plan_with_coordinator(
                alone(120), workers, chains_of(alone(120)), Costs([1.0] * 120, 0.25, 0.0)
            )[-1]
        )
        for workers in (1, 2, 4, 8)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 40
    assert shares[-1] == 0


def test_expected_seconds_count_not_gas() -> None:
    block = alone(3)
    lanes = plan_with_coordinator(
        block, 1, chains_of(block), Costs([2.0, 1.0, 1.0], burden=0.0, freight=0.0)
    )
    assert lanes == [[0], [1, 2]]
