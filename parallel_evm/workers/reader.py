"""A process that reads the next block's transactions while this one runs the present ones.

Responsible for: having their senders recovered and the transactions listed, and for putting down
what came of it.
Talks to: `clerk`, which is the process; `speculation.senders` and `merkle.index`, over there.
Never: waits longer for senders than it takes to recover them here, or starts with a block that
comes unannounced.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

from parallel_evm.merkle.index import Listed, listed
from parallel_evm.merkle.update import TrieUpdate
from parallel_evm.speculation.senders import recover_encoded, remember_sender
from parallel_evm.workers.clerk import Clerk
from parallel_evm.workers.parcel import all_of, contents_of

_WORTH_TELLING: Final = 8
"""Fewer signatures are recovered as fast as they are told."""
_RECOVERY_SECONDS: Final = 0.00006
"""What a sender takes here. Who has waited that long had better have done it himself, and loses as
much again at most."""
_ADDRESS_BYTES: Final = 20
_HASH_BYTES: Final = 32

_Contents = list[bytes | None]


class _Read(NamedTuple):
    """What follows from a block's transactions alone."""

    senders: list[bytes | None]
    """None where that is for others to say."""
    hashes: list[bytes]
    """None of them, where the transactions cannot be listed."""
    root: bytes
    nodes: dict[bytes, bytes]


class ReadingProcess(Clerk[_Contents, _Read]):
    """Recovers senders and lists transactions. Any number of chains may share it."""

    NAME: ClassVar[str] = "parallel-evm-reader"
    WORK: ClassVar[str] = "Reading blocks ahead"

    @staticmethod
    def fill(order: _Contents) -> _Read:
        senders = [None if content is None else recover_encoded(content) for content in order]
        known = all_of(order)
        if known is None:
            return _Read(senders, [], b"", {})
        made = listed(known)
        return _Read(senders, made.hashes, made.trie.root, made.trie.nodes)

    @staticmethod
    def checked(content: Any) -> _Read:
        senders, hashes, root, nodes = content
        if not (
            all(sender is None or _is_bytes(sender, _ADDRESS_BYTES) for sender in senders)
            and all(_is_bytes(digest, _HASH_BYTES) for digest in hashes)
            and (not hashes or _is_bytes(root, _HASH_BYTES))
            and all(_is_bytes(key, _HASH_BYTES) for key in nodes)
            and all(isinstance(node, bytes) for node in nodes.values())
        ):
            raise ValueError("not read from transactions")
        return _Read(senders, hashes, root, nodes)


class Taken(NamedTuple):
    """What was there when its block came."""

    listed: Listed | None
    """None where the transactions could not be listed."""
    seconds: float
    """That this took here, waiting included."""


def _is_bytes(value: object, length: int) -> bool:
    return isinstance(value, bytes) and len(value) == length


class Reader:
    """Reads one block of a chain ahead. Not for several threads at once."""

    def __init__(self, process: ReadingProcess) -> None:
        self._process = process
        self._told: Sequence[Any] = ()
        """Transactions of which the process was told."""
        self._contents: _Contents = []
        """These, as it was told."""
        self._read: _Read | None = None

    @property
    def cpu(self) -> float:
        """CPU seconds of its process, as far as that told."""
        return self._process.cpu

    def tell(self, transactions: Sequence[Any]) -> None:
        """These are wanted next. What the process is told while it is behind, it does without."""
        self._process.take_in()
        self._forget()
        if self._process.is_awaited or len(transactions) < _WORTH_TELLING:
            return
        contents = contents_of(transactions)
        unknown = sum(
            content is not None and "sender" not in vars(transaction)
            for transaction, content in zip(transactions, contents, strict=True)
        )
        if unknown >= _WORTH_TELLING:
            self._told, self._contents = tuple(transactions), contents
            self._process.order(contents, partial(self._put_down, contents), lambda: None)

    def take(self, transactions: Sequence[Any]) -> Taken | None:
        """Now these are wanted: their senders are put down in them. None if the process was not
        told of them, or could not read them in time."""
        if not _are_same(self._told, transactions):
            return None
        started = time.perf_counter()
        self._process.take_in(_RECOVERY_SECONDS * len(transactions))
        read, listing = self._read, all_of(self._contents)
        self._forget()
        if read is None or len(read.senders) != len(transactions):
            return None
        for transaction, sender in zip(transactions, read.senders, strict=True):
            if sender is not None:
                remember_sender(transaction, sender)
        made = None
        if listing is not None and len(read.hashes) == len(listing):
            made = Listed(listing, read.hashes, TrieUpdate(read.root, read.nodes))
        return Taken(made, time.perf_counter() - started)

    def _forget(self) -> None:
        self._told, self._contents, self._read = (), [], None

    def _put_down(self, contents: _Contents, read: _Read | None) -> None:
        if contents is self._contents:  # else nobody waits for it any more
            self._read = read


def _are_same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Are these the very same objects, and is there any?"""
    return (
        bool(some)
        and len(some) == len(others)
        and all(one is other for one, other in zip(some, others, strict=True))
    )
