"""Turns a random scenario into a BlockchainTest: a small chain with a fork in it.

Where `compose` makes one block for the seam, this makes what a node goes through: blocks imported
one on another, refused, and overtaken by a longer branch, with the rules that apply around the
transactions (EIP-4788 and EIP-2935 before them, rewards, withdrawals, EIP-7685 requests after
them). All blocks are made by stock py-evm. The result is what `parallel-evm conform`, and `replay`,
take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth.chains.mainnet import MainnetChain
from eth.constants import GENESIS_BLOCK_NUMBER
from eth.db.atomic import AtomicDB
from eth.exceptions import PyEVMError
from eth.vm.forks.london import LondonVM
from eth.vm.forks.paris import ParisVM
from eth_utils.conversions import to_hex
from eth_utils.exceptions import ValidationError
from rlp.codec import encode

from parallel_evm.conformance.as_json import state_to_json
from parallel_evm.conformance.blocktests.networks import NETWORKS
from parallel_evm.conformance.scenario import Scenario
from parallel_evm.forks import from_genesis, without_proof

GENESIS_TIME = 1_000


def blockchain_test(scenario: Scenario) -> dict[str, Any]:
    """The scenario's transactions as a chain of two blocks, and a longer branch that wins.

    A block that py-evm refuses becomes an invalid block of the test, and what would have built on
    it is left out.
    """
    maker = _Maker(scenario)
    transactions = scenario.transactions()
    half = (len(transactions) + 1) // 2
    first, second = transactions[:half], transactions[half:]
    one = maker.block(maker.genesis, first, 12)
    if one is not None:
        maker.block(one.header, second, 12)
        maker.spoilt(one.header, second)
        # The branch: other times and another coinbase, so that every result differs.
        other = maker.block(one.header, second[:1], 13, other_coinbase=True)
        if other is not None:
            third = maker.block(other.header, second[1:], 12)
            if third is not None:
                maker.block(third.header, (), 12)
    return maker.fixture()


class _Maker:
    """Makes blocks on a stock chain and writes down what became of them."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        setting = scenario.setting
        vm_class: Any = from_genesis(setting.fork)
        configuration = ((GENESIS_BLOCK_NUMBER, without_proof(vm_class)),)
        chain_class: Any = MainnetChain.configure("Maker", vm_configuration=configuration)
        params: dict[str, Any] = {
            "gas_limit": setting.gas_limit,
            "timestamp": GENESIS_TIME,
            "extra_data": b"",
            "difficulty": 0 if issubclass(vm_class, ParisVM) else 0x20000,
        }
        if issubclass(vm_class, LondonVM):
            params["base_fee_per_gas"] = setting.base_fee_per_gas
        self._chain: Any = chain_class.from_genesis(AtomicDB(), params, scenario.state)
        self.genesis: Any = self._chain.get_canonical_head()
        self._blocks: list[dict[str, Any]] = []

    def block(
        self,
        parent: Any,
        transactions: Sequence[Any],
        after: int,
        other_coinbase: bool = False,
    ) -> Any | None:
        """A block on `parent`, so many seconds after it; None if py-evm refuses it."""
        setting = self._scenario.setting
        draft = self._draft(parent, transactions, after, other_coinbase)
        try:
            made = self._chain.get_vm(draft.header).import_block(draft).block
            imported = self._chain.import_block(made).imported_block
        except (ValidationError, PyEVMError, ValueError):
            self._note(draft, valid=False)
            return None
        assert imported.hash == made.hash, setting
        self._note(imported, valid=True)
        return imported

    def spoilt(self, parent: Any, transactions: Sequence[Any]) -> None:
        """A block with a wrong gas total, to be refused after it was executed."""
        draft = self._draft(parent, transactions, 14, False)
        header = draft.header.copy(gas_used=draft.header.gas_used + 1, extra_data=b"spoilt")
        self._note(draft.copy(header=header), valid=False)

    def fixture(self) -> dict[str, Any]:
        return {
            "network": NETWORKS[self._scenario.setting.fork],
            "sealEngine": "NoProof",
            "genesisBlockHeader": _header(self.genesis),
            "pre": state_to_json(self._scenario.state),
            "blocks": self._blocks,
            "lastblockhash": to_hex(self._chain.get_canonical_head().hash),
            "postStateHash": to_hex(self._chain.get_canonical_head().state_root),
        }

    def _draft(
        self, parent: Any, transactions: Sequence[Any], after: int, other_coinbase: bool
    ) -> Any:
        setting = self._scenario.setting
        coinbase = b"\xcb" * 20 if other_coinbase else setting.coinbase
        header = self._chain.create_header_from_parent(
            parent, coinbase=coinbase, timestamp=parent.timestamp + after
        )
        vm_class = self._chain.get_vm_class_for_block_number(header.block_number)
        fields: dict[str, Any] = {"header": header, "transactions": transactions, "uncles": ()}
        if "withdrawals" in vm_class.get_block_class()._meta.field_names:
            fields["withdrawals"] = setting.withdrawals
        return vm_class.get_block_class()(**fields)

    def _note(self, block: Any, valid: bool) -> None:
        entry: dict[str, Any] = {"rlp": to_hex(encode(block))}  # type: ignore[no-untyped-call]
        if valid:
            entry["blockHeader"] = _header(block.header)
        else:
            entry["expectException"] = "any"
        self._blocks.append(entry)


_FIXTURE_NAMES = {
    "uncles_hash": "uncleHash",
    "transaction_root": "transactionsTrie",
    "receipt_root": "receiptTrie",
    "block_number": "number",
}


def _header(header: Any) -> dict[str, str]:
    fields: dict[str, str] = {"hash": to_hex(header.hash)}
    for name, value in header.as_dict().items():
        first, *rest = name.split("_")
        camel = first + "".join(part.capitalize() for part in rest)
        fields[_FIXTURE_NAMES.get(name, camel)] = to_hex(value)
    return fields
