"""A process of ours and the pipe to it: how it is started, listened to and ended.

Responsible for: the `Child`, which is such a process and our end of its pipe; waiting until there
is something to read; what every such process does at its beginning.
Talks to: the operating system. Never: knows what is said through a pipe, or by whom.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

from parallel_evm.workers.interrupts import held_back


def starting(method: str | None) -> Any:
    """The context that starts processes so; None: by fork, where there is such a thing."""
    if method is None:
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    return multiprocessing.get_context(method)


class Child:
    """A process that was started, and our end of the pipe to it."""

    def __init__(
        self,
        context: Any,
        name: str,
        program: Callable[..., None],
        *arguments: Any,
        seconds: float,
        others: Sequence[Connection] = (),
    ) -> None:
        """``program`` is called over there with the other end of the pipe, ``arguments``, and what
        it has to close (`set_up`). ``seconds``: half a message is waited for no longer than this.
        ``others``: our ends of other pipes, of which a fork makes copies.

        Raises what the system raises when it has no more processes or files; nothing is left then.
        An interrupt is to be `held_back` until somebody knows the child.
        """
        self.conn: Connection
        self.conn, theirs = context.Pipe(duplex=True)
        inherited = [*others, self.conn] if context.get_start_method() == "fork" else []
        try:
            self._process = context.Process(
                target=program, args=(theirs, *arguments, inherited), name=name, daemon=True
            )
            self._process.start()
        except BaseException:
            self.conn.close()
            raise
        finally:
            theirs.close()
        self._pid: int = self._process.pid
        self.speaks = watch(self.conn)
        """Is there anything to read, or an end?"""
        self.is_over = False
        """Was it ended from here?"""
        try:
            set_timeouts(self.conn, seconds)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int | None:
        """None once it was ended: the number may be another process's."""
        return None if self.is_over else self._pid

    def is_running(self) -> bool:
        return not self.is_over and bool(self._process.is_alive())

    def status(self) -> int | None:
        """With which it ended by itself, or minus the signal's number; None: it runs. Not to be
        asked once it was ended from here."""
        status: int | None = self._process.exitcode
        return status

    def join(self, seconds: float) -> None:
        """Wait for its end, but not longer than this."""
        if not self.is_over:
            self._process.join(seconds)

    def end(self) -> None:
        """Idempotent. What it held of ours is free afterwards, and not when it is collected: a
        Ctrl-C that strikes the collector loses file descriptors."""
        with held_back():
            if self.is_over:
                return
            with contextlib.suppress(OSError):
                self._process.kill()
            self._process.join(5)
            with contextlib.suppress(OSError):
                self.conn.close()
            self.is_over = True
            with contextlib.suppress(ValueError):  # five seconds were not enough
                self._process.close()


def set_up(inherited: Iterable[Connection]) -> None:
    """The beginning of a child's program, over there.

    ``inherited``: our ends of pipes. As long as a copy is open, nobody sees that we are gone.
    """
    for conn in inherited:
        with contextlib.suppress(OSError):
            conn.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()  # what was inherited is never garbage: do not touch its pages


def watch(conn: Connection) -> Callable[[], Sequence[Any]]:
    """What says without waiting whether there is anything to read, or an end: for those who ask
    again and again."""
    if not hasattr(select, "poll"):
        return lambda: connection.wait([conn], 0)
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    return lambda: poll.poll(0)


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
