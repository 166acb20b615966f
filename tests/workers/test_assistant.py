"""The process that translates meanwhile: what it makes, and that nobody notices when it fails."""

from __future__ import annotations

import logging
import marshal
import multiprocessing
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eth.vm import forks

from parallel_evm import ParallelConfig, close, parallelize
from parallel_evm.translator.orders import Order, described, fill
from parallel_evm.translator.translation import Made, Wanted
from parallel_evm.workers import clerk as module
from parallel_evm.workers import shared
from parallel_evm.workers.assistant import ProcessAssistant
from parallel_evm.workers.clerk import MAX_LOSSES, MAX_WAITING
from parallel_evm.workers.shared import assistant_for
from parallel_evm.workloads import build

PATIENCE = 20.0
"""Seconds. What has not come by then never comes."""

OPCODES = forks.CancunVM.get_state_class().computation_class.opcodes
TABLE = described(OPCODES, False)
# Counts slot 0 up, three times.
COUNTER = bytes.fromhex("6003 5b 60005460010160005560019003 80600257 00")
LOST = "lost"


def order_of(content: bytes = COUNTER, pc: int = 0) -> Order:
    assert TABLE is not None
    return Order(TABLE, content, {0: 2, 2: 2}, Wanted(pc))


IMPOSSIBLE = replace(order_of(), table=(False, ((0, "ThereIsNoVM"),)))


class Asked:
    """What became of orders."""

    def __init__(self, assistant: ProcessAssistant) -> None:
        self.assistant = assistant
        self.answers: dict[int, Any] = {}
        """By the number of the order: what was made, or LOST."""
        self.came: list[int] = []
        self._count = 0

    def order(self, order: Order | None = None) -> bool:
        number, self._count = self._count, self._count + 1

        def settle(answer: Any) -> None:
            assert number not in self.answers
            self.answers[number] = answer
            self.came.append(number)

        return self.assistant.order(order or order_of(), settle, lambda: settle(LOST))

    def wait(self) -> list[Any]:
        """Take in whatever comes; all answers, in the order in which they came."""
        until(lambda: not self.assistant.is_awaited, self.assistant.take_in)
        return [self.answers[number] for number in self.came]


def until(is_so: Callable[[], bool], do: Callable[[], None] = lambda: None) -> None:
    late = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < late
        do()
        time.sleep(0.002)


def is_there(pid: int) -> bool:
    """Is there such a process, be it a zombie?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def descriptors() -> int:
    """How many files are open in this process."""
    return len(os.listdir("/proc/self/fd"))


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts files in /proc")


@pytest.fixture
def assistant() -> Iterator[ProcessAssistant]:
    made = ProcessAssistant(None)
    yield made
    made.close()


@pytest.fixture
def asked(assistant: ProcessAssistant) -> Asked:
    return Asked(assistant)


@pytest.fixture
def forked(asked: Asked) -> Asked:
    """What is changed in this process is changed in that one, too."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork here")
    return asked


# -- orders --------------------------------------------------------------------------------------


def test_nothing_is_started_before_the_first_order(assistant: ProcessAssistant) -> None:
    assistant.take_in()
    assert not assistant.is_awaited
    assert assistant.pids == []
    assistant.close()


def test_an_order_is_filled_by_another_process(asked: Asked) -> None:
    assert asked.order()
    assert asked.assistant.is_awaited
    (pid,) = asked.assistant.pids
    assert pid != os.getpid() and is_there(pid)
    (made,) = asked.wait()
    assert made == fill(order_of())
    assert asked.assistant.pids == [pid]


def test_orders_are_filled_one_after_the_other(asked: Asked) -> None:
    ordered = [order_of(COUNTER + bytes([number]), (0, 2)[number % 2]) for number in range(12)]
    assert all(map(asked.order, ordered))
    assert asked.wait() == list(map(fill, ordered))
    assert asked.came == list(range(12))


def test_a_trail_that_leads_nowhere(asked: Asked) -> None:
    recording = (0, b"", (0,), ())
    trail = (recording, (10**6, 0, recording))  # a way out that is not there
    order = replace(order_of(), wanted=Wanted((0, b"", 10**6), trail))
    assert asked.order(order)
    assert asked.order()
    nothing, made = asked.wait()
    assert nothing is None
    assert isinstance(made, Made)


def test_its_time_is_known(asked: Asked) -> None:
    """Also that of a process that is not there any more."""
    spent = [asked.assistant.cpu]
    for _ in range(3):
        assert asked.order()
        asked.wait()
        spent.append(asked.assistant.cpu)
    assert spent[0] == 0
    assert spent == sorted(set(spent))
    asked.assistant.close()
    assert asked.assistant.cpu == spent[-1]
    assert asked.order()
    asked.wait()
    assert asked.assistant.cpu > spent[-1]


def test_no_more_than_so_many_orders_wait(asked: Asked) -> None:
    assert [asked.order() for _ in range(MAX_WAITING + 1)] == [True] * MAX_WAITING + [False]
    assert len(asked.wait()) == MAX_WAITING
    assert asked.order()
    assert asked.wait()[-1] == fill(order_of())


def test_who_is_not_answered_yet_is_not_kept_waiting(asked: Asked) -> None:
    assert asked.order()
    (pid,) = asked.assistant.pids
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    for _ in range(100):
        asked.assistant.take_in()
        assert asked.assistant.is_awaited
    assert time.monotonic() - started < 2
    os.kill(pid, signal.SIGCONT)
    assert asked.wait() == [fill(order_of())]


@pytest.mark.slow
@pytest.mark.parametrize("method", ("spawn", "forkserver"))
def test_other_ways_to_start_it(method: str) -> None:
    """It makes the same, with another seed for hashes; also when it had nothing to do for long."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    assistant = ProcessAssistant(method)
    asked = Asked(assistant)
    try:
        assert asked.order()
        assert asked.wait() == [fill(order_of())]
        pids = assistant.pids
        time.sleep(2.5 * module._LOOK_AROUND_SECONDS)
        assert asked.order(order_of(pc=2))
        assert asked.wait()[1:] == [fill(order_of(pc=2))]
        assert assistant.pids == pids
    finally:
        assistant.close()


# -- the end of it -------------------------------------------------------------------------------


@needs_proc
def test_closing_leaves_nothing_behind(asked: Asked) -> None:
    before = descriptors()
    for _ in range(3):
        assert asked.order()
        asked.wait()
        (pid,) = asked.assistant.pids
        asked.assistant.close()
        assert asked.assistant.pids == []
        assert not is_there(pid)
        asked.assistant.close()
        assert descriptors() == before
    assert len(asked.answers) == 3  # each time by another process


def test_who_closes_loses_what_is_awaited(asked: Asked) -> None:
    assert asked.order() and asked.order()
    asked.assistant.close()
    assert asked.answers == {0: LOST, 1: LOST}
    assert not asked.assistant.is_awaited
    assert asked.order()
    assert asked.wait()[2:] == [fill(order_of())]


def test_closing_is_no_failure(asked: Asked) -> None:
    for _ in range(MAX_LOSSES + 1):
        assert asked.order()
        asked.assistant.close()
    assert asked.order()
    assert asked.wait()[-1] == fill(order_of())


@needs_proc
def test_it_ends_with_its_parent(forked: Asked) -> None:
    """Even if that has no time to say so."""
    ours, theirs = multiprocessing.Pipe()
    parent = os.fork()
    if not parent:
        try:
            inner = Asked(ProcessAssistant(None))
            inner.order()
            inner.wait()
            theirs.send(inner.assistant.pids)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert ours.poll(PATIENCE)
    (pid,) = ours.recv()
    os.waitpid(parent, 0)
    until(lambda: not is_running(pid))
    ours.close()
    theirs.close()


def is_running(pid: int) -> bool:
    """Is there such a process that is no zombie? (Who inherits it may not look after it.)"""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


# -- failures ------------------------------------------------------------------------------------


def test_a_process_that_is_killed_is_replaced(asked: Asked) -> None:
    assert asked.order()
    asked.wait()
    (first,) = asked.assistant.pids
    os.kill(first, signal.SIGSTOP)  # it must not be faster
    assert asked.order() and asked.order()
    os.kill(first, signal.SIGKILL)
    assert asked.wait()[1:] == [LOST, LOST]
    assert not is_there(first)
    assert asked.order()
    assert asked.wait()[3:] == [fill(order_of())]
    assert asked.assistant.pids != [first]


def test_a_process_that_died_idle_is_replaced(asked: Asked) -> None:
    """Whoever finds out may lose an order, but nobody after that."""
    assert asked.order()
    asked.wait()
    os.kill(asked.assistant.pids[0], signal.SIGKILL)
    asked.order()
    asked.wait()
    assert asked.order()
    assert asked.wait()[-1] == fill(order_of())


def test_after_so_many_failures_nobody_is_asked(
    forked: Asked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There is something that kills every process."""
    monkeypatch.setattr(module, "serve", lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
    with caplog.at_level(logging.WARNING):
        for number in range(1, MAX_LOSSES + 1):
            assert caplog.records == []
            assert forked.order()
            assert forked.wait() == [LOST] * number
        assert not forked.order()
        assert not forked.order()
    assert forked.assistant.pids == []
    assert len(caplog.records) == 1


def test_a_process_that_hangs_is_given_up(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked.order()
    asked.wait()
    (pid,) = asked.assistant.pids
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.3)
    assert asked.order() and asked.order()
    asked.assistant.take_in()
    assert len(asked.answers) == 1
    assert asked.wait()[1:] == [LOST, LOST]
    assert not is_there(pid)
    monkeypatch.undo()
    assert asked.order()
    assert asked.wait()[3:] == [fill(order_of())]


def test_what_cannot_be_filled_is_nobody_elses_loss(
    asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    assert asked.order(IMPOSSIBLE)
    assert asked.order()
    pids = asked.assistant.pids
    assert asked.wait() == [None, fill(order_of())]
    assert asked.assistant.pids == pids
    assert "Translating bytecode in another process failed" in caplog.text


def test_an_answer_makes_up_for_losses(asked: Asked) -> None:
    for _ in range(3 * MAX_LOSSES):
        assert asked.order()
        os.kill(asked.assistant.pids[0], signal.SIGKILL)
        asked.wait()  # it may have answered before, and the next order finds it dead
        while asked.order() and asked.wait()[-1] is LOST:
            pass
    assert asked.wait()[-1] == fill(order_of())


def test_another_version_of_this_package_fills_no_orders(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was exchanged on the disk, and a new process reads what is there now."""
    assert asked.order()
    asked.wait()
    with monkeypatch.context() as changed:
        changed.setattr(ProcessAssistant, "VERSION", b"another")
        assert asked.order()
        assert asked.wait()[1:] == [LOST]
    assert asked.order()
    assert asked.wait()[2:] == [fill(order_of())]


def test_what_cannot_be_sent_is_lost(asked: Asked) -> None:
    unspeakable: Any = {0: lambda: None}
    assert asked.order(replace(order_of(), seen=unspeakable))
    assert asked.answers == {0: LOST}
    assert asked.order()
    assert asked.wait()[1:] == [fill(order_of())]


CODE = marshal.dumps(compile("", "nothing", "exec"))
LIES: dict[str, Any] = {
    "a number": 5,
    "too little": ("made",),
    "no answer": ("made", 5, 0.0),
    "no marshalled code": ("made", ((), b"nonsense"), 0.0),
    "no code": ("made", ((), marshal.dumps(5)), 0.0),
    "no names": ("made", (5, CODE), 0.0),
    "at no time": ("made", ((), CODE), "x"),
}


@pytest.mark.parametrize("lie", LIES)
def test_nonsense_is_no_answer(forked: Asked, monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    monkeypatch.setattr(module, "_answer", lambda *question: LIES[lie])
    assert forked.order()
    assert forked.wait() == [LOST]
    monkeypatch.undo()
    assert forked.order()
    assert forked.wait()[1:] == [fill(order_of())]


def exits(conn: Any) -> None:
    raise SystemExit(1)


def sends_nonsense(conn: Any) -> None:
    conn.recv_bytes()
    conn.send_bytes(b"nonsense")
    time.sleep(PATIENCE)


def sends_half_an_answer(conn: Any) -> None:
    conn.recv_bytes()
    os.write(conn.fileno(), struct.pack("!i", 1000) + b"half")
    time.sleep(PATIENCE)


def sends_half_a_length(conn: Any) -> None:
    conn.recv_bytes()
    os.write(conn.fileno(), b"\0\0")
    time.sleep(PATIENCE)


def promises_too_much(conn: Any) -> None:
    conn.recv_bytes()
    os.write(conn.fileno(), struct.pack("!i", -1) + struct.pack("!Q", 1 << 62))
    time.sleep(PATIENCE)


def takes_half_an_order(conn: Any) -> None:
    os.read(conn.fileno(), 3)


@needs_proc
@pytest.mark.parametrize(
    "does",
    (
        exits,
        sends_nonsense,
        sends_half_an_answer,
        sends_half_a_length,
        promises_too_much,
        takes_half_an_order,
    ),
)
def test_whatever_it_does_is_a_loss(
    forked: Asked, monkeypatch: pytest.MonkeyPatch, does: Callable[[Any], None]
) -> None:
    def serve(conn: Any, kind: Any, inherited: Any) -> None:
        for other in inherited:
            other.close()
        does(conn)

    before = descriptors()
    monkeypatch.setattr(module, "serve", serve)
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.5)
    assert forked.order()
    assert forked.wait() == [LOST]
    monkeypatch.undo()
    assert descriptors() == before
    assert forked.order()
    assert forked.wait()[1:] == [fill(order_of())]


def test_an_order_that_nobody_reads_is_given_up(
    forked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is larger than what a pipe holds."""
    monkeypatch.setattr(module, "serve", lambda *arguments: time.sleep(PATIENCE))
    monkeypatch.setattr(module, "PIPE_SECONDS", 0.5)
    large = replace(order_of(), seen=dict.fromkeys(range(1 << 20), 0))
    started = time.monotonic()
    assert forked.order(large)
    assert forked.answers == {0: LOST}
    assert time.monotonic() - started < PATIENCE / 2


def test_large_orders_and_answers_travel(asked: Asked) -> None:
    """While somebody already waits for the next one."""
    recording = (0, b"", (0,), tuple((number, (2**255,) * 7) for number in range(20_000)))
    order = replace(order_of(), wanted=Wanted((0, b""), (recording,)))
    made = fill(order)
    assert made is not None and len(marshal.dumps(made.code)) > 1 << 20
    assert asked.order(order) and asked.order(order)
    assert [answer.operations for answer in asked.wait()] == [made.operations] * 2


@needs_proc
def test_a_start_that_fails_is_a_loss(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(self: Any) -> None:
        raise OSError("no more processes")

    before = descriptors()
    monkeypatch.setattr(asked.assistant._context.Process, "start", fails)
    with caplog.at_level(logging.WARNING):
        for _ in range(MAX_LOSSES):
            assert asked.order()
        assert not asked.order()
    assert list(asked.answers.values()) == [LOST] * MAX_LOSSES
    assert not asked.assistant.is_awaited
    assert len(caplog.records) == 1
    assert "no more processes" in caplog.text
    assert descriptors() == before


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Even where tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupts_before(monkeypatch: pytest.MonkeyPatch, assistant: ProcessAssistant) -> None:
    def pipe(**options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(assistant._context, "Pipe", pipe)


def interrupts_start(monkeypatch: pytest.MonkeyPatch, assistant: ProcessAssistant) -> None:
    """It is held back until the process is there."""
    start = assistant._context.Process.start

    def started(self: Any) -> None:
        start(self)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(assistant._context.Process, "start", started)


def interrupts_sending(monkeypatch: pytest.MonkeyPatch, assistant: ProcessAssistant) -> None:
    def dumps(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.pickle, "dumps", dumps)


@pytest.mark.parametrize("interrupts", (interrupts_before, interrupts_start, interrupts_sending))
def test_an_interrupted_order_holds_nobody_up_for_ever(
    asked: Asked,
    interruptible: None,
    monkeypatch: pytest.MonkeyPatch,
    interrupts: Callable[[pytest.MonkeyPatch, ProcessAssistant], None],
) -> None:
    """Ctrl-C, and somebody goes on with the chain all the same."""
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.5)
    with monkeypatch.context() as changed:
        interrupts(changed, asked.assistant)
        with pytest.raises(KeyboardInterrupt):
            asked.order()
    with monkeypatch.context() as changed:
        changed.setattr(sys.modules[__name__], "PATIENCE", 4.0)
        assert asked.order()  # may be lost together with the other one
        asked.wait()
        assert asked.answers.keys() >= {1}
    monkeypatch.undo()
    assert asked.order()
    assert asked.wait()[-1] == fill(order_of())


def test_an_interrupted_look_holds_nobody_up_for_ever(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(content: bytes) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.5)
    assert asked.order()
    with monkeypatch.context() as changed:
        changed.setattr(module.pickle, "loads", interrupted)
        with pytest.raises(KeyboardInterrupt):
            asked.wait()
    assert asked.order(order_of(pc=2))
    asked.wait()
    assert asked.answers.keys() >= {1}
    assert asked.answers[1] in (LOST, fill(order_of(pc=2)))
    monkeypatch.undo()
    assert asked.order()
    assert asked.wait()[-1] == fill(order_of())


def test_an_interrupt_between_two_orders_loses_no_answer(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has arrived, and while the next order is sent comes the Ctrl-C: nobody waits for either
    of them for ever."""
    assert asked.order() and asked.order()
    with monkeypatch.context() as changed:
        interrupts_sending(changed, asked.assistant)
        with pytest.raises(KeyboardInterrupt):
            asked.wait()
    asked.wait()
    assert asked.answers.keys() == {0, 1}
    assert asked.answers[0] in (LOST, fill(order_of()))


def test_an_interrupt_is_not_its_business(asked: Asked) -> None:
    """Ctrl-C goes to all processes of a terminal."""
    assert asked.order()
    asked.wait()
    for pid in asked.assistant.pids:
        os.kill(pid, signal.SIGINT)
    assert asked.order()
    assert asked.wait() == [fill(order_of())] * 2


def test_threads_get_what_each_of_them_ordered(asked: Asked) -> None:
    """Or nothing, where the process was killed; but one answer to each order in any case."""
    expected = {pc: fill(order_of(pc=pc)) for pc in (0, 2)}
    results: list[tuple[int, list[Any]]] = []
    failed: list[Any] = []

    def work() -> None:
        try:
            for number in range(20):
                answers: list[Any] = []
                pc = (0, 2)[number % 2]
                results.append((pc, answers))
                assert asked.assistant.order(
                    order_of(pc=pc), answers.append, partial(answers.append, LOST)
                )
                until(partial(bool, answers), asked.assistant.take_in)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(MAX_LOSSES - 1):
        time.sleep(0.03)
        with asked.assistant._lock:  # one that is just being started has no number yet
            for pid in asked.assistant.pids:
                os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert not failed
    assert len(results) == 4 * 20
    assert all(answers in ([LOST], [expected[pc]]) for pc, answers in results)
    assert sum(answers != [LOST] for _, answers in results) > 40


@pytest.mark.parametrize("end", (ProcessAssistant.take_in, ProcessAssistant.close))
def test_a_forked_copy_takes_no_orders(
    forked: Asked, end: Callable[[ProcessAssistant], None]
) -> None:
    """And leaves the process to the one whose it is, with all that is awaited of it."""
    assert forked.order()
    forked.wait()
    (pid,) = forked.assistant.pids
    os.kill(pid, signal.SIGSTOP)
    assert forked.order()
    child = os.fork()
    if not child:
        failed = True
        try:
            refused = not forked.order()
            end(forked.assistant)
            failed = not refused or forked.answers[1] != LOST or forked.assistant.is_awaited
        finally:
            os._exit(failed)
    assert os.waitpid(child, 0)[1] == 0
    os.kill(pid, signal.SIGCONT)
    assert forked.wait()[1:] == [fill(order_of())]
    assert forked.order()
    assert forked.wait()[2:] == [fill(order_of())]
    assert forked.assistant.pids == [pid]


def test_a_fork_in_the_middle_of_an_order_does_not_hang(forked: Asked) -> None:
    """Another thread may hold the lock just then; in the copy, nobody gives it back."""
    with forked.assistant._lock:
        child = os.fork()
        if not child:
            signal.alarm(2)
            refused = not forked.order()
            forked.assistant.take_in()
            forked.assistant.close()
            os._exit(not refused)
    assert os.waitpid(child, 0)[1] == 0


# -- chains --------------------------------------------------------------------------------------


@pytest.fixture
def a_new_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The assistant of these chains is nobody else's."""
    close()
    monkeypatch.setattr(shared, "_assistants", {})
    yield
    close()


def import_blocks(between: Callable[[ProcessAssistant], None], **settings: Any) -> ProcessAssistant:
    """Blocks whose hashes are what stock py-evm says. ``between``: called after each of them."""
    scene = build("erc20", transactions=100, accounts=12, blocks=3)
    builder = scene.open()
    config = ParallelConfig(workers=2, backend="auto", translation_cache=False, **settings)
    assistant = assistant_for(config)
    assert assistant is not None
    chain = scene.open(parallelize(scene.chain_class, config=config))
    for batch in scene.blocks:
        block = builder.mine_all(batch)[0].imported_block
        assert chain.import_block(block).imported_block.hash == block.hash
        between(assistant)
    return assistant


def test_a_chain_uses_it(a_new_one: None) -> None:
    assistant = assistant_for(ParallelConfig(workers=2, backend="auto"))
    assert assistant is not None
    pids: list[int] = []
    assert import_blocks(lambda assistant: pids.extend(assistant.pids)) is assistant
    assert len(pids) == 3
    assert len(set(pids)) == 1
    assert assistant.cpu > 0
    close()
    assert assistant.pids == []
    assert not is_there(pids[0])


def test_a_chain_does_without_it(a_new_one: None) -> None:
    """It dies after every block."""
    killed = []

    def kill(assistant: ProcessAssistant) -> None:
        for pid in assistant.pids:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    import_blocks(kill)
    assert killed


@pytest.mark.parametrize(
    "settings",
    (
        {"workers": 1},
        {"backend": "serial"},
        {"backend": "process"},
        {"backend": "thread"},
        {"translate": False},
        {"assistant": False},
    ),
    ids=str,
)
def test_who_has_no_assistant(settings: dict[str, Any]) -> None:
    config = ParallelConfig(**{"workers": 2, "backend": "auto", **settings})
    assert assistant_for(config) is None


def test_chains_of_one_kind_share_one(a_new_one: None) -> None:
    configs = [ParallelConfig(workers=workers, backend="auto") for workers in (2, 4)]
    first, second = map(assistant_for, configs)
    assert first is second is not None
    other = ParallelConfig(workers=2, backend="auto", start_method="spawn")
    assert assistant_for(other) is not first
