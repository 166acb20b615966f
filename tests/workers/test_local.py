"""Pools inside this process: whose rules they run by."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from parallel_evm.errors import PoolClosedError
from parallel_evm.workers.local import SerialPool, ThreadPool

JOB: Any = object()


def test_threads_run_by_the_rules_they_are_given_derived_before_they_start() -> None:
    asked: list[Any] = []
    session = ThreadPool(2).open(JOB, lambda job: asked.append((job, threading.current_thread())))
    assert asked == [(JOB, threading.main_thread())]
    assert session.works_ahead
    session.close()


def test_where_nobody_works_ahead_nothing_is_derived() -> None:
    session = SerialPool().open(JOB, lambda job: pytest.fail("nobody runs anything"))
    assert not session.works_ahead
    assert session.probe([4, 7], []) == [None, None]
    assert session.result(4) is None
    session.close()


@pytest.mark.parametrize("pool", (SerialPool(), ThreadPool(2)))
def test_a_closed_pool_says_so(pool: SerialPool | ThreadPool) -> None:
    assert pool.usable
    pool.close()
    assert not pool.usable
    with pytest.raises(PoolClosedError):
        pool.open(JOB, lambda job: None)
