"""One worker: what is said of it when it dies, hangs or talks nonsense."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

from parallel_evm.errors import WorkerLost
from parallel_evm.workers import handle as module
from parallel_evm.workers import wire, worker
from parallel_evm.workers.handle import WorkerHandle
from parallel_evm.workers.pipes import Child, set_up, starting

DEADLINE = 0.4


def parrot(conn: Connection, life: Any, wanted: Any, inherited: Any = ()) -> None:
    """Gives one sign of life and repeats what it hears, as bytes."""
    set_up(inherited)
    life.value = time.monotonic()
    while True:
        said = conn.recv_bytes()
        message = wire.decode(said)
        if message[0] == wire.STOP:
            os._exit(0)
        if message[0] == wire.CANCEL:
            os._exit(3)
        conn.send_bytes(message[1] if message[0] == wire.ANSWER else said)


def silent(conn: Connection, life: Any, wanted: Any, inherited: Any = ()) -> None:
    time.sleep(60)


def started() -> WorkerHandle:
    return WorkerHandle(5, starting("fork"), DEADLINE, [])


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerHandle]:
    monkeypatch.setattr(worker, "main", parrot)
    subject = started()
    yield subject
    subject.kill()


def test_messages_come_and_go(handle: WorkerHandle) -> None:
    handle.send((wire.RUN, {"of": [1]}))
    assert handle.receive() == (wire.RUN, {"of": [1]})


@pytest.mark.parametrize("said", [b"", b"\x80half a pickle", wire.encode(()), b"\x80\x05N."])
def test_nonsense(handle: WorkerHandle, said: bytes) -> None:
    handle.send((wire.ANSWER, said))
    with pytest.raises(WorkerLost, match=r"^worker 5: answers nonsense"):
        handle.receive()


def test_the_end_of_the_program(handle: WorkerHandle) -> None:
    handle.send((wire.CANCEL,))
    with pytest.raises(WorkerLost, match=r"^worker 5: exited with status 3$"):
        handle.receive()
    with pytest.raises(WorkerLost, match=r"^worker 5: exited with status 3$"):
        handle.send((wire.BEGIN,))
    assert not handle.is_alive()


def test_a_signal(handle: WorkerHandle) -> None:
    assert handle.pid is not None
    os.kill(handle.pid, signal.SIGKILL)
    with pytest.raises(WorkerLost, match=r"^worker 5: killed by signal 9$"):
        handle.receive()


def test_one_that_was_killed_from_here(handle: WorkerHandle) -> None:
    handle.kill()
    assert (handle.pid, handle.is_alive()) == (None, False)
    with pytest.raises(WorkerLost, match=r"^worker 5: was killed$"):
        handle.send((wire.BEGIN,))
    handle.stop()


def test_one_that_is_asked_to_stop_ends_by_itself(
    handle: WorkerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int | None] = []
    end = Child.end

    def noted(child: Child) -> None:
        ended.append(child.status())
        end(child)

    with monkeypatch.context() as changed:
        changed.setattr(Child, "end", noted)
        handle.stop()
    assert ended == [0]


def test_without_signs_of_life_it_is_not_alive(handle: WorkerHandle) -> None:
    handle.send((wire.BEGIN,))
    handle.receive()
    assert handle.is_alive()
    time.sleep(DEADLINE + 0.1)
    assert not handle.is_alive()
    assert handle.how_it_ended() == "no sign of life for 0.4 s"


def test_until_the_first_one_it_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "main", silent)
    subject = started()
    try:
        time.sleep(DEADLINE + 0.1)
        assert subject.is_alive()
        monkeypatch.setattr(module, "_START_SECONDS", DEADLINE)
        assert not subject.is_alive()
    finally:
        subject.kill()


def test_it_is_late_from_when_it_was_asked(handle: WorkerHandle) -> None:
    time.sleep(DEADLINE + 0.1)
    assert handle.is_silent()
    handle._life.value = time.monotonic()
    handle.send((wire.BEGIN,))
    assert not handle.is_silent()
    time.sleep(DEADLINE + 0.1)
    assert handle.is_silent()
    handle.receive()
    assert not handle.is_silent()


def test_one_that_takes_nothing(handle: WorkerHandle) -> None:
    handle.conn.close()
    with pytest.raises(WorkerLost, match=r"^worker 5: does not take messages"):
        handle.send((wire.BEGIN,))
