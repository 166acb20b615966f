"""A process that translates bytecode while this one goes on: both ends of its pipe.

Responsible for: starting it when there is something to translate, handing it one order after
another, taking in what it made, and doing without it when it dies, hangs or fails. Talks to:
`translator.orders`, whose `Assistant` it is and whose `fill` it calls over there.
Never: waits for a translation, or decides what is translated or run.

It has nothing to lose and is simply killed at the end. It makes way for everybody else (`nice`).
"""

from __future__ import annotations

import contextlib
import logging
import marshal
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from types import CodeType
from typing import Any, Final, NamedTuple

from parallel_evm.translator.cache import VERSION
from parallel_evm.translator.orders import Lost, Order, fill
from parallel_evm.translator.translation import Made
from parallel_evm.workers.interrupts import held_back
from parallel_evm.workers.pipes import Child, readable, set_up, starting

MAX_WAITING: Final = 16
"""With more orders than that it does not keep up: who has another one had better fill it."""
DEADLINE_SECONDS: Final = 30.0
"""The longest translations take a second. A process also has to start in this time."""
PIPE_SECONDS: Final = 3.0
"""Half a message is waited for no longer than this."""
MAX_LOSSES: Final = 3
"""After so many failures without an answer in between nobody is asked any more."""

_LOGGER: Final = logging.getLogger(__name__)
_NICENESS: Final = 10
_LOOK_AROUND_SECONDS: Final = 1.0
"""How often it looks whether its parent is still there."""


class _Waiting(NamedTuple):
    order: Order
    deliver: Callable[[Made | None], None]
    lost: Lost


class ProcessAssistant:
    """An `Assistant` with a process of its own, which starts with the first order."""

    def __init__(self, start_method: str | None) -> None:
        self._context = starting(start_method)
        self._lock = threading.Lock()
        self._orders: deque[_Waiting] = deque()
        """The first one is being filled."""
        self._child: Child | None = None
        self._asked = 0.0
        self._losses = 0
        self._owner = os.getpid()
        self._past_cpu = self._cpu = 0.0

    @property
    def cpu(self) -> float:
        """CPU seconds that its processes have spent until their last answer."""
        return self._past_cpu + self._cpu

    @property
    def pids(self) -> list[int]:
        """The process, where there is one now."""
        child = self._child
        pid = None if child is None else child.pid
        return [] if pid is None else [pid]

    @property
    def is_awaited(self) -> bool:
        return bool(self._orders)

    def order(self, order: Order, deliver: Callable[[Made | None], None], lost: Lost) -> bool:
        if self._is_copy():
            return False
        with self._lock, self._or_lost() as gone:
            if self._losses >= MAX_LOSSES or len(self._orders) >= MAX_WAITING:
                return False
            self._orders.append(_Waiting(order, deliver, lost))
            if len(self._orders) == 1:
                self._ask()
        for waiting in gone:
            waiting.lost()
        return True

    def take_in(self) -> None:
        if self._is_copy():
            return
        done: _Waiting | None = None
        made: Made | None = None
        try:
            with self._lock, self._or_lost() as gone:
                if not self._orders:
                    pass
                elif self._child is None:
                    raise RuntimeError("interrupted while it was asked")
                elif readable([self._child.conn], 0):
                    made = self._receive(self._child.conn)
                    done = self._orders.popleft()
                    if self._orders:
                        self._ask()
                elif time.monotonic() - self._asked > DEADLINE_SECONDS:
                    raise TimeoutError(f"no answer for {DEADLINE_SECONDS:g} s")
        finally:
            if done is not None:
                done.deliver(made)
        for waiting in gone:
            waiting.lost()

    def close(self) -> None:
        """End the process. The next order starts another one. Idempotent."""
        if self._is_copy():
            return
        with self._lock:
            self._end()
            gone = self._drop()
        for waiting in gone:
            waiting.lost()

    def _is_copy(self) -> bool:
        """Is this what a fork left in another process? Nobody there can give back the lock, or
        would get the answers; what is awaited there is lost."""
        if self._owner == os.getpid():
            return False
        self._child = None
        for waiting in self._drop():
            waiting.lost()
        return True

    @contextlib.contextmanager
    def _or_lost(self) -> Iterator[list[_Waiting]]:
        """Whatever goes wrong within is a loss; yields what is lost. A Ctrl-C goes its way after
        that: who goes on with the chain must not wait for what nobody will deliver."""
        gone: list[_Waiting] = []
        try:
            yield gone
        except BaseException as error:
            gone += self._lose(error)
            if not isinstance(error, Exception):
                for waiting in gone:
                    waiting.lost()
                raise

    def _ask(self) -> None:
        """Send the first order."""
        self._asked = time.monotonic()
        if self._child is None:
            with held_back():
                self._child = Child(
                    self._context, "parallel-evm-translator", main, seconds=PIPE_SECONDS
                )
        # It is idle, so it reads this at once; and only then will there be an answer to read.
        self._child.conn.send_bytes(pickle.dumps((VERSION, self._orders[0].order), protocol=5))

    def _receive(self, conn: Connection) -> Made | None:
        """Raises whatever goes wrong on the way. What went wrong over there cannot be made."""
        kind, content, cpu = pickle.loads(conn.recv_bytes())
        self._cpu = float(cpu)
        if kind == "failed":
            _LOGGER.warning("Bytecode could not be translated: %s", content)
        if kind == "failed" or content is None:
            self._losses = 0
            return None
        operations, marshalled = content
        code = marshal.loads(marshalled)
        if not (
            isinstance(code, CodeType)
            and isinstance(operations, tuple)
            and all(isinstance(operation, str) for operation in operations)
        ):
            raise ValueError("no translation")
        self._losses = 0
        return Made(operations, code)

    def _lose(self, error: BaseException) -> list[_Waiting]:
        self._end()
        if isinstance(error, Exception):  # else it was interrupted
            self._losses += 1
            if self._losses == MAX_LOSSES:
                _LOGGER.warning(
                    "The process that translates bytecode is given up, this one does it: %s", error
                )
        return self._drop()

    def _end(self) -> None:
        child, self._child = self._child, None
        self._past_cpu, self._cpu = self.cpu, 0.0
        if child is not None:
            child.end()

    def _drop(self) -> list[_Waiting]:
        gone = list(self._orders)
        self._orders.clear()
        return gone


def main(conn: Connection, inherited: Sequence[Connection] = ()) -> None:
    """Fill orders until the coordinator is gone or kills this process."""
    parent = os.getppid()
    set_up(inherited)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    with contextlib.suppress(EOFError, OSError):
        while True:
            while not conn.poll(_LOOK_AROUND_SECONDS):
                if os.getppid() != parent:
                    return
            version, order = pickle.loads(conn.recv_bytes())
            if version != VERSION:  # the package was exchanged while the other process ran
                return
            conn.send_bytes(pickle.dumps(_answer(order), protocol=5))


def _answer(order: Order) -> tuple[str, Any, float]:
    try:
        made = fill(order)
        content = None if made is None else (made.operations, marshal.dumps(made.code))
    except Exception as error:
        return "failed", repr(error), time.process_time()
    return "made", content, time.process_time()
