"""Why would a block run in py-evm's own loop?

Responsible for: `reason_to_fall_back`, which looks at a VM, its state and a block's transactions.
Talks to: `speculation.stock`.
Never: decides by trying; what it lets pass can run in parallel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth.abc import BlockHeaderAPI, SignedTransactionAPI
from eth.vm.forks.byzantium import ByzantiumVM

from parallel_evm.merkle.account_db import MerkleState
from parallel_evm.speculation.stock import hidden_by_object, is_stock_method
from parallel_evm.translator.operations import OpcodeTable

ROOT_PER_TRANSACTION: Final = "receipts before Byzantium carry a state root per transaction"
"""Nothing can run ahead, but translated, and on a flat state, it runs all the same."""


def reason_to_fall_back(
    vm: Any,
    transactions: Sequence[SignedTransactionAPI],
    base_header: BlockHeaderAPI,
    minimum: int,
) -> str | None:
    """None where there is none. ``minimum``: of transactions."""
    if not isinstance(transactions, Sequence):
        return f"the transactions are no sequence, but a {type(transactions).__name__}"
    if not all(hasattr(transaction, "__dict__") for transaction in transactions):
        return "one of the transactions is none"  # py-evm will say so
    count = len(transactions)
    if count < minimum:
        return f"{count} transactions, fewer than min_transactions ({minimum})"
    for name in ("apply_all_transactions", "apply_transaction"):
        if not is_stock_but_for_us(type(vm), name):
            return f"{type(vm).__name__}.{name} is customised"
    for thing in (vm, vm.state):
        hidden = hidden_by_object(thing)
        if hidden is not None:
            return f"{type(thing).__name__}.{hidden} was set on the object"
    computation = vm.state.computation_class
    opcodes = computation.opcodes
    if (isinstance(opcodes, OpcodeTable) and opcodes.has_changed) or (
        computation is vm.sequential_state_class.computation_class
        and opcodes != vm.sequential_opcodes
    ):
        return f"opcodes of {computation.__name__} were exchanged"
    if base_header.block_number != vm.get_header().block_number:
        return "the header is for another block than the VM"  # py-evm refuses it
    if not isinstance(vm.state._account_db, MerkleState):
        database = type(vm.state._account_db).__name__
        return f"the state keeps its accounts in a customised database ({database})"
    if type(vm.state) is not vm.parallel_state_class:
        return f"{type(vm).__name__} got another state class after it was parallelized"
    if not issubclass(type(vm), ByzantiumVM):
        return ROOT_PER_TRANSACTION
    return None


def is_stock_but_for_us(vm_class: type, name: str) -> bool:
    """Does the VM, apart from what `parallelize` put into it, have this method from py-evm?"""
    for base in vm_class.__mro__:
        if "is_ours" not in vars(base) and name in vars(base):
            return is_stock_method(base, name)
    return False
