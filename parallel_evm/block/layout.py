"""Who runs what in a block: accesses are forecast, lanes laid, and workers set going.

Responsible for: the order of these steps, from a block's transactions to a `Layout`.
Talks to: forecasts, `scheduling.lanes`, `scheduling.hot`, `pace`; the session, which gets its work.
Never: writes; whatever it lays out may be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth.vm.interrupt import EVMMissingData

from parallel_evm.block.senders import Senders
from parallel_evm.block.underway import Forecasts, Underway
from parallel_evm.scheduling.hot import HotPlan
from parallel_evm.scheduling.lanes import (
    Chains,
    Costs,
    chains_of,
    plan,
    plan_with_coordinator,
)
from parallel_evm.scheduling.pace import Pace, Way
from parallel_evm.state.keys import Key
from parallel_evm.workers.session import Task, Work

_WORTH_PROBING = 4
_PUZZLING = 16
"""No hope for whole lanes where something is unknown of more than one transaction in so many."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What workers were given, and what was not."""

    mine: frozenset[int] = frozenset()
    """Transactions that nobody else was given."""
    hopes: bool = False
    """Are lanes to be taken over as wholes, if they do not meet?"""
    teaching: frozenset[int] = frozenset()
    """Transactions from which something may be learned."""
    hot: HotPlan = field(default_factory=HotPlan)
    costs: Costs | None = None
    """Of the transactions, where this process runs some of them."""


class Planner:
    """Lays one block out."""

    def __init__(
        self,
        block: Underway,
        forecasts: Forecasts,
        senders: Senders,
        pace: Pace | None,
        workers: int,
    ) -> None:
        """``workers``: processes that run transactions, this one included where it does."""
        self._block = block
        self._forecasts = forecasts
        self._senders = senders
        self._pace = pace
        self._workers = workers

    def start(self) -> Layout:
        """Forecast accesses, lay lanes, set the workers going."""
        block, workers = self._block, self._workers
        forecasts = self._forecast()
        if self._probe(forecasts):
            forecasts = self._forecast()
        chains = self._chains(forecasts)
        lanes = plan(forecasts, workers, chains)
        hot, costs, mine = HotPlan(), None, frozenset[int]()
        if block.scheduling.hot_slots is not None:
            hot = block.scheduling.hot_slots.plan(forecasts, chains, lanes, self._held_before)
        if hot.free:
            chains = self._chains(forecasts, hot.free)
        hopes = self._may_hope(forecasts, hot)
        if block.way is Way.TOGETHER:
            assert self._pace is not None
            costs = self._pace.costs(block.transactions, hopes)
            lanes = plan_with_coordinator(forecasts, workers - 1, chains, costs)
        elif hot.free:
            lanes = plan(forecasts, workers, chains)
        if hot.free:
            hot = hot.in_lanes(lanes)
        if block.way is Way.TOGETHER:
            mine = frozenset(lanes.pop())
        work = Work(lanes, self._tasks(forecasts, hot), whole=hopes, lists=block.vm.lean)
        block.session.start(work)
        return Layout(mine, hopes, work.teaching, hot, costs)

    def _forecast(self) -> list[Any]:
        """Of the whole block, in order: some slots are counted up from one to the next."""
        self._forecasts.begin(self._block.committed)
        return [
            self._forecasts.forecast(index, transaction, self._senders.find(index))
            for index, transaction in enumerate(self._block.transactions)
        ]

    def _probe(self, forecasts: Sequence[Any]) -> bool:
        """Learn what nothing is known of, from one transaction each. Is there anything new?

        Without it all calls of a function would share a lane the first time it is seen, and so
        would those of one that is known where the same strange arguments are given to it. Where
        only few would profit, the extra execution is not worth it.
        """
        if self._workers == 1:
            return False
        puzzled: dict[bytes, list[int]] = {}
        for forecast in forecasts:
            if forecast.puzzle is not None:
                puzzled.setdefault(forecast.puzzle, []).append(forecast.index)
        probes = [indices[0] for indices in puzzled.values() if len(indices) >= _WORTH_PROBING]
        if not probes:
            return False
        block = self._block
        found_of = block.session.probe(probes, self._tasks(forecasts, HotPlan()))
        for index, found in zip(probes, found_of, strict=True):
            block.trails[index].attempts += 1
            if found is not None:
                block.learn(index, found)
        return any(found is not None for found in found_of)

    def _chains(self, forecasts: Sequence[Any], free: frozenset[Key] = frozenset()) -> Chains:
        if self._block.scheduling.lanes:
            return chains_of(forecasts, free)
        return [[position] for position in range(len(forecasts))]

    def _held_before(self, key: Key) -> int | None:
        """What a slot holds before the block; None where the database lacks it, which is for those
        to say who run the transactions."""
        try:
            return self._block.committed.slot(*key)
        except EVMMissingData:
            return None

    def _may_hope(self, forecasts: Sequence[Any], hot: HotPlan) -> bool:
        """Are lanes to be taken over as wholes, if they do not meet?"""
        hope = self._block.scheduling.hope
        if hope is None or not self._block.ledger.is_direct:
            return False
        # Linear values are judged one by one: where lanes meet is what they are for. And where much
        # is not known yet, lanes probably meet.
        puzzled = sum(forecast.puzzle is not None for forecast in forecasts)
        if hot.tried or puzzled * _PUZZLING > len(forecasts):
            return False
        return hope.is_left()

    def _tasks(self, forecasts: Sequence[Any], hot: HotPlan) -> list[Task]:
        tried = hot.tried
        return [
            Task(sender, forecast.reads, forecast.teaches or index in tried, tried.get(index))
            for index, (sender, forecast) in enumerate(
                zip(self._block.senders, forecasts, strict=True)
            )
        ]
