"""ProcessPool: worker processes that serve one block after another, replaced when lost.

Responsible for: having workers where a block needs some, the names of rules towards them, and
ending them.
Talks to: `handle`, each worker; `conversation`, which is what a block gets of them.
Never: says or hears anything; waits for ever.
"""

from __future__ import annotations

import os
import threading
from typing import Any, ClassVar

from parallel_evm.errors import PoolClosedError
from parallel_evm.workers import worker
from parallel_evm.workers.conversation import ProcessSession
from parallel_evm.workers.handle import WorkerHandle
from parallel_evm.workers.interrupts import held_back
from parallel_evm.workers.pipes import starting
from parallel_evm.workers.session import BlockJob, CannotServe, Rules


class ProcessPool:
    """Started on first use; serves one block at a time, of whatever chain comes."""

    works_ahead: ClassVar[bool] = True

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

    def open(self, job: BlockJob, rules: Rules) -> ProcessSession:
        """Raises `PoolClosedError`, or `CannotServe` when workers cannot be started or reached.
        ``rules`` stay here: each worker derives its own."""
        if not self.usable:
            raise PoolClosedError("This worker pool was closed")
        return ProcessSession(job, self.handles(), self.rules_token, self.discard)

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
