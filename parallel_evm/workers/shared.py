"""The pools of this process, shared by every chain that is configured alike.

State of its own at module level (as only `translator.cache` has it, too): worker processes are a
resource of the process, like its file descriptors, and must be found again by every chain and
closed at exit.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from parallel_evm.config import ParallelConfig
from parallel_evm.workers.assistant import ProcessAssistant
from parallel_evm.workers.clerk import Clerk
from parallel_evm.workers.local import SerialPool, ThreadPool
from parallel_evm.workers.process import ProcessPool
from parallel_evm.workers.reader import Reader, ReadingProcess
from parallel_evm.workers.session import Pool

_lock = threading.Lock()
_process_pools: dict[tuple[int, str | None, float], ProcessPool] = {}
_assistants: dict[str | None, ProcessAssistant] = {}
_reading: dict[str | None, ReadingProcess] = {}


def pool_for(config: ParallelConfig) -> Pool:
    """The pool that serves this configuration; process pools are shared and started lazily."""
    processes = config.workers
    if config.backend == "auto":
        processes -= 1  # this process is one of them
    if config.backend == "serial" or not processes:
        return SerialPool()
    if config.backend == "thread":
        return ThreadPool(config.workers)
    key = (processes, config.start_method, config.worker_deadline)
    with _lock:
        pool = _process_pools.get(key)
        if pool is None or not pool.usable:
            pool = _process_pools[key] = ProcessPool(*key)
        return pool


def assistant_for(config: ParallelConfig) -> ProcessAssistant | None:
    """Who translates for the chains of this configuration, so far as they run in this process;
    None where the process is to be the only one. Its own process starts lazily."""
    if config.backend != "auto" or config.workers == 1:
        return None
    if not (config.translate and config.assistant):
        return None
    with _lock:
        return _assistants.setdefault(config.start_method, ProcessAssistant(config.start_method))


def reader_for(config: ParallelConfig) -> Reader | None:
    """Who reads ahead for one chain of this configuration; None where this process is to be the
    only one, or nothing is to overlap. The process behind it is shared, and starts lazily."""
    if config.backend not in ("auto", "process") or config.workers == 1 or not config.overlap:
        return None
    method = config.start_method
    with _lock:
        return Reader(_reading.setdefault(method, ReadingProcess(method)))


def close() -> None:
    """Stop all worker processes. Whoever needs them next starts new ones."""
    with _lock:
        pools = list(_process_pools.values())
        _process_pools.clear()
        clerks: list[Clerk[Any, Any]] = [*_assistants.values(), *_reading.values()]
    for pool in pools:
        pool.close()
    for clerk in clerks:
        clerk.close()


@contextmanager
def pool() -> Iterator[None]:
    """Worker processes live no longer than the ``with`` block.

    >>> with pool():
    ...     chain.import_block(block)  # doctest: +SKIP
    """
    try:
        yield
    finally:
        close()


atexit.register(close)
