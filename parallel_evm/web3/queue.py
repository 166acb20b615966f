"""The transactions that wait for the next block, and the order in which they go into it.

Responsible for: who waits, which of two transactions of one sender and nonce stays, and block order
(arrival, but each sender's nonces in sequence).
Talks to: nobody; the backend asks `admission` before it puts anything in here.
Never: looks at the state or executes anything.

A waiting transaction is *live* (it goes into the next block) or *parked*. Parking is for the way in
which `EthereumTester` queues: with auto-mining off it reverts every send at once, keeps the
transaction itself, and sends it again when it mines. Until then a parked transaction keeps its
nonce and its funds reserved, so that the sender's next transaction gets the next nonce; it goes
into a block only when it was sent again, or when a live transaction of its sender comes after it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from eth.abc import SignedTransactionAPI
from eth_typing import Address, Hash32


@dataclass(frozen=True, slots=True)
class Queued:
    """One waiting transaction."""

    transaction: SignedTransactionAPI
    hash: Hash32
    """Kept, because py-evm computes a legacy transaction's hash anew every time it is asked."""
    arrival: int
    """Counts up over the life of the queue; what arrived first goes first."""

    @property
    def sender(self) -> Address:
        return self.transaction.sender

    @property
    def nonce(self) -> int:
        return self.transaction.nonce

    @property
    def slot(self) -> tuple[Address, int]:
        """Sender and nonce: of all transactions that share them, one can ever be mined."""
        return self.transaction.sender, self.transaction.nonce


class TransactionQueue:
    """Waiting transactions. Adding, finding and parking one take constant time."""

    def __init__(self) -> None:
        self._live: dict[Hash32, Queued] = {}
        self._parked: dict[Hash32, Queued] = {}
        self._slots: dict[tuple[Address, int], Hash32] = {}
        self._arrivals = 0
        self.gas = 0
        """Of all that wait, at most."""

    def __len__(self) -> int:
        """How many wait, live and parked."""
        return len(self._slots)

    def find(self, transaction_hash: Hash32) -> SignedTransactionAPI | None:
        """The waiting transaction of that hash, live or parked."""
        entry = self._live.get(transaction_hash) or self._parked.get(transaction_hash)
        return entry.transaction if entry is not None else None

    def live(self) -> tuple[Queued, ...]:
        """What is live, in order of arrival; for `restore` and `park_since`."""
        return tuple(self._live.values())

    def all_by_arrival(self) -> list[SignedTransactionAPI]:
        """Everything that waits, live and parked, each sender's nonces in sequence."""
        return _in_block_order([*self._live.values(), *self._parked.values()])

    def for_next_block(self) -> list[SignedTransactionAPI]:
        """What goes into the next block, in its order."""
        last_live: dict[Address, int] = {}
        for entry in self._live.values():
            last_live[entry.sender] = max(entry.nonce, last_live.get(entry.sender, 0))
        needed = (
            entry
            for entry in self._parked.values()
            if entry.nonce < last_live.get(entry.sender, -1)
        )
        return _in_block_order([*self._live.values(), *needed])

    def add(self, transaction: SignedTransactionAPI) -> None:
        """Let `transaction` wait, live, in place of any other with its sender and nonce."""
        self._put(Queued(transaction, transaction.hash, self._arrivals))
        self._arrivals += 1

    def remove(self, transaction_hashes: Iterable[Hash32]) -> None:
        """Let these wait no longer; unknown hashes are ignored."""
        for transaction_hash in transaction_hashes:
            entry = self._live.pop(transaction_hash, None)
            entry = self._parked.pop(transaction_hash, entry)
            if entry is not None:
                del self._slots[entry.slot]
                self.gas -= entry.transaction.gas

    def restore(self, live: Iterable[Queued]) -> None:
        """Let exactly `live` wait."""
        self._live, self._parked, self._slots, self.gas = {}, {}, {}, 0
        for entry in live:
            self._put(entry)

    def park_since(self, live: Iterable[Queued]) -> None:
        """Make `live` what is live, and park what has become live since."""
        restored = {entry.hash: entry for entry in live}
        newer = [entry for key, entry in self._live.items() if key not in restored]
        for entry in newer:
            del self._live[entry.hash]
            self._parked[entry.hash] = entry
        for transaction_hash, entry in restored.items():
            if transaction_hash not in self._live:
                self._put(entry)

    def drop_parked(self) -> None:
        """Forget what is parked."""
        self.remove(list(self._parked))

    def _put(self, entry: Queued) -> None:
        occupant = self._slots.get(entry.slot)
        if occupant is not None:
            self.remove([occupant])
        self._slots[entry.slot] = entry.hash
        self._live[entry.hash] = entry
        self.gas += entry.transaction.gas


def _in_block_order(entries: list[Queued]) -> list[SignedTransactionAPI]:
    """By arrival; the places that one sender has are filled in the sequence of its nonces."""
    by_sender: defaultdict[Address, deque[Queued]] = defaultdict(deque)
    for entry in sorted(entries, key=lambda entry: entry.nonce):
        by_sender[entry.sender].append(entry)
    places: Iterator[Queued] = iter(sorted(entries, key=lambda entry: entry.arrival))
    return [by_sender[place.sender].popleft().transaction for place in places]
