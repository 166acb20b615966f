"""Receipts, gas and bloom of a block, as py-evm makes them.

py-evm copies the header twice per transaction and computes every bloom twice. Where all methods
involved are its own, a `Ledger` keeps the sums and builds the header once; where a VM customised
any of them, and before Byzantium, when receipts carried state roots, it calls them one by one,
exactly as ``VM.apply_all_transactions`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from eth.abc import BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI
from eth.rlp.logs import Log
from eth.rlp.receipts import Receipt
from eth.vm.forks.byzantium import ByzantiumVM
from eth.vm.forks.byzantium.constants import (
    EIP658_TRANSACTION_STATUS_CODE_FAILURE,
    EIP658_TRANSACTION_STATUS_CODE_SUCCESS,
)
from eth.vm.forks.cancun.constants import BLOB_TX_TYPE
from eth.vm.forks.cancun.state import get_total_blob_gas

from parallel_evm.merkle.nodes import node_of, number_item, string_item
from parallel_evm.rlp_objects import changed, made_of
from parallel_evm.speculation.fields import Fields
from parallel_evm.speculation.result import Outcome
from parallel_evm.speculation.stock import is_stock_method

_METHODS: Final = (
    "add_receipt_to_header",
    "calculate_net_gas_refund",
    "finalize_gas_used",
    "increment_blob_gas_used",
    "make_receipt",
    "transaction_applied_hook",
    "validate_receipt",
    "validate_transaction_against_header",
)

_BLOOM_HEADER: Final = b"\xb9\x01\x00"
"""Of 256 bytes in RLP."""
_NO_BLOOM: Final = _BLOOM_HEADER + bytes(256)


_Unmade = tuple[SignedTransactionAPI, int, Outcome, int]
"""What `_receipt` makes a receipt of."""


class Ledger:
    """Accumulates what the transactions of one block leave in its header and receipts."""

    def __init__(
        self,
        vm: Any,
        transactions: Sequence[SignedTransactionAPI],
        fields: Sequence[Fields | None],
        header: BlockHeaderAPI,
    ) -> None:
        """``fields``: those of the transactions (`speculation.fields`)."""
        self._vm = vm
        self._transactions = transactions
        self._fields = fields
        self.is_direct = isinstance(vm, ByzantiumVM) and all(
            is_stock_method(type(vm), name) for name in _METHODS
        )
        """Is nothing but the order of the transactions and their outcomes of interest to it?"""
        self._header = header
        self._gas_limit: int = header.gas_limit
        self._gas_used: int = header.gas_used
        self._bloom: int = header.bloom
        self._counts_blobs = hasattr(header, "blob_gas_used")
        self._blob_gas: int = header.blob_gas_used if self._counts_blobs else 0
        self._entered: list[ReceiptAPI | _Unmade] = []
        self._made: list[ReceiptAPI] = []
        """Receipts of the first of them."""
        self.computations: list[Any] = []

    def admits(self, index: int) -> bool:
        """Does the transaction fit into the block, as far as its header tells?

        Where the answer is no, py-evm's own run says why. A customised check raises for itself.
        """
        if self.is_direct:
            return self._gas_used + self._gas(index) <= self._gas_limit
        self._vm.validate_transaction_against_header(self._header, self._transactions[index])
        return True

    def admits_all(self, outcomes: Sequence[Outcome]) -> bool:
        """Do all transactions fit, each after those before it? Only where `is_direct`."""
        used = self._gas_used
        limits = map(self._gas, range(len(self._transactions)))
        for gas, outcome in zip(limits, outcomes, strict=True):
            if used + gas > self._gas_limit:
                return False
            used += self._used(gas, outcome)
        return True

    def _gas(self, index: int) -> int:
        """What a transaction may use."""
        fields = self._fields[index]
        gas: int = self._transactions[index].gas if fields is None else fields.gas
        return gas

    def _used(self, gas: int, outcome: Outcome) -> int:
        """What is paid for, of so much ``gas``."""
        used = gas - outcome.gas_remaining + outcome.data_floor_gas
        if outcome.gas_refund:
            used -= self._vm.calculate_net_gas_refund(used, outcome.gas_refund)
        return used

    def enter(self, index: int, outcome: Outcome) -> None:
        """The transaction at ``index``, which is the next one, ended with ``outcome``."""
        transaction, fields = self._transactions[index], self._fields[index]
        if self.is_direct and fields is not None:
            self._gas_used += self._used(fields.gas, outcome)
            self._bloom |= outcome.bloom
            if fields.type_id == BLOB_TX_TYPE:
                self._blob_gas += get_total_blob_gas(transaction)
            self._entered.append((transaction, fields.type_id, outcome, self._gas_used))
            self.computations.append(outcome)
            return
        header = self.header()
        receipt = self._vm.make_receipt(header, transaction, outcome, self._vm.state)
        self._vm.validate_receipt(receipt)
        self.enter_receipt(transaction, receipt, outcome)

    def enter_receipt(
        self, transaction: SignedTransactionAPI, receipt: ReceiptAPI, computation: Any
    ) -> None:
        """The same for a transaction whose receipt py-evm has made already."""
        vm = self._vm
        header = vm.add_receipt_to_header(self.header(), receipt)
        header = vm.increment_blob_gas_used(header, transaction)
        self._header = header
        self._gas_used = header.gas_used
        self._bloom = header.bloom
        if self._counts_blobs:
            self._blob_gas = header.blob_gas_used
        self._entered.append(receipt)
        self.computations.append(computation)
        vm.transaction_applied_hook(
            len(self._entered) - 1,
            self._transactions,
            vm.get_header(),
            header,
            computation,
            receipt,
        )

    def receipts(self) -> Sequence[ReceiptAPI]:
        """Of all transactions entered so far."""
        self.catch_up()
        return self._made

    def catch_up(self) -> bool:
        """Make the receipts of those that have none yet. False where there was nothing to do.

        One after the other is faster than each between two transactions, but whoever has to wait
        between two of them had better do it then."""
        entered = islice(self._entered, len(self._made), None)
        new = [_receipt(*entry) if isinstance(entry, tuple) else entry for entry in entered]
        self._made += new
        return bool(new)

    def header(self) -> BlockHeaderAPI:
        """The header after all transactions entered so far."""
        header = self._header
        if self._gas_used != header.gas_used or self._bloom != header.bloom:
            header = changed(header, gas_used=self._gas_used, bloom=self._bloom)
        if self._counts_blobs and self._blob_gas != header.blob_gas_used:
            header = changed(header, blob_gas_used=self._blob_gas)
        self._header = header
        return header


def _receipt(transaction: Any, type_id: int, outcome: Outcome, gas_used: int) -> ReceiptAPI:
    """What ``transaction.make_receipt`` makes, with the bloom that was computed already."""
    status = (
        EIP658_TRANSACTION_STATUS_CODE_FAILURE
        if outcome.is_error
        else EIP658_TRANSACTION_STATUS_CODE_SUCCESS
    )
    bloom = outcome.bloom
    logs = tuple(
        [
            made_of(Log, address, topics, data)
            for _, address, topics, data in outcome.raw_log_entries
        ]
    )
    receipt: ReceiptAPI = made_of(Receipt, status, gas_used, bloom, logs)
    vars(receipt)["_cached_rlp"] = encode_receipt(status, gas_used, bloom, outcome.encoded_logs)
    if not type_id:
        return receipt
    # Its constructor would check that such a receipt goes into this wrapper.
    wrapper = transaction.receipt_builder.typed_receipt_class
    typed: ReceiptAPI = wrapper.__new__(wrapper)
    fields = vars(typed)
    fields["type_id"], fields["_inner"] = type_id, receipt
    return typed


def encode_receipt(status: bytes, gas_used: int, bloom: int, encoded_logs: bytes) -> bytes:
    """The RLP of a receipt (without a type byte), equal to what its sedes would make of it."""
    words = _BLOOM_HEADER + bloom.to_bytes(256, "big") if bloom else _NO_BLOOM
    return node_of(string_item(status) + number_item(gas_used) + words + encoded_logs)
