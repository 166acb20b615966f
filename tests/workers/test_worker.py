"""Workers that fail half-way and live on: what they remember must not mislead a later block."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from multiprocessing.sharedctypes import RawValue
from typing import Any

import pytest
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.vm.interrupt import MissingBytecode
from eth_utils import ValidationError, keccak

from parallel_evm import BlockReport, close
from parallel_evm.state.base import CachedSource, Changes
from parallel_evm.state.replica import ACCOUNT, Replica
from parallel_evm.workers import wire, worker
from parallel_evm.workers.conversation import ProcessSession
from parallel_evm.workers.worker import Worker
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    CONTRACTS,
    Act,
    Laid,
    Pen,
    account,
    assemble,
    cold,
    mine,
    open_chain,
    parallel,
    state_of,
)
from tests.workers.test_wire import SPECULATION

RULES = fork("shanghai")
NOTHING: Any = ({}, {}, {})
"""Of the state."""
COUNTER = b"\x0c" * 20
COUNTING = assemble(1, 0, "SLOAD", "ADD", 0, "SSTORE")


class Pipe:
    """A pipe whose other end says what it was told to say."""

    def __init__(self, *said: Any) -> None:
        self.said = list(said)
        self.heard: list[tuple[Any, ...]] = []

    def poll(self, timeout: float) -> bool:
        return bool(self.said)

    def recv_bytes(self) -> bytes:
        message = self.said.pop(0)
        if isinstance(message, Exception):
            raise message
        return message if isinstance(message, bytes) else wire.encode(message)

    def send_bytes(self, data: bytes) -> None:
        self.heard.append(wire.decode(data))


@pytest.fixture
def fresh_workers() -> Iterator[None]:
    close()
    yield
    close()


def test_a_replica_that_could_not_move_on_is_not_used_again(
    fresh_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second block it fails in both workers, of which only one is asked for anything."""
    failing = multiprocessing.RawValue("b", 0)

    def advance(self: Replica, changes: Changes) -> None:
        if failing.value:
            raise MemoryError
        CachedSource.advance(self, changes)

    monkeypatch.setattr(Replica, "advance", advance, raising=False)
    reports: list[BlockReport] = []
    stock = open_chain(RULES.chain_class, state_of("shanghai"))
    options = {"backend": "process", "workers": 2, "worker_deadline": 5.0}
    chain_class = parallel(RULES.chain_class, reports, lanes=[0, 1], **options)
    ours = open_chain(chain_class, state_of("shanghai"))
    engine = chain_class.vm_configuration[0][1].parallel_engine

    def both(lanes: Sequence[int]) -> None:
        engine._forecaster = Laid(lanes)
        pen = Pen(RULES, stock)
        acts = [Act(0, CONTRACTS["counter"]), Act(1, CONTRACTS["branch"])]
        transactions = [pen.sign(act) for act in acts]
        assert mine(ours, transactions) == mine(stock, transactions)

    both([0, 1])
    both([1, 0])
    failing.value = 1
    both([0, 0])
    assert any("MemoryError" in loss for loss in reports[-1].lost_workers)
    failing.value = 0
    both([0, 1])
    both([1, 0])
    assert reports[-1].lost_workers == ()
    assert {t.worker for t in reports[-1].transactions} == {0, 1}


def test_bytecode_of_another_chain_is_not_run_where_this_one_lacks_it(fresh_workers: None) -> None:
    """A worker keeps it by its hash; what a database lacks is an error all the same."""
    stock = open_chain(
        RULES.chain_class, {**state_of("shanghai"), COUNTER: account(0, 1, COUNTING, {0: 6})}
    )
    whole = stock.chaindb.db.wrapped_db.kv_store
    partial = {key: value for key, value in whole.items() if key != keccak(COUNTING)}
    reports: list[BlockReport] = []
    chain_class = parallel(RULES.chain_class, reports, backend="process")
    pen = Pen(RULES, stock)
    transactions = [pen.sign(Act(sender, COUNTER)) for sender in range(4)]
    for _ in range(3):
        stock, ours = (
            made(AtomicDB(MemoryDB(dict(whole)))) for made in (RULES.chain_class, chain_class)
        )
        assert mine(ours, transactions) == mine(stock, transactions)
    assert None not in {each.worker for each in reports[-1].transactions}
    stock, ours = (
        made(AtomicDB(MemoryDB(dict(partial)))) for made in (RULES.chain_class, chain_class)
    )
    with pytest.raises(ValidationError) as expected:  # from looking for a checkpoint, after
        stock.mine_all(cold(stock, transactions))
    missing: Any = expected.value.__context__
    with pytest.raises(MissingBytecode) as found:
        ours.mine_all(cold(ours, transactions))
    assert found.value.args == missing.args


def test_what_is_forecast_is_told_and_not_asked_for(
    fresh_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it then. Every block has another coinbase, which is paid all the same."""
    asked: list[Any] = []
    answers = ProcessSession._answers

    def listening(self: ProcessSession, wants: Sequence[Any]) -> Any:
        asked.extend(wants)
        return answers(self, wants)

    monkeypatch.setattr(ProcessSession, "_answers", listening)
    stock = open_chain(
        RULES.chain_class, {**state_of("shanghai"), COUNTER: account(0, 1, COUNTING, {0: 6})}
    )
    database = stock.chaindb.db.wrapped_db.kv_store
    reports: list[BlockReport] = []
    chain_class = parallel(RULES.chain_class, reports, backend="process")
    pen = Pen(RULES, stock)
    transactions = [pen.sign(Act(sender, COUNTER)) for sender in range(4)]
    for number in range(4):  # on a state that workers have not seen, each time
        asked.clear()
        ours = chain_class(AtomicDB(MemoryDB(dict(database))))
        ours.mine_all(cold(ours, transactions), coinbase=bytes([0xB0 + number]) * 20)
    assert None not in {each.worker for each in reports[-1].transactions}
    assert asked == []


def test_bytecode_that_it_was_given_serves_another_chain() -> None:
    subject = Worker(Pipe(), None)  # type: ignore[arg-type]
    for given in (COUNTING, None):
        subject._replica = Replica(lambda wants: [])  # nobody answers
        subject._learn(({COUNTER: (1, 0, keccak(COUNTING))}, {}, {keccak(COUNTING): given}))
        assert subject._replica.code(subject._replica.code_hash(COUNTER)) == COUNTING


def test_no_more_bytecode_is_kept_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dropped is asked for."""
    monkeypatch.setattr(worker, "CODES", 2)
    subject = Worker(Pipe(), None)  # type: ignore[arg-type]
    asked: list[Any] = []

    def fetch(wants: Sequence[Any]) -> list[bytes]:
        asked.extend(wants)
        return [b"fetched"] * len(wants)

    subject._replica = Replica(fetch)
    subject._learn(({}, {}, {b"one": b"1", b"two": b"2"}))
    subject._learn(({}, {}, {b"three": b"3"}))
    subject._replica = Replica(fetch)
    subject._learn(({}, {}, {b"one": None, b"three": None}))
    assert subject._replica.code(b"three") == b"3"
    assert asked == []
    assert subject._replica.code(b"one") == b"fetched"


def test_a_lane_in_which_a_run_failed_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lane may hold what a transaction wrote whose speculation was never delivered."""

    class Failing:
        def run(self, index: int, transaction: Any, hot: Any) -> Any:
            used.append(self)
            raise MemoryError

    used: list[Failing] = []
    conn = Pipe()
    subject = Worker(conn, None)  # type: ignore[arg-type]
    subject._replica = Replica(lambda wants: [])
    transaction = pickle.dumps([None])
    monkeypatch.setattr(subject, "_new_speculator", Failing)
    subject._run([0], transaction, [None], NOTHING, True, {}, (), False, None)
    subject._run([1], transaction, [None], NOTHING, False, {}, (), True, None)
    assert [message[0] for message in conn.heard] == [wire.DONE, wire.DONE]
    assert used[0] is not used[1]
    assert conn.heard[1][-1] is None  # no sum of such a lane


def test_what_a_result_that_cannot_travel_wrote_is_told_all_the_same() -> None:
    """Later transactions of the lane saw it: the judge must know that it is not to be believed."""
    conn = Pipe()
    assert SPECULATION.outcome is not None
    error: Any = ValueError(lambda: "cannot be pickled")
    odd = replace(SPECULATION, index=1, outcome=replace(SPECULATION.outcome, _error=error))
    Worker(conn, None)._flush([odd, SPECULATION], ())  # type: ignore[arg-type]
    ((tag, heads, details),) = conn.heard
    assert tag == wire.RESULTS
    first, second = wire.results(heads, details, worker=0)
    assert first.outcome is None and first.effects == odd.effects
    assert second.outcome is not None


@pytest.mark.parametrize(
    "answer", [MemoryError(), b"\x80half a pickle", OSError("no memory"), EOFError()]
)
def test_a_worker_that_missed_an_answer_ends(answer: Any) -> None:
    """Else the answer to this question would be taken for that to the next one."""
    subject = Worker(Pipe(answer), None)  # type: ignore[arg-type]
    with pytest.raises(SystemExit) as ended:
        subject._fetch([(ACCOUNT, bytes(20))])
    assert ended.value.code == worker.OUT_OF_STEP


def test_a_worker_that_cannot_read_a_message_ends() -> None:
    with pytest.raises(SystemExit) as ended:
        Worker(Pipe(b"\x80half a pickle"), None).serve()  # type: ignore[arg-type]
    assert ended.value.code == worker.OUT_OF_STEP


def test_an_answer_may_be_that_there_is_none() -> None:
    subject = Worker(Pipe((wire.CANCEL,), (wire.ANSWER, None)), None)  # type: ignore[arg-type]
    with pytest.raises(worker.Unanswered):
        subject._fetch([(ACCOUNT, bytes(20))])


def test_senders_come_few_at_first_and_no_more_than_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who waits for the first ones gets them soon; who finds the last ones itself says so."""
    wanted = RawValue("q", 50)

    def recover(encoded: bytes) -> bytes:
        if encoded == b"40":
            wanted.value = 41  # after this batch was begun
        return encoded.rjust(20)

    monkeypatch.setattr(worker, "recover_encoded", recover)
    conn = Pipe()
    contents = [None, *(b"%d" % number for number in range(1, 100))]
    Worker(conn, wanted)._recover(contents, None)  # type: ignore[arg-type]
    assert {tag for tag, *_ in conn.heard} == {wire.RECOVERED}
    told = [senders for _, senders, _ in conn.heard]
    assert [len(senders) for senders in told] == [2, 4, 8, 16, 16]
    assert list(chain.from_iterable(told)) == [None, *((b"%d" % n).rjust(20) for n in range(1, 46))]
    assert [cpu is None for *_, cpu in conn.heard] == [True] * 4 + [False]


@pytest.mark.parametrize("wanted", [0, 3, 1000])
def test_whatever_is_wanted_it_comes_to_an_end(
    monkeypatch: pytest.MonkeyPatch, wanted: int
) -> None:
    monkeypatch.setattr(worker, "recover_encoded", lambda encoded: None)
    conn = Pipe()
    Worker(conn, RawValue("q", wanted))._recover([b""] * 9, None)  # type: ignore[arg-type]
    assert sum(len(senders) for _, senders, _ in conn.heard) == min(wanted, 9)
    assert conn.heard[-1][-1] is not None
