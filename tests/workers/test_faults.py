"""Workers that die, stop, hang up or talk nonsense, and a coordinator that is interrupted.

Whatever happens to workers, the block is the one that stock py-evm mines, and the report names the
loss; the next block works; no process and no file descriptor is left behind. Here faults strike at
moments that were chosen; `test_campaign` lets them strike at random ones.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parallel_evm import BlockReport, ParallelConfig, close
from parallel_evm.workers import wire, worker
from parallel_evm.workers.handle import WorkerHandle
from parallel_evm.workers.process import ProcessPool
from parallel_evm.workers.shared import pool_for
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    CONTRACTS,
    GHOST,
    Act,
    Mined,
    Pen,
    mine,
    open_chain,
    parallel,
    state_of,
    words,
)

DEADLINE = 1.5
PATIENCE = 15
WORKERS = 2
RULES = fork("shanghai")
OPTIONS = {"backend": "process", "workers": WORKERS, "worker_deadline": DEADLINE}

ACTS = [
    Act(0, CONTRACTS["counter"]),
    Act(1, CONTRACTS["burner"], gas=120_000),
    Act(2, CONTRACTS["branch"]),
    Act(3, CONTRACTS["counter"]),
    Act(0, GHOST, value=5),
    Act(4, CONTRACTS["burner"], gas=120_000),
    Act(5, CONTRACTS["branch"]),
    Act(6, CONTRACTS["watcher"], data=words(GHOST)),
    Act(1, CONTRACTS["counter"]),
    Act(7, CONTRACTS["historian"], data=words(1)),
]


class Pair:
    """A stock chain and a parallel one with worker processes, given the same blocks."""

    def __init__(self) -> None:
        self.reports: list[BlockReport] = []
        self.stock = open_chain(RULES.chain_class, state_of("shanghai"))
        self.chain_class = parallel(RULES.chain_class, self.reports, misled=4, **OPTIONS)
        self.ours = open_chain(self.chain_class, state_of("shanghai"))

    def transactions(self) -> list[Any]:
        pen = Pen(RULES, self.stock)
        return [pen.sign(act) for act in ACTS]

    def mine(self, meanwhile: Callable[[], None] | None = None, after: float = 0) -> BlockReport:
        """Mine a block on both: it is the same. Returns what the parallel one reports.

        ``meanwhile`` is done by another thread, so many seconds after the parallel one began.
        """
        transactions = self.transactions()
        expected = mine(self.stock, transactions)
        assert isinstance(expected, Mined)
        with no_block_waits_for_ever(), happening(meanwhile, after):
            assert mine(self.ours, transactions) == expected
        assert self.reports[-1].fallback is None
        return self.reports[-1]

    def reopen(self) -> None:
        self.ours = self.chain_class(self.ours.chaindb.db)


@pytest.fixture
def pair() -> Iterator[Pair]:
    close()
    yield Pair()
    pids = worker_pids()
    close()
    for pid in pids:
        assert not is_running(pid)
    assert multiprocessing.active_children() == []


def worker_pids() -> list[int]:
    return list(pool_for(ParallelConfig(**OPTIONS)).pids)  # type: ignore[attr-defined, arg-type]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def no_block_waits_for_ever() -> Iterator[None]:
    """Ends a block that waits by killing all workers, and fails."""
    rescued = []

    def rescue() -> None:
        rescued.append(True)
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(PATIENCE, rescue)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    assert not rescued, f"the block waited for {PATIENCE} seconds"


@contextlib.contextmanager
def happening(action: Callable[[], None] | None, after: float) -> Iterator[None]:
    """Something that another thread does in so many seconds."""
    timer = threading.Timer(after, action or (lambda: None))
    timer.start()
    try:
        yield
    finally:
        timer.join()


def usual_seconds(pair: Pair) -> float:
    """How long the parallel chain's part of a block takes when nothing happens."""
    return max(pair.mine().seconds for _ in range(3))


#
# Death
#
def test_all_workers_killed_during_the_same_block(pair: Pair) -> None:
    pair.mine()
    for pid in worker_pids():
        os.kill(pid, signal.SIGKILL)
    # Found dead before the block, they are replaced and nothing is lost.
    assert pair.mine().lost_workers == ()

    def massacre() -> None:
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)

    pair.mine(massacre, after=usual_seconds(pair) / 2)


def test_the_report_names_how_a_worker_ended(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "main", answering(lambda *_: os.kill(os.getpid(), 9)))
    lost = pair.mine().lost_workers
    assert sorted(lost) == [f"worker {n}: killed by signal 9" for n in range(WORKERS)]
    assert all(t.worker is None for t in pair.reports[-1].transactions)


#
# Stopping and hanging
#
def test_stopped_worker(pair: Pair) -> None:
    pair.mine()
    stopped = worker_pids()[0]
    os.kill(stopped, signal.SIGSTOP)
    started = time.monotonic()
    report = pair.mine()
    assert time.monotonic() - started < DEADLINE + 5
    assert [loss.split(":")[0] for loss in report.lost_workers] == ["worker 0"]
    assert not is_running(stopped)
    assert pair.mine().lost_workers == ()


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(wire.OPEN, marks=pytest.mark.slow),
        pytest.param(wire.SENDERS, marks=pytest.mark.slow),
        wire.RUN,
    ],
)
def test_worker_that_hangs_and_gives_signs_of_life(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    monkeypatch.setattr(worker, "main", answering(lambda *_: time.sleep(60), moment))
    started = time.monotonic()
    report = pair.mine()
    assert time.monotonic() - started < 3 * DEADLINE + 5
    assert len(report.lost_workers) == WORKERS
    monkeypatch.undo()
    close()
    assert pair.mine().lost_workers == ()


#
# Nonsense
#
def answering(
    reply: Callable[[Any, tuple[Any, ...]], Any], moment: int = wire.RUN
) -> Callable[..., None]:
    """A worker's program that is fine until ``moment``, and then does something else."""

    def main(conn: Any, life: Any, wanted: Any, inherited: Any = ()) -> None:
        for other in inherited:
            other.close()
        threading.Thread(target=worker._live, args=(life, os.getppid()), daemon=True).start()
        while True:
            message = wire.decode(conn.recv_bytes())
            if message[0] == wire.STOP:
                return
            if message[0] == moment:
                reply(conn, message)
            elif message[0] == wire.SENDERS:
                conn.send_bytes(wire.encode((wire.RECOVERED, (), 0.0)))
            elif message[0] == wire.RUN:
                conn.send_bytes(wire.encode((wire.DONE, None, 0.0, 0.0, None)))

    return main


def _says(*parts: Any) -> Callable[[Any, Any], None]:
    return lambda conn, message: conn.send_bytes(wire.encode(tuple(parts)))


def _says_of_first(*parts: Any) -> Callable[[Any, Any], None]:
    return lambda conn, message: conn.send_bytes(
        wire.encode((wire.RESULTS, [(message[1][0], *parts)], [pickle.dumps(())]))
    )


def _writes(data: bytes) -> Callable[[Any, Any], None]:
    return lambda conn, message: os.write(conn.fileno(), data) and None


NO_DETAILS = pickle.dumps((({},) * 9, None))
NONSENSE: dict[str, tuple[int, Callable[[Any, Any], Any]]] = {
    "no pickle": (wire.RUN, lambda conn, _: conn.send_bytes(b"\x00\xffgarbage")),
    "nothing": (wire.RUN, lambda conn, _: conn.send_bytes(b"")),
    "no message": (wire.RUN, _says()),
    "unknown tag": (wire.RUN, _says(99)),
    "frame of 2 GB": (wire.RUN, _writes(b"\x7f\xff\xff\xff" + b"garbage")),
    "frame of all there is": (wire.RUN, _writes(b"\xff" * 64)),
    "half a message": (wire.RUN, _writes(b"\x00\x00\x01\x00" + b"\x80\x05")),
    "results missing": (wire.RUN, _says(wire.RESULTS)),
    "results no list": (wire.RUN, _says(wire.RESULTS, 5, [])),
    "results no speculations": (wire.RUN, _says(wire.RESULTS, [5], [b""])),
    "result of another": (
        wire.RUN,
        _says(wire.RESULTS, [(77, None, 0.0, None)], [NO_DETAILS]),
    ),
    "result with odd parts": (wire.RUN, _says_of_first(*[None] * 2)),
    "result of nothing": (wire.RUN, _says_of_first(*[None] * 3)),
    "outcome of nothing": (wire.RUN, _says_of_first((), 0.0, None)),
    "details of nothing": (wire.RUN, _says_of_first(None, 0.0, None)),
    "done missing": (wire.RUN, _says(wire.DONE)),
    "done too early": (wire.RUN, _says(wire.DONE, None, 0.0, 0.0, None)),
    "done at no time": (wire.RUN, _says(wire.DONE, None, "x", 0.0, None)),
    "done with no sum": (wire.RUN, _says(wire.DONE, None, 0.0, 0.0, ({},) * 8)),
    "sum of nothing": (wire.RUN, _says(wire.DONE, None, 0.0, 0.0, ({},) * 9)),
    "fetch of nothing": (wire.RUN, _says(wire.FETCH, 5)),
    "fetch of the unknown": (wire.RUN, _says(wire.FETCH, [(1, 2, 3, 4)])),
    "senders instead": (wire.RUN, _says(wire.RECOVERED, [b"\1" * 20], None)),
    "senders missing": (wire.SENDERS, _says(wire.RECOVERED)),
    "senders no list": (wire.SENDERS, _says(wire.RECOVERED, 5, 0.0)),
    "senders no addresses": (
        wire.SENDERS,
        lambda conn, message: _says(wire.RECOVERED, [5] * len(message[1]), 0.0)(conn, message),
    ),
    "too few senders": (wire.SENDERS, _says(wire.RECOVERED, [], 0.0)),
    "too many senders": (wire.SENDERS, _says(wire.RECOVERED, [None] * 9999, 0.0)),
    "end of program": (wire.RUN, lambda *_: os._exit(3)),
    "end of program at once": (wire.OPEN, lambda *_: os._exit(0)),
    "pipe closed": (wire.RUN, lambda conn, _: os.close(conn.fileno())),
}


QUICKLY = (
    "no pickle",
    "frame of all there is",
    "results no speculations",
    "done missing",
    "senders no addresses",
    "too few senders",
    "end of program",
    "pipe closed",
)
# These are lies that a worker could also tell the truth with: nobody is lost.
HARMLESS = {"done too early", "too few senders", "sum of nothing"}


def _marks(what: str) -> list[Any]:
    return [] if what in QUICKLY else [pytest.mark.slow]


@pytest.mark.parametrize("what", [pytest.param(what, marks=_marks(what)) for what in NONSENSE])
def test_nonsense(pair: Pair, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    moment, reply = NONSENSE[what]
    monkeypatch.setattr(worker, "main", answering(reply, moment))
    report = pair.mine()
    assert what in HARMLESS or len(report.lost_workers) == WORKERS
    assert {t.worker for t in report.transactions} == {None}
    monkeypatch.undo()
    close()
    assert pair.mine().lost_workers == ()


def test_a_worker_that_cannot_take_a_block_says_so(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_(self: Any, *_: Any) -> None:
        self._failure = "not today"

    monkeypatch.setattr(worker.Worker, "_open", open_)
    report = pair.mine()
    assert all("not today" in loss for loss in report.lost_workers)
    assert len(report.lost_workers) == WORKERS


#
# The coordinator
#
@pytest.mark.parametrize("tag", [wire.OPEN, wire.SENDERS, wire.RUN])
def test_answers_of_an_interrupted_block_are_not_taken_for_the_next_ones(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, tag: int
) -> None:
    """The interrupt comes when the question was asked and nobody had noted it yet."""
    pair.mine()
    transactions = pair.transactions()
    send = WorkerHandle.send

    def interrupted(self: Any, message: tuple[Any, ...]) -> None:
        send(self, message)
        if message[0] == tag:
            raise KeyboardInterrupt

    monkeypatch.setattr(WorkerHandle, "send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pair.ours.mine_all(transactions)
    monkeypatch.undo()
    pair.reopen()
    # Same indices, other senders and values.
    pen = Pen(RULES, pair.stock)
    others = [pen.sign(Act(7 - n % 8, GHOST, value=n + 1)) for n in range(len(transactions))]
    assert mine(pair.ours, others) == mine(pair.stock, others)


def test_file_descriptors_do_not_leak(pair: Pair) -> None:
    pair.mine()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)
        pair.mine()
    assert len(os.listdir("/proc/self/fd")) <= before


SCRIPT = """
    import os, sys, time
    sys.path.insert(0, {root!r})
    from tests.workers.test_faults import Pair, worker_pids

    if __name__ == "__main__":
        pair = Pair()
        pair.mine()
        print(*worker_pids(), flush=True)
        {end}
"""


def run_script(tmp_path: Path, end: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A program that mines a block, prints its workers' pids, and then ends in some way."""
    root = str(Path(__file__).parents[2])
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT).format(root=root, end=end))
    program = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    return program, [int(pid) for pid in program.stdout.readline().split()]


def gone(pids: list[int], within: float) -> bool:
    until = time.monotonic() + within
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(is_running, pids))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("pass", 0),
        ("raise KeyboardInterrupt", 130),
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("os.kill(os.getpid(), 9)", -9),
        ("os.kill(os.getpid(), 15)", -15),
        ("os.abort()", -6),
    ],
)
def test_workers_end_with_their_program(tmp_path: Path, end: str, status: int) -> None:
    program, pids = run_script(tmp_path, end)
    assert len(pids) == WORKERS
    _, errors = program.communicate(timeout=30)
    assert program.returncode in (status, -signal.SIGINT if status == 130 else status)
    assert gone(pids, within=5)
    if status != 130:
        assert errors == ""


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_workers_and_coordinator_together(tmp_path: Path) -> None:
    program, pids = run_script(tmp_path, "exec('while True: pair.mine()')")
    for _ in range(3):
        time.sleep(0.4)
        os.killpg(program.pid, signal.SIGINT)
        if program.poll() is not None:
            break
    _, errors = program.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert "parallel-evm-worker" not in errors
    assert gone(pids, within=5)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts files in /proc")
def test_a_killed_worker_holds_no_file_descriptor_until_it_is_collected() -> None:
    """A Ctrl-C that strikes the collector is lost, and with it what was to be closed there."""
    pool = ProcessPool(1, None, DEADLINE)
    (first,) = pool.handles()  # the memory that processes share is a file, and stays
    first.kill()
    before = len(os.listdir("/proc/self/fd"))
    (handle,) = pool.handles()
    assert handle.is_alive()
    pid = handle.pid
    assert pool.pids == [pid]
    handle.kill()
    assert len(os.listdir("/proc/self/fd")) == before
    handle.kill()
    handle.stop()
    assert (handle.is_alive(), handle.pid, handle.how_it_ended()) == (False, None, "was killed")
    assert pool.pids == []
    (successor,) = pool.handles()
    assert successor.pid not in (None, pid)
    pool.close()
