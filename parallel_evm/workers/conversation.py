"""ProcessSession: one block's conversation with the worker processes.

Responsible for: asking workers, taking what they answer, and knowing what each of them still owes.
A worker that dies, gives no sign of life, is silent for too long or answers nonsense is lost;
whatever it had not delivered is reported as "nobody will deliver it", and the block runs it
elsewhere.
Talks to: `handle`, each worker; `wire`, which checks what arrives; `parcel`, what is sent.
Never: waits for ever, or starts a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, ClassVar, Final

from parallel_evm.errors import WorkerLost
from parallel_evm.merkle.index import Listed
from parallel_evm.speculation.result import Speculation, WholeLane
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import BALANCE, Key
from parallel_evm.state.recorder import Observations
from parallel_evm.state.replica import answer, told_of
from parallel_evm.workers import wire
from parallel_evm.workers.handle import WorkerHandle
from parallel_evm.workers.interrupts import held_back
from parallel_evm.workers.parcel import Parcel
from parallel_evm.workers.pipes import readable
from parallel_evm.workers.session import SENDERS_AT_ONCE, BlockJob, Task, Work

_LOOK_AROUND_SECONDS: Final = 0.5
"""How often signs of life are checked while waiting."""


class _Share:
    """Transactions whose senders one worker was asked for, and how far it is with them."""

    def __init__(self, indices: Sequence[int], wanted: Any) -> None:
        """``wanted``: shared memory, where the worker looks how many it need find."""
        self._indices = indices
        self._told = 0
        self._wanted = wanted
        wanted.value = len(indices)

    def told(self, count: int) -> Sequence[int]:
        """The next ``count`` of them, now that they are told."""
        start = self._told
        self._told += count
        return self._indices[start : self._told]

    def untouched(self) -> int:
        """So many it has not begun with, as far as one can tell from here."""
        untouched: int = self._wanted.value - self._told - SENDERS_AT_ONCE
        return untouched

    def take_back(self, count: int) -> Sequence[int]:
        """The last ones, of those that it has not begun with."""
        end = self._wanted.value
        start = end - max(0, min(count, self.untouched()))
        self._wanted.value = start
        return self._indices[start:end]


class ProcessSession:
    """A `Session` with worker processes."""

    works_ahead: ClassVar[bool] = True

    def __init__(
        self,
        job: BlockJob,
        handles: Sequence[WorkerHandle],
        token_of: Callable[[BlockJob], int],
        discard: Callable[[WorkerHandle], None],
    ) -> None:
        """``token_of``: names the job's rules towards workers. ``discard``: a worker was lost."""
        self.lost: list[str] = []
        self.running_cpu = 0.0
        self._job = job
        self._parcel = Parcel(job)
        self._always: frozenset[Key] = frozenset({(job.execution_context.coinbase, BALANCE)})
        """Keys that every worker needs, whatever it runs: fees are paid to somebody."""
        self._token_of = token_of
        self._discard = discard
        self._results: dict[int, Speculation | None] = {}
        self._late: set[int] = set()
        """Nobody waits for these any more."""
        self._overtaken: list[Speculation] = []
        self._wants_lanes = False
        """Is nobody going to look at the details of most results?"""
        self._lanes: dict[int, Sequence[int]] = {}
        """Worker number -> transactions of the lane that is to be summed up."""
        self._sums: dict[int, tuple[Observations, Effects]] = {}
        self._teaching: frozenset[int] = frozenset()
        self._is_spoilt = False
        """Is there a transaction whose outcome will not come? Then lanes are no wholes."""
        self._waiting: dict[int, set[int]] = {}
        """Worker number -> transactions it was given and has not delivered."""
        self._busy: dict[int, int] = {}
        """Worker number -> how many answers it owes: RECOVERED, DONE, LISTED."""
        self._senders: dict[int, bytes | None] = {}
        self._shares: dict[int, _Share] = {}
        """By worker number, where it has still to tell senders."""
        self._handles: dict[int, WorkerHandle] = {}
        self._cpu: dict[int, float] = {}
        """Worker number -> CPU seconds that it spent on the block, as far as it told."""
        self._listing: tuple[int, list[bytes]] | None = None
        """The worker that has still to list the block, and the transactions as it was told."""
        self._listed: Listed | None = None
        self._is_open = False
        try:
            for handle in handles:
                self._handles[handle.number] = handle
                self._tell(handle, (wire.BEGIN,))
        except BaseException:
            self.abandon()
            raise

    #
    # The interface: signatures
    #
    def ask_senders(self, indices: Sequence[int], lists: bool = False) -> None:
        if not indices:
            return
        handles = list(self._handles.values())
        block = self._parcel.to_list() if lists else None
        for place, handle in enumerate(handles):
            share = indices[place :: len(handles)]
            if not share:
                continue
            self._shares[handle.number] = _Share(share, handle.wanted)
            its = [self._parcel.contents[index] for index in share]
            self._ask(handle, (wire.SENDERS, its), block)
            block = None  # one worker is enough for that

    def awaits_sender(self, index: int) -> bool:
        if index not in self._senders:
            self.take_in()
        return index not in self._senders

    def sender(self, index: int) -> bytes | None:
        return self._senders.get(index)

    def take_back_senders(self, count: int) -> Sequence[int]:
        share = max(self._shares.values(), key=_Share.untouched, default=None)
        return () if share is None else share.take_back(count)

    def listed(self) -> Listed | None:
        self._pump_until(lambda: self._listing is None)
        return self._listed

    #
    # The interface: transactions
    #
    def probe(self, indices: Sequence[int], tasks: Sequence[Task]) -> list[Speculation | None]:
        places = max(1, len(self._handles))
        self._run([indices[place::places] for place in range(places)], tasks, apart=True)
        self.await_all()
        return [self._results.pop(index, None) for index in indices]

    def start(self, work: Work) -> None:
        self._is_spoilt = work.is_linear
        self._wants_lanes = work.whole and not work.is_linear
        if self._wants_lanes:
            self._teaching = work.teaching
        block = self._parcel.to_list() if work.lists else None
        self._run(work.lanes, work.tasks, apart=False, block=block)

    def lanes(self, patience: float = inf) -> list[WholeLane] | None:
        self._pump_until(
            lambda: self._is_spoilt or not self._waiting, time.perf_counter() + patience
        )
        results: dict[int, Any] = self._results
        if self._is_spoilt or self._waiting or self._sums.keys() != self._lanes.keys():
            return None
        return [
            WholeLane(*self._sums[number], [results[index] for index in lane])
            for number, lane in self._lanes.items()
        ]

    def result(self, index: int, patience: float = inf) -> Speculation | None:
        if self._wants_lanes:
            self._unpack()
        if index not in self._results:
            self._pump_until(
                lambda: index in self._results or not self._expected(index),
                time.perf_counter() + patience,
            )
            if index not in self._results and self._expected(index):
                self._late.add(index)
        return self._results.pop(index, None)

    def overtaken(self) -> list[Speculation]:
        overtaken, self._overtaken = self._overtaken, []
        return overtaken

    def take_in(self) -> None:
        for number in list(self._busy):
            handle = self._handles.get(number)
            while handle is not None and number in self._busy and handle.has_spoken():
                try:
                    self._handle(handle, handle.receive())
                except WorkerLost as error:
                    self._lose(handle, error)
                    handle = None

    def await_all(self) -> None:
        self._pump_until(lambda: not self._busy)

    #
    # The interface: the end
    #
    @property
    def worker_cpu(self) -> float:
        return sum(self._cpu.values())

    def cancel(self) -> None:
        for number in list(self._busy):
            handle = self._handles[number]
            try:
                handle.send((wire.CANCEL,))
            except WorkerLost as error:
                self._lose(handle, error)

    def close(self) -> None:
        if self._busy:
            self.cancel()
            self._pump_until(lambda: not self._busy)

    def abandon(self) -> None:
        """Leave at once, wherever we were: no answer to this block may reach the next one."""
        with held_back():  # a second Ctrl-C would leave half of them
            for handle in list(self._handles.values()):
                self._discard(handle)
            self._handles.clear()
            self._busy.clear()

    #
    # Giving work
    #
    def _run(
        self,
        lanes: Sequence[Sequence[int]],
        tasks: Sequence[Task],
        apart: bool,
        block: list[bytes] | None = None,
    ) -> None:
        self._open_all()
        self.await_all()
        idle = [h for h in self._handles.values() if h.number not in self._busy]
        for place, lane in enumerate(lanes):
            if not lane:
                continue
            if place >= len(idle):
                self._results.update(dict.fromkeys(lane))
                self._is_spoilt = True
                continue
            handle = idle[place]
            its_tasks = [tasks[index] for index in lane]
            hints = [self._always, *(task.hints for task in its_tasks)]
            keys = handle.knows.new_to_it(self._job.source.lineage, hints)
            told = told_of(self._job.source, keys, handle.knows.new_codes)
            hot = {i: task.hot for i, task in zip(lane, its_tasks, strict=True) if task.hot}
            silent = {i for i, task in zip(lane, its_tasks, strict=True) if not task.teaches}
            senders = [task.sender for task in its_tasks]
            self._waiting[handle.number] = set(lane)
            if self._wants_lanes:
                self._lanes[handle.number] = lane
            its = self._parcel.transactions(lane)
            what = (list(lane), its, senders, told, apart, hot, silent, self._wants_lanes)
            if not self._ask(handle, (wire.RUN, *what), block):
                self._give_up(handle.number)
            block = None  # one worker is enough for that

    def _open_all(self) -> None:
        """Before the first transaction runs. Raises `CannotServe`."""
        if not self._is_open:
            self._is_open = True
            context, written = self._parcel.context, wire.flatten_effects(self._job.written)
            for handle in list(self._handles.values()):
                self._open(handle, context, written)

    def _open(self, handle: WorkerHandle, context: bytes, written: tuple[Any, ...]) -> None:
        source = self._job.source
        token = self._token_of(self._job)
        rules = None if handle.knows.has_rules(token) else self._parcel.rules
        missed = handle.knows.missed(source)
        changes = None if missed is None else list(map(wire.flatten_changes, missed))
        about = (token, rules, context, written, source.lineage, changes)
        if self._tell(handle, (wire.OPEN, len(self._job.transactions), *about)):
            handle.knows.note(token, source)

    def _ask(
        self, handle: WorkerHandle, message: tuple[Any, ...], block: list[bytes] | None
    ) -> bool:
        """``block``: what is to be listed afterwards, if anything is."""
        told = self._tell(handle, (*message, block), owes=True)
        if told:
            self._busy[handle.number] = 1
            if block is not None:
                self._busy[handle.number] = 2
                self._listing = handle.number, block
        return told

    def _tell(self, handle: WorkerHandle, message: tuple[Any, ...], owes: bool = False) -> bool:
        """``owes``: does it have to answer?"""
        owes = owes or handle.owes
        handle.owes = True  # at least until it has been told all of it
        try:
            handle.send(message)
        except WorkerLost as error:
            self._lose(handle, error)
            return False
        handle.owes = owes
        return True

    #
    # Taking what arrives
    #
    def _pump_until(self, satisfied: Callable[[], bool], until: float = inf) -> None:
        """Handle messages until ``satisfied()``; lost workers' debts are cancelled. ``until``: by
        the clock; what has arrived by then is handled."""
        is_late = False
        while not (satisfied() or is_late):
            busy = [self._handles[number] for number in self._busy]
            if not busy:
                return
            left = until - time.perf_counter()
            ready = readable([h.conn for h in busy], max(0.0, min(left, _LOOK_AROUND_SECONDS)))
            is_late = left <= 0 and not ready
            for handle in busy:
                try:
                    if handle.conn in ready:
                        self._handle(handle, handle.receive())
                    elif not ready and not handle.is_alive():
                        raise handle.lost(handle.how_it_ended())
                    elif handle.is_silent():
                        raise handle.lost("does not answer")
                except WorkerLost as error:
                    self._lose(handle, error)

    def _handle(self, handle: WorkerHandle, message: tuple[Any, ...]) -> None:
        """Raises `WorkerLost`: for anything that such a worker cannot say, too."""
        tag, *parts = message
        try:
            match tag:
                case wire.RESULTS:
                    self._take_results(handle, *parts)
                case wire.FETCH:
                    self._answer_fetch(handle, *parts)
                case wire.DONE:
                    self._take_done(handle, *parts)
                case wire.RECOVERED:
                    self._take_recovered(handle, *parts)
                case wire.LISTED:
                    self._take_listed(handle, *parts)
                case _:
                    raise ValueError(f"unknown message {tag}")
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise handle.nonsense(error) from error

    def _take_results(self, handle: WorkerHandle, heads: Any, details: Any) -> None:
        results = wire.results(heads, details, handle.number)
        for speculation in results:
            if not self._wants_lanes or speculation.index in self._teaching:
                speculation.unpack()
        for speculation in results:
            if speculation.outcome is None:
                self._is_spoilt = True
            self._waiting[handle.number].remove(speculation.index)
            if speculation.index in self._late:
                self._overtaken.append(speculation)
            else:
                self._results[speculation.index] = speculation

    def _answer_fetch(self, handle: WorkerHandle, wants: Any) -> None:
        handle.send((wire.ANSWER, self._answers(wants)))

    def _answers(self, wants: Sequence[Any]) -> list[Any] | None:
        try:
            if wants and wants[0][0] == wire.ANCESTORS:
                _, depth, count = wants[0]
                return [list(self._job.ancestors(depth, count))]
            return answer(self._job.source, wants)
        except Exception:
            # Missing data, most likely. The worker gives the transaction up; the run on the
            # committed state meets the same gap and raises what py-evm raises.
            return None

    def _take_done(
        self, handle: WorkerHandle, reason: Any, cpu: Any, running_cpu: Any, total: Any
    ) -> None:
        number = handle.number
        if total is not None:
            self._sums[number] = wire.unflatten(total)
        self._settle(handle, cpu)
        self.running_cpu += float(running_cpu)
        if reason is not None:
            self.lost.append(f"worker {number}: {reason}")
            handle.knows.forget_all()  # whatever it lacked: next time it gets everything
        self._give_up(number)

    def _take_recovered(self, handle: WorkerHandle, senders: Any, cpu: Any) -> None:
        share = self._shares[handle.number]
        found = wire.addresses(senders)
        self._senders.update(zip(share.told(len(found)), found, strict=True))
        if cpu is not None:
            del self._shares[handle.number]
            self._settle(handle, cpu)

    def _take_listed(
        self, handle: WorkerHandle, hashes: Any, root: Any, nodes: Any, cpu: Any
    ) -> None:
        number = handle.number
        if self._listing is None or self._listing[0] != number or number in self._shares:
            raise ValueError("a list that nobody asked for")
        listed = wire.listed(self._listing[1], hashes, root, nodes)
        self._settle(handle, cpu)
        self._listed, self._listing = listed, None

    def _settle(self, handle: WorkerHandle, cpu: Any) -> None:
        """It has answered. ``cpu``: what it has spent so far, in seconds."""
        self._cpu[handle.number] = float(cpu)
        self._busy[handle.number] -= 1
        if not self._busy[handle.number]:
            del self._busy[handle.number]
            handle.owes = False

    #
    # What will not come, and what was not right
    #
    def _expected(self, index: int) -> bool:
        return any(index in waiting for waiting in self._waiting.values())

    def _give_up(self, number: int) -> None:
        """Whatever this worker has not delivered will not come."""
        missing = self._waiting.pop(number, set())
        self._results.update(dict.fromkeys(missing))
        if missing:
            self._is_spoilt = True

    def _lose(self, handle: WorkerHandle, error: WorkerLost) -> None:
        self.lost.append(str(error))
        self._busy.pop(handle.number, None)
        self._handles.pop(handle.number, None)
        self._give_up(handle.number)
        self._discard(handle)
        if self._listing is not None and self._listing[0] == handle.number:
            self._listing = None

    def _unpack(self) -> None:
        """Everything is going to be looked at. Nonsense ends a worker here, as it does on arrival
        elsewhere, and what it did after that is not known."""
        self._wants_lanes = False
        liars: set[int | None] = set()
        for index, speculation in sorted(self._results.items()):
            if not isinstance(speculation, wire.Delivered):
                continue
            number = speculation.worker
            try:
                if number not in liars:
                    speculation.unpack()
            except ValueError as error:
                liars.add(number)
                handle = None if number is None else self._handles.get(number)
                if handle is not None:
                    self._lose(handle, handle.nonsense(error))
            if number in liars:
                self._results[index] = None
