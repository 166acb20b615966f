"""What is remembered of a block's transactions, and the reports made of it when somebody looks.

Responsible for: `Trail`, which the flow writes while a block runs, and `TransactionReports`, which
turns trails into what `BlockReport.transactions` promises.
Talks to: `report`, whose plain data it makes.
Never: keeps a state or a database alive; trails hold what was observed and written, nothing else.

Most reports are counted and dropped. Naming every key of every transaction took as long as judging
them, so it waits until the first look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

from parallel_evm.report import Conflict, TransactionReport
from parallel_evm.scheduling.judge import written_keys
from parallel_evm.speculation.result import Speculation
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import BALANCE, Key, StateKey, readable
from parallel_evm.state.recorder import Observations
from parallel_evm.workers.wire import Delivered

_Touched = tuple[Observations, Effects]


@dataclass(slots=True)
class Trail:
    """What is remembered of one transaction."""

    worker: int | None = None
    attempts: int = 0
    seconds: float = 0.0
    conflicts: tuple[Conflict, ...] = ()
    accepted: _Touched | Delivered | None = None
    """What the accepted run observed and wrote, or where that is packed; None where py-evm ran the
    transaction, and where nobody wants to know."""

    def end(self, speculation: Speculation, wants_accesses: bool) -> None:
        """Of all attempts, ``speculation`` is the one that was accepted."""
        self.seconds = speculation.seconds
        if not wants_accesses:
            return
        if isinstance(speculation, Delivered):
            self.accepted = speculation
        else:  # its outcome may know of the state that it ran on
            self.accepted = speculation.observations, speculation.effects

    @property
    def touched(self) -> _Touched | None:
        """What the transaction observed and wrote, as far as that is known: a worker may have told
        nonsense that nobody had to look at."""
        accepted = self.accepted
        if not isinstance(accepted, Delivered):
            return accepted
        try:
            return accepted.observations, accepted.effects
        except ValueError:
            return None


class TransactionReports(Sequence[TransactionReport]):
    """A tuple of reports, made when it is first looked at. It is pickled as that tuple."""

    def __init__(
        self,
        transactions: Sequence[Any],
        trails: Sequence[Trail],
        gas_used: Sequence[int],
        statuses: Sequence[bool],
    ) -> None:
        """One item for each transaction; ``gas_used``: by the block, up to and including it."""
        self._parts: Any = (transactions, trails, gas_used, statuses)

    @cached_property
    def _made(self) -> tuple[TransactionReport, ...]:
        transactions, trails, gas_used, statuses = self._parts
        self._parts = None
        return tuple(
            TransactionReport(
                index=index,
                hash=bytes(transaction.hash),
                worker=trail.worker,
                attempts=trail.attempts,
                reads=_reads(trail.touched),
                writes=_writes(trail.touched),
                conflicts=trail.conflicts,
                gas_used=after - before,
                status=status,
                seconds=trail.seconds,
                deltas=_deltas(trail.touched),
            )
            for index, (transaction, trail, before, after, status) in enumerate(
                zip(transactions, trails, [0, *gas_used[:-1]], gas_used, statuses, strict=True)
            )
        )

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, index: int) -> TransactionReport: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[TransactionReport, ...]: ...

    def __getitem__(self, index: int | slice) -> TransactionReport | tuple[TransactionReport, ...]:
        return self._made[index]

    def __eq__(self, other: object) -> bool:
        return self._made == (other._made if isinstance(other, TransactionReports) else other)

    def __hash__(self) -> int:
        return hash(self._made)

    def __repr__(self) -> str:
        return repr(self._made)

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self._made,)


def _reads(touched: _Touched | None) -> frozenset[StateKey]:
    if touched is None:
        return frozenset()
    observations, _ = touched
    keys: set[Key] = set(observations.cells)
    keys.update((address, BALANCE) for address in observations.bounds)
    for part in (observations.slots, observations.ranges):
        keys.update((address, slot) for address, slots in part.items() for slot in slots)
    return frozenset(map(readable, keys))


def _writes(touched: _Touched | None) -> frozenset[StateKey]:
    return frozenset() if touched is None else frozenset(map(readable, written_keys(touched[1])))


def _deltas(touched: _Touched | None) -> frozenset[StateKey]:
    increments = {} if touched is None else touched[1].increments
    return frozenset(
        readable((address, slot)) for address, slots in increments.items() for slot in slots
    )
