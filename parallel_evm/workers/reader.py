"""A process that reads the next block's transactions while this one runs the present ones.

Responsible for: having their senders recovered and the transactions listed, and for putting down
what came of it.
Talks to: `clerk`, which is the process; `wire`, which checks what arrives; over there,
`speculation.senders` and `merkle.index`.
Never: waits longer for senders than it takes to recover them here, or starts with a block that
comes unannounced.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from parallel_evm.merkle.index import Listed, listed
from parallel_evm.merkle.update import TrieUpdate
from parallel_evm.rlp_objects import are_same
from parallel_evm.speculation.senders import recover_encoded, remember_sender
from parallel_evm.workers import wire
from parallel_evm.workers.clerk import Clerk
from parallel_evm.workers.parcel import all_of, contents_of

_WORTH_TELLING: Final = 8
"""Fewer signatures are recovered as fast as they are told."""
_RECOVERY_SECONDS: Final = 0.00006
"""What a sender takes here. Who has waited that long had better have done it himself, and loses as
much again at most."""

_Contents = list[bytes | None]


class _Read(NamedTuple):
    """What follows from a block's transactions alone."""

    senders: Sequence[bytes | None]
    """None where that is for others to say."""
    listing: tuple[list[bytes], TrieUpdate] | None
    """The transactions' hashes and their trie; None where the process does not know all of them."""
    cpu: float
    """Seconds of the process that read it."""


class ReadingProcess(Clerk[_Contents, _Read]):
    """Recovers senders and lists transactions. Any number of chains may share it."""

    NAME: ClassVar[str] = "parallel-evm-reader"
    WORK: ClassVar[str] = "Reading blocks ahead"

    @staticmethod
    def fill(order: _Contents) -> tuple[Any, ...]:
        began = time.process_time()
        senders = [None if content is None else recover_encoded(content) for content in order]
        known, listing = all_of(order), None
        if known is not None:
            made = listed(known)
            listing = made.hashes, made.trie.root, made.trie.nodes
        return senders, listing, time.process_time() - began

    @staticmethod
    def checked(content: Any) -> _Read:
        senders, listing, cpu = content
        made = None if listing is None else wire.hashes_and_trie(*listing)
        return _Read(wire.addresses(senders), made, float(cpu))


@dataclass(slots=True)
class _Wanted:
    """Transactions of which the process was told, and what came of it. An answer may arrive in
    another thread, and late: it goes here and nowhere else."""

    transactions: Sequence[Any]
    contents: _Contents
    unknown: int
    """So many senders."""
    read: _Read | None = None
    is_over: bool = False
    """Has it come, or will it never?"""

    def put_down(self, read: _Read | None) -> None:
        self.read, self.is_over = read, True

    def lose(self) -> None:
        self.is_over = True


class Taken(NamedTuple):
    """What was there when its block came, besides the senders."""

    listed: Listed | None
    """None where the transactions could not be listed."""


class Reader:
    """Reads one block of a chain ahead. Not for several threads at once."""

    def __init__(self, process: ReadingProcess) -> None:
        self._process = process
        self._wanted: _Wanted | None = None
        self.cpu = 0.0
        """Seconds that the process has spent on what was taken from it."""

    def tell(self, transactions: Sequence[Any]) -> None:
        """These are wanted next. What the process is told while it is behind, it does without."""
        self._wanted = None
        self._process.take_in()
        if len(transactions) < _WORTH_TELLING or not self._process.is_idle:
            return
        contents = contents_of(transactions)
        unknown = sum(
            content is not None and "sender" not in vars(transaction)
            for transaction, content in zip(transactions, contents, strict=True)
        )
        if unknown >= _WORTH_TELLING:
            wanted = self._wanted = _Wanted(tuple(transactions), contents, unknown)
            if not self._process.order(contents, wanted.put_down, wanted.lose):
                self._wanted = None

    def take(self, transactions: Sequence[Any]) -> Taken | None:
        """Now these are wanted: their senders are put down in them. None if the process was not
        told of them, or could not read them in time."""
        wanted = self._wanted
        if wanted is None or not are_same(wanted.transactions, transactions):
            return None
        late = time.perf_counter() + _RECOVERY_SECONDS * wanted.unknown
        while not wanted.is_over and (left := late - time.perf_counter()) > 0:
            self._process.take_in(left)
        self._wanted, read = None, wanted.read
        if read is None or len(read.senders) != len(transactions):
            return None
        self.cpu += read.cpu
        for transaction, sender in zip(transactions, read.senders, strict=True):
            if sender is not None:
                remember_sender(transaction, sender)
        known = all_of(wanted.contents)
        if known is None or read.listing is None or len(read.listing[0]) != len(known):
            return Taken(None)
        return Taken(Listed(known, *read.listing))
