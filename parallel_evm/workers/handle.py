"""One worker process as the coordinator knows it.

Responsible for: sending to it and hearing from it, saying whether it is alive and how it ended, and
ending it. Whatever goes wrong with it is a `WorkerLost`, whose text reports show.
Talks to: `pipes`; over there runs `worker`.
Never: knows what a message means, or replaces a worker (the pool does).
"""

from __future__ import annotations

import contextlib
import time
from multiprocessing.connection import Connection
from typing import Any, Final

from parallel_evm.errors import WorkerLost
from parallel_evm.workers import wire, worker
from parallel_evm.workers.knowledge import Knowledge
from parallel_evm.workers.pipes import Child

_LARGEST_MESSAGE: Final = 1 << 30
_START_SECONDS: Final = 60.0
"""How long a process may take until its first sign of life (spawn imports everything)."""


class WorkerHandle:
    """A worker, from its start to its end."""

    def __init__(
        self, number: int, context: Any, deadline: float, others: list[Connection]
    ) -> None:
        """``deadline``: for so many seconds it may be silent. ``others``: our ends of the pipes to
        other workers. Raises what the system raises where it cannot be started."""
        self.number = number
        self._deadline = deadline
        self._life = context.RawValue("d", 0.0)
        self.wanted = context.RawValue("q", 0)
        """Shared memory: so many of the senders that it is asked for it need find. It looks there
        now and then."""
        self._started = self._heard = time.monotonic()
        self._child = Child(
            context,
            f"parallel-evm-worker-{number}",
            worker.main,
            self._life,
            self.wanted,
            seconds=deadline,
            others=others,
        )
        self.conn = self._child.conn
        self.knows = Knowledge()
        self.owes = False
        """Was it asked for something that it has not delivered, or told only half of something? If
        that outlives the session (an interrupt came in between), it must not serve another one."""

    def send(self, message: tuple[Any, ...]) -> None:
        """Raises `WorkerLost` when the worker does not take it."""
        data = wire.encode(message)
        if not self.is_alive():
            raise self.lost(self.how_it_ended())
        self._heard = time.monotonic()  # from now on it may be late
        try:
            self.conn.send_bytes(data)
        except (OSError, ValueError) as error:
            raise self.lost(f"does not take messages ({error})") from error

    def receive(self) -> tuple[Any, ...]:
        """The next message; call only when there is one. Raises `WorkerLost`."""
        try:
            message = wire.decode(self.conn.recv_bytes(_LARGEST_MESSAGE))
        except (EOFError, ConnectionError) as error:
            self._child.join(0.2)
            raise self.lost(self.how_it_ended()) from error
        except Exception as error:
            raise self.nonsense(error) from error
        self._heard = time.monotonic()
        return message

    def has_spoken(self) -> bool:
        """Is there a message, or an end?"""
        return bool(self._child.speaks())

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def is_alive(self) -> bool:
        """Is the process there, and has it given a sign of life recently?"""
        if not self._child.is_running():
            return False
        last = self._life.value
        if last == 0.0:
            return time.monotonic() - self._started < _START_SECONDS
        return bool(time.monotonic() - last < self._deadline)

    def is_silent(self) -> bool:
        """Has it owed us an answer for too long, alive or not?"""
        return time.monotonic() - self._heard > self._deadline

    def how_it_ended(self) -> str:
        if self._child.is_over:
            return "was killed"
        status = self._child.status()
        if status is None:
            return f"no sign of life for {self._deadline:g} s"
        return f"killed by signal {-status}" if status < 0 else f"exited with status {status}"

    def lost(self, why: str) -> WorkerLost:
        return WorkerLost(f"worker {self.number}: {why}")

    def nonsense(self, error: Exception) -> WorkerLost:
        """What it said is not what such a worker can say."""
        return self.lost(f"answers nonsense ({error})")

    def kill(self) -> None:
        """Idempotent."""
        self._child.end()

    def stop(self) -> None:
        """Ask politely, then kill."""
        with contextlib.suppress(WorkerLost):
            self.send((wire.STOP,))
        with contextlib.suppress(OSError):
            self.conn.close()  # a worker that was waiting for us sees the end of the pipe
        self._child.join(1)
        self.kill()
