"""Ctrl-C while processes are started or ended: it comes, but afterwards."""

from __future__ import annotations

import signal
import threading

import pytest

from parallel_evm.workers.interrupts import held_back


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_waits_for_the_end() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), held_back():
        interrupt()
        interrupt()
        done = True
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_happens_where_nothing_interrupts() -> None:
    with held_back():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_waits_for_the_outermost_end() -> None:
    passed = 0
    with pytest.raises(KeyboardInterrupt), held_back():
        with held_back():
            interrupt()
        passed += 1
    assert passed


def test_an_error_within_does_not_swallow_the_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt) as raised, held_back():
        interrupt()
        raise ValueError
    assert isinstance(raised.value.__context__, ValueError)


def test_an_ignored_interrupt_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_back():
            interrupt()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_are_never_interrupted() -> None:
    passed = []

    def work() -> None:
        with held_back():
            passed.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert passed == [signal.default_int_handler]
