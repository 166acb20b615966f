"""Requests to the consensus layer in an imported block (EIP-7685), without reading it back.

Responsible for: what `PragueVM.block_postprocessing` does, where the VM's methods are py-evm's own.
For deposits (EIP-6110) py-evm reads all receipts from the trie that was just written and decodes
them, and it copies every transaction, with all that was known of it, to set one field of the
header: two to three times as much work as importing a block of transfers is here.
Talks to: py-evm's own methods, which are given the receipts that matter, and a block without its
transactions.
Never: says itself what a request is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from eth.abc import BlockAPI, ReceiptAPI
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.constants import DEPOSIT_CONTRACT_ADDRESS

from parallel_evm.fallback import is_stock_but_for_us
from parallel_evm.rlp_objects import changed
from parallel_evm.speculation.bloom import bits_of

_METHODS: Final = (
    "block_postprocessing",
    "make_receipt",
    "process_deposit_request_data",
)

_DEPOSITS: Final = bits_of(DEPOSIT_CONTRACT_ADDRESS)
"""In the bloom filter of whatever has a log of that contract."""


@dataclass(frozen=True, slots=True)
class _Extract:
    """Of a block, what is asked about its deposits."""

    receipts: Iterable[ReceiptAPI]
    block_requests: list[bytes]

    def get_receipts(self, chaindb: Any) -> Iterable[ReceiptAPI]:
        return self.receipts


class LeanRequests:
    """Mixed into a VM class from Prague on, before `LeanAssembly`, which knows the receipts."""

    is_ours: ClassVar[bool] = True
    """Found in classes of this package (`fallback`)."""

    def process_deposit_request_data(self, block: Any) -> None:
        vm: Any = super()
        this: Any = self
        root, receipts = this.receipts_made
        if root == block.header.receipt_root:
            suspects = [r for r in receipts if r.bloom & _DEPOSITS == _DEPOSITS]
            block = _Extract(suspects, block.block_requests)
        vm.process_deposit_request_data(block)

    @staticmethod
    def compute_requests_hash(block: Any) -> BlockAPI:
        bare = changed(block, transactions=())
        bare.block_requests = block.block_requests
        header = PragueVM.compute_requests_hash(bare).header
        return cast(BlockAPI, changed(block, header=header))


_HASHES: Final = (PragueVM.compute_requests_hash, LeanRequests.compute_requests_hash)
"""Prague's way, and the same here."""


def has_plain_requests(vm_class: Any) -> bool:
    """Does this VM find requests as py-evm's Prague does? A later fork may hash them otherwise."""
    return (
        issubclass(vm_class, PragueVM)
        and all(is_stock_but_for_us(vm_class, name) for name in _METHODS)
        and vm_class.compute_requests_hash in _HASHES
    )
