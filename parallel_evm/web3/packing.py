"""Which of the waiting transactions a block takes, when it cannot take them all.

Responsible for: finding, with py-evm's own rules and its own messages, the transactions that are
invalid by now and those for which this block has no room.
Talks to: a VM of the chain, whose state is thrown away afterwards.
Never: decides for blocks that are fine as they are; those are executed once and never come here.

Admission checks each transaction against what was admitted before it, but some things are known
only in block order: how much gas the earlier ones really used, or that an EIP-7702 authorisation
or a delegated account's code moved somebody's nonce or balance. py-evm then refuses the whole block
without saying which transaction it was. So they are run one after another, once, to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth.abc import BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI, VirtualMachineAPI
from eth.exceptions import PyEVMError
from eth.vm.forks.cancun import CancunVM
from eth.vm.forks.cancun.constants import MAX_BLOB_GAS_PER_BLOCK as CANCUN_BLOB_GAS
from eth.vm.forks.cancun.state import get_total_blob_gas
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.constants import MAX_BLOB_GAS_PER_BLOCK as PRAGUE_BLOB_GAS
from eth_typing import Address
from eth_utils.exceptions import ValidationError

REFUSALS = (ValidationError, PyEVMError)
"""What py-evm raises for a transaction, or a block, that breaks the rules."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A transaction that can no longer be mined, and py-evm's reason."""

    transaction: SignedTransactionAPI
    reason: Exception


@dataclass(frozen=True, slots=True)
class Packing:
    """What becomes of each of the given transactions, in their order. What is in neither of these
    waits for a later block: there was no room for it, or for an earlier one of its sender."""

    taken: tuple[SignedTransactionAPI, ...]
    refused: tuple[Refusal, ...]


def pack(
    vm: VirtualMachineAPI,
    header: BlockHeaderAPI,
    transactions: Sequence[SignedTransactionAPI],
) -> Packing:
    """Run `transactions` in order on `vm`, and leave out what does not fit or is not valid."""
    taken: list[SignedTransactionAPI] = []
    refused: list[Refusal] = []
    waiting_senders: set[Address] = set()
    for transaction in transactions:
        if transaction.sender in waiting_senders:
            continue
        if not _has_room(vm, header, transaction):
            waiting_senders.add(transaction.sender)
            continue
        try:
            receipt = _apply(vm, header, transaction)
        except REFUSALS as reason:
            refused.append(Refusal(transaction, reason))
            continue
        header = vm.add_receipt_to_header(header, receipt)
        header = vm.increment_blob_gas_used(header, transaction)
        taken.append(transaction)
    return Packing(tuple(taken), tuple(refused))


def _apply(
    vm: VirtualMachineAPI, header: BlockHeaderAPI, transaction: SignedTransactionAPI
) -> ReceiptAPI:
    """``vm.apply_transaction``, but one that raises leaves the state as it was."""
    vm.validate_transaction_against_header(header, transaction)
    state = vm.state
    state.lock_changes()
    # Not before: py-evm forgets earlier snapshots here, and as soon as a transaction has been run.
    snapshot = state.snapshot()
    try:
        computation = state.apply_transaction(transaction)
    except REFUSALS:
        state.revert(snapshot)
        raise
    return vm.make_receipt(header, transaction, computation, state)


def max_blob_gas(vm: VirtualMachineAPI) -> int:
    """The blob gas that a block of this fork may use (EIP-4844, EIP-7691)."""
    if isinstance(vm, PragueVM):
        return PRAGUE_BLOB_GAS
    return CANCUN_BLOB_GAS if isinstance(vm, CancunVM) else 0


def _has_room(
    vm: VirtualMachineAPI, header: BlockHeaderAPI, transaction: SignedTransactionAPI
) -> bool:
    blob_gas = get_total_blob_gas(transaction)
    return header.gas_used + transaction.gas <= header.gas_limit and (
        blob_gas == 0 or header.blob_gas_used + blob_gas <= max_blob_gas(vm)
    )
