"""A block that is built one transaction at a time, each step as cheap as the first.

py-evm's ``MiningChain.apply_transaction`` starts every step from the database: it reads and decodes
all transactions and receipts of the pending block, and builds both tries anew, so that 400 steps
cost as much as 80,000. `LeanPending` remembers the block that the last step returned and adds one
leaf to each trie. What it returns and what it leaves in the database are py-evm's: roots,
header, block, receipt, and every trie node that the next step, on whatever chain object, needs.

Talks to: the chain's VM, `merkle.update`. Never: keeps anything that the header does not name;
where the chain's header is not the one that was left, py-evm's own way leads to the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from eth.abc import BlockAPI, ComputationAPI, ReceiptAPI, SignedTransactionAPI
from eth.chains.base import MiningChain
from eth.db.chain import ChainDB

from parallel_evm.merkle.index import add_to_index_trie
from parallel_evm.rlp_objects import changed
from parallel_evm.speculation.stock import STOCK_VMS

_STOCK_BLOCKS: Final = frozenset(vm.get_block_class() for vm in STOCK_VMS)
_ROOTS: Final = ("transaction_root", "receipt_root", "uncles_hash", "withdrawals_root")


@dataclass(frozen=True, slots=True)
class _Pending:
    """A block as the database would give it back."""

    block: Any
    body: tuple[bytes | None, ...]

    @classmethod
    def of(cls, block: Any) -> _Pending:
        return cls(block, _body(block.header))


def _body(header: Any) -> tuple[bytes | None, ...]:
    """What names the block's content: headers that agree here head the same transactions."""
    return tuple(getattr(header, name, None) for name in _ROOTS)


def builds_pending_blocks(chain: type) -> bool:
    """Does this chain class build blocks as py-evm does?"""
    return issubclass(chain, MiningChain) and (
        chain.apply_transaction is MiningChain.apply_transaction
    )


class LeanPending:
    """Mixed into mining chains for which `builds_pending_blocks`."""

    _pending: _Pending | None = None

    def apply_transaction(
        self, transaction: SignedTransactionAPI
    ) -> tuple[BlockAPI, ReceiptAPI, ComputationAPI]:
        this: Any = self
        vm = this.get_vm(this.header)
        if not _is_lean(vm):
            chain: Any = super()
            done: tuple[BlockAPI, ReceiptAPI, ComputationAPI] = chain.apply_transaction(transaction)
            return done
        block = self._base_block(vm)
        index = len(block.transactions)
        receipt, computation = vm.apply_transaction(vm.get_header(), transaction)
        header = vm.add_receipt_to_header(vm.get_header(), receipt)
        vm.state.persist()
        encoded = transaction.encode()
        header = changed(
            header,
            state_root=vm.state.state_root,
            transaction_root=_added(vm.chaindb, header.transaction_root, index, encoded),
            receipt_root=_added(vm.chaindb, header.receipt_root, index, receipt.encode()),
        )
        before = block.transactions
        new_block = changed(block, header=header, transactions=(*before, transaction))
        # The next step would read it from the database: perhaps another class than was given.
        stored = type(block).get_transaction_builder().decode(encoded)
        self._pending = _Pending.of(changed(block, header=header, transactions=(*before, stored)))
        this.header = header
        return new_block, receipt, computation

    def _base_block(self, vm: Any) -> Any:
        """The block of the VM's header."""
        pending = self._pending
        if (
            pending is not None
            and type(pending.block) is vm.get_block_class()
            and pending.body == _body(vm.get_header())
        ):
            return pending.block
        return vm.get_block()


def _is_lean(vm: Any) -> bool:
    return bool(
        getattr(vm, "lean", False)
        and vm.parallel_engine.config.incremental
        and vm.get_block_class() in _STOCK_BLOCKS
        and isinstance(vm.chaindb, ChainDB)
        and type(vm.chaindb).get_block_transactions is ChainDB.get_block_transactions
    )


def _added(chaindb: Any, root: bytes, index: int, encoded: bytes) -> bytes:
    """The root with one more item; the nodes are in the database."""
    trie = add_to_index_trie(chaindb.db.__getitem__, root, index, encoded)
    chaindb.persist_trie_data_dict(trie.nodes)
    return trie.root
