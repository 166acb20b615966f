"""One block from its transactions to their receipts: the flow, to be read from top to bottom.

Senders are recovered, accesses forecast, lanes laid; workers speculate, and so does the coordinator
(this process) where it has a lane of its own. Lanes that do not meet are taken over as they are.
Else the coordinator judges results in block order, folds what holds into the committed state and
runs itself, on that state, what does not hold or nobody speculated on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

from eth.abc import BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI

from parallel_evm.block.layout import Layout, Planner
from parallel_evm.block.order import InOrder
from parallel_evm.block.patience import Patience
from parallel_evm.block.senders import Senders
from parallel_evm.block.underway import Clock, Scheduling, Underway
from parallel_evm.block.whole import OwnLane, independent_lanes, run_own_lane, take_over
from parallel_evm.merkle.account_db import MerkleState
from parallel_evm.report import BlockReport, Phases
from parallel_evm.scheduling.pace import Choice, Pace, Way
from parallel_evm.speculation.rules import Liberties
from parallel_evm.state.flat import Effects
from parallel_evm.trails import TransactionReports
from parallel_evm.workers.local import RuleBook
from parallel_evm.workers.session import BlockJob, Pool, Session

BlockResult = tuple[BlockHeaderAPI, tuple[ReceiptAPI, ...], tuple[Any, ...]]


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
    wants_accesses: bool,
) -> tuple[BlockResult, BlockReport | None]:
    """Execute ``transactions`` on ``vm``, whose state lies on a `MerkleState`.

    ``state_class`` is the VM's state class as the user configured it. With ``choice``, this process
    is one of those that work on the block, and what that took is noted by ``pace``.
    ``wants_accesses``: the report is to say what each transaction read and wrote. Returns what
    py-evm's ``apply_all_transactions`` returns, and raises what it raises.
    """
    clock = Clock()
    vm.state.lock_changes()  # what was written before the transactions cannot be undone by them
    job = _job(vm, transactions, state_class, liberties)
    way = None if choice is None else choice.way
    workers = pool.workers + (way in (Way.ASSISTED, Way.TOGETHER))
    with pool.lock:
        session = pool.open(job, rules)
        try:
            block = Underway(vm, job, base_header, session, scheduling, way, clock, wants_accesses)
            flow = _Flow(block, workers, rules, pace)
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
    ledger = block.ledger
    result = ledger.header(), tuple(ledger.receipts()), tuple(ledger.computations)
    if not wants_report:
        return result, None
    return result, flow.report(backend, None if choice is None else str(choice))


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
        source=committed.tries,
        written=Effects(
            cells=dict(before.cells),
            slots={address: dict(slots) for address, slots in before.slots.items()},
            deltas=dict(before.deltas),
            codes=dict(before.codes),
        ),
        ancestors=ancestors,
    )


class _Flow:
    """The steps of one block."""

    def __init__(self, block: Underway, workers: int, rules: RuleBook, pace: Pace | None) -> None:
        self._block = block
        self._given = tuple(block.transactions)  # the caller's list may change
        self._session: Session = block.session
        self._workers = workers
        self._rules = rules
        self._pace = pace
        self._senders = Senders(block, pace)
        self._layout = Layout()
        self._order: InOrder | None = None
        self._took_lanes = False
        self._judging_cpu = 0.0
        """Seconds that this thread spent from when all was laid out until all was done."""

    def prepare(self) -> None:
        """Recover senders, and set the workers going where there are any."""
        started = time.perf_counter()
        block, clock = self._block, self._block.clock
        self._senders.recover()
        recovered = time.perf_counter()
        block.vm.ready_to_compare()
        clock.receipts = time.perf_counter() - recovered
        forecasts = block.scheduling.forecasts
        if forecasts is not None and block.runs_all:
            forecasts.begin(block.committed)
        elif forecasts is not None:
            planner = Planner(block, forecasts, self._senders, self._pace, self._workers)
            self._layout = planner.start()
        clock.forecast = time.perf_counter() - started - clock.senders - clock.receipts

    def judge_all(self) -> None:
        """Judge every transaction; raise what py-evm raises at the first that it refuses."""
        block, layout = self._block, self._layout
        if not block.scheduling.overlap:
            self._session.await_all()
        started = time.thread_time()
        patience, own = Patience(layout.costs), OwnLane()
        hope = block.scheduling.hope
        if hope is not None and layout.hopes:
            own = run_own_lane(block, layout.mine, self._senders, self._rules)
            lanes = independent_lanes(block, layout.mine, own, patience)
            self._judging_cpu = time.thread_time() - started
            self._took_lanes = lanes is not None and take_over(block, lanes, layout.teaching)
            hope.note(in_vain=not self._took_lanes)
        if not self._took_lanes:
            order = self._order = InOrder(
                block, self._senders, layout, own.ahead, patience, self._rules
            )
            order.run()
            self._judging_cpu = time.thread_time() - started
            if hope is not None and not block.runs_all:
                hope.note_conflicts(order.failed)

    def finish(self) -> None:
        """Storage tries and receipts; then the list, which a worker is making meanwhile."""
        block = self._block
        started = time.perf_counter()
        block.committed.make_storage_roots()
        block.clock.roots = time.perf_counter() - started
        block.ledger.receipts()
        listed = self._session.listed()
        if listed is not None:
            block.vm.note_listed(self._given, listed)
        block.clock.receipts += time.perf_counter() - started - block.clock.roots

    def note_pace(self) -> None:
        """How long all this took, for the choice of who runs the next block."""
        pace, block, way = self._pace, self._block, self._block.way
        if pace is None or way is None:
            return
        transactions, session = block.transactions, self._session
        seconds = time.perf_counter() - block.clock.started
        if block.runs_all:  # it learned for a way that others will go
            seconds -= block.clock.learning
        runs = [trail.seconds for trail in block.trails]
        self._senders.note_pace()
        pace.note(way, transactions, runs, seconds, knows_senders=block.knows_senders)
        if way is not Way.TOGETHER:
            return
        theirs = [trail.seconds for trail in block.trails if trail.worker is not None]
        others = sum(theirs)
        given = len(transactions) - len(self._layout.mine)
        # Time that workers spent in vain would make what they do look dear.
        if self._took_lanes is self._layout.hopes and 2 * len(theirs) >= given:
            spent = self._judging_cpu, session.running_cpu
            pace.note_shares(sum(runs) - others, others, *spent, whole=self._layout.hopes)

    def report(self, backend: str, choice: str | None) -> BlockReport:
        """``choice``: how `Pace` explains itself."""
        block, clock = self._block, self._block.clock
        seconds = time.perf_counter() - clock.started
        executions = sum(trail.attempts for trail in block.trails)
        known = clock.senders + clock.forecast + clock.speculate + clock.roots + clock.receipts
        return BlockReport(
            block_number=block.vm.get_header().block_number,
            transaction_count=len(block.trails),
            workers=self._workers,
            backend=backend,
            executions=executions,
            reexecutions=executions - len(block.trails),
            seconds=seconds,
            phases=Phases(
                senders=clock.senders,
                forecast=clock.forecast,
                speculate=clock.speculate,
                judge=max(0.0, seconds - known),
                roots=clock.roots,
                receipts=clock.receipts,
            ),
            worker_cpu_seconds=self._session.worker_cpu,
            fallback=None,
            choice=choice,
            given_up=None if self._order is None else self._order.given_up,
            lost_workers=tuple(self._session.lost),
            whole_lanes=self._took_lanes,
            transactions=TransactionReports(
                self._given,
                block.trails,
                gas_used=[receipt.gas_used for receipt in block.ledger.receipts()],
                statuses=[bool(outcome.is_success) for outcome in block.ledger.computations],
            ),
        )
