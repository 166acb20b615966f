"""One test case in py-evm's terms: rules, genesis, blocks, and what is expected of them.

Responsible for: reading it from JSON, and the chain that its blocks are to be offered to.
Talks to: py-evm's fixture helpers.
Never: imports a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth.abc import ChainAPI
from eth.chains.mainnet import MainnetChain
from eth.db.atomic import AtomicDB
from eth.tools.fixtures.helpers import genesis_params_from_fixture
from eth.typing import AccountState, VMConfiguration
from eth_typing import Address
from rlp.codec import decode, encode
from rlp.exceptions import RLPException

from parallel_evm.conformance.blocktests.networks import vm_configuration
from parallel_evm.conformance.subject import Subject
from parallel_evm.forks import without_proof
from parallel_evm.hashing import keccak
from parallel_evm.inputs import BLOOM_BITS, InputError, Node

GENESIS = "genesisBlockHeader"


@dataclass(frozen=True)
class CaseBlock:
    """A block of a case. `expected` is its hash; None where it must be refused.

    `encoded` is None where the case's text is not even hexadecimal.
    """

    encoded: bytes | None
    expected: bytes | None
    number: int | None


@dataclass(frozen=True)
class Case:
    """A case in py-evm's terms."""

    vm_configuration: VMConfiguration
    proof_of_work: bool
    genesis_params: dict[str, Any]
    genesis_hash: bytes
    pre: AccountState
    blocks: tuple[CaseBlock, ...]
    tip: bytes
    post: AccountState | None
    post_root: bytes | None

    @classmethod
    def read(cls, entry: Node) -> Case:
        """Raises InputError for a missing or malformed field, UnknownNetwork."""
        genesis = entry.member(GENESIS)
        blocks = tuple(entry.member("blocks").items())
        post = entry.optional("postState")
        post_root = entry.optional("postStateHash")
        seal = entry.optional("sealEngine")
        return cls(
            vm_configuration=vm_configuration(entry.member("network"), blocks),
            proof_of_work=seal is None or seal.text() != "NoProof",
            genesis_params=_genesis_params(genesis),
            genesis_hash=genesis.member("hash").data(32),
            pre=_accounts(entry.member("pre")),
            blocks=tuple(_block(block) for block in blocks),
            tip=entry.member("lastblockhash").data(32),
            post=None if post is None else _accounts(post),
            post_root=None if post_root is None else post_root.data(32),
        )

    def chain(self, subject: Subject) -> ChainAPI:
        """A new chain that holds the genesis block, its VMs made by the subject."""
        chain_class = MainnetChain.configure(
            "CaseChain",
            vm_configuration=tuple(
                (
                    first_block,
                    subject.transform(vm_class if self.proof_of_work else without_proof(vm_class)),
                )
                for first_block, vm_class in self.vm_configuration
            ),
        )
        chain: ChainAPI = chain_class.from_genesis(AtomicDB(), self.genesis_params, self.pre)
        return chain


_HEADER_HASHES = {
    "parentHash": 32,
    "uncleHash": 32,
    "coinbase": 20,
    "stateRoot": 32,
    "transactionsTrie": 32,
    "receiptTrie": 32,
    "extraData": None,
    "mixHash": 32,
    "nonce": 8,
}
_HEADER_NUMBERS = ("bloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp")
_LATER_HEADER_HASHES = ("withdrawalsRoot", "parentBeaconBlockRoot", "requestsHash")
_LATER_HEADER_NUMBERS = ("baseFeePerGas", "blobGasUsed", "excessBlobGas")


def _genesis_params(header: Node) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, size in _HEADER_HASHES.items():
        fields[name] = header.member(name).data(size)
    for name in _HEADER_NUMBERS:
        fields[name] = header.member(name).integer(BLOOM_BITS if name == "bloom" else 256)
    for name in _LATER_HEADER_HASHES:
        if header.has(name):
            fields[name] = header.member(name).data(32)
    for name in _LATER_HEADER_NUMBERS:
        if header.has(name):
            fields[name] = header.member(name).integer()
    try:
        return genesis_params_from_fixture({GENESIS: fields})
    except ValueError as problem:
        raise header.error(str(problem)) from None


def _accounts(accounts: Node) -> AccountState:
    return {
        Address(Node(account.file, account.field, address).data(20)): {
            "balance": account.member("balance").integer(),
            "nonce": account.member("nonce").integer(64),
            "code": account.member("code").data(),
            "storage": {
                Node(value.file, value.field, slot).integer(): value.integer()
                for slot, value in account.member("storage").members()
            },
        }
        for address, account in accounts.members()
    }


def _block(block: Node) -> CaseBlock:
    header = block.optional("blockHeader")
    try:
        encoded = block.member("rlp").data()
    except InputError:
        if header is not None or not block.has("rlp"):
            raise
        return CaseBlock(None, None, None)
    if header is None:
        return CaseBlock(encoded, None, None)
    expected = header.member("hash")
    if _hash_of_block(encoded) != expected.data(32):
        raise expected.error("not the hash of the header in the block's rlp")
    return CaseBlock(encoded, expected.data(32), header.member("number").integer())


def _hash_of_block(encoded: bytes) -> bytes | None:
    """The hash of an encoded block of any fork; None if it is no such thing."""
    try:
        header, *_ = decode(encoded)  # type: ignore[no-untyped-call]
        return keccak(encode(header))  # type: ignore[no-untyped-call]
    except (RLPException, TypeError, ValueError):
        return None
