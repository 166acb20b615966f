"""Putting a block together around its transactions, once and in bulk.

py-evm builds the transaction trie node by node (and again to validate it), deep-copies all
transactions whenever a header field changes, and reads an imported block back from the database to
return it. `LeanAssembly` (for VMs), `LeanImport` (for chains) and `LeanChainDB` (for their
databases) do the same with bulk tries and without the copies. Where somebody customised one of the
methods replaced here, its own run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from inspect import getattr_static
from typing import Any, ClassVar, Final, cast

import rlp.codec
from eth._utils.db import get_parent_header
from eth.abc import (
    BlockAndMetaWitness,
    BlockAPI,
    BlockHeaderAPI,
    BlockPersistResult,
    DatabaseAPI,
    ReceiptAPI,
    SignedTransactionAPI,
    WithdrawalAPI,
)
from eth.constants import BLANK_ROOT_HASH, EMPTY_UNCLE_HASH, MAX_UNCLES
from eth.db.chain import ChainDB
from eth.db.schema import SchemaV1
from eth.validation import validate_length_lte
from eth.vm.base import VM
from eth.vm.forks.berlin.transactions import TypedTransaction
from eth.vm.forks.cancun import CancunVM
from eth.vm.interrupt import EVMMissingData
from eth_typing import Hash32
from eth_utils.exceptions import ValidationError

from parallel_evm.database import write
from parallel_evm.hashing import keccak
from parallel_evm.merkle.index import Listed, index_trie, listed
from parallel_evm.merkle.nodes import node_of, number_item
from parallel_evm.merkle.update import TrieUpdate
from parallel_evm.rlp_objects import are_same, changed, encoded, remember_hashes

REPLACED: Final = (
    "_assign_block_rewards",
    "finalize_block",
    "pack_block",
    "set_block_transactions_and_withdrawals",
    "validate_block",
)
"""VM methods that `LeanAssembly` replaces, or hands a block without its transactions; lean only
where all of them are py-evm's."""


_STOCK_HASH: Final = TypedTransaction.hash
"""A cached property, found again by identity: what it keeps may be given to it."""


class LeanAssembly:
    """Block assembly for VMs; `lean` says whether this VM class lets it."""

    is_ours: ClassVar[bool] = True
    """Found in classes of this package (`fallback`)."""
    lean: ClassVar[bool] = False
    listed: Listed | None = None
    """Of the block made last, or of the one that is being made, where somebody has seen to that."""
    receipts_made: tuple[bytes, Sequence[ReceiptAPI]] = b"", ()
    """Those of the block made last, and the root of their trie."""
    _given: BlockAPI | None = None
    """The block that is being imported."""
    _encoded: tuple[Sequence[Any], list[bytes]] = ((), [])
    """The transactions that were encoded last, and what came of that."""

    def import_block(self, block: BlockAPI) -> BlockAndMetaWitness:
        vm: Any = super()
        self._given = block
        imported: BlockAndMetaWitness = vm.import_block(block)
        return imported

    def ready_to_compare(self) -> None:
        """Let the hash of the block that is being imported be known: it is going to be compared
        with what comes of it. Whoever waits for others has time for that."""
        if self._given is not None:
            remember_hashes(self._given.transactions)
            with suppress(TypeError):  # somebody has put something into it that has no hash
                hash(self._given)

    def note_listed(self, transactions: Sequence[SignedTransactionAPI], made: Listed) -> None:
        """These very transactions were encoded and listed elsewhere."""
        self.listed = made
        self._encoded = tuple(transactions), made.encoded

    def _contents(self, transactions: Sequence[SignedTransactionAPI]) -> list[bytes]:
        """As EIP-2718 has them: asked for when a block is made, and again when it is validated."""
        if not isinstance(transactions, Sequence):  # an iterator, which gives them once
            return list(map(encoded, transactions))
        before, contents = self._encoded
        if not are_same(before, transactions):
            contents = list(map(encoded, transactions))
            self._encoded = tuple(transactions), contents
        return contents

    def set_block_transactions_and_withdrawals(
        self,
        base_block: Any,
        new_header: BlockHeaderAPI,
        transactions: Sequence[SignedTransactionAPI],
        receipts: Sequence[ReceiptAPI],
        withdrawals: Sequence[WithdrawalAPI] | None = None,
    ) -> BlockAPI:
        vm: Any = super()
        if not self.lean or not isinstance(transactions, Sequence):
            block: BlockAPI = vm.set_block_transactions_and_withdrawals(
                base_block, new_header, transactions, receipts, withdrawals=withdrawals
            )
            return block
        fields: dict[str, Any] = {"transactions": transactions}
        contents = self._contents(transactions)
        if self.listed is None or self.listed.encoded != contents:
            self.listed = listed(contents)
        for transaction, transaction_hash in zip(transactions, self.listed.hashes, strict=True):
            if getattr(type(transaction), "hash", None) is _STOCK_HASH:
                vars(transaction)["hash"] = transaction_hash
        roots = {
            "transaction_root": self._store(self.listed.trie),
            "receipt_root": self._store(index_trie(list(map(encoded, receipts)))),
        }
        if isinstance(receipts, Sequence):  # an iterator has given them by now
            self.receipts_made = roots["receipt_root"], tuple(receipts)
        if withdrawals:
            roots["withdrawals_root"] = self._store(index_trie(list(map(encoded, withdrawals))))
            fields["withdrawals"] = withdrawals
        made: BlockAPI = changed(base_block, header=changed(new_header, **roots), **fields)
        return made

    def _store(self, trie: TrieUpdate) -> bytes:
        this: Any = self
        this.chaindb.persist_trie_data_dict(trie.nodes)
        return trie.root

    def _transaction_root(self, transactions: Sequence[SignedTransactionAPI]) -> bytes:
        contents = self._contents(transactions)
        if self.listed is not None and self.listed.encoded == contents:
            return self.listed.trie.root  # a block that was made here is validated at once
        return index_trie(contents).root

    def pack_block(self, block: Any, *args: Any, **kwargs: Any) -> BlockAPI:
        vm: Any = super()
        if not self.lean:
            return cast(BlockAPI, vm.pack_block(block, *args, **kwargs))
        if not kwargs:
            return cast(BlockAPI, block)  # nothing is to be set
        bare = vm.pack_block(changed(block, transactions=()), *args, **kwargs)
        return cast(BlockAPI, changed(bare, transactions=block.transactions))

    def finalize_block(self, block: Any) -> BlockAndMetaWitness:
        """``VM.finalize_block`` of py-evm, without the text that it makes for nobody."""
        vm: Any = super()
        this: Any = self
        if not self.lean or this.logger.isEnabledFor(logging.DEBUG):
            result: BlockAndMetaWitness = vm.finalize_block(block)
            return result
        if block.number > 0:
            before = this.state.snapshot()
            try:
                this._assign_block_rewards(block)
            except EVMMissingData:
                this.state.revert(before)
                raise
            this.state.commit(before)
        witness = this.state.persist()
        header = changed(block.header, state_root=this.state.state_root)
        return BlockAndMetaWitness(changed(block, header=header), witness)

    def validate_block(self, block: Any) -> None:
        vm: Any = super()
        if not self.lean:
            vm.validate_block(block)
            return
        this: Any = self
        _validate_block(this, block, self._transaction_root)
        if isinstance(self, CancunVM):
            self.validate_block_blobs(block)


def _validate_block(
    vm: VM, block: Any, root_of: Callable[[Sequence[SignedTransactionAPI]], bytes]
) -> None:
    """``VM.validate_block`` of py-evm, check by check, with the transaction trie in bulk."""
    header = block.header
    if not isinstance(block, vm.get_block_class()):
        raise ValidationError(
            f"This vm ({vm!r}) is not equipped to validate a block of type {block!r}"
        )
    if block.is_genesis:
        validate_length_lte(
            header.extra_data, vm.extra_data_max_bytes, title="BlockHeader.extra_data"
        )
    else:
        vm.validate_header(header, get_parent_header(header, vm.chaindb))
    transaction_root = root_of(block.transactions)
    if transaction_root != header.transaction_root:
        raise ValidationError(
            f"Block's transaction_root ({header.transaction_root!r}) "
            f"does not match expected value: {transaction_root!r}"
        )
    if len(block.uncles) > MAX_UNCLES:
        raise ValidationError(
            f"Blocks may have a maximum of {MAX_UNCLES} uncles.  Found {len(block.uncles)}."
        )
    if not vm.chaindb.exists(header.state_root):
        state_root = vm.state.make_state_root()
        if state_root != header.state_root:
            raise ValidationError(
                "`state_root` does not match or was not found in the db.\n"
                f"- state_root: {header.state_root!r}"
            )
    uncles_hash = EMPTY_UNCLE_HASH
    if block.uncles:
        uncles_hash = Hash32(keccak(rlp.codec.encode(block.uncles)))  # type: ignore[no-untyped-call]
    if uncles_hash != header.uncles_hash:
        raise ValidationError(
            "`uncles_hash` and block `uncles` do not match.\n"
            f" - num_uncles       : {len(block.uncles)}\n"
            f" - block uncle_hash : {uncles_hash!r}\n"
            f" - header uncle_hash: {header.uncles_hash!r}"
        )


class LeanChainDB:
    """A chain database that writes a trie, and a transaction's place in its block, in one step."""

    db: Any

    def persist_trie_data_dict(self, trie_data_dict: dict[bytes, bytes]) -> None:
        write(self.db, trie_data_dict)

    @staticmethod
    def _add_transaction_to_canonical_chain(
        db: DatabaseAPI, transaction_hash: Hash32, block_header: BlockHeaderAPI, index: int
    ) -> None:
        db.set(
            SchemaV1.make_transaction_hash_to_block_lookup_key(transaction_hash),
            node_of(number_item(block_header.block_number) + number_item(index)),
        )


_OF_CHAIN_DATABASES: Final = (
    "_add_transaction_to_canonical_chain",
    "_persist_trie_data_dict",  # what the next one would ask
    "persist_trie_data_dict",
)


def lean_chaindb(chaindb_class: Any) -> Any:
    """``chaindb_class`` with `LeanChainDB` in it, where it is py-evm's own in that respect."""
    for name in _OF_CHAIN_DATABASES:
        if getattr_static(chaindb_class, name, None) is not getattr_static(ChainDB, name):
            return chaindb_class
    namespace = {"__module__": chaindb_class.__module__, "__qualname__": chaindb_class.__qualname__}
    return type(chaindb_class.__name__, (LeanChainDB, chaindb_class), namespace)


def _is_complete(block: Any, chaindb: Any) -> bool:
    """Could it be read back? Whoever mines may give a header a root of withdrawals of his own."""
    root = getattr(block.header, "withdrawals_root", None)
    return root is None or root == BLANK_ROOT_HASH or bool(chaindb.exists(root))


class LeanImport:
    """A chain that remembers the block it is persisting instead of reading it back."""

    _persisting: BlockAPI | None = None

    def persist_block(self, block: BlockAPI, perform_validation: bool = True) -> BlockPersistResult:
        chain: Any = super()
        self._persisting = block
        try:
            result: BlockPersistResult = chain.persist_block(block, perform_validation)
            return result
        finally:
            self._persisting = None

    def get_block_by_hash(self, block_hash: Hash32) -> BlockAPI:
        this: Any = self
        block = self._persisting
        if block is not None and block.hash == block_hash and _is_complete(block, this.chaindb):
            return block
        chain: Any = super()
        found: BlockAPI = chain.get_block_by_hash(block_hash)
        return found
