"""Lanes: which worker runs what, so that transactions expected to conflict run in order.

Forecasts that conflict form chains, a chain stays on one worker, and chains are packed longest
first. It talks to nobody and knows nothing of transactions; a plan that turns out wrong costs
re-executions, never correctness. The same forecasts always give the same plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace

from parallel_evm.scheduling.forecast import Forecast
from parallel_evm.state.keys import BALANCE, Key


def plan(
    forecasts: Sequence[Forecast], workers: int, free: frozenset[Key] = frozenset()
) -> list[list[int]]:
    """Lay transactions out on ``workers`` lanes; returns that many ascending lists of indices.

    Every ``index`` of the forecasts is in exactly one lane, and two transactions of which one
    writes what the other reads or writes share a lane. Balances are the exception: credits and
    debits commute, so a balance counts only where somebody reads the exact number. So are the
    keys in ``free``, which order nobody.

    Lanes are filled by the longest-processing-time rule (Graham, 1969) on expected gas. A chain
    is never split. Raises ValueError when there is no worker.
    """
    if workers < 1:
        raise ValueError(f"transactions need at least one worker, not {workers}")
    lanes: list[list[int]] = [[] for _ in range(workers)]
    loads = [(0, worker) for worker in range(workers)]
    heapify(loads)
    chains = [(sum(forecasts[i].gas for i in chain), chain) for chain in _chains(forecasts, free)]
    # Equal loads go to the lower worker, equal chains keep the order of their first transactions.
    chains.sort(key=lambda chain: -chain[0])
    for gas, chain in chains:
        load, worker = loads[0]
        lanes[worker].extend(forecasts[i].index for i in chain)
        heapreplace(loads, (load + gas, worker))
    for lane in lanes:
        lane.sort()
    return lanes


def _chains(forecasts: Sequence[Forecast], free: frozenset[Key]) -> list[list[int]]:
    """Connected components of the conflict graph, as positions in ``forecasts``."""
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
        for key in forecast.writes - free if free else forecast.writes:
            if key[1] == BALANCE:
                credited.setdefault(key, []).append(position)
            else:
                first = writers.setdefault(key, position)
                if first != position:
                    join(first, position)

    # Most of what is read is written by nobody in the block: sets find the rest without a loop.
    written = frozenset(writers).union(credited)
    for position, forecast in enumerate(forecasts):
        for key in forecast.reads & written:
            if key[1] == BALANCE:
                for writer in credited[key]:
                    join(writer, position)
                credited[key] = [position]  # all of them are one chain now
            else:
                join(writers[key], position)

    chains: dict[int, list[int]] = {}
    for position in range(len(forecasts)):
        chains.setdefault(find(position), []).append(position)
    return list(chains.values())
