"""What the VMs of one `parallelize` call share, and the way that each of their blocks takes.

Responsible for: `Engine`, which holds configuration, pools, experience and caches, chooses who
executes a block (`pace`), and falls back to py-evm's own loop where it has to.
Talks to: `block`, which executes; `fallback`; `workers.shared`, for the pools of this process.
Never: executes anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from eth.abc import BlockHeaderAPI, SignedTransactionAPI

from parallel_evm.block import BlockResult, Forecasts, Scheduling, execute
from parallel_evm.config import ParallelConfig
from parallel_evm.errors import ConfigurationError, PoolClosedError
from parallel_evm.fallback import ROOT_PER_TRANSACTION, reason_to_fall_back
from parallel_evm.merkle.account_db import merkle_state_class
from parallel_evm.merkle.source import TrieSources
from parallel_evm.report import BlockReport, Phases
from parallel_evm.scheduling.forecast import Forecaster, Unforeseen
from parallel_evm.scheduling.hot import HotSlotBook
from parallel_evm.scheduling.independence import Hope
from parallel_evm.scheduling.learned import to_json
from parallel_evm.scheduling.pace import Choice, Pace, Way
from parallel_evm.speculation.rules import Liberties
from parallel_evm.translator.cache import BLOCK_SECONDS, cache_at, folder_of
from parallel_evm.workers.local import RuleBook, SerialPool
from parallel_evm.workers.reader import Taken
from parallel_evm.workers.session import CannotServe, Pool
from parallel_evm.workers.shared import assistant_for, pool_for, reader_for


class _Reading(NamedTuple):
    """What there was of a block when it came."""

    taken: Taken | None
    seconds: float
    """For taking that, and telling of the next block."""


class Engine:
    """What the VMs of one `parallelize` call share: configuration, pool, caches, experience."""

    def __init__(self, config: ParallelConfig) -> None:
        self.config = config
        self.sources = TrieSources()
        self.merkle_state = merkle_state_class(self.sources)
        self._assistant = assistant_for(config)
        self._reader = reader_for(config)
        self._next: Sequence[SignedTransactionAPI] = ()
        """Transactions of the block to come, which nobody has been told of yet."""
        self._clerks = [clerk for clerk in (self._assistant, self._reader) if clerk is not None]
        self._clerks_cpu = self._cpu_of_clerks()
        """CPU seconds of the assistant and the reader that were reported."""
        self.rules = RuleBook(self._assistant)
        self._liberties = Liberties(
            translate=config.translate,
            direct=config.direct,
            fast_precompiles=config.fast_precompiles,
            translation_cache=folder_of(config.translation_cache) if config.translate else None,
        )
        alone = config.backend == "serial" or (config.backend == "auto" and config.workers == 1)
        self._forecaster: Forecasts | None = None
        if not alone:
            self._forecaster = Forecaster() if config.forecasts else Unforeseen()
        self._hot_slots = HotSlotBook() if config.deltas and config.workers > 1 else None
        self._hope = Hope() if config.whole_lanes else None
        self._pace = Pace(config.workers) if config.backend == "auto" and not alone else None
        self._alone = SerialPool()
        self._pool: Pool | None = None
        self._lock = threading.RLock()

    def speculative_state(self, state_class: Any) -> Any:
        """The class that transactions of ``state_class`` run on in a block."""
        return self.rules.derived(state_class, self._liberties)

    def forecaster(self) -> Forecaster:
        """What learns from this chain's blocks. Raises `ConfigurationError` where nothing does."""
        if not isinstance(self._forecaster, Forecaster):
            raise ConfigurationError(
                "a chain forecasts only with several workers and ParallelConfig.forecasts"
            )
        return self._forecaster

    def learned(self) -> dict[str, Any]:
        """What it has learned, between two blocks (`scheduling.learned`). Raises the same."""
        with self._lock:
            return to_json(self.forecaster())

    def start_with(self, forecaster: Forecaster) -> None:
        """Go on from what was learned elsewhere."""
        with self._lock:
            self._forecaster = forecaster

    def announce(self, transactions: Sequence[SignedTransactionAPI]) -> None:
        """Of the block after the one that comes now: their senders may be recovered meanwhile."""
        self._next = transactions  # without the lock: a generator says so when it is collected

    def apply_all(
        self,
        vm: Any,
        sequentially: Any,
        transactions: Sequence[SignedTransactionAPI],
        base_header: BlockHeaderAPI,
    ) -> BlockResult:
        """``vm.apply_all_transactions``; ``sequentially`` is the method that we replaced."""
        reading = self._read_on(transactions)
        reason = reason_to_fall_back(vm, transactions, base_header, self.config.min_transactions)
        if reason is ROOT_PER_TRANSACTION:
            done, report = self._execute(vm, transactions, base_header, reading, reason)
            self._tell(None if report is None else replace(report, fallback=reason, choice=None))
            return done
        if reason is None:
            try:
                try:
                    done, report = self._execute(vm, transactions, base_header, reading)
                except PoolClosedError:  # by another thread, just now: the next one is new
                    done, report = self._execute(vm, transactions, base_header, reading)
            except (CannotServe, PoolClosedError) as error:
                reason = str(error)
            else:
                self._tell(report)
                return done
        started = time.perf_counter()
        result: BlockResult = sequentially(transactions, base_header)
        if self.config.on_block is not None:
            seconds = time.perf_counter() - started
            report = self._fallback_report(vm, len(result[1]), seconds, reason)
            with self._lock:
                report = self._with_clerks(report, reading)
            self._tell(report)
        return result

    def _execute(
        self,
        vm: Any,
        transactions: Sequence[SignedTransactionAPI],
        base_header: BlockHeaderAPI,
        reading: _Reading,
        why_alone: str | None = None,
    ) -> tuple[BlockResult, BlockReport | None]:
        with self._lock:  # forecasts and caches serve one block at a time
            if why_alone is None:
                done = self._in_the_way_chosen(vm, transactions, base_header)
            else:
                choice = Choice(Way.ALONE, {}, why_alone)
                done = self._execute_on(self._alone, vm, transactions, base_header, choice)
            if reading.taken is not None and vm.listed is None:
                vm.listed = reading.taken.listed
            result, report = done
            if report is not None:
                report = self._with_clerks(report, reading)
            folder = self._liberties.translation_cache
            if folder is not None:  # now, when nobody waits for a transaction
                cache_at(folder).save(BLOCK_SECONDS)
            return result, report

    def _read_on(self, transactions: Sequence[SignedTransactionAPI]) -> _Reading:
        """Take what was read of these, and let those that come next be read."""
        if self._reader is None:
            return _Reading(None, 0.0)
        with self._lock:
            started = time.perf_counter()
            taken = None
            if isinstance(transactions, Sequence):  # no other is announced (`stream`)
                taken = self._reader.take(transactions)
            following, self._next = self._next, ()
            self._reader.tell(following)
            return _Reading(taken, time.perf_counter() - started)

    def _with_clerks(self, report: BlockReport, reading: _Reading) -> BlockReport:
        """What clerks have spent since the last block counts as workers' time; taking what was read
        ahead, and telling of the next block, as the block's."""
        before, self._clerks_cpu = self._clerks_cpu, self._cpu_of_clerks()
        senders = report.phases.senders + reading.seconds
        return replace(
            report,
            worker_cpu_seconds=report.worker_cpu_seconds + self._clerks_cpu - before,
            read_ahead=reading.taken is not None,
            seconds=report.seconds + reading.seconds,
            phases=replace(report.phases, senders=senders),
        )

    def _cpu_of_clerks(self) -> float:
        return sum(clerk.cpu for clerk in self._clerks)

    def _in_the_way_chosen(
        self, vm: Any, transactions: Sequence[SignedTransactionAPI], base_header: BlockHeaderAPI
    ) -> tuple[BlockResult, BlockReport | None]:
        if self._pace is None:
            return self._execute_on(self._usable_pool(), vm, transactions, base_header)
        knows = all("sender" in vars(transaction) for transaction in transactions)
        choice = self._pace.choose(transactions, knows_senders=knows)
        if choice.way is not Way.ALONE:
            try:
                return self._execute_on(self._usable_pool(), vm, transactions, base_header, choice)
            except CannotServe as error:
                self._pace.note_absence()
                choice = replace(choice, way=Way.ALONE, why=str(error))
        return self._execute_on(self._alone, vm, transactions, base_header, choice)

    def _execute_on(
        self,
        pool: Pool,
        vm: Any,
        transactions: Sequence[SignedTransactionAPI],
        base_header: BlockHeaderAPI,
        choice: Choice | None = None,
    ) -> tuple[BlockResult, BlockReport | None]:
        speculates = pool.works_ahead
        teaches = choice is not None and choice.teaches
        backend = self.config.backend
        if choice is not None:
            speculates = choice.way is Way.TOGETHER
            backend = "process" if speculates else "serial"
        elif backend == "auto":
            backend = "serial"  # of one worker
        return execute(
            vm,
            transactions,
            base_header,
            state_class=vm.sequential_state_class,
            liberties=self._liberties,
            pool=pool,
            rules=self.rules,
            scheduling=Scheduling(
                forecasts=self._forecaster if speculates or teaches else None,
                hot_slots=self._hot_slots,
                lanes=self.config.lanes,
                overlap=self.config.overlap,
                hope=self._hope,
                in_place=self.config.in_place,
            ),
            pace=self._pace,
            backend=backend,
            choice=choice,
            wants_report=self.config.on_block is not None,
            wants_accesses=self.config.on_block is not None and self.config.accesses,
        )

    def _usable_pool(self) -> Pool:
        if self._pool is None or not self._pool.usable:
            self._pool = pool_for(self.config)
        return self._pool

    def _fallback_report(
        self, vm: Any, count: int, seconds: float, reason: str | None
    ) -> BlockReport:
        return BlockReport(
            block_number=vm.get_header().block_number,
            transaction_count=count,
            workers=1,
            backend="serial",
            executions=count,
            reexecutions=0,
            seconds=seconds,
            phases=Phases(speculate=seconds),
            worker_cpu_seconds=0.0,
            fallback=reason,
        )

    def _tell(self, report: BlockReport | None) -> None:
        if report is not None and self.config.on_block is not None:
            self.config.on_block(report)


def engines_of(chain: Any) -> list[Engine]:
    """Those of a chain or chain class: one, unless its VMs were parallelized one by one. Raises
    `ConfigurationError` where there is none."""
    engines = [
        vm_class.parallel_engine
        for _, vm_class in getattr(chain, "vm_configuration", None) or ()
        if hasattr(vm_class, "parallel_engine")
    ]
    if not engines:
        raise ConfigurationError(f"{chain!r} is no chain class that was parallelized")
    return list(dict.fromkeys(engines))
