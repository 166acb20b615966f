"""ProcessPool: worker processes, reached through pipes, watched, and replaced when lost.

The coordinator's side of `workers.worker`. A worker that dies, stops giving signs of life, or
answers nonsense is killed and forgotten; whatever it had not delivered is reported as "nobody will
deliver it", and the block runs it elsewhere. No call here waits for ever: pipes have timeouts, and
a worker that is silent for longer than the deadline is lost.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from math import inf
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from parallel_evm.errors import PoolClosedError, WorkerLost
from parallel_evm.merkle.index import Listed
from parallel_evm.merkle.update import TrieUpdate
from parallel_evm.rlp_objects import encoded
from parallel_evm.speculation.fields import fields_of
from parallel_evm.speculation.result import Speculation, WholeLane
from parallel_evm.state.base import Changes
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import Key
from parallel_evm.state.recorder import Observations
from parallel_evm.state.replica import answer
from parallel_evm.workers import wire, worker
from parallel_evm.workers.interrupts import held_back
from parallel_evm.workers.session import BlockJob, CannotServe, Task, Work

_LOOK_AROUND_SECONDS = 0.5
"""How often signs of life are checked while waiting."""
_LARGEST_MESSAGE = 1 << 30
_MAX_HINTED = 1 << 16
_START_SECONDS = 60.0
"""How long a process may take until its first sign of life (spawn imports everything)."""


def starting(method: str | None) -> Any:
    """The context that starts processes so; None: by fork, where there is such a thing."""
    if method is None:
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    return multiprocessing.get_context(method)


class WorkerHandle:
    """One worker process as the coordinator knows it."""

    def __init__(self, number: int, context: Any, deadline: float, others: list[Connection]):
        ours, theirs = context.Pipe(duplex=True)
        self.number = number
        self._deadline = deadline
        self._life = context.RawValue("d", 0.0)
        self._started = self._heard = time.monotonic()
        inherited = [*others, ours] if context.get_start_method() == "fork" else []
        self.process = context.Process(
            target=worker.main,
            args=(theirs, self._life, inherited),
            name=f"parallel-evm-worker-{number}",
            daemon=True,
        )
        self._killed = False
        self.process.start()
        theirs.close()
        self.conn: Connection = ours
        set_timeouts(ours, deadline)
        self.owes = False
        """Was it asked for something that it has not delivered, or told only half of something? If
        that outlives the session (an interrupt came in between), it must not serve another one."""
        self.rules: dict[int, None] = {}
        """Rules that the worker holds, in the order in which it got them."""
        self.versions: dict[bytes, int] = {}
        """Version of each lineage that the worker's replica holds."""
        self._hinted: dict[bytes, set[Key]] = {}
        """Keys of each lineage that the worker was told to look at; it need not be told twice."""

    def send(self, message: tuple[Any, ...]) -> None:
        self.send_encoded(wire.encode(message))

    def send_encoded(self, data: bytes) -> None:
        """Raises `WorkerLost` when the worker does not take it."""
        if not self.is_alive():
            raise WorkerLost(f"worker {self.number}: {self.how_it_ended()}")
        self._heard = time.monotonic()  # from now on it may be late
        try:
            self.conn.send_bytes(data)
        except (OSError, ValueError) as error:
            raise WorkerLost(f"worker {self.number}: does not take messages ({error})") from error

    def receive(self) -> tuple[Any, ...]:
        """The next message; call only when there is one. Raises `WorkerLost`."""
        try:
            message = wire.decode(self.conn.recv_bytes(_LARGEST_MESSAGE))
        except (EOFError, ConnectionError) as error:
            self.process.join(0.2)
            raise WorkerLost(f"worker {self.number}: {self.how_it_ended()}") from error
        except Exception as error:
            raise _nonsense(self, error) from error
        self._heard = time.monotonic()
        return message

    def new_to_it(self, lineage: bytes, hints: Iterable[frozenset[Key]]) -> list[Key]:
        """Those of all ``hints`` that this worker has not been given before."""
        hinted = self._hinted.setdefault(lineage, set())
        new = frozenset[Key]().union(*hints) - hinted
        if len(hinted) + len(new) > _MAX_HINTED:
            hinted.clear()
        hinted |= new
        return list(new)

    def forget(self, lineage: bytes) -> None:
        """The worker knows nothing of these states any more."""
        self.versions.pop(lineage, None)
        self._hinted.pop(lineage, None)

    @property
    def pid(self) -> int | None:
        return None if self._killed else self.process.pid

    def is_alive(self) -> bool:
        """Is the process there, and has it given a sign of life recently?"""
        if self._killed or not self.process.is_alive():
            return False
        last = self._life.value
        if last == 0.0:
            return time.monotonic() - self._started < _START_SECONDS
        return bool(time.monotonic() - last < self._deadline)

    def is_silent(self) -> bool:
        """Has it owed us an answer for too long, alive or not?"""
        return time.monotonic() - self._heard > self._deadline

    def how_it_ended(self) -> str:
        if self._killed:
            return "was killed"
        code = self.process.exitcode
        if code is None:
            return f"no sign of life for {self._deadline:g} s"
        return f"killed by signal {-code}" if code < 0 else f"exited with status {code}"

    def kill(self) -> None:
        """Idempotent. What it held of ours is free afterwards, and not when it is collected: a
        Ctrl-C that strikes the collector loses file descriptors."""
        with held_back():
            if self._killed:
                return
            with contextlib.suppress(OSError):
                self.process.kill()
            self.process.join(5)
            with contextlib.suppress(OSError):
                self.conn.close()
            self._killed = True
            with contextlib.suppress(ValueError):  # five seconds were not enough
                self.process.close()

    def stop(self) -> None:
        """Ask politely, then kill."""
        with contextlib.suppress(WorkerLost):
            self.send((wire.STOP,))
        with contextlib.suppress(OSError):
            self.conn.close()  # a worker that was waiting for us sees the end of the pipe
        if not self._killed:
            self.process.join(1)
        self.kill()


class ProcessPool:
    """Started on first use; serves one block at a time, of whatever chain comes."""

    def __init__(self, workers: int, start_method: str | None, deadline: float) -> None:
        self.workers = workers
        self.lock = threading.RLock()
        self._context = starting(start_method)
        self._deadline = deadline
        self._handles: list[WorkerHandle | None] = [None] * workers
        self._tokens: dict[tuple[Any, Any], int] = {}
        self._next_token = 0
        self._closed = False
        self._owner = os.getpid()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are running now."""
        handles = [handle for handle in self._handles if handle is not None]
        return [pid for handle in handles if (pid := handle.pid) is not None]

    @property
    def usable(self) -> bool:
        """Not closed, and not a copy that a fork left in another process."""
        return not self._closed and self._owner == os.getpid()

    def open(self, job: BlockJob) -> ProcessSession:
        """Raises `PoolClosedError`, or `CannotServe` when workers cannot be started or reached."""
        if not self.usable:
            raise PoolClosedError("This worker pool was closed")
        return ProcessSession(self, job)

    def handles(self) -> list[WorkerHandle]:
        """The workers, started now where there are none. Raises `CannotServe` if none can."""
        failure: Exception | None = None
        for number, handle in enumerate(self._handles):
            if handle is not None and handle.is_alive() and not handle.owes:
                continue
            if handle is not None:
                handle.kill()
                self._handles[number] = None
            others = [h.conn for h in self._handles if h is not None and not h.conn.closed]
            try:
                with held_back():
                    self._handles[number] = WorkerHandle(
                        number, self._context, self._deadline, others
                    )
            except (OSError, AssertionError, RuntimeError) as error:
                failure = error  # no more processes or files; daemons may not have children
        running = [handle for handle in self._handles if handle is not None]
        if not running:
            raise CannotServe(f"worker processes cannot be started: {failure}") from failure
        return running

    def discard(self, handle: WorkerHandle) -> None:
        """A worker was lost: the next block gets a new one in its place."""
        handle.kill()
        self._handles[handle.number] = None

    def rules_token(self, job: BlockJob) -> int:
        """Names the job's rules towards the workers."""
        key = (job.state_class, job.liberties)
        token = self._tokens.get(key)
        if token is None:
            token = self._tokens[key] = self._next_token
            self._next_token += 1
            while len(self._tokens) > worker.RULES:
                del self._tokens[next(iter(self._tokens))]
        return token

    def close(self) -> None:
        """Stop all workers. Idempotent."""
        if self._closed or self._owner != os.getpid():
            return
        with self.lock:
            self._closed = True
            handles = [handle for handle in self._handles if handle is not None]
            self._handles = [None] * self.workers
            try:
                for handle in handles:
                    handle.stop()
            except BaseException:  # Ctrl-C: no more politeness
                for handle in handles:
                    handle.kill()
                raise


class ProcessSession:
    """One block's conversation with the workers."""

    def __init__(self, pool: ProcessPool, job: BlockJob) -> None:
        self.lost: list[str] = []
        self.recovering = 0.0
        self.running_cpu = 0.0
        self._pool = pool
        self._job = job
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
        self._shares: dict[int, Sequence[int]] = {}
        """Worker number -> transactions whose senders it has still to tell."""
        self._handles: dict[int, WorkerHandle] = {}
        self._cpu: dict[int, float] = {}
        """Worker number -> CPU seconds that it spent on the block, as far as it told."""
        self._listing: tuple[int, list[bytes]] | None = None
        """The worker that has still to list the block, and the transactions as it was told."""
        self._listed: Listed | None = None
        self._is_open = False
        try:
            for handle in pool.handles():
                self._handles[handle.number] = handle
                self._tell(handle, (wire.BEGIN,))
        except CannotServe:
            raise
        except BaseException:
            self.abandon()
            raise

    @property
    def worker_cpu(self) -> float:
        return sum(self._cpu.values())

    def _pickled(self, indices: Sequence[int]) -> bytes:
        """These transactions. Raises `CannotServe`."""
        transactions = [self._job.transactions[index] for index in indices]
        try:
            return pickle.dumps(transactions, protocol=5)
        except Exception:
            try:
                encoded: bytes = cloudpickle.dumps(transactions)  # type: ignore[no-untyped-call]
                return encoded
            except Exception as error:
                raise CannotServe(
                    f"the transactions cannot be sent to worker processes: {error}"
                ) from error

    def _open_all(self) -> None:
        """Before the first transaction runs. Raises `CannotServe`."""
        if not self._is_open:
            self._is_open = True
            opening = self._opening()
            for handle in list(self._handles.values()):
                self._open(handle, *opening)

    def _opening(self) -> tuple[bytes, tuple[Any, ...]]:
        """The parts of OPEN that are the same for all workers, encoded once."""
        job = self._job
        context = job.execution_context
        try:
            fields = {k: v for k, v in vars(context).items() if k != "_prev_hashes"}
            encoded_context = cloudpickle.dumps((type(context), fields))  # type: ignore[no-untyped-call]
        except Exception as error:
            raise CannotServe(
                f"the execution context cannot be sent to worker processes: {error}"
            ) from error
        return encoded_context, wire.flatten_effects(job.written)

    def _open(self, handle: WorkerHandle, context: bytes, written: tuple[Any, ...]) -> None:
        job, source = self._job, self._job.source
        token = self._pool.rules_token(job)
        rules = None
        if token not in handle.rules:
            try:
                rules = cloudpickle.dumps((job.state_class, job.liberties))  # type: ignore[no-untyped-call]
            except Exception as error:
                raise CannotServe(
                    f"{job.state_class.__name__} cannot be sent to worker processes: {error}"
                ) from error
        known = handle.versions.get(source.lineage)
        missed: list[Changes] | None = None if known is None else source.changes_since(known)
        if missed is None:
            handle.forget(source.lineage)
        changes = None if missed is None else [wire.flatten_changes(c) for c in missed]
        about = (token, rules, context, written, source.lineage, changes)
        message = (wire.OPEN, len(job.transactions), *about)
        if not self._tell(handle, message):
            return
        if rules is not None:
            handle.rules[token] = None
            while len(handle.rules) > worker.RULES:
                del handle.rules[next(iter(handle.rules))]
        handle.versions.pop(source.lineage, None)
        handle.versions[source.lineage] = source.version
        while len(handle.versions) > worker.REPLICAS:
            handle.forget(next(iter(handle.versions)))

    #
    # The interface
    #
    @cached_property
    def _contents(self) -> list[bytes | None]:
        return list(map(_content, self._job.transactions))

    def _to_list(self) -> list[bytes] | None:
        """What a worker is to list; None where it is not possible."""
        known = [content for content in self._contents if content is not None]
        return known if len(known) == len(self._contents) else None

    def ask_senders(self, indices: Sequence[int], lists: bool = False) -> None:
        if not indices:
            return
        handles = list(self._handles.values())
        block = self._to_list() if lists else None
        for place, handle in enumerate(handles):
            share = indices[place :: len(handles)]
            if not share:
                continue
            self._shares[handle.number] = share
            its = [self._contents[index] for index in share]
            self._ask(handle, (wire.SENDERS, its), block)
            block = None  # one worker is enough for that

    def listed(self) -> Listed | None:
        self._pump_until(lambda: self._listing is None)
        return self._listed

    def sender(self, index: int) -> bytes | None:
        if index not in self._senders:
            self._pump_until(lambda: index in self._senders or not self._busy)
        # A worker that was lost leaves None: the transaction's sender is then recovered again
        # by whoever runs it.
        return self._senders.get(index)

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
        block = self._to_list() if work.lists else None
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
                    self._lose(handle, _nonsense(handle, error))
            if number in liars:
                self._results[index] = None

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
            keys = handle.new_to_it(self._job.source.lineage, [task.hints for task in its_tasks])
            hot = {i: task.hot for i, task in zip(lane, its_tasks, strict=True) if task.hot}
            silent = {i for i, task in zip(lane, its_tasks, strict=True) if not task.teaches}
            senders = [task.sender for task in its_tasks]
            self._waiting[handle.number] = set(lane)
            if self._wants_lanes:
                self._lanes[handle.number] = lane
            its = self._pickled(lane)
            what = (list(lane), its, senders, keys, apart, hot, silent, self._wants_lanes)
            if not self._ask(handle, (wire.RUN, *what), block):
                self._give_up(handle.number)
            block = None  # as above

    def take_in(self) -> None:
        for number in list(self._busy):
            handle = self._handles.get(number)
            while handle is not None and number in self._busy and readable([handle.conn], 0):
                try:
                    self._handle(handle, handle.receive())
                except WorkerLost as error:
                    self._lose(handle, error)
                    handle = None

    def await_all(self) -> None:
        self._pump_until(lambda: not self._busy)

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

    def _expected(self, index: int) -> bool:
        return any(index in waiting for waiting in self._waiting.values())

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
                self._pool.discard(handle)
            self._handles.clear()
            self._busy.clear()

    #
    # Messages
    #
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
                        raise WorkerLost(f"worker {handle.number}: {handle.how_it_ended()}")
                    elif handle.is_silent():
                        raise WorkerLost(f"worker {handle.number}: does not answer")
                except WorkerLost as error:
                    self._lose(handle, error)

    def _handle(self, handle: WorkerHandle, message: tuple[Any, ...]) -> None:
        tag = message[0]
        number = handle.number
        try:
            if tag == wire.RESULTS:
                _, heads, details = message
                results = wire.results(heads, details, number)
                for speculation in results:
                    if not self._wants_lanes or speculation.index in self._teaching:
                        speculation.unpack()
                for speculation in results:
                    if speculation.outcome is None:
                        self._is_spoilt = True
                    self._waiting[number].remove(speculation.index)
                    if speculation.index in self._late:
                        self._overtaken.append(speculation)
                    else:
                        self._results[speculation.index] = speculation
            elif tag == wire.FETCH:
                handle.send((wire.ANSWER, self._answers(message[1])))
            elif tag == wire.DONE:
                _, reason, cpu, running_cpu, total = message
                if total is not None:
                    self._sums[number] = wire.unflatten(total)
                self._settle(handle, cpu)
                self.running_cpu += float(running_cpu)
                if reason is not None:
                    self.lost.append(f"worker {number}: {reason}")
                    handle.rules.clear()  # whatever it lacked: next time it gets everything
                    for lineage in list(handle.versions):
                        handle.forget(lineage)
                self._give_up(number)
            elif tag == wire.RECOVERED:
                _, senders, cpu, seconds = message
                share = self._shares.pop(number)
                count = len(_addresses(senders))
                self._senders.update(zip(share[:count], senders, strict=True))
                if cpu is None:
                    self._shares[number] = share[count:]
                else:
                    self.recovering += float(seconds)
                    self._settle(handle, cpu)
            elif tag == wire.LISTED:
                _, hashes, root, nodes, cpu = message
                if self._listing is None or self._listing[0] != number or number in self._shares:
                    raise ValueError("a list that nobody asked for")
                made = _list(self._listing[1], hashes, root, nodes)
                self._settle(handle, cpu)
                self._listed, self._listing = made, None
            else:
                raise ValueError(f"unknown message {tag}")
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise _nonsense(handle, error) from error

    def _settle(self, handle: WorkerHandle, cpu: Any) -> None:
        """It has answered. ``cpu``: what it has spent so far, in seconds."""
        self._cpu[handle.number] = float(cpu)
        self._busy[handle.number] -= 1
        if not self._busy[handle.number]:
            del self._busy[handle.number]
            handle.owes = False

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
        self._pool.discard(handle)
        if self._listing is not None and self._listing[0] == handle.number:
            self._listing = None


def _nonsense(handle: WorkerHandle, error: Exception) -> WorkerLost:
    return WorkerLost(f"worker {handle.number}: answers nonsense ({error})")


def _content(transaction: Any) -> bytes | None:
    """A transaction as EIP-2718 has it, where workers know its kind."""
    try:
        return None if fields_of(transaction) is None else encoded(transaction)
    except Exception:  # it has never seen a network: nobody checked its fields
        return None


def _list(contents: list[bytes], hashes: Any, root: Any, nodes: Any) -> Listed:
    """Raises ValueError for anything but hashes and nodes."""
    if (
        not isinstance(hashes, list)
        or not isinstance(nodes, dict)
        or len(hashes) != len(contents)
        or not all(type(key) is bytes and len(key) == 32 for key in [root, *hashes, *nodes])
        or not all(type(node) is bytes for node in nodes.values())
    ):
        raise ValueError("no list")
    return Listed(contents, hashes, TrieUpdate(root, nodes))


def _addresses(senders: Sequence[Any]) -> Sequence[bytes | None]:
    """Raises ValueError for anything but addresses."""
    for sender in senders:
        if sender is not None and not (isinstance(sender, bytes) and len(sender) == 20):
            raise ValueError("senders that are no addresses")
    return senders


def readable(connections: Sequence[Connection], timeout: float) -> Sequence[Any]:
    """Those that have something to read, or an end. ``timeout``: in seconds."""
    if not hasattr(select, "poll"):
        return connection.wait(connections, timeout)
    # What `wait` does, with an object for every call, takes as long as judging a transfer.
    poll = select.poll()
    by_number = {conn.fileno(): conn for conn in connections}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(timeout * 1e3)]


def set_timeouts(conn: Connection, seconds: float) -> None:
    """Let reads and writes on the pipe fail, not block, when the other side stopped half-way."""
    if not hasattr(socket, "AF_UNIX"):
        return
    whole = int(seconds)
    timeval = struct.pack("ll", whole, int((seconds - whole) * 1e6))
    pipe = socket.socket(fileno=os.dup(conn.fileno()))
    try:
        pipe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        pipe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    finally:
        pipe.close()
