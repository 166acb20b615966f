"""Faults that strike once, at a random moment of a block, and a bench that says what came of it.

A `Bench` imports real blocks into a parallel chain while a `Fault` waits for its moment. After
each block it asks what a user would ask: is this the block that stock py-evm made, or did a clean
error leave the chain where it was? Can the chain go on, with the same workers? Is everything
readable for stock py-evm? Was a process or a file descriptor left behind? It never repairs
anything between two strikes, so that damage adds up.

`tests.workers.campaign` runs it two hundred times for each fault, `test_campaign` a few times.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import multiprocessing
import os
import random
import resource
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any
from unittest import mock

import rlp
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB
from eth.exceptions import HeaderNotFound

from parallel_evm import BlockReport, ParallelConfig, close, parallelize
from parallel_evm.block.flow import _Flow
from parallel_evm.speculation.run import Speculator
from parallel_evm.workers import wire, worker
from parallel_evm.workers.conversation import ProcessSession
from parallel_evm.workers.process import ProcessPool
from parallel_evm.workers.shared import pool_for
from parallel_evm.workloads import Workload, build
from tests.strategies import Misled, cold

WORKERS = 2
PATIENCE = 20.0
"""Seconds after which a block counts as one that would have waited for ever."""
BEFORE, SPECULATION, JUDGING, AFTER = PHASES = ("before", "speculation", "judging", "after")
"""Opening the workers, senders and forecasts; waiting for speculations; the coordinator's own work
in block order; roots, validation, persistence, and between two blocks."""

SAME = "same block"
CLEAN = "clean error, then the same block"
WRONG = "WRONG"


#
# The database
#
class Disk(BaseAtomicDB):
    """A database in memory that keeps py-evm's promise (a batch is written whole or not at all),
    and that can run full."""

    def __init__(self, content: dict[bytes, bytes]) -> None:
        self.content = content
        self.written = 0
        self.room: int | None = None
        """How many keys can still be written; None: any number."""
        self.when_full: Callable[[], None] = lambda: None

    def __getitem__(self, key: bytes) -> bytes:
        return self.content[key]

    def _exists(self, key: bytes) -> bool:
        return key in self.content

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.write({key: value})

    def __delitem__(self, key: bytes) -> None:
        del self.content[key]

    def write(self, new: dict[bytes, bytes]) -> None:
        if self.room is not None:
            if len(new) > self.room:
                self.when_full()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= len(new)
        self.written += len(new)
        self.content.update(new)

    @contextlib.contextmanager
    def atomic_batch(self) -> Iterator[Any]:
        with _Batch._commit_unless_raises(self) as batch:  # type: ignore[arg-type]
            yield batch


class _Batch(AtomicDBWriteBatch):
    def _commit(self) -> None:
        new: dict[bytes, bytes] = {}
        self._diff().apply_to(new, apply_deletes=False)
        target: Any = self._write_target_db
        target.write(new)


#
# The workers' side
#
class Orders:
    """What the bench tells its workers, through shared memory: pipes are what is tested."""

    def __init__(self) -> None:
        self._cells = multiprocessing.RawArray("Q", 3)

    @property
    def spoil(self) -> int:
        """Seed for spoiling the next message that any worker sends; 0: leave it as it is."""
        return int(self._cells[0])

    @spoil.setter
    def spoil(self, seed: int) -> None:
        self._cells[0] = seed

    @property
    def dawdle(self) -> int:
        """Mean of the random delays before and after transactions and replies, microseconds."""
        return int(self._cells[1])

    @dawdle.setter
    def dawdle(self, microseconds: int) -> None:
        self._cells[1] = microseconds

    @property
    def hunger(self) -> int:
        """Bytes that each transaction needs for a moment."""
        return int(self._cells[2])

    @hunger.setter
    def hunger(self, size: int) -> None:
        self._cells[2] = size


class Line:
    """A worker's end of the pipe, where messages are spoiled or delayed on demand."""

    def __init__(self, conn: Any, orders: Orders, pause: Callable[[], None]) -> None:
        self._conn = conn
        self._orders = orders
        self._pause = pause

    def send_bytes(self, data: bytes) -> None:
        self._pause()
        seed = self._orders.spoil
        if not seed:
            self._conn.send_bytes(data)
            return
        self._orders.spoil = 0
        chance = random.Random(seed)
        chance.choice(SPOILERS)(self._conn, data, chance)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)


def program(orders: Orders) -> Callable[..., None]:
    """The workers' real program, open to what the faults below do to it."""
    serve, speculate, directly = worker.main, Speculator.run, Speculator._directly

    def main(conn: Any, life: Any, wanted: Any, inherited: Sequence[Any] = ()) -> None:
        chance = random.Random(os.getpid())

        def pause() -> None:
            if orders.dawdle:
                time.sleep(min(0.03, chance.expovariate(1e6 / orders.dawdle)))

        def run(self: Speculator, *args: Any) -> Any:
            pause()
            speculation = speculate(self, *args)
            pause()
            return speculation

        def hungry(self: Speculator, *args: Any) -> Any:
            bytearray(orders.hunger)
            return directly(self, *args)

        def out_of_memory(*_: Any) -> None:
            raise MemoryError

        def hang_up(*_: Any) -> None:
            with contextlib.suppress(OSError):
                os.close(conn.fileno())

        signal.signal(signal.SIGUSR1, out_of_memory)
        signal.signal(signal.SIGUSR2, hang_up)
        Speculator.run = run  # type: ignore[method-assign]
        Speculator._directly = hungry  # type: ignore[method-assign]
        serve(Line(conn, orders, pause), life, wanted, inherited)  # type: ignore[arg-type]

    return main


def _random_bytes(conn: Any, data: bytes, chance: random.Random) -> None:
    conn.send_bytes(chance.randbytes(chance.choice((0, 1, 4, 100, 10_000))))


def _random_frames(conn: Any, data: bytes, chance: random.Random) -> None:
    os.write(conn.fileno(), chance.randbytes(chance.choice((1, 4, 100, 10_000))))


def _truncated_pickle(conn: Any, data: bytes, chance: random.Random) -> None:
    conn.send_bytes(data[: chance.randrange(len(data))])


def _truncated_frame(conn: Any, data: bytes, chance: random.Random) -> None:
    os.write(conn.fileno(), struct.pack("!i", len(data)) + data[: chance.randrange(len(data))])
    os._exit(7)


def _wrong_shape(conn: Any, data: bytes, chance: random.Random) -> None:
    conn.send_bytes(wire.encode(misshapen(wire.decode(data), chance)))


SPOILERS = (
    _random_bytes,
    _random_frames,
    _truncated_pickle,
    _truncated_frame,
    _wrong_shape,
    _wrong_shape,
    _wrong_shape,
)

_ODD: tuple[Any, ...] = (None, 7, "text", b"\x00\xff", (), [], {}, 2.5, ValueError("odd"))


def misshapen(message: Any, chance: random.Random) -> Any:
    """The message with one part, anywhere in it, replaced by something of another type."""
    path = chance.choice(list(_places(message)))
    return _with_other(message, path, chance)


def _places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(part, dict):
        for number, value in enumerate(part.values()):
            yield (*path, ("key", number))
            yield from _places(value, (*path, ("value", number)))
    elif isinstance(part, tuple | list):
        for number, item in enumerate(part):
            yield from _places(item, (*path, ("item", number)))


def _with_other(part: Any, path: tuple[Any, ...], chance: random.Random) -> Any:
    if not path:
        # "No error" instead of an error, or another sequence, is no wrong shape but a lie, which
        # nobody could tell.
        sequence = isinstance(part, tuple | list)
        others = [
            odd for odd in _ODD if not isinstance(odd, tuple | list if sequence else type(part))
        ]
        if isinstance(part, Exception):
            others.remove(None)
        return chance.choice(others)
    (kind, place), rest = path[0], path[1:]
    if isinstance(part, dict):
        items = list(part.items())
        key, value = items[place]
        if kind == "key":
            others = [o for o in (None, 7, "text", b"\x00", (), 2.5) if type(o) is not type(key)]
            items[place] = (chance.choice(others), value)
        else:
            items[place] = (key, _with_other(value, rest, chance))
        return dict(items)
    changed = list(part)
    changed[place] = _with_other(changed[place], rest, chance)
    return tuple(changed) if isinstance(part, tuple) else changed


#
# Faults
#
class Fault(ABC):
    """Something that goes wrong once, at a random moment of a block."""

    name: str
    told: str
    """What it is, in a few words."""
    errors: tuple[type[BaseException], ...] = ()
    """What may come out of the block; nothing, unless a fault says otherwise."""
    deadline = 3.0

    @contextlib.contextmanager
    def armed(self, bench: Bench, chance: random.Random) -> Iterator[None]:
        """Within, it strikes: at a random time, or just before a random transaction is judged."""
        if chance.random() < 0.25:
            index = chance.randrange(bench.size)
            bench.before_judging[index] = lambda: self.strike(bench, chance)
            try:
                yield
            finally:
                bench.before_judging.clear()
            return
        # The time before anything speculates is short: it gets some strikes of its own.
        early = chance.random() < 0.2
        delay = chance.uniform(0, (0.1 if early else 1.1) * bench.usual)
        timer = threading.Timer(delay, lambda: self.strike(bench, chance))
        timer.start()
        try:
            yield
            timer.join()
        finally:
            timer.join()

    @abstractmethod
    def strike(self, bench: Bench, chance: random.Random) -> None: ...

    def clear_up(self, bench: Bench) -> None:  # noqa: B027
        """End what the fault left behind in the world outside; most leave nothing."""

    @staticmethod
    def send(number: int, bench: Bench, chance: random.Random) -> int | None:
        """Send a signal to one of the workers; there may be none at this moment."""
        pids = bench.pids()
        if not pids:
            return None
        pid = chance.choice(pids)
        bench.struck()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid


class Killed(Fault):
    name = "killed"
    told = "a worker is killed (SIGKILL)"

    def strike(self, bench: Bench, chance: random.Random) -> None:
        self.send(signal.SIGKILL, bench, chance)


class Stopped(Fault):
    """Half of the stopped workers go on, at about the time when they are given up."""

    name = "stopped"
    told = "a worker is stopped (SIGSTOP), half of them for a while only"
    deadline = 0.6

    def __init__(self) -> None:
        self._wakers: list[threading.Timer] = []

    def strike(self, bench: Bench, chance: random.Random) -> None:
        pid = self.send(signal.SIGSTOP, bench, chance)
        if pid is not None and chance.random() < 0.5:
            waker = threading.Timer(chance.uniform(0, 2 * self.deadline), _wake, [pid])
            self._wakers.append(waker)
            waker.start()

    def clear_up(self, bench: Bench) -> None:
        while self._wakers:
            self._wakers.pop().join()


def _wake(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


class HungUp(Fault):
    name = "pipe closed"
    told = "a worker's pipe is closed, at its own end or at both"

    def strike(self, bench: Bench, chance: random.Random) -> None:
        if chance.random() < 0.5:
            self.send(signal.SIGUSR2, bench, chance)
            return
        handles = [h for h in bench.pool()._handles if h is not None and not h.conn.closed]
        with contextlib.suppress(OSError, IndexError):
            descriptor = os.dup(chance.choice(handles).conn.fileno())
            with socket.socket(fileno=descriptor) as pipe:
                bench.struck()
                pipe.shutdown(socket.SHUT_RDWR)


class Garbage(Fault):
    name = "garbage"
    told = "a worker's message is random bytes, a truncated pickle, or of the wrong shape"

    def strike(self, bench: Bench, chance: random.Random) -> None:
        bench.struck()
        bench.orders.spoil = chance.getrandbits(63) or 1

    def clear_up(self, bench: Bench) -> None:
        if bench.orders.spoil:  # nobody said anything more
            bench.orders.spoil = 0
            bench.missed()


class Interrupted(Fault):
    """One in three is impatient: a second Ctrl-C comes while the first one is dealt with."""

    name = "interrupted"
    told = "Ctrl-C (SIGINT) reaches the coordinator, a third of the times twice"
    errors = (KeyboardInterrupt,)

    @contextlib.contextmanager
    def armed(self, bench: Bench, chance: random.Random) -> Iterator[None]:
        with _interruptible(bench), super().armed(bench, chance):
            yield

    def strike(self, bench: Bench, chance: random.Random) -> None:
        if chance.random() < 1 / 3:
            again = threading.Timer(chance.expovariate(200), os.kill, [os.getpid(), signal.SIGINT])
            bench.later(again.join)
            again.start()
        os.kill(os.getpid(), signal.SIGINT)


@contextlib.contextmanager
def _interruptible(bench: Bench) -> Iterator[None]:
    """Within, SIGINT interrupts; afterwards, and until the block is done with, it does nothing."""
    listening = True

    def interrupt(*_: Any) -> None:
        if listening:
            bench.struck()
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        listening = False
        bench.later(lambda: signal.signal(signal.SIGINT, before))


class InterruptedAtALine(Fault):
    """Finer than signals are: between any two lines of code, where signals hardly ever come."""

    name = "interrupted at a line"
    told = "SIGINT at a random line of the coordinator's code, ours or multiprocessing's"
    errors = (KeyboardInterrupt,)

    @contextlib.contextmanager
    def armed(self, bench: Bench, chance: random.Random) -> Iterator[None]:
        last = chance.randrange(1, bench.usual_lines)
        passed = 0

        def at_line(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal passed
            if event == "line":
                passed += 1
                if passed == last:
                    bench.struck(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}")
                    signal.raise_signal(signal.SIGINT)
            return at_line

        with _interruptible(bench), tracing(at_line):
            yield

    def strike(self, bench: Bench, chance: random.Random) -> None:
        raise NotImplementedError


@contextlib.contextmanager
def tracing(at_line: Callable[..., Any]) -> Iterator[None]:
    """Within, ``at_line`` is called for each line of the package and of multiprocessing."""

    def on_call(frame: FrameType, event: str, arg: Any) -> Any:
        name = frame.f_code.co_filename
        ours = "/parallel_evm/" in name or "/multiprocessing/" in name
        return at_line if ours and os.getpid() == owner else None

    owner = os.getpid()
    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(before)


class MemoryLimit(Fault):
    """The limit is lifted again after the block: the worker may live on. Memory that it asks for is
    refused (MemoryError). A stack that would have to grow cannot ask: then the kernel ends the
    worker (SIGSEGV), and pytest prints what it was at."""

    name = "memory limit"
    told = "a worker's address space is limited (RLIMIT_AS) to what it has"
    _HUNGER = 32 << 20

    def __init__(self) -> None:
        self._limited: dict[int, tuple[int, int]] = {}

    def strike(self, bench: Bench, chance: random.Random) -> None:
        bench.orders.hunger = self._HUNGER
        pids = bench.pids()
        if not pids:
            return
        pid = chance.choice(pids)
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, IndexError, ValueError):
            with open(f"/proc/{pid}/statm") as status:
                size = int(status.read().split()[0]) * resource.getpagesize()
            before = resource.prlimit(pid, resource.RLIMIT_AS)
            resource.prlimit(pid, resource.RLIMIT_AS, (size, before[1]))
            self._limited[pid] = before
            bench.struck()

    def clear_up(self, bench: Bench) -> None:
        bench.orders.hunger = 0
        while self._limited:
            pid, before = self._limited.popitem()
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_AS, before)


class OutOfMemory(Fault):
    name = "out of memory"
    told = "MemoryError in a worker, between any two bytecodes of it"

    def strike(self, bench: Bench, chance: random.Random) -> None:
        self.send(signal.SIGUSR1, bench, chance)


class DiskFull(Fault):
    name = "disk full"
    told = "the database has no room (ENOSPC) from a random write on"
    errors = (OSError,)

    @contextlib.contextmanager
    def armed(self, bench: Bench, chance: random.Random) -> Iterator[None]:
        bench.disk.room = chance.randrange(bench.usual_writes)
        bench.disk.when_full = bench.struck
        yield

    def strike(self, bench: Bench, chance: random.Random) -> None:
        raise NotImplementedError

    def clear_up(self, bench: Bench) -> None:
        bench.disk.room = None


class Delayed(Fault):
    """No fault, but workers that pause at random: before and after transactions, before replies."""

    name = "delays"
    told = "workers pause at random"

    @contextlib.contextmanager
    def armed(self, bench: Bench, chance: random.Random) -> Iterator[None]:
        bench.orders.dawdle = chance.choice((100, 1000, 3000))
        try:
            yield
        finally:
            bench.orders.dawdle = 0

    def strike(self, bench: Bench, chance: random.Random) -> None:
        raise NotImplementedError


FAULTS: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        Killed,
        Stopped,
        HungUp,
        Garbage,
        Interrupted,
        InterruptedAtALine,
        MemoryLimit,
        OutOfMemory,
        DiskFull,
    )
}


#
# The bench
#
@dataclass(frozen=True)
class Expected:
    """A block as stock py-evm made it."""

    encoded: bytes
    hash: bytes
    receipts: tuple[bytes, ...]


@dataclass(frozen=True)
class Strike:
    """What came of a block in which a fault struck."""

    phase: str
    outcome: str
    noticed: bool
    """Did it show: an error, a lost worker, or more executions than transactions?"""
    detail: str = ""


@functools.cache
def workload(name: str, transactions: int, blocks: int, seed: int) -> Workload:
    return build(
        name, transactions=transactions, accounts=8, blocks=blocks, hot_ratio=0.2, seed=seed
    )


@functools.cache
def expected(name: str, transactions: int, blocks: int, seed: int) -> tuple[Expected, ...]:
    made = workload(name, transactions, blocks, seed)
    chain = made.open()
    mined = [chain.mine_all(block)[0].imported_block for block in made.blocks]
    return tuple(
        Expected(rlp.encode(block), block.hash, receipts_of(chain, block)) for block in mined
    )


def receipts_of(chain: Any, block: Any) -> tuple[bytes, ...]:
    return tuple(receipt.encode() for receipt in block.get_receipts(chain.chaindb))


class Bench:
    """A parallel chain, its workers and its database, to which one fault after another happens."""

    def __init__(
        self,
        fault: Fault,
        *,
        scenario: str = "mixed",
        transactions: int = 6,
        blocks: int = 5,
        seed: int = 0,
    ) -> None:
        self.fault = fault
        self.size = transactions
        self.reports: list[BlockReport] = []
        self.orders = Orders()
        self.before_judging: dict[int, Callable[[], Any]] = {}
        self.phase = BEFORE
        self._struck: str | None = None
        self._detail = ""
        self._found: set[bytes] = set()
        self._later: list[Callable[[], Any]] = []
        self._workload = workload(scenario, transactions, blocks, seed)
        self.expected = expected(scenario, transactions, blocks, seed)
        self._config = ParallelConfig(
            workers=WORKERS,
            backend="process",
            min_transactions=1,
            worker_deadline=fault.deadline,
            on_block=self.reports.append,
        )
        self._chain_class: Any = parallelize(self._workload.chain_class, config=self._config)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Bench]:
        """Workers run with the faults built in, and each phase of a block is known."""
        close()
        with contextlib.ExitStack() as stack:
            for target, method, replacement in (
                (worker, "main", program(self.orders)),
                (ProcessSession, "start", self._watched_start()),
                (ProcessSession, "lanes", self._watched_lanes()),
                (ProcessSession, "result", self._watched_result()),
                (_Flow, "judge_all", self._watched_judging()),
            ):
                stack.enter_context(mock.patch.object(target, method, replacement))
            self._start_over()
            self._measure()
            yield self
        close()

    def pool(self) -> ProcessPool:
        pool = pool_for(self._config)
        assert isinstance(pool, ProcessPool)
        return pool

    def pids(self) -> list[int]:
        return self.pool().pids

    #
    # Where in the block are we?
    #
    def _watched_start(self) -> Any:
        start = ProcessSession.start

        def watched(session: Any, *args: Any, **options: Any) -> None:
            start(session, *args, **options)
            self.phase = SPECULATION

        return watched

    def _watched_lanes(self) -> Any:
        lanes = ProcessSession.lanes

        def watched(session: Any, *patience: float) -> Any:
            for index in sorted(self.before_judging):
                self.before_judging.pop(index)()
            self.phase = SPECULATION
            found = lanes(session, *patience)
            self.phase = JUDGING
            return found

        return watched

    def _watched_result(self) -> Any:
        result = ProcessSession.result

        def watched(session: Any, index: int, *patience: float) -> Any:
            action = self.before_judging.pop(index, None)
            if action is not None:
                action()
            self.phase = SPECULATION
            found = result(session, index, *patience)
            self.phase = JUDGING
            return found

        return watched

    def _watched_judging(self) -> Any:
        judge_all = _Flow.judge_all

        def watched(flow: Any) -> None:
            self.phase = JUDGING
            judge_all(flow)
            self.phase = AFTER

        return watched

    def struck(self, detail: str = "") -> None:
        """The fault strikes now."""
        if self._struck is None:
            self._struck = self.phase
            self._detail = detail

    def missed(self) -> None:
        """The fault found nothing to strike."""
        self._struck = None

    def later(self, action: Callable[[], Any]) -> None:
        """To be done when the block is over and whatever it raised was caught."""
        self._later.append(action)

    #
    # One block, and what came of it
    #
    def _start_over(self) -> None:
        self.disk = Disk(dict(self._workload.database))
        self._found.clear()
        self.chain = self._chain_class(self.disk)
        self._next = 0

    def _measure(self) -> None:
        """What a block takes when nothing happens."""
        seconds, writes = [], []
        lines = 0

        def count(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal lines
            lines += event == "line"
            return count

        for block in self.expected:
            started, written = time.perf_counter(), self.disk.written
            assert self._import(block).hash == block.hash
            seconds.append(time.perf_counter() - started)
            writes.append(self.disk.written - written)
        self.usual, self.usual_writes = max(seconds[1:] or seconds), min(writes)
        if isinstance(self.fault, InterruptedAtALine):
            self._start_over()
            for block in self.expected:
                with tracing(count):
                    self._import(block)
        self.usual_lines = max(2, lines // len(self.expected))
        self._start_over()
        self.descriptors = len(os.listdir("/proc/self/fd"))
        self.bystanders = children() - set(self.pids())

    def _import(self, wanted: Expected) -> Any:
        """Import a block as it comes from the network: nobody knows its senders."""
        block_class = self.chain.get_vm().get_block_class()
        block = rlp.decode(wanted.encoded, sedes=block_class)
        return self.chain.import_block(block).imported_block

    def mine(self, chance: random.Random) -> tuple[bytes, tuple[bytes, ...]]:
        """Mine the first block on a new chain: its hash and its receipts.

        Every second time the lanes are laid at random, so that speculations go wrong.
        """
        self._start_over()
        engine = self._chain_class.vm_configuration[0][1].parallel_engine
        forecaster: Any = engine._forecaster
        if chance.random() < 0.5:
            engine._forecaster = Misled(chance.getrandbits(32), WORKERS + 1)
        try:
            with self._patience() as waited, self.fault.armed(self, chance):
                transactions = cold(self.chain, self._workload.blocks[0])
                result, receipts, _ = self.chain.mine_all(transactions)
        finally:
            engine._forecaster = forecaster
        assert not waited, f"the block waited for {PATIENCE:g} seconds"
        return result.imported_block.hash, tuple(receipt.encode() for receipt in receipts)

    def strike(self, chance: random.Random) -> Strike | None:
        """Import the next block while the fault strikes; None when it found nothing to strike."""
        if self._next == len(self.expected):
            self._start_over()
        wanted = self.expected[self._next]
        parent = self.chain.get_canonical_head().hash
        self.phase, self._struck, self._detail = BEFORE, None, ""
        seen = len(self.reports)
        error: BaseException | None = None
        with self._patience() as waited:
            try:
                with self.fault.armed(self, chance):
                    imported = self._import(wanted)
                    self.phase = AFTER
                    assert imported.hash == wanted.hash, "another block"
            except BaseException as raised:
                error = raised
        while self._later:
            self._later.pop(0)()
        self.fault.clear_up(self)
        told = "" if error is None else "".join(traceback.format_exception(error))
        kind = type(error)
        error = None  # its frames hold processes and pipes that were given up
        lost = [loss for report in self.reports[seen:] for loss in report.lost_workers]
        again = any(report.reexecutions for report in self.reports[seen:])
        noticed = bool(told or lost or again)
        try:
            assert not waited, f"the block waited for {PATIENCE:g} seconds"
            if told:
                assert issubclass(kind, self.fault.errors), told
            outcome = self._aftermath(wanted, parent, bool(told))
        except Exception:
            outcome = WRONG
            self._detail += f"\n{told}\n{traceback.format_exc()}"
            self._start_over()
            self.descriptors = len(os.listdir("/proc/self/fd"))  # each leak counts once
        if self._struck is None and outcome != WRONG:
            return None
        return Strike(self._struck or self.phase, outcome, noticed, self._detail)

    def _aftermath(self, wanted: Expected, parent: bytes, raised: bool) -> str:
        """Check all that must hold now, and import the block again."""
        head = self.chain.get_canonical_head().hash
        assert head in (wanted.hash, parent), "the head is neither this block nor its parent"
        assert raised or head == wanted.hash, "no error and no block"
        self._check_database(wanted, head)
        before = len(self.reports)
        assert self._import(wanted).hash == wanted.hash, "another block at the second try"
        if self.reports[before].lost_workers:
            # It struck so late that only this block met it, which had to do with a worker less.
            assert self._import(wanted).hash == wanted.hash, "another block at the third try"
        assert all(report.fallback is None for report in self.reports[before:])
        assert self.chain.get_canonical_head().hash == wanted.hash
        block = self.chain.get_block_by_hash(wanted.hash)
        assert receipts_of(self.chain, block) == wanted.receipts
        self._check_leftovers()
        self._next += 1
        return SAME if head == wanted.hash else CLEAN

    def _check_database(self, wanted: Expected, head: bytes) -> None:
        """Stock py-evm finds a whole chain in the database."""
        stock = self._workload.chain_class(Disk(self.disk.content))
        header = stock.get_canonical_head()
        assert header.hash == head
        assert whole(self.disk.content, header.state_root, self._found), "the state has a hole"
        if head == wanted.hash:
            assert receipts_of(stock, stock.get_block_by_hash(head)) == wanted.receipts
        else:
            with contextlib.suppress(HeaderNotFound):
                stock.get_canonical_block_header_by_number(header.block_number + 1)
                raise AssertionError("half of a block was written")

    def _check_leftovers(self) -> None:
        """All workers are there again; besides them, nothing is."""
        pids = set(self.pids())
        assert len(pids) == WORKERS
        deadline = time.monotonic() + 2
        while (extra := children() - pids - self.bystanders) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not extra, f"processes left behind: {extra}"
        if len(os.listdir("/proc/self/fd")) > self.descriptors:
            gc.collect()
        count = len(os.listdir("/proc/self/fd"))
        assert count <= self.descriptors, f"{count} file descriptors, not {self.descriptors}"

    @contextlib.contextmanager
    def _patience(self) -> Iterator[list[bool]]:
        """Ends a block that waits by killing all workers."""
        waited: list[bool] = []

        def rescue() -> None:
            waited.append(True)
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)

        timer = threading.Timer(PATIENCE, rescue)
        timer.start()
        try:
            yield waited
        finally:
            timer.cancel()
            timer.join()


def children() -> set[int]:
    """Processes that this one started and that are not gone, zombies included."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as status:
            if int(status.read().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(name))
    return found


def whole(content: dict[bytes, bytes], root: bytes, known: set[bytes] | None = None) -> bool:
    """Is every node, every storage trie and every code of this state there?

    ``known``: nodes below which everything was found earlier. It grows.
    """
    known = set() if known is None else known
    seen: list[bytes] = []
    try:
        for leaf in _leaves(content, root, known, seen):
            _, _, storage_root, code_hash = rlp.decode(leaf)
            if code_hash != EMPTY_SHA3:
                content[code_hash]
            for _ in _leaves(content, storage_root, known, seen):
                pass
    except KeyError:
        return False
    known.update(seen)
    return True


def _leaves(
    content: dict[bytes, bytes], node: Any, known: set[bytes], seen: list[bytes]
) -> Iterator[bytes]:
    """The values of a trie, by the yellow paper alone (appendix D)."""
    if node in (b"", BLANK_ROOT_HASH):
        return
    if isinstance(node, bytes):
        if node in known:
            return
        seen.append(node)
        node = rlp.decode(content[node])
    if len(node) == 17:
        for child in node[:16]:
            yield from _leaves(content, child, known, seen)
        if node[16]:
            yield node[16]
    elif node[0][0] & 0x20:
        yield node[1]
    else:
        yield from _leaves(content, node[1], known, seen)
