"""A real block on disk, in py-evm's terms: header, transactions, and the state they touch.

Reads a folder (`block.json`, `prestate.json`, optionally `block_hashes.json`) or one JSON file
with the members `block`, `prestate`, `block_hashes`, `fork`, `chain_id`; picks the fork; checks
that the header hashes to its hash and every transaction to its own. It executes nothing: pre-state
that comes as a list of traces is kept as such (see `prestate`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth.abc import BlockHeaderAPI, SignedTransactionAPI, WithdrawalAPI
from eth.chains.mainnet import MAINNET_VM_CONFIGURATION
from eth.chains.mainnet.constants import MAINNET_CHAIN_ID, PARIS_MAINNET_BLOCK
from eth.typing import AccountState
from eth.vm.forks.shanghai.withdrawals import Withdrawal
from eth_typing import Address, Hash32
from eth_utils.conversions import to_hex
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException

from parallel_evm.conformance.as_json import HEADER_NAMES, state_to_json
from parallel_evm.forks import FORKS, VM_CLASSES, VmClass
from parallel_evm.inputs import BLOOM_BITS, InputError, Node, read_json

MAINNET_TIMES = (
    (1681338455, "shanghai"),
    (1710338135, "cancun"),
    (1746612311, "prague"),
    (1764798551, "osaka"),
)
"""When mainnet's forks since the merge came, in seconds since 1970 (EIP-6953, the forks' EIPs)."""


@dataclass(frozen=True)
class RecordedBlock:
    """A block and what it needs to run. `source` says where it was read, for messages.

    `transactions` are encoded: whoever runs the block decodes them again, so that a sender
    recovered in one run is not found ready in the next. `traces` is the pre-state, either whole
    (one element) or as one element per transaction, each showing what that transaction found.
    `refused` marks a block that py-evm must refuse.
    """

    source: str
    fork: str
    chain_id: int
    header: BlockHeaderAPI
    transactions: tuple[bytes, ...]
    withdrawals: tuple[WithdrawalAPI, ...]
    traces: tuple[AccountState, ...]
    block_hashes: Mapping[int, Hash32]
    refused: bool = False

    @property
    def number(self) -> int:
        return self.header.block_number

    @property
    def vm_class(self) -> VmClass:
        return VM_CLASSES[self.fork]

    @property
    def prestate_source(self) -> str:
        return self._part("prestate")

    @property
    def block_hashes_source(self) -> str:
        return self._part("block_hashes")

    def decoded(self) -> tuple[SignedTransactionAPI, ...]:
        builder = self.vm_class.get_transaction_builder()
        return tuple(builder.decode(encoded) for encoded in self.transactions)

    def _part(self, name: str) -> str:
        return (
            os.path.join(self.source, f"{name}.json") if os.path.isdir(self.source) else self.source
        )


def load(path: Path, fork: str | None = None) -> RecordedBlock:
    """The block recorded in a folder or in a single JSON file.

    `fork` overrides the choice by number and timestamp. Raises InputError, which names the file
    and the field, for anything that is missing, malformed or does not hash to its hash.
    """
    if os.path.isdir(path):  # unlike Path.is_dir, it never raises
        block = read_json(path / "block.json")
        prestate = read_json(path / "prestate.json")
        hashes = path / "block_hashes.json"
        block_hashes = read_json(hashes) if hashes.exists() else None
        return read_block(str(path), block, prestate, block_hashes, fork)
    whole = read_json(path)
    recorded_fork = whole.optional("fork")
    return read_block(
        str(path),
        whole.member("block"),
        whole.member("prestate"),
        whole.optional("block_hashes"),
        fork or (recorded_fork.text() if recorded_fork else None),
        chain_id=whole.member("chain_id").integer() if whole.has("chain_id") else None,
        refused=whole.has("refused") and whole.member("refused").value is True,
    )


def read_block(
    source: str,
    block: Node,
    prestate: Node,
    block_hashes: Node | None = None,
    fork: str | None = None,
    chain_id: int | None = None,
    refused: bool = False,
) -> RecordedBlock:
    """A recording from its JSON parts. Raises InputError."""
    block, prestate = _response(block), _response(prestate)
    if chain_id is None:
        chain_id = _chain_id(block)
    fork = _known_fork(source, fork) if fork else _fork_of(block, chain_id)
    header = _header(block, VM_CLASSES[fork])
    return RecordedBlock(
        source=source,
        fork=fork,
        chain_id=chain_id,
        header=header,
        transactions=tuple(
            _transaction(transaction, VM_CLASSES[fork])
            for transaction in block.member("transactions").items()
        ),
        withdrawals=tuple(map(_withdrawal, _optional_items(block, "withdrawals"))),
        traces=_traces(prestate),
        block_hashes=_block_hashes(block_hashes, header),
        refused=refused,
    )


def save(folder: Path, block: Mapping[str, Any], state: AccountState, hashes: Any) -> None:
    """Write a block as the folder that `load` takes. `block` is the node's answer, unchanged."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "block": block,
        "prestate": state_to_json(state),
        "block_hashes": {str(number): to_hex(value) for number, value in hashes.items()},
    }
    for name, content in parts.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def _response(node: Node) -> Node:
    """A file may hold the whole JSON-RPC answer instead of its result."""
    if isinstance(node.value, dict) and "jsonrpc" in node.value:
        return node.member("result")
    return node


def _chain_id(block: Node) -> int:
    for transaction in block.member("transactions").items():
        if isinstance(transaction.value, str):
            raise transaction.error("only a hash; the block must hold full transactions")
        if transaction.has("chainId"):
            return transaction.member("chainId").integer()
    return MAINNET_CHAIN_ID


def _known_fork(source: str, name: str) -> str:
    fork = name.lower().replace("_", "-").replace(" ", "-")
    if fork not in FORKS:
        raise InputError(source, "fork", f"unknown fork {name!r}; one of {', '.join(FORKS)}")
    return fork


def _fork_of(block: Node, chain_id: int) -> str:
    """The fork of a block: by mainnet's schedule, or by its header's shape on another chain."""
    names = {vm_class: name for name, vm_class in VM_CLASSES.items()}
    number = block.member("number").integer()
    timestamp = block.member("timestamp")
    if chain_id != MAINNET_CHAIN_ID:
        return _fork_by_shape(block)
    fork = "frontier"
    for first_block, vm_class in MAINNET_VM_CONFIGURATION:
        if number >= first_block and first_block <= PARIS_MAINNET_BLOCK:
            # MainnetHomesteadVM is HomesteadVM that also knows when the DAO fork was.
            fork = names.get(vm_class, "homestead")
    for first_second, name in MAINNET_TIMES:
        if timestamp.integer() >= first_second:
            fork = name
    if fork not in FORKS:
        raise timestamp.error(f"a block of {fork}, which py-evm does not know; name a fork")
    return fork


def _fork_by_shape(block: Node) -> str:
    marks = (
        ("requestsHash", "prague"),
        ("parentBeaconBlockRoot", "cancun"),
        ("withdrawalsRoot", "shanghai"),
        ("baseFeePerGas", "london"),
    )
    for field, fork in marks:
        if block.has(field):
            if fork == "london" and block.member("difficulty").integer() == 0:
                return "paris"
            return fork
    raise block.error("cannot tell the fork of a block of another chain than mainnet; name a fork")


_HEADER_SIZES = {
    **dict.fromkeys(("parent_hash", "uncles_hash", "state_root", "transaction_root"), 32),
    **dict.fromkeys(("receipt_root", "mix_hash", "withdrawals_root", "requests_hash"), 32),
    "parent_beacon_block_root": 32,
    "coinbase": 20,
    "nonce": 8,
    "extra_data": None,
}
"""The header fields that are bytes, with their size; the others are numbers."""


def _header(block: Node, vm_class: VmClass) -> BlockHeaderAPI:
    header_class: Any = vm_class.get_block_class()._meta.sedes[0]  # type: ignore[attr-defined]
    fields: dict[str, Any] = {}
    for name in header_class._meta.field_names:
        value = block.member(HEADER_NAMES[name])
        if name in _HEADER_SIZES:
            fields[name] = value.data(_HEADER_SIZES[name])
        else:
            fields[name] = value.integer(BLOOM_BITS if name == "bloom" else 256)
    header: BlockHeaderAPI = header_class(**fields)
    stated = block.member("hash")
    try:
        actual = header.hash
    except (RLPException, ValidationError) as problem:
        raise block.error(f"not a header of {vm_class.fork}: {problem}") from None
    if actual != stated.data(32):
        raise stated.error(
            f"the header hashes to 0x{actual.hex()} and not to its hash; "
            f"a field was changed or the fork is not {vm_class.fork}"
        )
    return header


def _transaction(transaction: Node, vm_class: VmClass) -> bytes:
    if isinstance(transaction.value, str):
        raise transaction.error("only a hash; the block must hold full transactions")
    kind = transaction.optional("type")
    type_id = kind.integer() if kind else 0
    maker = _TRANSACTION_MAKERS.get(type_id)
    builder: Any = vm_class.get_transaction_builder()
    if maker is None or not hasattr(builder, maker):
        raise transaction.member("type").error(f"{vm_class.fork} has no type {type_id}")
    recipient = transaction.optional("to")
    fields: dict[str, Any] = {
        "nonce": transaction.member("nonce").integer(),
        "gas": transaction.member("gas").integer(),
        "to": Address(b"" if recipient is None else recipient.data(20)),
        "value": transaction.member("value").integer(),
        "data": transaction.member("input").data(),
        "r": transaction.member("r").integer(),
        "s": transaction.member("s").integer(),
    }
    if type_id == 0:
        fields["v"] = transaction.member("v").integer()
    else:
        parity = transaction.optional("yParity") or transaction.member("v")
        fields["y_parity"] = parity.integer()
        fields["chain_id"] = transaction.member("chainId").integer()
        fields["access_list"] = [
            (
                Address(entry.member("address").data(20)),
                [slot.integer() for slot in entry.member("storageKeys").items()],
            )
            for entry in _optional_items(transaction, "accessList")
        ]
    if type_id <= 1:
        fields["gas_price"] = transaction.member("gasPrice").integer()
    else:
        fields["max_fee_per_gas"] = transaction.member("maxFeePerGas").integer()
        fields["max_priority_fee_per_gas"] = transaction.member("maxPriorityFeePerGas").integer()
    if type_id == 3:
        fields["max_fee_per_blob_gas"] = transaction.member("maxFeePerBlobGas").integer()
        fields["blob_versioned_hashes"] = [
            blob.data(32) for blob in transaction.member("blobVersionedHashes").items()
        ]
    if type_id == 4:
        fields["authorization_list"] = [
            {
                "chain_id": authorization.member("chainId").integer(),
                "address": authorization.member("address").data(20),
                "nonce": authorization.member("nonce").integer(),
                "y_parity": authorization.member("yParity").integer(),
                "r": authorization.member("r").integer(),
                "s": authorization.member("s").integer(),
            }
            for authorization in transaction.member("authorizationList").items()
        ]
    made: SignedTransactionAPI = getattr(builder, maker)(**fields)
    stated = transaction.member("hash")
    if made.hash != stated.data(32):
        raise stated.error(f"the transaction hashes to 0x{made.hash.hex()} and not to its hash")
    return made.encode()


_TRANSACTION_MAKERS = {
    0: "new_transaction",
    1: "new_access_list_transaction",
    2: "new_dynamic_fee_transaction",
    3: "new_blob_transaction",
    4: "new_set_code_transaction",
}
"""EIP-2718 type to the method of py-evm's builders that makes a signed one."""


def _withdrawal(withdrawal: Node) -> WithdrawalAPI:
    made: Any = Withdrawal(
        index=withdrawal.member("index").integer(),
        validator_index=withdrawal.member("validatorIndex").integer(),
        address=Address(withdrawal.member("address").data(20)),
        amount=withdrawal.member("amount").integer(),
    )
    result: WithdrawalAPI = made
    return result


def _traces(prestate: Node) -> tuple[AccountState, ...]:
    if not isinstance(prestate.value, list):
        return (_accounts(prestate),)
    traces = []
    for trace in prestate.items():
        error = trace.optional("error")
        if error is not None:
            raise error.error(f"the node could not trace this transaction: {error.value}")
        result = trace.optional("result") if trace.has("result") else trace
        traces.append(_accounts(result or trace))
    return tuple(traces)


def _accounts(accounts: Node) -> AccountState:
    state: AccountState = {}
    for address, account in accounts.members():
        nonce, code = account.optional("nonce"), account.optional("code")
        storage = account.optional("storage")
        state[Address(Node(account.file, account.field, address).data(20))] = {
            "balance": account.member("balance").integer(),
            "nonce": nonce.integer(64) if nonce else 0,
            "code": code.data() if code else b"",
            "storage": {
                Node(value.file, value.field, slot).integer(): value.integer()
                for slot, value in (storage.members() if storage else ())
            },
        }
    return state


def _block_hashes(hashes: Node | None, header: BlockHeaderAPI) -> dict[int, Hash32]:
    known = {header.block_number - 1: header.parent_hash}
    if hashes is None:
        return known
    for number, value in hashes.members():
        at = Node(value.file, value.field, number).integer()
        known[at] = Hash32(value.data(32))
    if known[header.block_number - 1] != header.parent_hash:
        raise hashes.error(f"block {header.block_number - 1} is not the header's parentHash")
    return known


def _optional_items(node: Node, name: str) -> Sequence[Node]:
    found = node.optional(name)
    return () if found is None else tuple(found.items())
