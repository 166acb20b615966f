"""State as py-evm's tries hold it at one root, read once and cached flat.

`TrieSource` is the bottom of every stack of views in the coordinator. `TrieSources` finds the one
that the last block left behind, so that a chain's blocks start warm. Neither ever writes to a
database.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from typing import Any

from eth.constants import BLANK_ROOT_HASH
from eth.validation import validate_canonical_address, validate_uint256
from eth.vm.interrupt import MissingAccountTrieNode, MissingBytecode, MissingStorageTrieNode
from eth_typing import Address, Hash32
from trie.exceptions import MissingTrieNode

from parallel_evm.hashing import trie_key
from parallel_evm.merkle.codec import decode_account, decode_slot
from parallel_evm.merkle.read import lookup
from parallel_evm.state.base import CachedSource, Changes
from parallel_evm.state.source import Account

DATABASES = 4
"""Databases whose state stays cached; others are read anew when their turn comes again."""
HISTORY_LENGTH = 64
"""Blocks whose changes are kept for workers that did not take part in them."""


class TrieSource(CachedSource):
    """Accounts and slots of one state root, from a database of trie nodes.

    Raises py-evm's `MissingAccountTrieNode`, `MissingStorageTrieNode` and `MissingBytecode` when
    the database does not hold what is asked for.
    """

    def __init__(self, db: Any, root: bytes, overlay: dict[bytes, bytes]) -> None:
        super().__init__()
        self.root = root
        self.db = db
        self._overlay = overlay
        """Nodes that were made but not yet written to the database."""
        self._storage_roots: dict[bytes, bytes] = {}
        self.lineage = os.urandom(8)
        """Names this source and its successors: a worker's replica follows one lineage."""
        self.version = 0
        self._history: deque[Changes] = deque(maxlen=HISTORY_LENGTH)

    def node(self, node_hash: bytes) -> bytes:
        """The RLP of a trie node. Raises KeyError when neither overlay nor database has it."""
        node = self._overlay.get(node_hash)
        if node is None:
            node = self.db[node_hash]
        return node

    def load_account(self, address: bytes) -> Account | None:
        validate_canonical_address(Address(address), title="Storage Address")
        try:
            encoded = lookup(self.node, self.root, trie_key(address))
        except MissingTrieNode as missing:
            raise MissingAccountTrieNode(*missing.args) from missing
        if not encoded:
            return None
        nonce, balance, storage_root, code_hash = decode_account(encoded)
        if storage_root != BLANK_ROOT_HASH:
            self._storage_roots[address] = storage_root
        return Account(nonce, balance, code_hash)

    def storage_root(self, address: bytes) -> bytes:
        """Root of the account's storage trie; the blank root where there is none."""
        roots = self._storage_roots
        self.account(address)
        root = roots.get(address, BLANK_ROOT_HASH)
        if self._storage_roots is roots:  # as for what is cached (`state.base`)
            return root
        with self._lock:
            self.account(address)
            return self._storage_roots.get(address, BLANK_ROOT_HASH)

    def load_slot(self, address: bytes, slot: int) -> int:
        validate_uint256(slot, title="Storage Slot")
        root = self.storage_root(address)
        if root == BLANK_ROOT_HASH:
            return 0
        try:
            return decode_slot(lookup(self.node, root, trie_key(slot.to_bytes(32, "big"))))
        except MissingTrieNode as missing:
            raise missing_in_storage(missing, root, address) from missing

    def load_code(self, code_hash: bytes) -> bytes:
        try:
            code: bytes = self.db[code_hash]
        except KeyError:
            raise MissingBytecode(Hash32(code_hash)) from KeyError
        return code

    def learn_codes(self, codes: dict[bytes, bytes]) -> None:
        """Cache bytecode that is about to be written to the database."""
        self._codes.update(codes)

    def forget(self) -> None:
        super().forget()
        self._storage_roots.clear()

    def successor(
        self,
        root: bytes,
        changes: Changes,
        storage_roots: dict[bytes, bytes],
        overlay: dict[bytes, bytes],
    ) -> TrieSource:
        """The source for the state after ``changes``, which takes this one's cache along.

        This one stays correct, for whoever still looks at the older root, but starts cold.
        ``overlay`` holds the nodes between the two roots until the database does.
        """
        after = TrieSource(self.db, root, overlay)
        with self._lock:
            after._accounts, self._accounts = self._accounts, {}
            after._slots, self._slots = self._slots, {}
            after._codes, self._codes = self._codes, {}
            after._storage_roots, self._storage_roots = self._storage_roots, {}
            after._room, self._room = self._room, self._capacity
            after.lineage, after._history = self.lineage, self._history
            after.version = self.version + 1
            # The old object's reads may leave the lineage's cache behind, never enter it. It gives
            # the lineage up before that moves on: an interrupt in between must not leave it with
            # a change that is not its own.
            self.lineage = os.urandom(8)
            self._history = deque(maxlen=HISTORY_LENGTH)
            after._history.append(changes)
        after.advance(changes)
        for address, storage_root in storage_roots.items():
            if storage_root == BLANK_ROOT_HASH:
                after._storage_roots.pop(address, None)
            else:
                after._storage_roots[address] = storage_root
        for address, account in changes.accounts.items():
            if account is None:
                after._storage_roots.pop(address, None)
        return after

    def changes_since(self, version: int) -> list[Changes] | None:
        """What happened between ``version`` of this lineage and now; None when forgotten."""
        missed = self.version - version
        if missed < 0 or missed > len(self._history):
            return None
        return list(self._history)[len(self._history) - missed :]


class TrieSources:
    """The newest `TrieSource` of each database, for the few databases that were used last."""

    def __init__(self) -> None:
        self._newest: OrderedDict[int, TrieSource] = OrderedDict()
        self._lock = threading.Lock()

    def at(self, db: Any, root: bytes) -> TrieSource:
        """The source for ``root``, warm if it is where the database's last block ended."""
        with self._lock:
            source = self._newest.get(id(db))
            if source is not None and source.db is db and source.root == root:
                self._newest.move_to_end(id(db))
                return source
        return TrieSource(db, root, {})

    def remember(self, source: TrieSource) -> None:
        """``source`` is where its database stands now."""
        with self._lock:
            self._newest[id(source.db)] = source
            self._newest.move_to_end(id(source.db))
            while len(self._newest) > DATABASES:
                self._newest.popitem(last=False)


def missing_in_storage(
    missing: MissingTrieNode, root: bytes, address: bytes
) -> MissingStorageTrieNode:
    """py-evm's error for a node that an account's storage trie lacks."""
    return MissingStorageTrieNode(
        Hash32(missing.missing_node_hash),
        Hash32(root),
        Hash32(missing.requested_key),
        missing.prefix,
        Address(address),
    )
