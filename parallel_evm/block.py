"""One block from its transactions to their receipts: the flow, to be read from top to bottom.

Senders are recovered, accesses forecast, lanes laid; workers speculate, and so does the
coordinator (this module) where it has a lane of its own. Lanes that do not meet are taken over as
they are. Else the coordinator judges results in block order, folds what holds into the committed
state and runs itself, on that state, what does not hold or nobody speculated on. Nothing but the
VM's own state object is written, and that only here.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import Any, Protocol

from eth.abc import BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI
from eth.vm.interrupt import EVMMissingData

from parallel_evm.merkle.account_db import MerkleState
from parallel_evm.receipts import Ledger
from parallel_evm.report import BlockReport, Conflict, Phases
from parallel_evm.scheduling.hot import HotPlan, HotSlotBook
from parallel_evm.scheduling.independence import Hope, meeting
from parallel_evm.scheduling.judge import Judge
from parallel_evm.scheduling.lanes import (
    Chains,
    Costs,
    chains_of,
    plan,
    plan_with_coordinator,
)
from parallel_evm.scheduling.pace import Choice, Pace, Way
from parallel_evm.speculation.result import Speculation, WholeLane
from parallel_evm.speculation.rules import Liberties
from parallel_evm.speculation.run import Speculator
from parallel_evm.speculation.senders import recover_sender, remember_sender
from parallel_evm.speculation.single import natively
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import EPOCH, Key, readable
from parallel_evm.state.recorder import Observations
from parallel_evm.state.source import Source
from parallel_evm.trails import Trail, TransactionReports
from parallel_evm.workers.local import RuleBook, SerialSession, new_lane, new_speculator
from parallel_evm.workers.session import FLUSH_SECONDS, BlockJob, Pool, Session, Task, Work

BlockResult = tuple[BlockHeaderAPI, tuple[ReceiptAPI, ...], tuple[Any, ...]]

# Speculation is given up for the rest of a block when it keeps failing: what is judged next would
# mostly run twice.
_GIVE_UP_AFTER = 6
_GIVE_UP_SHARE = 0.34

_WORTH_PROBING = 4
_PUZZLING = 16
"""No hope for whole lanes where something is unknown of more than one transaction in so many."""
_IMPATIENCE = 10
"""So often waiting is halved at most: as good as not at all."""


class Forecasts(Protocol):
    """What the flow needs of `scheduling.forecast.Forecaster`."""

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
    """None where nobody speculates."""
    hot_slots: HotSlotBook | None
    """None: every slot orders those who write it."""
    lanes: bool = True
    """False: what is expected to conflict may run apart."""
    overlap: bool = True
    """False: nothing is judged before all speculations are there."""
    hope: Hope | None = None
    """None: lanes are never taken over as wholes."""


@dataclass(slots=True)
class _Clock:
    """Wall seconds by phase."""

    started: float = field(default_factory=time.perf_counter)
    senders: float = 0.0
    forecast: float = 0.0
    speculate: float = 0.0
    roots: float = 0.0


def execute(
    vm: Any,
    transactions: Sequence[SignedTransactionAPI],
    base_header: BlockHeaderAPI,
    *,
    state_class: Any,
    liberties: Liberties,
    pool: Pool,
    rules: RuleBook,
    scheduling: Scheduling,
    pace: Pace | None,
    backend: str,
    choice: Choice | None,
    wants_report: bool,
) -> tuple[BlockResult, BlockReport | None]:
    """Execute ``transactions`` on ``vm``, whose state lies on a `MerkleState`.

    ``state_class`` is the VM's state class as the user configured it. With ``choice``, this process
    is one of those that work on the block, and what that took is noted by ``pace``. Returns what
    py-evm's ``apply_all_transactions`` returns, and raises what it raises.
    """
    clock = _Clock()
    vm.state.lock_changes()  # what was written before the transactions cannot be undone by them
    job = _job(vm, transactions, state_class, liberties)
    with pool.lock:
        session = pool.open(job)
        try:
            flow = _Flow(
                vm,
                job,
                base_header,
                session,
                pool,
                rules,
                scheduling,
                pace,
                choice,
                clock,
            )
            flow.prepare()
            flow.judge_all()
            flow.finish()
        except Exception:
            session.close()
            raise
        except BaseException:  # Ctrl-C: nobody waits for workers now
            session.abandon()
            raise
        session.close()
    flow.note_pace()
    ledger = flow.ledger
    result = ledger.header(), tuple(ledger.receipts()), tuple(ledger.computations)
    return result, flow.report(
        backend, None if choice is None else str(choice)
    ) if wants_report else None


def _job(
    vm: Any,
    transactions: Sequence[SignedTransactionAPI],
    state_class: Any,
    liberties: Liberties,
) -> BlockJob:
    context = vm.state.execution_context
    committed: MerkleState = vm.state._account_db
    before = committed.effects

    reading = threading.Lock()  # py-evm's cached generator is not for several threads

    def ancestors(depth: int, count: int) -> list[bytes]:
        with reading:
            return list(islice(context.prev_hashes, depth, depth + count))

    return BlockJob(
        state_class=state_class,
        liberties=liberties,
        execution_context=context,
        transactions=transactions,
        source=committed.source,
        written=Effects(
            cells=dict(before.cells),
            slots={address: dict(slots) for address, slots in before.slots.items()},
            deltas=dict(before.deltas),
            codes=dict(before.codes),
        ),
        ancestors=ancestors,
    )


class _Flow:
    """The steps of one block and what they hand to each other."""

    def __init__(
        self,
        vm: Any,
        job: BlockJob,
        base_header: BlockHeaderAPI,
        session: Session,
        pool: Pool,
        rules: RuleBook,
        scheduling: Scheduling,
        pace: Pace | None,
        choice: Choice | None,
        clock: _Clock,
    ) -> None:
        self.committed: MerkleState = vm.state._account_db
        self.ledger = Ledger(vm, job.transactions, base_header)
        self._vm = vm
        self._job = job
        self._session = session
        self._choice = choice
        way = self._way = None if choice is None else choice.way
        self._workers = pool.workers + (way in (Way.ASSISTED, Way.TOGETHER))
        self._rules = rules
        self._scheduling = scheduling
        self._forecasts = scheduling.forecasts
        self._hot_slots = scheduling.hot_slots
        self._hot = HotPlan()
        self._pace = pace
        self._judging_cpu = 0.0
        self._forecasting = 0.0
        """Seconds, without the waiting for senders."""
        self._costs: Costs | None = None
        """Of this block's transactions, where this process runs some of them."""
        self._misses = 0
        """By so many more speculations were late than were not, of late."""
        self._mine: frozenset[int] = frozenset()
        """Transactions that nobody else was given."""
        self._hopes = False
        """Are lanes to be taken over as wholes, if they do not meet?"""
        self._took_lanes = False
        self._ahead: dict[int, Speculation] = {}
        """What this process speculated itself, on a lane of its own."""
        self._own_lane: WholeLane | None = None
        self._teaching: frozenset[int] = frozenset()
        self._clock = clock
        self._judge = Judge(self.committed)
        self._senders: list[bytes | None] = []
        self._unknown: frozenset[int] = frozenset()
        """Transactions whose senders the session was asked for."""
        self._trails = [Trail() for _ in job.transactions]
        self._alone = isinstance(session, SerialSession)
        """Does nobody help? (So are blocks run before Byzantium, where every transaction ends with
        a state root.)"""
        self._runs_all = self._alone or way is Way.ASSISTED
        """Does nobody speculate?"""
        self._own: Speculator | None = None
        self._failed = 0
        self._given_up: str | None = None
        self._written = self.committed.effects

    #
    # Before anything runs
    #
    def prepare(self) -> None:
        """Recover senders, and set the workers going where there are any."""
        started = time.perf_counter()
        transactions = self._job.transactions
        self._senders = [vars(transaction).get("sender") for transaction in transactions]
        unknown = [index for index, sender in enumerate(self._senders) if sender is None]
        # Those that are needed first are recovered here, while the workers see to the others; all,
        # where there are none: one after the other is faster than each before its transaction.
        mine = frozenset(unknown[: self._own_senders(len(unknown))])
        lists = self._vm.lean and self._forecasts is None
        self._session.ask_senders([index for index in unknown if index not in mine], lists)
        self._recover(mine)
        self._clock.senders = time.perf_counter() - started
        self._unknown = frozenset(unknown) - mine
        if self._forecasts is not None:
            self._send_ahead(self._forecasts)
        self._clock.forecast = time.perf_counter() - started - self._clock.senders

    def _own_senders(self, unknown: int) -> int:
        """How many of the ``unknown`` senders to recover here, where workers do the others."""
        if self._alone:
            return unknown
        if self._pace is None or self._way is None or not unknown:
            return 0
        transactions = self._job.transactions
        return self._pace.own_senders(self._way, transactions, unknown, self._workers - 1)

    def _recover(self, indices: Collection[int]) -> None:
        started = time.perf_counter()
        for index in indices:
            self._senders[index] = recover_sender(self._job.transactions[index])
        if indices and self._pace is not None:
            self._pace.note_senders((time.perf_counter() - started) / len(indices))

    def _find_sender(self, index: int) -> bytes | None:
        """The sender of a transaction, waited for where a worker was asked."""
        if index in self._unknown and self._senders[index] is None:
            started = time.perf_counter()
            sender = self._senders[index] = self._session.sender(index)
            if sender is not None:
                remember_sender(self._job.transactions[index], sender)
            self._clock.senders += time.perf_counter() - started
        return self._senders[index]

    def _send_ahead(self, forecaster: Forecasts) -> None:
        """Forecast accesses, lay lanes, set the workers going."""
        forecasts = self._forecast(forecaster)
        if self._probe(forecasts):
            forecasts = self._forecast(forecaster)
        chains = self._chains(forecasts)
        lanes = plan(forecasts, self._workers, chains)
        if self._hot_slots is not None:
            self._hot = self._hot_slots.plan(forecasts, lanes, self._held_before)
        if self._hot.free:
            chains = self._chains(forecasts, self._hot.free)
        self._hopes = self._may_hope(forecasts)
        if self._way is Way.TOGETHER:
            assert self._pace is not None
            costs = self._costs = self._pace.costs(self._job.transactions, self._hopes)
            lanes = plan_with_coordinator(forecasts, self._workers - 1, chains, costs)
        elif self._hot.free:
            lanes = plan(forecasts, self._workers, chains)
        if self._hot.free:
            self._hot = self._hot.in_lanes(lanes)
        if self._way is Way.TOGETHER:
            self._mine = frozenset(lanes.pop())
        work = Work(lanes, self._tasks(forecasts), whole=self._hopes, lists=self._vm.lean)
        self._teaching = work.teaching
        self._session.start(work)

    def _may_hope(self, forecasts: Sequence[Any]) -> bool:
        """Are lanes to be taken over as wholes, if they do not meet?"""
        hope = self._scheduling.hope
        if hope is None or not self.ledger.is_direct:
            return False
        # Linear values are judged one by one: where lanes meet is what they are for. And where much
        # is not known yet, lanes probably meet.
        puzzled = sum(forecast.puzzle is not None for forecast in forecasts)
        if self._hot.tried or puzzled * _PUZZLING > len(forecasts):
            return False
        return hope.is_left()

    def _chains(self, forecasts: Sequence[Any], free: frozenset[Key] = frozenset()) -> Chains:
        if self._scheduling.lanes:
            return chains_of(forecasts, free)
        return [[position] for position in range(len(forecasts))]

    def _forecast(self, forecaster: Forecasts) -> list[Any]:
        """Of the whole block, in order: some slots are counted up from one to the next."""
        started = time.perf_counter() - self._clock.senders
        forecaster.begin(self.committed)
        forecasts = [
            forecaster.forecast(index, transaction, self._find_sender(index))
            for index, transaction in enumerate(self._job.transactions)
        ]
        self._forecasting = time.perf_counter() - self._clock.senders - started
        return forecasts

    def _held_before(self, key: Key) -> int | None:
        """What a slot holds before the block; None where the database lacks it, which is for those
        to say who run the transactions."""
        try:
            return self.committed.slot(*key)
        except EVMMissingData:
            return None

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
        found_of = self._session.probe(probes, self._tasks(forecasts))
        for index, found in zip(probes, found_of, strict=True):
            self._trails[index].attempts += 1
            if found is not None:
                self._learn(index, found)
        return any(found is not None for found in found_of)

    def _tasks(self, forecasts: Sequence[Any]) -> list[Task]:
        hot = self._hot.tried
        return [
            Task(sender, forecast.reads, forecast.teaches or index in hot, hot.get(index))
            for index, (sender, forecast) in enumerate(zip(self._senders, forecasts, strict=True))
        ]

    def _learn(self, index: int, speculation: Speculation) -> None:
        if self._forecasts is not None:
            transaction = self._job.transactions[index]
            conflicted = bool(self._trails[index].conflicts)
            self._forecasts.learn(transaction, self._senders[index], speculation, conflicted)

    def _learn_of_hot_slots(self, speculation: Speculation, failed: Sequence[Key] = ()) -> None:
        tried = self._hot.tried.get(speculation.index)
        if tried and self._hot_slots is not None:
            self._hot_slots.learn(tried, speculation, failed)

    #
    # In block order
    #
    def judge_all(self) -> None:
        """Judge every transaction; raise what py-evm raises at the first that it refuses."""
        if not self._scheduling.overlap:
            self._session.await_all()
        started = time.thread_time()
        hope = self._scheduling.hope
        lanes = self._independent_lanes() if self._hopes else None
        self._judging_cpu = time.thread_time() - started  # while workers were at work
        self._took_lanes = lanes is not None and self._take_over(lanes)
        if hope is not None and self._hopes:
            hope.note(in_vain=not self._took_lanes)
        if not self._took_lanes:
            self._judge_one_by_one()
            self._judging_cpu = time.thread_time() - started
            if hope is not None and not self._runs_all:
                hope.note_conflicts(self._failed)

    def _judge_one_by_one(self) -> None:
        for index, transaction in enumerate(self._job.transactions):
            if not self.ledger.admits(transaction):
                self._run_natively(index)
            elif self._runs_all:
                self._run_here(index)
            elif self.committed.effects is not self._written:
                # A customised VM made a state root between two transactions. What the block has
                # written is in the tries now, where the judge does not look.
                self._give_up("a state root was made between transactions")
                self._run_here(index)
            elif index in self._mine and index not in self._ahead:
                self._session.take_in()
                self._run_here(index)
            else:
                self._judge_or_run(index)

    #
    # Lane by lane
    #
    def _independent_lanes(self) -> list[WholeLane] | None:
        """All lanes of the block, if everything in them went well and no two of them meet."""
        if not self._run_own_lane():
            return None
        waiting = time.perf_counter()
        others = [i for i in range(len(self._job.transactions)) if i not in self._mine]
        lanes = self._session.lanes(self._patience(*others))
        self._clock.speculate += time.perf_counter() - waiting
        self._note_wait(lanes is None)
        if lanes is None:
            return None
        if self._own_lane is not None:
            lanes.append(self._own_lane)
        return lanes if meeting(lanes, self.committed) is None else None

    def _run_own_lane(self) -> bool:
        """Run what nobody else was given, apart from the committed state. False where one of these
        transactions is refused; it and those after it are left for their turn."""
        if not self._mine:
            return True
        lane = new_lane(self._job)
        own = new_speculator(self._job, self._rules, lane)
        for index in sorted(self._mine):
            self._session.take_in()
            self._find_sender(index)
            speculation = own.run(index, self._job.transactions[index])
            self._clock.speculate += speculation.seconds
            if speculation.outcome is None:
                self._trails[index].attempts += 1
                return False
            self._ahead[index] = speculation
        self._own_lane = WholeLane(lane.observations, lane.effects, list(self._ahead.values()))
        return True

    def _take_over(self, lanes: Sequence[WholeLane]) -> bool:
        """Take over all that independent lanes did: what the block's order makes of it, too. False
        where its gas does not suffice: then the transaction has to be found that py-evm refuses."""
        found = [speculation for lane in lanes for speculation in lane.speculations]
        found.sort(key=lambda speculation: speculation.index)
        outcomes: list[Any] = [speculation.outcome for speculation in found]
        if not self.ledger.admits_all(self._job.transactions, outcomes):
            return False
        for transaction, speculation, trail in zip(
            self._job.transactions, found, self._trails, strict=True
        ):
            self.ledger.enter(transaction, outcomes[speculation.index])
            trail.attempts += 1
            trail.worker = speculation.worker
            trail.end(speculation)
        for lane in lanes:
            self.committed.fold(lane.effects)
            for observations in _witnessed(lane):
                self.committed.witness(observations)
        last = found[-1]
        if last.traces is not None:
            self.committed.resume(last.traces, {})
        for index in sorted(self._teaching):
            self._learn(index, found[index])
        return True

    #
    # Transaction by transaction
    #
    def _judge_or_run(self, index: int) -> None:
        """Take over what somebody speculated, where it holds."""
        speculation = self._ahead.get(index) or self._await(index)
        if speculation is not None:
            trail = self._trails[index]
            trail.attempts += 1
            if speculation.outcome is not None and self._judge.holds(speculation):
                trail.worker = speculation.worker
                self._judge.accept(speculation)
                self._enter(speculation)
                self._learn_of_hot_slots(speculation)
                return
            self._send_back(index, speculation)
        self._run_here(index)

    def _await(self, index: int) -> Speculation | None:
        waiting = time.perf_counter()
        speculation = self._session.result(index, self._patience(index))
        self._clock.speculate += time.perf_counter() - waiting
        self._note_wait(speculation is None)
        for late in self._session.overtaken():  # others may have seen what these wrote
            self._trails[late.index].attempts += 1
            self._judge.reject(late)
        return speculation

    def _patience(self, *indices: int) -> float:
        """How long to wait for speculations before running the transactions here; by the old rule
        for renting or buying skis, about as long as that takes. Workers that are late again and
        again (they know less, at first) are waited for ever less."""
        if self._costs is None:
            return inf
        runs = self._costs.runs
        return (FLUSH_SECONDS + sum(runs[index] for index in indices)) / (1 << self._misses)

    def _note_wait(self, in_vain: bool) -> None:
        self._misses = min(self._misses + 1, _IMPATIENCE) if in_vain else max(self._misses - 1, 0)

    def _send_back(self, index: int, speculation: Speculation) -> None:
        judge = self._judge
        failed = list(judge.failures(speculation))
        self._trails[index].conflicts = tuple(
            Conflict(readable(key), judge.last_writer(key)) for key in failed
        )
        self._learn_of_hot_slots(speculation, failed)
        judge.reject(speculation)
        self._failed += 1
        if self._failed >= _GIVE_UP_AFTER and self._failed > _GIVE_UP_SHARE * (index + 1):
            self._give_up(f"{self._failed} of {index + 1} speculations did not hold")

    def _give_up(self, reason: str) -> None:
        """Call off what has not been speculated yet: it would most likely run twice."""
        if self._given_up is None:
            self._given_up = reason
            self._session.cancel()

    def _run_here(self, index: int) -> None:
        """Run a transaction on the committed state itself: it cannot fail to hold."""
        if self._own is None:
            self._own = new_speculator(self._job, self._rules, self.committed)
        self.committed.index = index
        self._find_sender(index)
        speculation = self._own.run(index, self._job.transactions[index])
        self._clock.speculate += speculation.seconds
        self._trails[index].attempts += 1
        if speculation.outcome is None:
            self._run_natively(index)
        else:
            self._judge.note_accepted(speculation)
            self._enter(speculation)

    def _run_natively(self, index: int) -> None:
        """py-evm's own ``apply_transaction``: for what it refuses, and for what only it can do."""
        transaction = self._job.transactions[index]
        self.committed.index = index
        with natively(self._vm.state):
            receipt, computation = self._vm.apply_transaction(self.ledger.header(), transaction)
        self._trails[index].attempts += 1
        self._judge.note_run_by_others()
        self.ledger.enter_receipt(transaction, receipt, computation)

    def _enter(self, speculation: Speculation) -> None:
        index = speculation.index
        transaction = self._job.transactions[index]
        assert speculation.outcome is not None
        self.ledger.enter(transaction, speculation.outcome)
        self.committed.witness(speculation.observations)
        if speculation.traces is not None:
            self.committed.resume(speculation.traces, speculation.effects.increments)
        self._learn(index, speculation)
        self._trails[index].end(speculation)

    #
    # Afterwards
    #
    def finish(self) -> None:
        """Storage tries and receipts; then the list, which a worker is making meanwhile."""
        started = time.perf_counter()
        self.committed.make_storage_roots()
        self._clock.roots = time.perf_counter() - started
        self.ledger.receipts()
        listed = self._session.listed()
        if listed is not None:
            self._vm.listed = listed

    def note_pace(self) -> None:
        """How long all this took, for the choice of who runs the next block."""
        pace, choice, transactions = self._pace, self._choice, self._job.transactions
        if pace is None or choice is None:
            return
        seconds = time.perf_counter() - self._clock.started
        runs = [trail.seconds for trail in self._trails]
        pace.note(choice.way, transactions, runs, seconds)
        if self._unknown and self._session.recovering:  # else nobody helped
            pace.note_help(self._session.recovering / len(self._unknown))
        if choice.way is Way.ASSISTED:
            entering = max(0.0, self._judging_cpu - sum(runs))
            pace.note_meanwhile(choice.way, entering / len(transactions))
        if choice.way is not Way.TOGETHER:
            return
        others = sum(trail.seconds for trail in self._trails if trail.worker is not None)
        pace.note_meanwhile(choice.way, self._forecasting / len(transactions))
        if self._took_lanes is self._hopes:
            spent = self._judging_cpu, self._session.running_cpu
            pace.note_shares(sum(runs) - others, others, *spent, whole=self._hopes)

    def report(self, backend: str, choice: str | None) -> BlockReport:
        clock = self._clock
        seconds = time.perf_counter() - clock.started
        executions = sum(trail.attempts for trail in self._trails)
        known = clock.senders + clock.forecast + clock.speculate + clock.roots
        return BlockReport(
            block_number=self._vm.get_header().block_number,
            transaction_count=len(self._trails),
            workers=self._workers,
            backend=backend,
            executions=executions,
            reexecutions=executions - len(self._trails),
            seconds=seconds,
            phases=Phases(
                senders=clock.senders,
                forecast=clock.forecast,
                speculate=clock.speculate,
                judge=max(0.0, seconds - known),
                roots=clock.roots,
            ),
            worker_cpu_seconds=self._session.worker_cpu,
            fallback=None,
            choice=choice,
            given_up=self._given_up,
            lost_workers=tuple(self._session.lost),
            whole_lanes=self._took_lanes,
            transactions=TransactionReports(
                tuple(self._job.transactions),  # the caller's list may change before the first look
                self._trails,
                gas_used=[receipt.gas_used for receipt in self.ledger.receipts()],
                statuses=[bool(outcome.is_success) for outcome in self.ledger.computations],
            ),
        )


def _witnessed(lane: WholeLane) -> list[Observations]:
    """What its transactions observed. A lane asks nobody for storage that it has wiped (that of a
    new contract is); then each of them says it for itself, unless a worker packed nonsense."""
    if any(field == EPOCH for _, field in lane.effects.cells):
        with contextlib.suppress(ValueError):
            return [speculation.observations for speculation in lane.speculations]
    return [lane.observations]
