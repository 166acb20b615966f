"""What is read of a block's transactions ahead, and which transactions get it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eth.db.trie import make_trie_root_and_nodes

from parallel_evm.hashing import keccak
from parallel_evm.workers import reader as module
from parallel_evm.workers.pipes import readable
from parallel_evm.workers.reader import Reader, ReadingProcess
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    GHOST,
    KEYS,
    SENDERS,
    Act,
    Delegation,
    Pen,
    cold,
    open_chain,
    state_of,
)

RULES = fork("prague")
CHAIN = open_chain(RULES.chain_class, state_of("prague"))
BUILDER: Any = RULES.vm_class.get_transaction_builder()
COUNT = 12
PATIENCE = 20.0
"""Seconds. What has not come by then never comes."""


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReadingProcess]:
    monkeypatch.setattr(module, "_RECOVERY_SECONDS", PATIENCE / COUNT)  # nobody is late
    made = ReadingProcess(None)
    yield made
    made.close()


@pytest.fixture
def reader(process: ReadingProcess) -> Reader:
    return Reader(process)


def block(count: int = COUNT, value: int = 0) -> tuple[Any, ...]:
    """Transactions of all types as they come from the network: nobody knows their senders."""
    pen = Pen(RULES, CHAIN)
    return tuple(
        pen.sign(
            Act(
                number % 8,
                GHOST,
                value=value,
                type_id=number % 5,
                blobs=1,
                delegations=(Delegation(1, GHOST),),
            )
        )
        for number in range(count)
    )


def senders_of(transactions: tuple[Any, ...]) -> list[bytes | None]:
    """As far as they are known."""
    return [vars(transaction).get("sender") for transaction in transactions]


def until(is_so: Callable[[], bool], do: Callable[[], None]) -> None:
    late = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < late
        do()
        time.sleep(0.002)


EXPECTED = [SENDERS[number % 8] for number in range(COUNT)]
UNKNOWN = [None] * COUNT


# -- what is read --------------------------------------------------------------------------------


def test_senders_and_the_list_are_those_of_the_transactions(reader: Reader) -> None:
    sent = block()
    reader.tell(sent)
    assert senders_of(sent) == UNKNOWN
    taken = reader.take(sent)
    assert taken is not None and taken.listed is not None
    assert senders_of(sent) == EXPECTED
    for transaction in sent:
        transaction.check_signature_validity()
    root, nodes = make_trie_root_and_nodes(cold(CHAIN, sent))
    assert taken.listed.encoded == [transaction.encode() for transaction in sent]
    assert taken.listed.hashes == [keccak(transaction.encode()) for transaction in sent]
    assert (taken.listed.trie.root, dict(taken.listed.trie.nodes)) == (root, dict(nodes))
    assert reader.cpu > 0


@pytest.mark.parametrize("chain_id", [None, 1])
def test_signatures_of_any_chain(reader: Reader, chain_id: int | None) -> None:
    unsigned = [
        BUILDER.create_unsigned_transaction(
            nonce=number, gas_price=1, gas=21_000, to=GHOST, value=0, data=b""
        ).as_signed_transaction(KEYS[number % 8], chain_id=chain_id)
        for number in range(COUNT)
    ]
    sent = tuple(BUILDER.decode(transaction.encode()) for transaction in unsigned)
    reader.tell(sent)
    taken = reader.take(sent)
    assert taken is not None and taken.listed is not None
    assert senders_of(sent) == EXPECTED


@pytest.mark.parametrize("nonsense", [{"r": 0}, {"v": 29}, {"v": 35}], ids=str)
def test_what_is_no_signature_is_left_to_py_evm(reader: Reader, nonsense: dict[str, int]) -> None:
    """So is one for chain 0, which py-evm alone takes for one."""
    pen = Pen(RULES, CHAIN)
    sent = tuple(pen.sign(Act(number % 8, GHOST)) for number in range(COUNT))
    sent = (*sent[:3], sent[3].copy(**nonsense), *sent[4:])
    reader.tell(sent)
    taken = reader.take(sent)
    assert taken is not None and taken.listed is not None
    assert senders_of(sent) == [*EXPECTED[:3], None, *EXPECTED[4:]]
    assert "sender" not in vars(sent[3])


def test_transactions_of_a_kind_of_ones_own_are_left_alone(reader: Reader) -> None:
    """Nobody over there knows what they are, so nothing that depends on them is made."""
    sent = block()

    class Own(type(sent[0])):  # type: ignore[misc]
        pass

    sent = (*sent[:5], Own(*sent[5]), *sent[6:])
    reader.tell(sent)
    taken = reader.take(sent)
    assert taken is not None
    assert taken.listed is None
    assert senders_of(sent) == [*EXPECTED[:5], None, *EXPECTED[6:]]


# -- whose it is ---------------------------------------------------------------------------------

OTHERS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "none": lambda sent: (),
    "fewer": lambda sent: sent[:-1],
    "more": lambda sent: (*sent, sent[0]),
    "equal ones": lambda sent: cold(CHAIN, sent),
    "in another order": lambda sent: sent[::-1],
    "one for another": lambda sent: (*cold(CHAIN, sent[:1]), *sent[1:]),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_transactions_get_nothing(reader: Reader, kind: str) -> None:
    sent = block()
    others = OTHERS[kind](sent)
    reader.tell(sent)
    assert reader.take(others) is None
    assert senders_of(sent) == UNKNOWN
    assert set(senders_of(tuple(others))) <= {None}


def test_it_is_taken_once(reader: Reader) -> None:
    sent = block()
    reader.tell(sent)
    assert reader.take(sent) is not None
    assert reader.take(sent) is None


def test_a_list_may_be_emptied_after_it_was_told(reader: Reader) -> None:
    sent = block()
    told = list(sent)
    reader.tell(told)
    told.clear()
    assert reader.take(list(sent)) is not None
    assert senders_of(sent) == EXPECTED


def test_one_block_after_another(reader: Reader, process: ReadingProcess) -> None:
    """Each is told when the one before it has come, and the same process reads them all."""
    blocks = [block(value=value) for value in range(4)]
    reader.tell(blocks[0])
    pids = process.pids
    for present, following in zip(blocks, [*blocks[1:], ()], strict=True):
        assert reader.take(present) is not None
        assert senders_of(present) == EXPECTED
        reader.tell(following)
        assert process.is_awaited is bool(following)
    assert process.pids == pids


# -- what is not worth it ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "known", "is_told"),
    [(8, 0, True), (7, 0, False), (0, 0, False), (12, 4, True), (12, 5, False), (12, 12, False)],
)
def test_a_few_senders_are_not_worth_telling(
    reader: Reader, process: ReadingProcess, count: int, known: int, is_told: bool
) -> None:
    sent = block(count)
    for transaction in sent[:known]:
        vars(transaction)["sender"] = GHOST
    reader.tell(sent)
    assert bool(process.pids) is process.is_awaited is is_told
    assert (reader.take(sent) is not None) is is_told


def test_transactions_that_nobody_there_knows_are_not_counted(
    reader: Reader, process: ReadingProcess
) -> None:
    rules = fork("homestead")
    pen = Pen(rules, open_chain(rules.chain_class, {SENDERS[0]: state_of("prague")[SENDERS[0]]}))
    old = [pen.sign(Act(0, GHOST)) for _ in range(COUNT)]
    reader.tell([*block(7), *old])
    assert process.pids == []


# -- who is late ---------------------------------------------------------------------------------


@pytest.fixture
def stopped(reader: Reader, process: ReadingProcess) -> int:
    """It has read a block before, and stands still."""
    sent = block()
    reader.tell(sent)
    assert reader.take(sent) is not None
    (pid,) = process.pids
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_who_is_late_is_not_waited_for(
    reader: Reader, process: ReadingProcess, stopped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RECOVERY_SECONDS", 0.1 / COUNT)
    late, following = block(), block(value=1)
    reader.tell(late)
    started = time.monotonic()
    assert reader.take(late) is None
    assert 0.1 <= time.monotonic() - started < PATIENCE / 4
    # As long as it owes something, it is told nothing more, and nobody waits.
    monkeypatch.setattr(module, "_RECOVERY_SECONDS", PATIENCE / COUNT)
    reader.tell(following)
    assert reader.take(following) is None
    assert time.monotonic() - started < PATIENCE / 4
    os.kill(stopped, signal.SIGCONT)
    until(lambda: not process.is_awaited, process.take_in)
    assert senders_of(late) == senders_of(following) == UNKNOWN


def test_a_late_answer_does_not_land_in_another_block(
    reader: Reader, process: ReadingProcess, stopped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it of as many transactions, and told in the moment in which the answer is there."""
    late, following = block(), block()[::-1]
    reader.tell(late)
    with monkeypatch.context() as hurried:
        hurried.setattr(module, "_RECOVERY_SECONDS", 0.0)
        assert reader.take(late) is None
    os.kill(stopped, signal.SIGCONT)
    taken = None

    def again() -> None:
        nonlocal taken
        reader.tell(following)
        taken = reader.take(following)

    until(lambda: taken is not None, again)
    assert taken is not None and taken.listed is not None
    assert taken.listed.encoded == [transaction.encode() for transaction in following]
    assert taken.listed.trie.root == make_trie_root_and_nodes(cold(CHAIN, following))[0]
    assert senders_of(following) == EXPECTED[::-1]
    assert senders_of(late) == UNKNOWN
    assert process.pids == [stopped]


def test_a_late_answer_is_not_given_to_who_is_late_himself(
    reader: Reader, process: ReadingProcess, stopped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken in when the next block is told, which is not read in time either."""
    late, following = block(), block()[::-1]
    reader.tell(late)
    monkeypatch.setattr(module, "_RECOVERY_SECONDS", 0.0)
    assert reader.take(late) is None
    os.kill(stopped, signal.SIGCONT)
    assert process._child is not None
    assert readable([process._child.conn], PATIENCE)
    os.kill(stopped, signal.SIGSTOP)
    reader.tell(following)
    assert process.is_awaited
    assert reader.take(following) is None
    assert senders_of(late) == senders_of(following) == UNKNOWN


def test_who_died_is_replaced(reader: Reader, process: ReadingProcess, stopped: int) -> None:
    lost, following = block(), block(value=1)
    reader.tell(lost)
    os.kill(stopped, signal.SIGKILL)
    assert reader.take(lost) is None
    assert senders_of(lost) == UNKNOWN
    reader.tell(following)
    assert reader.take(following) is not None
    assert process.pids != [stopped]


# -- several of them -----------------------------------------------------------------------------


def test_two_readers_get_each_its_own(reader: Reader, process: ReadingProcess) -> None:
    """The answer to one is taken in while the other tells what it has to tell."""
    other = Reader(process)
    one, two = block(), block(value=1)
    reader.tell(one)
    until(lambda: not process.is_awaited, process.take_in)
    other.tell(two)
    for taken, sent in ((reader.take(one), one), (other.take(two), two)):
        assert taken is not None and taken.listed is not None
        assert taken.listed.encoded == [transaction.encode() for transaction in sent]
        assert senders_of(sent) == EXPECTED


def test_one_of_two_does_without(reader: Reader, process: ReadingProcess, stopped: int) -> None:
    """The other one has not been answered yet; nobody waits for what is another's."""
    other = Reader(process)
    one, two = block(), block(value=1)
    reader.tell(one)
    other.tell(two)
    started = time.monotonic()
    assert other.take(two) is None
    assert time.monotonic() - started < PATIENCE / 4
    assert senders_of(two) == UNKNOWN
    os.kill(stopped, signal.SIGCONT)
    assert reader.take(one) is not None
    assert senders_of(one) == EXPECTED
