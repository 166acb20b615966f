"""The world of a recorded block: a database that holds exactly the accounts it touches.

`World` builds that database, the ancestors that BLOCKHASH asks for, and VMs at the recorded header.
`merged` turns one trace per transaction into the state before the block. Nothing here compares
results; a subject's VM class runs in this world exactly as py-evm's own does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eth.abc import BlockHeaderAPI, VirtualMachineAPI
from eth.consensus.context import ConsensusContext
from eth.constants import GENESIS_PARENT_HASH, MAX_PREV_HEADER_DEPTH
from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.db.chain import ChainDB
from eth.exceptions import HeaderNotFound
from eth.typing import AccountDetails, AccountState
from eth.vm.chain_context import ChainContext
from eth.vm.forks.spurious_dragon import SpuriousDragonVM
from eth_typing import Address, Hash32
from eth_utils.exceptions import ValidationError

from parallel_evm.conformance.recorded import RecordedBlock
from parallel_evm.forks import VmClass
from parallel_evm.hashing import keccak
from parallel_evm.inputs import InputError

HashOf = Callable[[int], Hash32]
"""The hash of an ancestor by number; raises InputError if it is not to be had."""


@dataclass(frozen=True)
class World:
    """Where a recorded block runs, again and again from the same start.

    The trie is partial: its root is the root of these accounts only, not the header's.
    """

    recording: RecordedBlock
    stored: Mapping[bytes, bytes]
    header: BlockHeaderAPI

    @classmethod
    def of(cls, recording: RecordedBlock) -> World:
        """The world of a recording whose pre-state is whole (see `merged`)."""
        (state,) = recording.traces
        database = MemoryDB()
        root = _write_state(AtomicDB(database), state, _has_empty_accounts(recording))
        return cls(recording, database.kv_store, _blank(recording.header, root))

    def vm(self, vm_class: VmClass) -> VirtualMachineAPI:
        """A VM on a fresh copy of the database, before the first transaction of the block.

        What the block's own header does to the state (EIP-4788, EIP-2935) has been done.
        """
        database = AtomicDB(MemoryDB(dict(self.stored)))
        ancestors = _Ancestors.of(self.recording)
        vm = vm_class(
            header=self.header,
            chaindb=_AncestorChainDB(database, ancestors),
            chain_context=ChainContext(self.recording.chain_id),
            consensus_context=ConsensusContext(database),
        )
        block_class: Any = vm_class.get_block_class()
        later = {"withdrawals": ()} if hasattr(self.header, "withdrawals_root") else {}
        header: Any = self.recording.header
        block: Any = block_class(header=header, transactions=(), uncles=(), **later)
        prepared: Any = vm
        prepared.block_preprocessing(block)
        return vm


def merged(recording: RecordedBlock, hash_of: HashOf | None = None) -> RecordedBlock:
    """The recording with its traces merged into the one state before the block.

    A trace shows what its transaction found, after the transactions before it. An account that
    appears first in a later trace may have been made, or paid, by an earlier transaction of this
    very block, so the block is run on stock py-evm along the traces, and what the run has put into
    an account so far is taken off what the trace shows. Slots are complete in every trace
    that touches them and are taken where they appear first.

    Raises InputError if there are not as many traces as transactions, or py-evm refuses one.
    """
    if len(recording.traces) == 1:
        return recording
    if len(recording.traces) != len(recording.transactions):
        raise InputError(
            recording.prestate_source,
            "",
            f"{len(recording.traces)} traces for {len(recording.transactions)} transactions",
        )
    before: dict[Address, AccountDetails] = {}
    start = replace(recording, traces=({},))
    vm = World.of(start).vm(specified(recording, hash_of))
    header: Any = vm.get_header()
    born: set[Address] = set()
    for index, (transaction, trace) in enumerate(
        zip(recording.decoded(), recording.traces, strict=True)
    ):
        _introduce(vm, trace, before, born)
        try:
            receipt, _ = vm.apply_transaction(header, transaction)
        except ValidationError as problem:
            raise refusal(recording, index, problem, before) from None
        header = vm.add_receipt_to_header(header, receipt)
        header = vm.increment_blob_gas_used(header, transaction)
    return replace(recording, traces=(before,))


def specified(recording: RecordedBlock, hash_of: HashOf | None = None) -> VmClass:
    """Stock py-evm for this block, made to say so when BLOCKHASH wants a hash that is missing."""
    known = recording.block_hashes

    def missing(number: int) -> Hash32:
        raise InputError(
            recording.block_hashes_source, str(number), "missing, and BLOCKHASH asks for it"
        )

    find = hash_of or missing
    state_class: Any = recording.vm_class.get_state_class()

    def get_ancestor_hash(state: Any, number: int) -> Hash32:
        found: Hash32 = state_class.get_ancestor_hash(state, number)
        if not found:
            return found
        return known[number] if number in known else find(number)

    vm_class: Any = recording.vm_class
    stock: VmClass = vm_class.configure(
        _state_class=state_class.configure(get_ancestor_hash=get_ancestor_hash)
    )
    return stock


def refusal(
    recording: RecordedBlock, index: int, problem: Exception, state: Mapping[Address, Any]
) -> InputError:
    """What to say when stock py-evm refuses transaction `index` of a block that is known good."""
    transaction = recording.decoded()[index]
    if transaction.sender not in state:
        return InputError(
            recording.prestate_source,
            f"0x{transaction.sender.hex()}",
            f"missing account, the sender of transaction {index} ({problem})",
        )
    return InputError(recording.source, f"transactions[{index}]", f"py-evm refuses it: {problem}")


def _introduce(
    vm: VirtualMachineAPI,
    trace: AccountState,
    before: dict[Address, AccountDetails],
    born: set[Address],
) -> None:
    """Put what a trace shows for the first time into the running state and into `before`."""
    state = vm.state
    for address, account in trace.items():
        if address not in before and address not in born:
            original = _less_what_the_block_did(vm, address, account)
            if original is None:
                born.add(address)
                continue
            before[address] = original
            if not _is_empty(account):
                state.set_balance(address, account["balance"])
                state.set_nonce(address, account["nonce"])
                state.set_code(address, account["code"])
        if address in born or _has_no_storage(before[address]):
            continue
        storage: Any = before[address]["storage"]
        for slot, value in account["storage"].items():
            if slot not in storage:
                storage[slot] = value
                if value:
                    state.set_storage(address, slot, value)


def _less_what_the_block_did(
    vm: VirtualMachineAPI, address: Address, account: AccountDetails
) -> AccountDetails | None:
    """The account as it was before the block; None if it was not there."""
    state = vm.state
    balance = max(account["balance"] - state.get_balance(address), 0)
    nonce = max(account["nonce"] - state.get_nonce(address), 0)
    code = b"" if state.get_code(address) else account["code"]
    if state.account_exists(address) and not (balance or nonce or code):
        return None
    return {"balance": balance, "nonce": nonce, "code": code, "storage": {}}


def _has_empty_accounts(recording: RecordedBlock) -> bool:
    """Whether an account listed as empty is there: before EIP-161 it may be, and it costs gas."""
    return not issubclass(recording.vm_class, SpuriousDragonVM)


def _is_empty(account: AccountDetails) -> bool:
    """Since EIP-161 there is no such account; prestateTracer lists it for one that is not there."""
    return not (account["balance"] or account["nonce"] or account["code"])


def _has_no_storage(account: AccountDetails) -> bool:
    """Not a contract before the block, so what its storage shows, the block put there."""
    return not (account["nonce"] or account["code"])


def _write_state(database: AtomicDB, state: AccountState, empty_accounts_exist: bool) -> Hash32:
    accounts = AccountDB(database)
    for address, account in state.items():
        if _is_empty(account) and not empty_accounts_exist:
            continue
        accounts.set_balance(address, account["balance"])
        accounts.set_nonce(address, account["nonce"])
        accounts.set_code(address, account["code"])
        for slot, value in account["storage"].items():
            if value:
                accounts.set_storage(address, slot, value)
    accounts.persist()
    return accounts.state_root


def _blank(header: Any, state_root: Hash32) -> BlockHeaderAPI:
    """The header as it was before the first transaction."""
    fields: dict[str, Any] = {"state_root": state_root, "gas_used": 0, "bloom": 0}
    if hasattr(header, "blob_gas_used"):
        fields["blob_gas_used"] = 0
    blank: BlockHeaderAPI = header.copy(**fields)
    return blank


@dataclass(frozen=True)
class _Ancestor:
    """As much of a header as `VM.previous_hashes` follows."""

    hash: Hash32
    parent_hash: Hash32


class _Ancestors(dict[Hash32, _Ancestor]):
    """The block's ancestors by hash. Those whose hash is not recorded have a made-up one.

    The run that serves as specification refuses to hand out a made-up hash (see `specified`).
    """

    @classmethod
    def of(cls, recording: RecordedBlock) -> _Ancestors:
        newest = recording.number - 1
        oldest = max(newest - MAX_PREV_HEADER_DEPTH, 0)
        numbers = range(newest, oldest - 1, -1)
        hashes = [recording.block_hashes.get(number) or _made_up(number) for number in numbers]
        parents = [*hashes[1:], GENESIS_PARENT_HASH]
        return cls(
            (own, _Ancestor(own, parent)) for own, parent in zip(hashes, parents, strict=True)
        )


def _made_up(number: int) -> Hash32:
    return Hash32(keccak(b"an ancestor that was not recorded: %d" % number))


class _AncestorChainDB(ChainDB):
    """A chain database that knows a block's ancestors by hash and parent only."""

    def __init__(self, database: AtomicDB, ancestors: _Ancestors) -> None:
        super().__init__(database)
        self._ancestors = ancestors

    def get_block_header_by_hash(self, block_hash: Hash32) -> Any:
        try:
            return self._ancestors[block_hash]
        except KeyError:
            raise HeaderNotFound(f"No recorded ancestor 0x{block_hash.hex()}") from None
