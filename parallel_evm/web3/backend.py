"""ParallelEVMBackend: the eth-tester backend that executes a whole block at once.

Responsible for: eth-tester's backend interface over one py-evm chain that was made parallel:
queueing what is sent, mining what is queued, snapshots, and views of the chain and of the pending
block.
Talks to: eth-tester's `PyEVMBackend`, whose accounts, genesis, signing, calls and serialisation it
keeps; `queue`, `admission`, `packing` and `fees`; `parallelize` for the chain.
Never: executes a transaction when it is sent, or executes a block one transaction at a time, except
to find out which transaction it was that made py-evm refuse a block.
"""

# eth-tester has no annotations: what it is asked is untyped, and what it answers is Any.
# mypy: disable-error-code="no-untyped-call, no-any-return"

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from eth.abc import (
    BlockAPI,
    BlockHeaderAPI,
    MiningChainAPI,
    ReceiptAPI,
    SignedTransactionAPI,
    StateAPI,
    VirtualMachineAPI,
)
from eth.constants import GAS_TX, GENESIS_PARENT_HASH, ZERO_ADDRESS
from eth.exceptions import HeaderNotFound, InvalidInstruction, Revert, VMError
from eth.vm.forks.paris import ParisVM
from eth.vm.spoof import SpoofTransaction
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_account.typed_transactions.blob_transactions.blob_transaction import BlobTransaction
from eth_keys.datatypes import PrivateKey
from eth_tester.backends.pyevm.main import PyEVMBackend, setup_tester_chain
from eth_tester.backends.pyevm.serializers import (
    serialize_block,
    serialize_transaction,
    serialize_transaction_receipt,
)
from eth_tester.constants import BLOB_TX_TYPE
from eth_tester.exceptions import BlockNotFound, TransactionFailed, TransactionNotFound
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.conversions import to_bytes
from eth_utils.hexadecimal import encode_hex
from hexbytes import HexBytes

from parallel_evm.config import ParallelConfig
from parallel_evm.errors import ConfigurationError
from parallel_evm.report import BlockReport
from parallel_evm.vm import parallelize
from parallel_evm.web3.admission import Admission
from parallel_evm.web3.fees import GWEI, base_fee_of, names_fees, offer
from parallel_evm.web3.packing import REFUSALS, Refusal, pack
from parallel_evm.web3.queue import Queued, TransactionQueue

KEPT_REPORTS: Final = 64
KEPT_BLOCKS: Final = 64
KEPT_REASONS: Final = 4096
"""Why transactions were dropped."""

BlockIdentifier = int | str
"""A block number, or ``latest``, ``safe``, ``finalized``, ``earliest``, ``pending``."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A point to return to: a block, and what was queued on top of it."""

    block_hash: Hash32
    queued: tuple[Queued, ...]


class ParallelEVMBackend(PyEVMBackend):
    """An eth-tester backend on a parallel py-evm chain, in the place of `PyEVMBackend`.

    ``EthereumTester(ParallelEVMBackend(workers=2))`` is used like any other `EthereumTester`. What
    is sent is checked and queued; mining executes all that is queued, in one parallel block.

    Parameters that `PyEVMBackend` has too mean the same, in the same order; further:
      - ``workers``, or a whole `ParallelConfig` as ``config``: how blocks are executed;
      - ``num_accounts``: how many test accounts there are (default 10, or those of
        ``genesis_state``).

    Raises `ConfigurationError` for impossible values.
    """

    account_keys: tuple[PrivateKey, ...]

    def __init__(
        self,
        genesis_parameters: Mapping[str, Any] | None = None,
        genesis_state: Mapping[Address, Any] | None = None,
        vm_configuration: Sequence[tuple[int, type[VirtualMachineAPI]]] | None = None,
        mnemonic: str | None = None,
        hd_path: str | None = None,
        *,
        num_accounts: int | None = None,
        workers: int | None = None,
        config: ParallelConfig | None = None,
    ) -> None:
        if config is None:
            config = ParallelConfig() if workers is None else ParallelConfig(workers=workers)
        elif not isinstance(config, ParallelConfig):
            raise ConfigurationError(
                f"config must be a ParallelConfig, not {type(config).__name__}"
            )
        elif workers is not None:
            config = replace(config, workers=workers)
        self._config = replace(config, on_block=self._note_execution)
        self._on_block = config.on_block
        self.reports: deque[BlockReport] = deque(maxlen=KEPT_REPORTS)
        """What happened in the last blocks that were mined, the newest last."""
        self._executed: BlockReport | None = None
        self._genesis: tuple[Any, ...] = (None,) * 6
        self.reset_to_genesis(
            genesis_parameters, genesis_state, num_accounts, vm_configuration, mnemonic, hd_path
        )

    # ---------------------------------------------------------------- genesis and reports

    def reset_to_genesis(
        self,
        genesis_params: Mapping[str, Any] | None = None,
        genesis_state: Mapping[Address, Any] | None = None,
        num_accounts: int | None = None,
        vm_configuration: Sequence[tuple[int, type[VirtualMachineAPI]]] | None = None,
        mnemonic: str | None = None,
        hd_path: str | None = None,
    ) -> None:
        """Start again, nothing queued: from the genesis that is given, or, where nothing is, from
        the one that this backend began with last."""
        genesis = (
            genesis_params, genesis_state, num_accounts, vm_configuration, mnemonic, hd_path
        )  # fmt: skip
        if any(part is not None for part in genesis):
            _check_accounts(num_accounts, genesis_state)
            self._genesis = genesis
        self.account_keys, stock = setup_tester_chain(*self._genesis)
        self._keys = {_address_of(key): key for key in self.account_keys}
        chain_class = parallelize(type(stock), config=self._config)
        self.chain: MiningChainAPI = chain_class(stock.chaindb.db)
        self.queue = TransactionQueue()
        self.dropped: dict[Hash32, Exception] = {}
        """Transactions that were queued and turned out invalid when their block was executed, by
        hash, with py-evm's reason: the last ones, as far as they were not sent again."""
        self._admission: Admission | None = None
        self._pending: tuple[tuple[Hash32, ...], BlockHeaderAPI] | None = None
        self._places: dict[Hash32, list[tuple[BlockHeaderAPI, int]]] = {}
        self._block_and_receipts = lru_cache(KEPT_BLOCKS)(self._load_block_and_receipts)
        self.reports.clear()

    @property
    def last_report(self) -> BlockReport | None:
        """The report of the block mined last; None before the first."""
        return self.reports[-1] if self.reports else None

    def _note_execution(self, report: BlockReport) -> None:
        self._executed = report
        if self._on_block is not None:
            self._on_block(report)

    # ---------------------------------------------------------------- accounts

    def get_accounts(self) -> tuple[Address, ...]:
        return tuple(self._keys)

    def add_account(self, private_key: bytes) -> None:
        key = PrivateKey(private_key)
        self.account_keys += (key,)
        self._keys[_address_of(key)] = key

    @property
    def _key_lookup(self) -> dict[Address, PrivateKey]:
        # eth-tester derives every account's address anew for each signature.
        return self._keys

    # ---------------------------------------------------------------- sending

    def send_raw_transaction(self, raw_transaction: bytes) -> Hash32:
        if raw_transaction[0] == BLOB_TX_TYPE:
            # The blobs themselves are for the consensus layer; a transaction without them remains.
            blobs = BlobTransaction.from_bytes(HexBytes(raw_transaction))
            blobs.blob_data = None
            raw_transaction = to_bytes(blobs.transaction_type) + blobs.payload()
        return self._enqueue(self.chain.get_vm().get_transaction_builder().decode(raw_transaction))

    def send_signed_transaction(
        self, signed_transaction: dict[str, Any], block_number: BlockIdentifier = "latest"
    ) -> Hash32:
        normalized = self._normalize_transaction(signed_transaction, block_number)
        return self._enqueue(self._create_type_aware_signed_transaction(normalized))

    def send_transaction(self, transaction: dict[str, Any]) -> Hash32:
        """Sign with the key of ``from`` and queue. Without a nonce it gets the sender's next one,
        after all that is queued; without fees it gets enough for when its turn comes."""
        filled = dict(transaction)
        filled.setdefault("nonce", self.get_nonce(transaction["from"], "pending"))
        price = self.offer()
        if price > GWEI and not names_fees(transaction):
            filled["max_priority_fee_per_gas"] = GWEI
            filled["max_fee_per_gas"] = price
        return self._enqueue(self._get_normalized_and_signed_evm_transaction(filled))

    def offer(self) -> int:
        """What a transaction that is sent now should offer at most, in wei per gas (`fees`)."""
        return offer(self.chain.header, self.queue.gas)

    def _enqueue(self, transaction: SignedTransactionAPI) -> Hash32:
        """Queue, in place of another with its sender and nonce, or raise what py-evm raises."""
        if self.queue.find(transaction.hash) is None:
            self._current_admission().admit(transaction)
            self.dropped.pop(transaction.hash, None)
        self.queue.add(transaction)
        return transaction.hash

    def _current_admission(self) -> Admission:
        if self._admission is None or self._admission.header is not self.chain.header:
            self._admission = Admission(self.chain)
            refused = []
            for transaction in self.queue.all_by_arrival():
                try:
                    self._admission.admit(transaction)
                except REFUSALS as reason:
                    refused.append(Refusal(transaction, reason))
            self._drop(refused)
        return self._admission

    def _drop(self, refused: Sequence[Refusal]) -> None:
        for refusal in refused:
            transaction_hash = refusal.transaction.hash
            self.dropped[transaction_hash] = refusal.reason
            if len(self.dropped) > KEPT_REASONS:
                del self.dropped[next(iter(self.dropped))]
            logging.getLogger(__name__).warning(
                "Dropped the queued transaction %s: %s",
                encode_hex(transaction_hash),
                refusal.reason,
            )
        self.queue.remove(refusal.transaction.hash for refusal in refused)

    # ---------------------------------------------------------------- mining

    def mine_blocks(
        self, num_blocks: int = 1, coinbase: Address = ZERO_ADDRESS
    ) -> tuple[Hash32, ...]:
        """Mine what is queued in one block (what does not fit stays queued), and more blocks after
        it. A queued transaction that is invalid by now is dropped (`dropped` says why); it does
        not keep the others from being mined."""
        hashes = []
        for _ in range(num_blocks):
            self._current_admission()
            hashes.append(self._mine(self.queue.for_next_block(), coinbase))
            self.queue.drop_parked()
        return tuple(hashes)

    def time_travel(self, to_timestamp: int) -> int:
        """Make ``to_timestamp`` the time of the next block, by an empty block one second before.
        What is queued stays queued."""
        self.chain.header = self.chain.create_header_from_parent(
            self.chain.get_canonical_head(), timestamp=to_timestamp - 1
        )
        self._mine([], ZERO_ADDRESS)
        return to_timestamp

    def apply_withdrawals(self, withdrawals_list: list[dict[str, int | str]]) -> None:
        super().apply_withdrawals(withdrawals_list)
        self._claim_report()

    def _mine(self, transactions: list[SignedTransactionAPI], coinbase: Address) -> Hash32:
        waiting = self.chain.header
        fields: dict[str, Any] = {"coinbase": coinbase}
        if isinstance(self.chain.get_vm(), ParisVM):
            fields["mix_hash"] = os.urandom(32)  # PREVRANDAO (EIP-4399)
        self.chain.header = waiting.copy(**fields)
        try:
            block = self._execute(transactions)
        finally:
            if self.chain.header.block_number == waiting.block_number:
                self.chain.header = waiting
        for index, transaction in enumerate(block.transactions):
            self._places.setdefault(transaction.hash, []).append((block.header, index))
        self.queue.remove(transaction.hash for transaction in block.transactions)
        self._claim_report()
        return block.hash

    def _execute(self, transactions: Sequence[SignedTransactionAPI]) -> BlockAPI:
        try:
            return self.chain.mine_all(transactions)[0].imported_block
        except REFUSALS:
            header = self.chain.header
            packing = pack(self.chain.get_vm(header), header, transactions)
            self._drop(packing.refused)
            return self.chain.mine_all(packing.taken)[0].imported_block

    def _claim_report(self) -> None:
        if self._executed is not None:
            self.reports.append(self._executed)
            self._executed = None

    # ---------------------------------------------------------------- snapshots

    def take_snapshot(self) -> Snapshot:
        return Snapshot(self.chain.get_canonical_head().hash, self.queue.live())

    def revert_to_snapshot(self, snapshot: Snapshot) -> None:
        """Return to the snapshot's block and to what was live in the queue then.

        If no block was mined since, what was queued since is not forgotten but parked (`queue`
        says what that means): this is how `EthereumTester` sends when it does not mine at once.
        `restore` forgets it.
        """
        if snapshot.block_hash == self.chain.get_canonical_head().hash:
            self.queue.park_since(snapshot.queued)
        else:
            self._move_head(snapshot.block_hash)
            self.queue.restore(snapshot.queued)
            self._admission = None

    def restore(self, snapshot: Snapshot) -> None:
        """Return to exactly the snapshot: its block, and nothing queued but what was then."""
        self._move_head(snapshot.block_hash)
        self.queue.restore(snapshot.queued)
        self._admission = None

    def _move_head(self, block_hash: Hash32) -> None:
        # The block was executed when it was mined and all of its state is still in the database, so
        # that naming it the head is enough. py-evm has only a private method for it.
        header = self.chain.get_block_header_by_hash(block_hash)
        if block_hash != self.chain.get_canonical_head().hash:
            self.dropped.clear()  # they were, on top of another block
        database: Any = self.chain.chaindb
        database._set_as_canonical_chain_head(database.db, header, GENESIS_PARENT_HASH)
        self.chain.header = self.chain.create_header_from_parent(header)

    # ---------------------------------------------------------------- the pending block

    def _pending_header(self) -> BlockHeaderAPI:
        """The header of the next block as it would be now: what is queued is executed, once for
        any number of views of it, and its state and tries are stored."""
        self._current_admission()
        transactions = self.queue.for_next_block()
        if not transactions:
            return self.chain.header
        key = (self.chain.header.hash, *(transaction.hash for transaction in transactions))
        if self._pending is None or self._pending[0] != key:
            self._pending = key, self._execute_pending(transactions)
        return self._pending[1]

    def _execute_pending(self, transactions: list[SignedTransactionAPI]) -> BlockHeaderAPI:
        header = self.chain.header
        taken: Sequence[SignedTransactionAPI] = transactions
        vm = self.chain.get_vm(header)
        try:
            filled, receipts, _ = vm.apply_all_transactions(taken, header)
        except REFUSALS:
            taken = pack(self.chain.get_vm(header), header, transactions).taken
            vm = self.chain.get_vm(header)
            filled, receipts, _ = vm.apply_all_transactions(taken, header)
        self._executed = None  # a view, not a block that was mined: it is not for `reports`
        block = vm.set_block_transactions_and_withdrawals(vm.get_block(), filled, taken, receipts)
        vm.state.persist()
        return block.header.copy(state_root=vm.state.state_root)

    # ---------------------------------------------------------------- blocks and transactions

    def get_block_by_number(
        self, block_number: BlockIdentifier, full_transaction: bool = True
    ) -> dict[str, Any]:
        header = self._header_at(block_number)
        block, _ = self._block_and_receipts(header)
        return serialize_block(block, full_transaction, self._is_pending(header))

    def get_block_by_hash(
        self, block_hash: Hash32, full_transaction: bool = True
    ) -> dict[str, Any]:
        try:
            header = self.chain.get_block_header_by_hash(block_hash)
        except HeaderNotFound as error:
            raise BlockNotFound(*error.args) from error
        if not self._is_mined(header):
            raise BlockNotFound(f"No block found for block hash: {encode_hex(block_hash)}")
        block, _ = self._block_and_receipts(header)
        return serialize_block(block, full_transaction, False)

    def get_transaction_by_hash(self, transaction_hash: Hash32) -> dict[str, Any]:
        queued = self.queue.find(transaction_hash)
        if queued is not None:
            return serialize_transaction(None, queued, None, True)
        header, index = self._place_of(transaction_hash)
        block, _ = self._block_and_receipts(header)
        return serialize_transaction(block, block.transactions[index], index, False)

    def get_transaction_receipt(self, transaction_hash: Hash32) -> dict[str, Any]:
        """The receipt; of a transaction in the pending block, what it would be now."""
        header, index = self._pending_place_of(transaction_hash) or self._place_of(transaction_hash)
        block, receipts = self._block_and_receipts(header)
        return serialize_transaction_receipt(
            block,
            receipts,
            block.transactions[index],
            index,
            self._is_pending(header),
            self.chain.get_vm(header),
        )

    def _pending_place_of(self, transaction_hash: Hash32) -> tuple[BlockHeaderAPI, int] | None:
        """Where the transaction is in the pending block; None, if it is not."""
        if self.queue.find(transaction_hash) is None or all(
            transaction.hash != transaction_hash for transaction in self.queue.for_next_block()
        ):
            return None
        header = self._pending_header()
        block, _ = self._block_and_receipts(header)
        for index, transaction in enumerate(block.transactions):
            if transaction.hash == transaction_hash:
                return header, index
        return None

    def _place_of(self, transaction_hash: Hash32) -> tuple[BlockHeaderAPI, int]:
        """The block, of those that are in the chain now, that has the transaction, and where."""
        for header, index in self._places.get(transaction_hash, ()):
            if self._is_mined(header):
                return header, index
        if transaction_hash in self.dropped:
            raise TransactionNotFound(
                f"Transaction {encode_hex(transaction_hash)} was dropped, because it was invalid "
                f"when its block was executed: {self.dropped[transaction_hash]}"
            )
        raise TransactionNotFound(
            f"No transaction found for transaction hash: {encode_hex(transaction_hash)}"
        )

    def _load_block_and_receipts(
        self, header: BlockHeaderAPI
    ) -> tuple[BlockAPI, tuple[ReceiptAPI, ...]]:
        block = self.chain.get_block_by_header(header)
        return block, tuple(block.get_receipts(self.chain.chaindb))

    def _is_pending(self, header: BlockHeaderAPI) -> bool:
        return header.block_number == self.chain.header.block_number

    def _is_mined(self, header: BlockHeaderAPI) -> bool:
        number = header.block_number
        return (
            number < self.chain.header.block_number
            and self.chain.get_canonical_block_hash(number) == header.hash
        )

    def _header_at(self, block_number: BlockIdentifier) -> BlockHeaderAPI:
        if block_number in ("latest", "safe", "finalized"):
            return self.chain.get_canonical_head()
        if block_number == "pending":
            return self._pending_header()
        if block_number == "earliest":
            block_number = 0
        if isinstance(block_number, int) and 0 <= block_number < self.chain.header.block_number:
            return self.chain.get_canonical_block_header_by_number(BlockNumber(block_number))
        raise BlockNotFound(f"No block found for block number: {block_number}")

    # ---------------------------------------------------------------- state and calls

    def get_nonce(self, account: Address, block_number: BlockIdentifier = "latest") -> int:
        """The nonce; for ``pending``, the one after all that is queued."""
        if block_number == "pending":
            return self._current_admission().next_nonce(account)
        return self._vm_at(block_number).state.get_nonce(account)

    def get_balance(self, account: Address, block_number: BlockIdentifier = "latest") -> int:
        return self._vm_at(block_number).state.get_balance(account)

    def get_code(self, account: Address, block_number: BlockIdentifier = "latest") -> bytes:
        return self._vm_at(block_number).state.get_code(account)

    def get_storage(  # type: ignore[override]  # eth-tester says bytes, and means this
        self, account: Address, slot: int, block_number: BlockIdentifier = "latest"
    ) -> int:
        return self._vm_at(block_number).state.get_storage(account, slot)

    def get_base_fee(self, block_number: BlockIdentifier = "latest") -> int:
        return self._vm_at(block_number).state.base_fee

    def call(self, transaction: dict[str, Any], block_number: BlockIdentifier = "latest") -> bytes:
        state = self._vm_at(block_number).state
        computation = state.apply_transaction(
            self._spoofed({"gas": state.gas_limit, **transaction}, state, block_number)
        )
        if computation.is_error:
            raise TransactionFailed(self._reason_of(computation.error))
        return computation.output

    def estimate_gas(
        self, transaction: dict[str, Any], block_number: BlockIdentifier = "latest"
    ) -> int:
        header = self._header_at(block_number)
        spoofed = self._spoofed(
            {**transaction, "gas": GAS_TX}, self.chain.get_vm(header).state, block_number
        )
        try:
            return self.chain.estimate_gas(spoofed, header)
        except (InvalidInstruction, Revert) as error:
            raise TransactionFailed(error) from error

    def _spoofed(
        self, transaction: dict[str, Any], state: StateAPI, block_number: BlockIdentifier
    ) -> SignedTransactionAPI:
        # A call runs on the state of a block: its nonce is the one there, not the next to send.
        filled = {"nonce": state.get_nonce(transaction["from"]), **transaction}
        base_fee = base_fee_of(self._header_at(block_number))
        if base_fee > GWEI and not names_fees(transaction):
            filled |= {"max_fee_per_gas": base_fee, "max_priority_fee_per_gas": 0}
        unsigned = self._get_normalized_and_unsigned_evm_transaction(filled, block_number)
        spoofed: Any = SpoofTransaction(unsigned, from_=transaction["from"])
        return spoofed

    def _reason_of(self, error: VMError) -> str:
        """The text of a Solidity ``require`` or ``revert``; otherwise what py-evm has to say."""
        if self.is_eip838_error(error):
            with suppress(DecodingError):
                reason: str = decode(["string"], error.args[0][4:])[0]
                return reason
        return str(error)

    def _vm_at(self, block_number: BlockIdentifier) -> VirtualMachineAPI:
        return self.chain.get_vm(self._header_at(block_number))


def _address_of(key: PrivateKey) -> Address:
    return Address(key.public_key.to_canonical_address())


def _check_accounts(number: Any, genesis_state: Any) -> None:
    """Raises `ConfigurationError`."""
    if number is None:
        return
    if type(number) is not int or number < 1:
        raise ConfigurationError(f"num_accounts must be an integer of at least 1, not {number!r}")
    if genesis_state and len(genesis_state) != number:
        raise ConfigurationError(
            f"num_accounts is {number}, but genesis_state has {len(genesis_state)} accounts"
        )
