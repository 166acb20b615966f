"""Lanes: who runs what, so that transactions expected to conflict run in order.

Forecasts that conflict form chains, a chain stays in one lane, and chains are packed longest
first. It talks to nobody and knows nothing of transactions; a plan that turns out wrong costs
re-executions, never correctness. The same forecasts and costs always give the same plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace

from parallel_evm.scheduling.forecast import Forecast
from parallel_evm.state.keys import BALANCE, Key


@dataclass(frozen=True, slots=True)
class Costs:
    """What the transactions of a block are expected to cost, where the coordinator runs some."""

    runs: Sequence[float]
    """Seconds that each takes in the coordinator, by position."""
    burden: float
    """What the coordinator spends in any case, as a share of all runs: judging, receipts."""
    freight: float
    """By how much a worker takes longer than the run itself: encoding and sending."""


Chains = Sequence[Sequence[int]]
"""Positions of transactions that have to run in order, chain by chain."""


def plan(
    forecasts: Sequence[Forecast], workers: int, chains: Chains | None = None
) -> list[list[int]]:
    """Lay transactions out on ``workers`` lanes; returns that many ascending lists of indices.

    Every ``index`` of the forecasts is in exactly one lane, and two transactions of which one
    writes what the other reads or writes share a lane: ``chains`` are `chains_of` the forecasts,
    unless others are given.

    Lanes are filled by the longest-processing-time rule (Graham, 1969) on expected gas. A chain
    is never split. Raises ValueError when there is no worker.
    """
    if workers < 1:
        raise ValueError(f"transactions need at least one worker, not {workers}")
    chains = chains_of(forecasts) if chains is None else chains
    weighed = [(float(sum(forecasts[i].gas for i in chain)), chain) for chain in chains]
    return _lay(forecasts, weighed, workers)


def plan_with_coordinator(
    forecasts: Sequence[Forecast], workers: int, chains: Chains, costs: Costs
) -> list[list[int]]:
    """The same for ``workers`` lanes and one more, the last, which is the coordinator's own.

    Filled by expected seconds, so that all end at the same time: the coordinator, which has other
    things to do, gets what the workers cannot do meanwhile, which may be nothing.
    """
    freight = 1.0 + costs.freight
    weighed = [(freight * sum(costs.runs[i] for i in chain), chain) for chain in chains]
    own = _Own(costs.burden * sum(costs.runs), 1.0 / freight)
    return _lay(forecasts, weighed, workers, own)


@dataclass(slots=True)
class _Own:
    """The coordinator's lane."""

    load: float
    speed: float
    """A worker's time, multiplied by this, is the coordinator's."""


def _lay(
    forecasts: Sequence[Forecast],
    weighed: Sequence[tuple[float, Sequence[int]]],
    workers: int,
    own: _Own | None = None,
) -> list[list[int]]:
    """``weighed``: what each chain costs, and its positions."""
    lanes: list[list[int]] = [[] for _ in range(workers + (own is not None))]
    loads = [(0.0, worker) for worker in range(workers)]
    # Equal loads go to the lower worker, equal chains keep the order of their first transactions.
    for cost, chain in sorted(weighed, key=lambda chain: -chain[0]):
        load, lane = loads[0]
        if own is not None and own.load + cost * own.speed < load + cost:
            own.load += cost * own.speed
            lane = workers
        else:
            heapreplace(loads, (load + cost, lane))
        lanes[lane].extend(forecasts[i].index for i in chain)
    for indices in lanes:
        indices.sort()
    return lanes


def chains_of(forecasts: Sequence[Forecast], free: frozenset[Key] = frozenset()) -> list[list[int]]:
    """Connected components of the conflict graph, as positions in ``forecasts``.

    Balances are an exception: credits and debits commute, so a balance counts only where somebody
    reads the exact number. So are the keys in ``free``, slots that order nobody.
    """
    parents = list(range(len(forecasts)))

    def find(position: int) -> int:
        while parents[position] != position:
            parents[position] = position = parents[parents[position]]
        return position

    def join(one: int, other: int) -> None:
        one, other = find(one), find(other)
        # The root is the earliest of its chain, whatever the order of joining.
        parents[max(one, other)] = min(one, other)

    writers: dict[Key, int] = {}
    credited: dict[Key, list[int]] = {}
    for position, forecast in enumerate(forecasts):
        # Most keys of a transaction lead to the same earlier one: joined once, not for each key.
        firsts = {
            writers.setdefault(key, position)
            for key in (forecast.writes - free if free else forecast.writes)
            if key[1] != BALANCE
        }
        firsts.discard(position)
        for first in firsts:
            join(first, position)
        for key in forecast.writes:
            if key[1] == BALANCE:
                credited.setdefault(key, []).append(position)

    # Most of what is read is written by nobody in the block: sets find the rest without a loop.
    written = frozenset(writers).union(credited)
    for position, forecast in enumerate(forecasts):
        firsts = set()
        for key in forecast.reads & written:
            if key[1] == BALANCE:
                firsts.update(credited[key])
                credited[key] = [position]  # all of them are one chain now
            else:
                firsts.add(writers[key])
        firsts.discard(position)
        for first in firsts:
            join(first, position)

    found: dict[int, list[int]] = {}
    for position in range(len(forecasts)):
        found.setdefault(find(position), []).append(position)
    return list(found.values())
