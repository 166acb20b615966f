"""Pace: is a block worth the workers' trouble, and which share of it is the coordinator's?

Responsible for: what calls cost in this process, what blocks of such calls cost with workers, both
as measured, the choice between the two that follows for the next block, and `Costs` for its lanes.
Talks to: nobody. It is told times and answers with a `Choice`, which a report can name.
Never: changes what a block results in; a wrong choice costs time.

A call is known by its contract and selector, and everything is an average in which the latest
quarter counts. What a block costs with workers is remembered as a ratio to what it would cost
alone, for its calls and for its size (in powers of two of a millisecond): what has to be sent and
waited for in any case is little for a large block and too much for a small one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from parallel_evm.scheduling.lanes import Costs

_LATEST: Final = 0.25
_UNKNOWN_SECONDS: Final = {False: 0.0002, True: 0.002}
"""For what was never measured: plain transfers, and calls (which may have to be translated)."""
_UNKNOWN_RATIO: Final = 0.8
_UNKNOWN_TRIP: Final = 0.004
"""Seconds on top of it. Optimistic for large blocks, so that workers get a chance."""
_UNKNOWN_BURDEN: Final = 0.5
_UNKNOWN_FREIGHT: Final = 0.2
_LOYALTY: Final = 0.05
"""The other way must be better by this share: two ways that are alike do not alternate."""
_FIRST_RETRY: Final = 16
_LAST_RETRY: Final = 1024
"""After so many blocks alone workers are measured again, each time later."""
_MAX_CALLS: Final = 1 << 14
_ADDRESS_BYTES: Final = 20


@dataclass(slots=True)
class _Rate:
    """What one call costs."""

    seconds: float
    """To run it, without what is the same for every transaction."""
    ratios: dict[int, float] = field(default_factory=dict)
    """By size of the block: its seconds with workers to its seconds alone."""


@dataclass(slots=True)
class _Habit:
    """What was chosen for blocks of one size."""

    together: bool = True
    returned: bool = False
    """Is this the first block with workers for a while? What was measured before is outdated."""
    alone_since: int = 0
    retry: int = _FIRST_RETRY


@dataclass(frozen=True, slots=True)
class Choice:
    """How a block is to run, and why."""

    together: bool
    """With workers."""
    alone_seconds: float
    together_seconds: float
    """What both were expected to take."""

    def __str__(self) -> str:
        alone, together = self.alone_seconds * 1e3, self.together_seconds * 1e3
        if self.together:
            return f"with workers: {together:.1f} ms expected, {alone:.1f} ms in this process"
        return f"in this process: {alone:.1f} ms expected, {together:.1f} ms with workers"


class Pace:
    """Measures one chain's blocks. Bounded; not for use by two threads at once."""

    def __init__(self) -> None:
        self._rates: dict[bytes, _Rate] = {}
        self._rest = 0.0
        """Seconds per transaction of a block alone that no transaction's run accounts for."""
        self._habits: dict[int, _Habit] = {}
        self._absent = 0
        """Blocks for which workers need not be asked for."""
        self._patience = _FIRST_RETRY
        self._burden = _UNKNOWN_BURDEN
        self._freight = _UNKNOWN_FREIGHT

    def choose(self, transactions: Sequence[Any]) -> Choice:
        """For the next block."""
        calls = [_call(transaction) for transaction in transactions]
        times = [self._rest + self._seconds(call) for call in calls]
        alone = sum(times)
        size = _size(alone)
        unknown = _UNKNOWN_RATIO + _UNKNOWN_TRIP / alone if alone else 1.0
        rates = map(self._rates.get, calls)
        together = sum(
            seconds * (rate.ratios.get(size, unknown) if rate else unknown)
            for seconds, rate in zip(times, rates, strict=True)
        )
        habit = self._habits.setdefault(size, _Habit())
        if habit.together:
            habit.together = together < alone * (1 + _LOYALTY)
        else:
            habit.alone_since += 1
            again = habit.alone_since >= habit.retry
            habit.together = again or together < alone * (1 - _LOYALTY)
        if habit.together and habit.alone_since:
            habit.alone_since = 0
            habit.retry = min(2 * habit.retry, _LAST_RETRY)
            habit.returned = True
        if self._absent:
            self._absent -= 1
            return Choice(False, alone, together)
        return Choice(habit.together, alone, together)

    def note_absence(self) -> None:
        """There were no workers to be had for the block just chosen for."""
        self._absent = self._patience
        self._patience = min(2 * self._patience, _LAST_RETRY)

    def costs(self, transactions: Sequence[Any]) -> Costs:
        """What to lay lanes by, for a block with workers."""
        return Costs(
            [self._seconds(call) for call in map(_call, transactions)], self._burden, self._freight
        )

    def note_alone(
        self, transactions: Sequence[Any], runs: Sequence[float], seconds: float
    ) -> None:
        """A block ran alone: how long each transaction ran, and the block took, in seconds."""
        for transaction, run in zip(transactions, runs, strict=True):
            self._note(_call(transaction), run)
        if transactions:
            rest = max(0.0, seconds - sum(runs)) / len(transactions)
            self._rest = rest if not self._rest else self._rest + _LATEST * (rest - self._rest)

    def note_together(
        self, transactions: Sequence[Any], runs: Sequence[float], seconds: float
    ) -> None:
        """A block ran with workers: likewise, ``runs`` in whatever process they took place."""
        self._patience = _FIRST_RETRY
        rates = [
            self._note(_call(transaction), run)
            for transaction, run in zip(transactions, runs, strict=True)
        ]
        alone = self._rest * len(rates) + sum(rate.seconds for rate in rates)
        if not alone:
            return
        size, ratio = _size(alone), seconds / alone
        habit = self._habits.setdefault(size, _Habit())
        latest, habit.returned = (1.0 if habit.returned else _LATEST), False
        for rate in {id(rate): rate for rate in rates}.values():
            before = rate.ratios.get(size, ratio)
            rate.ratios[size] = before + latest * (ratio - before)

    def note_shares(self, own: float, others: float, coordinator: float, workers: float) -> None:
        """Of such a block, in seconds: the runs in the coordinator and those in workers, what the
        coordinator spent from the first judgement to the last, its own runs included, and what the
        workers spent."""
        runs = own + others
        if runs:
            burden = max(0.0, coordinator - own) / runs
            self._burden += _LATEST * (burden - self._burden)
        if others:
            freight = max(0.0, workers / others - 1)
            self._freight += _LATEST * (freight - self._freight)

    def _seconds(self, call: bytes) -> float:
        rate = self._rates.get(call)
        return rate.seconds if rate else _UNKNOWN_SECONDS[len(call) > _ADDRESS_BYTES]

    def _note(self, call: bytes, seconds: float) -> _Rate:
        rate = self._rates.get(call)
        if rate is None:
            while len(self._rates) >= _MAX_CALLS:
                del self._rates[next(iter(self._rates))]
            rate = self._rates[call] = _Rate(seconds)
        else:
            rate.seconds += _LATEST * (seconds - rate.seconds)
        return rate


def _call(transaction: Any) -> bytes:
    try:
        return bytes(transaction.to + transaction.data[:4])
    except (AttributeError, NotImplementedError, TypeError):  # py-evm will say what is wrong
        return b""


def _size(seconds: float) -> int:
    return int(seconds * 1e3).bit_length()
