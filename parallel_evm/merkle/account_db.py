"""MerkleState: a `FlatState` over py-evm's tries, with roots. It is the account database of a VM.

All that a block writes collects in dictionaries; `make_state_root` turns it into tries once, in
bulk, and `persist` writes the new nodes through py-evm's database in one atomic batch. Nothing
reaches the database before `persist`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from eth.abc import AtomicDatabaseAPI, MetaWitnessAPI
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.db.witness import AccountQueryTracker, MetaWitness
from eth.validation import validate_canonical_address
from eth.vm.interrupt import MissingAccountTrieNode
from eth_typing import Address, Hash32
from trie.exceptions import MissingTrieNode

from parallel_evm.database import write
from parallel_evm.hashing import trie_key
from parallel_evm.merkle.codec import encode_account, encode_slot
from parallel_evm.merkle.reachable import reachable
from parallel_evm.merkle.source import TrieSource, TrieSources, missing_in_storage
from parallel_evm.merkle.update import update
from parallel_evm.state.base import Changes
from parallel_evm.state.flat import Effects, FlatState, Log
from parallel_evm.state.keys import CODE, EPOCH, LIFE, NONCE
from parallel_evm.state.recorder import Observations, Recorder
from parallel_evm.state.source import Account

_NO_SLOTS: Final[frozenset[int]] = frozenset()
_NEW: Final = Account(0, 0, EMPTY_SHA3)
"""What an account begins with that did not exist before the block."""


@dataclass(frozen=True, slots=True)
class _StorageTrie:
    """A storage trie that was built before the state root was asked for."""

    root: bytes
    written: dict[int, int]
    """The dictionary it was built from (another one means: wiped since)."""
    done: dict[int, int]
    """What that dictionary held then."""


class MerkleState(FlatState):
    """py-evm's `AccountDatabaseAPI` at one block of one database."""

    sources: ClassVar[TrieSources]
    """Where the previous block's warm source is found; set by whoever configures the class."""

    tries: TrieSource
    """State as it was before what was written since. Reads go there, through `source`."""

    def __init__(self, db: AtomicDatabaseAPI, state_root: Hash32 = BLANK_ROOT_HASH) -> None:
        self.tries = self.sources.at(db, state_root)
        super().__init__(self.tries)
        self._db = db
        self._overlay: dict[bytes, bytes] = {}
        """Trie nodes made and not yet written."""
        self._roots_made: list[bytes] = []
        """Since nodes were written last."""
        self._pending_codes: dict[bytes, bytes] = {}
        self._storage_made: dict[bytes, _StorageTrie] = {}
        self._witnessed: list[Observations] = []
        self._notes_reads = False

    #
    # Roots
    #
    @property
    def state_root(self) -> Hash32:
        return Hash32(self.tries.root)

    @state_root.setter
    def state_root(self, value: Hash32) -> None:
        if value != self.tries.root:
            self._read_from(TrieSource(self._db, value, self._overlay))
            self._storage_made.clear()

    def has_root(self, state_root: bytes) -> bool:
        return state_root in self._overlay or state_root in self._db

    def make_storage_roots(self) -> None:
        """Build the storage tries of all accounts written so far.

        `make_state_root` does the same; called before, this lets the work be timed apart.
        """
        for address in self.effects.slots:
            self._storage_root(address)

    def _storage_root(self, address: bytes) -> bytes:
        """The account's storage root with all that was written, building what is not built."""
        written = self.effects.slots[address]
        made = self._storage_made.get(address)
        wiped = (address, EPOCH) in self.effects.cells
        if made is not None and made.written is written:  # else wiped since
            root = made.root
            changed = {s: v for s, v in written.items() if made.done.get(s) != v}
        else:
            made = None
            root = BLANK_ROOT_HASH if wiped else self.tries.storage_root(address)
            changed = written
        trie_changes: dict[bytes, bytes] = {}
        for slot, value in changed.items():
            # py-evm does not touch the trie to delete what is not there, and a partial trie may
            # lack the nodes on the way.
            if value or made is not None or (not wiped and self.tries.slot(address, slot)):
                trie_changes[trie_key(slot.to_bytes(32, "big"))] = encode_slot(value)
        if trie_changes:
            try:
                result = update(self._node, root, trie_changes)
            except MissingTrieNode as missing:
                raise missing_in_storage(missing, root, address) from missing
            self._overlay.update(result.nodes)
            root = result.root
        self._storage_made[address] = _StorageTrie(root, written, dict(written))
        return root

    def _node(self, node_hash: bytes) -> bytes:
        node = self._overlay.get(node_hash)
        return self.tries.node(node_hash) if node is None else node

    def make_state_root(self) -> Hash32:
        """Fold everything written into the tries and return the new root.

        Older checkpoints can no longer be discarded, as in py-evm.
        """
        effects = self.effects
        cells = effects.cells
        tries = self.tries
        accounts: dict[bytes, Account | None] = {}
        storage_roots: dict[bytes, bytes] = {}
        trie_changes: dict[bytes, bytes] = {}
        for address in self._written_accounts():
            before = tries.account(address)
            storage_root = tries.storage_root(address)
            if address in effects.slots:
                new_storage_root = self._storage_root(address)
                storage_roots[address] = new_storage_root
            else:
                new_storage_root = storage_root
            if cells.get((address, LIFE), before is not None) or (
                new_storage_root != BLANK_ROOT_HASH
            ):
                nonce, balance, code_hash = before or _NEW
                after = Account(
                    cells.get((address, NONCE), nonce),
                    balance + effects.deltas.get(address, 0),
                    cells.get((address, CODE), code_hash),
                )
                if after != before or new_storage_root != storage_root:
                    accounts[address] = after
                    trie_changes[trie_key(address)] = encode_account(
                        after.nonce, after.balance, new_storage_root, after.code_hash
                    )
            elif before is not None:
                accounts[address] = None
                trie_changes[trie_key(address)] = b""
        root = tries.root
        if trie_changes:
            try:
                result = update(self._node, root, trie_changes)
            except MissingTrieNode as missing:
                raise MissingAccountTrieNode(
                    Hash32(missing.missing_node_hash),
                    Hash32(root),
                    Hash32(missing.requested_key),
                ) from missing
            self._overlay.update(result.nodes)
            root = result.root
            self._roots_made.append(root)
        changes = Changes(
            accounts=accounts,
            slots={address: written for address, written in effects.slots.items() if written},
            wiped=frozenset(address for address, field in effects.cells if field == EPOCH),
        )
        self._pending_codes.update(effects.codes)
        if accounts or changes.slots or changes.wiped:
            tries.learn_codes(effects.codes)
            self._read_from(tries.successor(root, changes, storage_roots, self._overlay))
        self._start_over()
        return self.state_root

    def _written_accounts(self) -> Iterator[bytes]:
        effects = self.effects
        seen: dict[bytes, None] = dict.fromkeys(address for address, _ in effects.cells)
        seen.update(dict.fromkeys(effects.deltas))
        seen.update(dict.fromkeys(effects.slots))
        return iter(seen)

    def _start_over(self) -> None:
        self.effects = Effects()
        self._originals.clear()
        self._log.clear()
        self._locked_below = len(self._checkpoints)
        self._storage_made.clear()

    def persist(self) -> MetaWitnessAPI:
        """Write all new trie nodes and bytecode to the database, in one atomic batch."""
        self.make_state_root()
        nodes = self._overlay
        if len(self._roots_made) > 1:
            # Before Byzantium every transaction has a root. py-evm keeps their topmost nodes, too.
            roots = {root: nodes[root] for root in self._roots_made if root in nodes}
            nodes = roots | reachable(nodes, self.tries.root)
        write(self._db, nodes | self._pending_codes if self._pending_codes else nodes)
        self._overlay.clear()
        self._roots_made.clear()
        self._pending_codes.clear()
        self.sources.remember(self.tries)
        witness = self._witness()
        self._witnessed = []
        self._notes_reads = False
        self.source = self.tries
        return witness

    def _undo(self, log: Log, position: int) -> None:
        super()._undo(log, position)
        self._storage_made.clear()

    #
    # Transactions that run on it without a view of their own (`speculation.in_place`): all that
    # they do can be undone
    #
    def charge(self, sender: Address, cost: int, nonce: int) -> None:
        self._set_delta(sender, self.effects.deltas.get(sender, 0) - cost)
        self._set_cell((sender, NONCE), nonce)

    def settle_balance(self, address: Address, delta: int) -> None:
        self._set_delta(address, self._total(address, delta))

    def undo_all(self) -> None:
        """Let all be as it was when changes were locked last."""
        del self._checkpoints[self._locked_below :]
        self._undo(self._log, 0)
        self._undo(self._lasting, 0)

    #
    # Asked by hand: transactions write to views, and only to addresses
    #
    def set_nonce(self, address: Address, nonce: int) -> None:
        validate_canonical_address(address, title="Storage Address")
        super().set_nonce(address, nonce)

    def touch_account(self, address: Address) -> None:
        validate_canonical_address(address, title="Storage Address")
        super().touch_account(address)

    #
    # Code
    #
    def delete_code(self, address: Address) -> None:
        validate_canonical_address(address, title="Storage Address")
        super().delete_code(address)

    def code(self, code_hash: bytes) -> bytes:
        code = self._pending_codes.get(code_hash) or self.effects.codes.get(code_hash)
        return self.source.code(code_hash) if code is None else code

    #
    # Witness
    #
    def witness(self, observations: Observations) -> None:
        """Note what an accepted transaction observed, for the block's `MetaWitness`."""
        self._witnessed.append(observations)

    def note_reads(self) -> None:
        """Note for it what is read here, until it is made (`persist`)."""
        self._notes_reads = True
        self._read_from(self.tries)

    def _read_from(self, tries: TrieSource) -> None:
        self.tries = self.source = tries
        if self._notes_reads:
            recorder = self.source = Recorder(tries)
            self.witness(recorder.observations)

    def _witness(self) -> MetaWitness:
        accounts: dict[Address, AccountQueryTracker] = {}
        slots: dict[bytes, set[int]] = {}
        for observations in self._witnessed:
            for address, _ in observations.cells:
                if address not in slots:
                    slots[address] = set()
            for address, seen in observations.slots.items():
                slots.setdefault(address, set()).update(seen)
            for address, ranges in observations.ranges.items():
                slots.setdefault(address, set()).update(ranges)
        account_of = self.tries.account  # nothing has been written since
        for address, queried in slots.items():
            account = account_of(address)
            has_code = account is not None and account.code_hash != EMPTY_SHA3
            accounts[Address(address)] = AccountQueryTracker(
                has_code, frozenset(queried) if queried else _NO_SLOTS
            )
        return MetaWitness(set(), accounts)


def merkle_state_class(sources: TrieSources) -> type[MerkleState]:
    """A `MerkleState` class bound to one registry: py-evm builds it from (db, root) alone."""
    namespace: dict[str, Any] = {"sources": sources, "__slots__": ()}
    return type("MerkleState", (MerkleState,), namespace)
