"""A process beside this one that fills one order after another: both ends of its pipe.

Responsible for: starting it when there is something to do, handing it orders, taking in what it
answers, and doing without it when it dies, hangs or fails.
Talks to: `pipes`.
Never: waits for an answer longer than it is told to (but for the rest of one that has begun to
arrive), or knows what the orders are about (`assistant` and `reader` do).

It has nothing to lose and is simply killed at the end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

from parallel_evm.workers.interrupts import held_back
from parallel_evm.workers.pipes import Child, readable, set_up, starting

MAX_WAITING: Final = 16
"""With more orders than that it does not keep up: who has another one had better fill it."""
DEADLINE_SECONDS: Final = 30.0
"""Orders take seconds at most. A process also has to start in this time."""
PIPE_SECONDS: Final = 3.0
"""Half a message is waited for no longer than this."""
MAX_LOSSES: Final = 3
"""After so many failures without an answer in between nobody is asked any more."""

_LOGGER: Final = logging.getLogger(__name__)
_LOOK_AROUND_SECONDS: Final = 1.0
"""How often it looks whether its parent is still there."""

Order = TypeVar("Order")
Answer = TypeVar("Answer")


class _Waiting(NamedTuple):
    order: Any
    deliver: Callable[[Any], None]
    lost: Callable[[], None]


class Clerk(ABC, Generic[Order, Answer]):
    """Somebody with a process of its own, which starts with the first order."""

    NAME: ClassVar[str]
    WORK: ClassVar[str]
    """What it does, for those who read that it is given up."""
    NICENESS: ClassVar[int] = 0
    """How far it makes way for everybody else."""
    VERSION: ClassVar[Any] = None
    """Of what it does: who has another one fills no orders."""

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

    @staticmethod
    @abstractmethod
    def fill(order: Any) -> Any:
        """Over there: what is answered, so that it can be pickled; None where it cannot be."""

    @staticmethod
    @abstractmethod
    def checked(content: Any) -> Any:
        """Here: an answer that arrived. Raises anything for what is none."""

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
        """Is there anything to take in?"""
        return bool(self._orders)

    @property
    def is_idle(self) -> bool:
        """Would it begin with an order at once?"""
        return not self._orders and self._losses < MAX_LOSSES

    def order(
        self, order: Order, deliver: Callable[[Answer | None], None], lost: Callable[[], None]
    ) -> bool:
        """Have it filled. ``deliver`` is called within `take_in` with what was made, None
        where it cannot be; ``lost`` where nobody will say. False: do it yourself."""
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

    def take_in(self, seconds: float = 0.0) -> None:
        """Deliver what is there, or comes within so many ``seconds``."""
        if self._is_copy():
            return
        done: _Waiting | None = None
        made: Answer | None = None
        try:
            with self._lock, self._or_lost() as gone:
                if not self._orders:
                    pass
                elif self._child is None:
                    raise RuntimeError("interrupted while it was asked")
                elif readable([self._child.conn], seconds):
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
                    self._context, self.NAME, serve, type(self), seconds=PIPE_SECONDS
                )
        # It is idle, so it reads this at once; and only then will there be an answer to read.
        self._child.conn.send_bytes(pickle.dumps((self.VERSION, self._orders[0].order), protocol=5))

    def _receive(self, conn: Connection) -> Answer | None:
        """Raises whatever goes wrong on the way. What went wrong over there cannot be made."""
        kind, content, cpu = pickle.loads(conn.recv_bytes())
        self._cpu = float(cpu)
        if kind == "failed":
            _LOGGER.warning("%s failed: %s", self.WORK, content)
        answer: Answer | None = None
        if kind != "failed" and content is not None:
            answer = self.checked(content)
        self._losses = 0
        return answer

    def _lose(self, error: BaseException) -> list[_Waiting]:
        self._end()
        if isinstance(error, Exception):  # else it was interrupted
            self._losses += 1
            if self._losses == MAX_LOSSES:
                _LOGGER.warning("%s is given up: %s", self.WORK, error)
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


def serve(
    conn: Connection, kind: type[Clerk[Any, Any]], inherited: Sequence[Connection] = ()
) -> None:
    """Fill orders until the coordinator is gone or kills this process."""
    parent = os.getppid()
    set_up(inherited)
    if kind.NICENESS and hasattr(os, "nice"):
        os.nice(kind.NICENESS)
    with contextlib.suppress(EOFError, OSError):
        while True:
            while not conn.poll(_LOOK_AROUND_SECONDS):
                if os.getppid() != parent:
                    return
            version, order = pickle.loads(conn.recv_bytes())
            if version != kind.VERSION:  # the package was exchanged while the other process ran
                return
            conn.send_bytes(pickle.dumps(_answer(kind, order), protocol=5))


def _answer(kind: type[Clerk[Any, Any]], order: Any) -> tuple[str, Any, float]:
    try:
        content = kind.fill(order)
    except Exception as error:
        return "failed", repr(error), time.process_time()
    return "made", content, time.process_time()
