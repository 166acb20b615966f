"""Where a read goes that nobody in the block has written: state before the block, cached flat.

A `CachedSource` remembers accounts, slots and code that were loaded once, and moves with the
chain: after a block, `advance` applies what the block changed, so that the next block starts warm.
What it loads from is the subclass's business (py-evm's tries in the coordinator, the coordinator
itself in a worker).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from parallel_evm.state.source import Account, AccountSource

DEFAULT_CAPACITY = 1_000_000
"""Cached accounts, slots and codes; at roughly 200 bytes each this bounds a cache to 200 MB."""


_UNKNOWN: Final = Account(-1, -1, b"")
"""Stands for no account, not for one that does not exist."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a block changed, in absolute values."""

    accounts: dict[bytes, Account | None] = field(default_factory=dict)
    """None: the account does not exist any more."""
    slots: dict[bytes, dict[int, int]] = field(default_factory=dict)
    wiped: frozenset[bytes] = frozenset()
    """Accounts whose storage was wiped before ``slots`` were written."""


class CachedSource(AccountSource):
    """Flat dictionaries over a slower place to load from.

    Safe to read from several threads, also while its cache moves on to the next block.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._accounts: dict[bytes, Account | None] = {}
        self._slots: dict[bytes, dict[int, int]] = {}
        self._codes: dict[bytes, bytes] = {}
        self._room = self._capacity = capacity
        # Without it, a value that one thread loaded could enter the cache after another thread
        # moved that cache on to a later state.
        self._lock = threading.RLock()

    def load_account(self, address: bytes) -> Account | None:
        raise NotImplementedError

    def load_slot(self, address: bytes, slot: int) -> int:
        raise NotImplementedError

    def load_code(self, code_hash: bytes) -> bytes:
        raise NotImplementedError

    # What is there already is read without the lock. A cache may leave for its successor at any
    # moment, and move on there; as long as it has not left after the look, it had not before.

    def account(self, address: bytes) -> Account | None:
        accounts = self._accounts
        found = accounts.get(address, _UNKNOWN)
        if found is not _UNKNOWN and self._accounts is accounts:
            return found
        with self._lock:
            try:
                return self._accounts[address]
            except KeyError:
                account = self._accounts[address] = self.load_account(address)
                self._room -= 1
                return account

    def slot(self, address: bytes, slot: int) -> int:
        slots = self._slots
        held = slots.get(address)
        if held is not None:
            found = held.get(slot)
            if found is not None and self._slots is slots:
                return found
        with self._lock:
            known = self._slots.get(address)
            if known is None:
                known = self._slots[address] = {}
            value = known.get(slot)
            if value is None:
                value = known[slot] = self.load_slot(address, slot)
                self._room -= 1
            return value

    def code(self, code_hash: bytes) -> bytes:
        found = self._codes.get(code_hash)
        if found is not None:
            return found  # named by its content: the same in every state
        with self._lock:
            code = self._codes.get(code_hash)
            if code is None:
                code = self._codes[code_hash] = self.load_code(code_hash)
                self._room -= 1
            return code

    def advance(self, changes: Changes) -> None:
        """Move to the state after a block. Drops the cache when it has outgrown its bound."""
        self._accounts.update(changes.accounts)
        self._room -= len(changes.accounts)
        for address in changes.wiped:
            self._slots.pop(address, None)  # what is loaded from now on comes after the wipe
        for address, written in changes.slots.items():
            known = self._slots.get(address)
            if known is None:
                self._slots[address] = dict(written)
            else:
                known.update(written)
            self._room -= len(written)
        if self._room < 0:
            self.forget()  # at the end: half of what belongs together would be worse than nothing

    def forget(self) -> None:
        """Empty the cache; correctness never depends on what it holds."""
        self._accounts.clear()
        self._slots.clear()
        self._codes.clear()
        self._room = self._capacity
