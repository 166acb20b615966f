"""The queue: who waits, who replaces whom, and block order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.web3.queue import TransactionQueue


@dataclass(frozen=True)
class Transaction:
    """All that the queue ever asks of a transaction."""

    sender: bytes
    nonce: int
    version: int = 0

    @property
    def gas(self) -> int:
        return 21_000 + self.nonce + self.version

    @property
    def hash(self) -> bytes:
        return repr(self).encode()


A, B = b"a", b"b"


def queue_of(*transactions: Any) -> TransactionQueue:
    queue = TransactionQueue()
    for transaction in transactions:
        queue.add(transaction)
    return queue


def test_block_order_is_the_order_of_arrival() -> None:
    sent = [Transaction(A, 0), Transaction(B, 0), Transaction(A, 1)]
    assert queue_of(*sent).for_next_block() == sent


def test_one_sender_and_nonce_is_mined_once_and_the_last_one_counts() -> None:
    first, second, replacement = Transaction(A, 0), Transaction(A, 1), Transaction(A, 0, version=1)
    queue = queue_of(first, second, replacement)
    assert queue.for_next_block() == [replacement, second]
    assert queue.find(first.hash) is None
    assert len(queue) == 2


def test_removed_transactions_wait_no_longer() -> None:
    first, second = Transaction(A, 0), Transaction(B, 0)
    queue = queue_of(first, second)
    queue.remove([first.hash, b"unknown"])
    assert queue.for_next_block() == [second]
    assert queue.find(second.hash) == second


def test_parked_transactions_stay_out_of_the_block_until_they_are_sent_again() -> None:
    first, second = Transaction(A, 0), Transaction(B, 0)
    queue = queue_of(first)
    before = queue.live()
    queue.add(second)
    queue.park_since(before)
    assert queue.for_next_block() == [first]
    assert queue.find(second.hash) == second
    queue.add(second)
    assert queue.for_next_block() == [first, second]


def test_a_parked_transaction_comes_along_when_one_of_its_sender_follows_it() -> None:
    parked = [Transaction(A, 0), Transaction(A, 1), Transaction(A, 2), Transaction(B, 0)]
    queue = queue_of(*parked)
    queue.park_since([])
    queue.add(Transaction(A, 2, version=1))
    assert queue.for_next_block() == [*parked[:2], Transaction(A, 2, version=1)]
    queue.drop_parked()
    assert queue.all_by_arrival() == [Transaction(A, 2, version=1)]


def test_parking_brings_back_what_was_replaced() -> None:
    original, replacement = Transaction(A, 0), Transaction(A, 0, version=1)
    queue = queue_of(original)
    before = queue.live()
    queue.add(replacement)
    queue.park_since(before)
    assert queue.for_next_block() == [original]
    assert queue.find(replacement.hash) is None


def test_restoring_leaves_exactly_what_was_live() -> None:
    queue = queue_of(Transaction(A, 0))
    before = queue.live()
    queue.add(Transaction(A, 1))
    queue.park_since(before)
    queue.add(Transaction(B, 0))
    queue.restore(before)
    assert queue.all_by_arrival() == [Transaction(A, 0)]
    assert len(queue) == 1


@pytest.mark.parametrize("parked", [False, True])
@given(sent=st.lists(st.builds(Transaction, st.sampled_from([A, B]), st.integers(0, 4))))
def test_every_sender_is_in_the_order_of_its_nonces(parked: bool, sent: list[Transaction]) -> None:
    queue = queue_of(*sent)
    if parked:
        queue.park_since([])
        assert queue.for_next_block() == []
    order = queue.all_by_arrival()
    assert sorted(order, key=repr) == sorted(set(sent), key=repr)
    for sender in (A, B):
        nonces = [transaction.nonce for transaction in order if transaction.sender == sender]
        assert nonces == sorted(nonces)


@pytest.mark.parametrize("parked", [False, True])
@given(
    sent=st.lists(
        st.builds(Transaction, st.sampled_from([A, B]), st.integers(0, 3), st.integers(0, 2))
    )
)
def test_the_gas_of_all_that_wait(parked: bool, sent: list[Transaction]) -> None:
    queue = TransactionQueue()
    for number, transaction in enumerate(sent):
        before = queue.live()
        queue.add(transaction)
        if parked and number % 2:
            queue.park_since(before)
        assert queue.gas == sum(waiting.gas for waiting in queue.all_by_arrival())
    queue.remove([transaction.hash for transaction in sent[::3]])
    assert queue.gas == sum(waiting.gas for waiting in queue.all_by_arrival())
    queue.restore(queue.live())
    assert queue.gas == sum(waiting.gas for waiting in queue.all_by_arrival())
    queue.remove([transaction.hash for transaction in sent])
    assert queue.gas == 0
