"""A block underway: what the steps of its execution share.

Responsible for: the parts that several steps use, and for what becomes of a transaction that is
done: its receipt, its trail, what is learned from it.
Talks to: `receipts`, `trails`, the committed state, forecasts.
Never: runs, judges or decides anything.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from eth.abc import BlockHeaderAPI

from parallel_evm.merkle.account_db import MerkleState
from parallel_evm.receipts import Ledger
from parallel_evm.scheduling.hot import HotSlotBook
from parallel_evm.scheduling.independence import Hope
from parallel_evm.scheduling.pace import Way
from parallel_evm.speculation.fields import Fields, fields_of
from parallel_evm.speculation.result import Outcome, Speculation
from parallel_evm.state.source import Source
from parallel_evm.trails import Trail
from parallel_evm.workers.session import BlockJob, Session


class Forecasts(Protocol):
    """What a block needs of `scheduling.forecast.Forecaster`."""

    def begin(self, before: Source) -> None: ...

    def forecast(self, index: int, transaction: Any, sender: bytes | None) -> Any: ...

    def learn(
        self,
        transaction: Any,
        sender: bytes | None,
        speculation: Speculation,
        conflicted: bool = False,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Scheduling:
    """The means by which a chain's blocks are laid out, and what they have learned so far."""

    forecasts: Forecasts | None
    """None where nobody speculates and nothing is to be learned."""
    hot_slots: HotSlotBook | None
    """None: every slot orders those who write it."""
    in_place: bool = True
    """False: every transaction has a view of its own."""
    lanes: bool = True
    """False: what is expected to conflict may run apart."""
    overlap: bool = True
    """False: nothing is judged before all speculations are there."""
    hope: Hope | None = None
    """None: lanes are never taken over as wholes."""


@dataclass(slots=True)
class Clock:
    """Wall seconds by phase."""

    started: float = field(default_factory=time.perf_counter)
    senders: float = 0.0
    forecast: float = 0.0
    speculate: float = 0.0
    roots: float = 0.0
    receipts: float = 0.0
    learning: float = 0.0
    """Part of whatever phase it happened in."""


class Underway:
    """One block, its transactions by index."""

    def __init__(
        self,
        vm: Any,
        job: BlockJob,
        base_header: BlockHeaderAPI,
        session: Session,
        scheduling: Scheduling,
        way: Way | None,
        clock: Clock,
        wants_accesses: bool,
    ) -> None:
        """``way``: None where there was no choice. ``wants_accesses``: does somebody want to know
        what each transaction read and wrote?"""
        self.vm = vm
        self.job = job
        self.transactions = job.transactions
        self.session = session
        self.scheduling = scheduling
        self.way = way
        self.clock = clock
        self.committed: MerkleState = vm.state._account_db
        self._base_header = base_header
        self.senders: list[bytes | None] = [
            vars(transaction).get("sender") for transaction in job.transactions
        ]
        """As far as they are known."""
        self.knows_senders = None not in self.senders
        """Did it know all of them from the beginning?"""
        self._taught: set[int] = set()
        self.is_alone = not session.works_ahead
        """Does nobody help? (So are blocks run before Byzantium, where every transaction ends with
        a state root.)"""
        self.runs_all = self.is_alone or way is Way.ASSISTED
        """Does nobody speculate?"""
        self.wants_accesses = wants_accesses
        self.needs_no_views = (
            scheduling.in_place
            and self.runs_all
            and scheduling.forecasts is None
            and not wants_accesses
        )
        """Does nobody judge by what a single transaction touches, learn from it, or tell of it?"""

    # Made when first needed: workers are asked for senders before.

    @cached_property
    def fields(self) -> list[Fields | None]:
        """Of the transactions, read once for all who need them."""
        return list(map(fields_of, self.transactions))

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.vm, self.transactions, self.fields, self._base_header)

    @cached_property
    def trails(self) -> list[Trail]:
        return [Trail() for _ in self.transactions]

    def catch_up(self) -> bool:
        """Make the receipts that can be made; False where there are none."""
        started = time.perf_counter()
        made = self.ledger.catch_up()
        self.clock.receipts += time.perf_counter() - started
        return made

    def enter(self, speculation: Speculation) -> None:
        """A transaction is done, and what it wrote is part of the committed state."""
        index = speculation.index
        assert speculation.outcome is not None
        if speculation.traces is not None:  # before a receipt may ask for the state root
            self.committed.resume(speculation.traces, speculation.effects.increments)
        self.ledger.enter(index, speculation.outcome)
        self.committed.witness(speculation.observations)
        self.learn(index, speculation)
        self.trails[index].end(speculation, self.wants_accesses)

    def enter_outcome(self, index: int, outcome: Outcome, seconds: float) -> None:
        """The same for a transaction that ran on the committed state itself."""
        self.ledger.enter(index, outcome)
        trail = self.trails[index]
        trail.attempts += 1
        trail.seconds = seconds

    def learn(self, index: int, speculation: Speculation) -> None:
        """Let forecasts profit from what it touched, once: a second run of the same transaction
        would confirm whatever the first one showed."""
        forecasts = self.scheduling.forecasts
        conflicted = bool(self.trails[index].conflicts)
        if forecasts is not None and (conflicted or index not in self._taught):
            started = time.perf_counter()
            self._taught.add(index)
            sender = self.senders[index]
            forecasts.learn(self.transactions[index], sender, speculation, conflicted)
            self.clock.learning += time.perf_counter() - started
