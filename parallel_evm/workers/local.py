"""Pools inside this process: `SerialPool` leaves all to the caller, `ThreadPool` runs threads.

Threads run exactly what worker processes run, on lanes of their own; only the transport is missing.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from math import inf
from typing import Any, ClassVar

from eth._utils.generator import CachedIterable

from parallel_evm.errors import PoolClosedError
from parallel_evm.merkle.account_db import MerkleState
from parallel_evm.speculation.in_place import InPlace
from parallel_evm.speculation.result import Speculation, WholeLane
from parallel_evm.speculation.rules import Liberties, speculative_state
from parallel_evm.speculation.run import Speculator, ancestors
from parallel_evm.state.flat import FlatState
from parallel_evm.state.lane import Lane
from parallel_evm.translator.orders import Assistant
from parallel_evm.workers.session import BlockJob, Rules, Task, Work


def new_lane(job: BlockJob) -> Lane:
    """The state before the block's first transaction, to run transactions ahead on."""
    return Lane(job.source, job.written)


def new_speculator(job: BlockJob, rules: Rules, lane: FlatState) -> Speculator:
    """A speculator for ``job`` in this process."""
    return Speculator(rules(job), _context(job), lane, len(job.transactions) - 1)


def new_in_place(job: BlockJob, rules: Rules, committed: MerkleState) -> InPlace:
    """For a ``job`` whose transactions need no views."""
    return InPlace(rules(job), _context(job), committed)


def _context(job: BlockJob) -> Any:
    context = copy.copy(job.execution_context)
    context._prev_hashes = CachedIterable(ancestors(job.ancestors))
    return context


class RuleBook:
    """Speculative state classes, derived once per state class."""

    def __init__(self, assistant: Assistant | None = None) -> None:
        """``assistant``: who translates what runs here."""
        self._assistant = assistant
        self._derived: dict[tuple[Any, Liberties], Any] = {}

    def __call__(self, job: BlockJob) -> Any:
        return self.derived(job.state_class, job.liberties)

    def derived(self, state_class: Any, liberties: Liberties) -> Any:
        """The class that ``state_class``'s transactions run on."""
        key = (state_class, liberties)
        derived = self._derived.get(key)
        if derived is None:
            derived = self._derived[key] = speculative_state(*key, self._assistant)
        return derived


class _LocalSession:
    """What sessions in this process have in common."""

    def __init__(self, job: BlockJob) -> None:
        self.lost: list[str] = []
        self.running_cpu = 0.0
        self._job = job
        self._cancelled = False

    @property
    def worker_cpu(self) -> float:
        return 0.0

    def ask_senders(self, indices: Sequence[int], lists: bool = False) -> None:
        pass

    def listed(self) -> None:
        return None

    def awaits_sender(self, index: int) -> bool:
        return False

    def sender(self, index: int) -> None:
        return None

    def take_back_senders(self, count: int) -> tuple[()]:
        return ()

    def take_in(self) -> None:
        pass

    def overtaken(self) -> list[Speculation]:
        return []

    def await_all(self) -> None:
        pass

    def cancel(self) -> None:
        self._cancelled = True


class SerialSession(_LocalSession):
    """Nobody works ahead: each transaction runs on the committed state when its turn has come."""

    works_ahead: ClassVar[bool] = False

    def probe(self, indices: Sequence[int], tasks: Sequence[Task]) -> list[Speculation | None]:
        return [None] * len(indices)

    def start(self, work: Work) -> None:
        pass

    def lanes(self, patience: float = inf) -> None:
        return None

    def result(self, index: int, patience: float = inf) -> Speculation | None:
        return None

    def close(self) -> None:
        pass

    abandon = close


class ThreadSession(_LocalSession):
    """A thread for each lane."""

    works_ahead: ClassVar[bool] = True

    def __init__(self, job: BlockJob, rules: Rules) -> None:
        super().__init__(job)
        self._rules = rules
        rules(job)  # derived here, so that threads need no lock for it
        self._arrived = threading.Condition()
        self._results: dict[int, Speculation | None] = {}
        self._late: set[int] = set()
        self._threads: list[threading.Thread] = []
        self._lanes: dict[int, tuple[Sequence[int], Lane]] = {}
        """By thread: the transactions that it runs, and on what."""
        self._finished = 0
        self._is_spoilt = False
        """As in a `ProcessSession`."""

    def probe(self, indices: Sequence[int], tasks: Sequence[Task]) -> list[Speculation | None]:
        return [
            new_speculator(self._job, self._rules, new_lane(self._job)).run(
                index, self._job.transactions[index]
            )
            for index in indices
        ]

    def start(self, work: Work) -> None:
        self._is_spoilt = work.is_linear
        for worker, lane in enumerate(work.lanes):
            if lane:
                self._lanes[worker] = lane, new_lane(self._job)
                thread = threading.Thread(
                    target=self._run, args=(worker, lane, work.tasks), name=f"parallel-evm-{worker}"
                )
                self._threads.append(thread)
                thread.start()

    def _run(self, worker: int, lane: Sequence[int], tasks: Sequence[Task]) -> None:
        done = 0
        try:
            speculator = new_speculator(self._job, self._rules, self._lanes[worker][1])
            for index in lane:
                if self._cancelled:
                    break
                transaction = self._job.transactions[index]
                speculation = speculator.run(index, transaction, tasks[index].hot)
                speculation.worker = worker
                self._deliver(index, speculation)
                done += 1
        except BaseException as error:  # a thread must not die silently and leave a block waiting
            self.lost.append(f"thread {worker}: {error!r}")
        finally:
            for index in lane[done:]:
                self._deliver(index, None)
            with self._arrived:
                self._finished += 1
                self._arrived.notify_all()

    def lanes(self, patience: float = inf) -> list[WholeLane] | None:
        with self._arrived:
            seconds = None if patience == inf else patience
            self._arrived.wait_for(
                lambda: self._is_spoilt or self._finished == len(self._lanes), seconds
            )
            if self._is_spoilt or self._finished < len(self._lanes):
                return None
            results: dict[int, Any] = self._results
        return [
            WholeLane(lane.observations, lane.effects, [results[index] for index in indices])
            for indices, lane in self._lanes.values()
        ]

    def await_all(self) -> None:
        for thread in self._threads:
            thread.join()

    def _deliver(self, index: int, speculation: Speculation | None) -> None:
        with self._arrived:
            self._results[index] = speculation
            if speculation is None or speculation.outcome is None:
                self._is_spoilt = True
            self._arrived.notify_all()

    def result(self, index: int, patience: float = inf) -> Speculation | None:
        with self._arrived:
            seconds = None if patience == inf else patience
            if not self._arrived.wait_for(lambda: index in self._results, seconds):
                self._late.add(index)
                return None
            return self._results.pop(index)

    def overtaken(self) -> list[Speculation]:
        with self._arrived:
            found = [self._results.pop(index) for index in self._late & self._results.keys()]
        return [speculation for speculation in found if speculation is not None]

    def close(self) -> None:
        self._cancelled = True
        self.await_all()

    abandon = close


class _LocalPool:
    """A pool without processes."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.lock = threading.RLock()
        self._closed = False

    @property
    def usable(self) -> bool:
        return not self._closed

    def close(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise PoolClosedError("This worker pool was closed")


class SerialPool(_LocalPool):
    """No workers: what is to run runs in the caller's thread, in block order."""

    works_ahead: ClassVar[bool] = False

    def open(self, job: BlockJob, rules: Rules) -> SerialSession:
        self._check()
        return SerialSession(job)


class ThreadPool(_LocalPool):
    """One lane per thread. Parallel only where Python runs without the GIL."""

    works_ahead: ClassVar[bool] = True

    def open(self, job: BlockJob, rules: Rules) -> ThreadSession:
        self._check()
        return ThreadSession(job, rules)
