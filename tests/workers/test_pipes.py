"""A process at the other end of a pipe: started, heard, and ended for good."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from parallel_evm.workers import pipes
from parallel_evm.workers.pipes import Child, readable, set_timeouts, set_up, starting, watch

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts files in /proc")


def descriptors() -> int:
    """How many files are open in this process."""
    return len(os.listdir("/proc/self/fd"))


def echo(conn: Connection, word: str, inherited: Any) -> None:
    """Says what it was told at its start, then what it hears, until nobody is there any more."""
    set_up(inherited)
    conn.send(word)
    try:
        while True:
            conn.send(conn.recv())
    except EOFError:
        os._exit(7)


def dies(conn: Connection, inherited: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


Start = Callable[..., Child]


@pytest.fixture
def start() -> Iterator[Start]:
    children: list[Child] = []

    def start(
        program: Any = echo, *arguments: Any, method: str | None = None, **more: Any
    ) -> Child:
        arguments = arguments or (("hello",) if program is echo else ())
        children.append(Child(starting(method), "test", program, *arguments, seconds=5.0, **more))
        return children[-1]

    yield start
    for child in children:
        child.end()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_it_is_told_what_it_needs_and_answers(start: Start, method: str) -> None:
    child = start(echo, "good day", method=method)
    assert child.conn.recv() == "good day"
    child.conn.send([1, 2])
    assert child.conn.recv() == [1, 2]
    assert child.is_running() and child.status() is None
    assert child.pid is not None and child.pid != os.getpid()


def test_a_child_that_ends_by_itself_says_how(start: Start) -> None:
    killed, left = start(dies), start()
    killed.join(5)
    assert (killed.is_running(), killed.status()) == (False, -signal.SIGKILL)
    left.conn.recv()
    left.conn.close()
    left.join(5)
    assert (left.is_running(), left.status()) == (False, 7)


@needs_proc
def test_an_ended_child_holds_nothing_of_ours(start: Start) -> None:
    start().end()  # what processes share is opened with the first one
    before = descriptors()
    child = start()
    pid = child.pid
    assert pid is not None
    gc.disable()
    try:
        child.end()
        assert descriptors() == before
    finally:
        gc.enable()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert child.is_over and child.conn.closed
    assert (child.pid, child.is_running()) == (None, False)
    child.join(5)
    child.end()


def test_one_that_is_stopped_can_be_ended(start: Start) -> None:
    child = start()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    child.end()
    assert not child.is_running()


@needs_proc
@pytest.mark.parametrize("broken", ("start", "set_timeouts"))
def test_of_a_start_that_fails_nothing_is_left(
    start: Start, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no more")

    start().end()
    before = descriptors()
    target = starting(None).Process if broken == "start" else pipes
    monkeypatch.setattr(target, broken, fails)
    with pytest.raises(OSError, match="no more") as raised:  # keeps all that was begun
        start()
    assert descriptors() == before, raised
    assert multiprocessing.active_children() == []


def test_a_copy_of_our_end_keeps_nobody_alive(start: Start) -> None:
    """The second child closes what it has inherited: the first one sees that we are gone."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("nothing is inherited")
    first = start(method="fork")
    second = start(method="fork", others=[first.conn])
    assert (first.conn.recv(), second.conn.recv()) == ("hello", "hello")
    first.conn.close()
    first.join(5)
    assert first.status() == 7
    assert second.is_running()


def test_a_child_leaves_interrupts_to_us(start: Start) -> None:
    child = start()
    child.conn.recv()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGINT)
    child.conn.send("still there")
    assert child.conn.recv() == "still there"
    os.kill(child.pid, signal.SIGTERM)
    child.join(5)
    assert child.status() == -signal.SIGTERM


def test_by_fork_where_there_is_such_a_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = multiprocessing.get_all_start_methods()
    assert starting("spawn").get_start_method() == "spawn"
    assert starting(None).get_start_method() == ("fork" if "fork" in methods else "spawn")
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert starting(None).get_start_method() == "spawn"


@pytest.mark.parametrize("has_poll", (True, False))
def test_what_can_be_read(monkeypatch: pytest.MonkeyPatch, has_poll: bool) -> None:
    if not has_poll:
        monkeypatch.delattr(pipes.select, "poll")
    pairs = [multiprocessing.Pipe() for _ in range(3)]
    ours = [one for one, _ in pairs]
    assert list(readable(ours, 0)) == []
    pairs[1][1].send("something")
    pairs[2][1].close()  # an end is something, too
    assert set(map(id, readable(ours, 5.0))) == {id(ours[1]), id(ours[2])}
    for conn in (conn for pair in pairs for conn in pair):
        conn.close()


@pytest.mark.parametrize("has_poll", (True, False))
def test_whoever_watches_is_told_at_once(monkeypatch: pytest.MonkeyPatch, has_poll: bool) -> None:
    if not has_poll:
        monkeypatch.delattr(pipes.select, "poll")
    ours, theirs = multiprocessing.Pipe()
    speaks = watch(ours)
    for _ in range(2):
        assert not speaks()
        theirs.send("something")
        assert speaks() and speaks()
        ours.recv()
    theirs.close()  # an end is something, too
    assert speaks()
    ours.close()


@pytest.mark.parametrize("timeout", (0.05, 0.2))
def test_it_waits_for_as_long_as_it_is_told(timeout: float) -> None:
    ours, theirs = multiprocessing.Pipe()
    started = time.monotonic()
    assert list(readable([ours], timeout)) == []
    assert timeout - 0.01 <= time.monotonic() - started < timeout + 2
    ours.close()
    theirs.close()


def test_half_a_message_is_waited_for_no_longer_than_that() -> None:
    ours, theirs = multiprocessing.Pipe()
    set_timeouts(ours, 0.1)
    os.write(theirs.fileno(), b"\x00\x00\x01\x00half")
    with pytest.raises(OSError):
        ours.recv_bytes()
    with pytest.raises(OSError):  # nobody reads: the pipe is full at some time
        ours.send_bytes(bytes(1 << 24))
    ours.close()
    theirs.close()
