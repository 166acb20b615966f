"""Makes a recorded block from a state and signed transactions, by running it on stock py-evm.

The result is the single-file JSON that `recorded.load` takes: header and roots are those of the
sequential run, so that the block can be replayed, and passed on, without anything else. A block
that py-evm refuses is recorded too, marked `refused`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth.abc import SignedTransactionAPI, WithdrawalAPI
from eth.constants import BLANK_ROOT_HASH, EMPTY_UNCLE_HASH, ZERO_HASH32
from eth.db.trie import make_trie_root_and_nodes
from eth.typing import AccountState
from eth_typing import Address, Hash32
from eth_utils.conversions import to_hex

from parallel_evm.conformance.as_json import block_to_json, state_to_json
from parallel_evm.conformance.prestate import World, specified
from parallel_evm.conformance.recorded import RecordedBlock
from parallel_evm.forks import VM_CLASSES
from parallel_evm.hashing import keccak

_COINBASE = Address(b"\xc0" * 20)
_MIX_HASH = Hash32(b"\x11" * 32)


@dataclass(frozen=True)
class Setting:
    """Where a composed block stands: everything its header says that running it does not decide."""

    fork: str
    number: int = 1_000
    timestamp: int = 1_715_000_000
    coinbase: Address = _COINBASE
    gas_limit: int = 30_000_000
    base_fee_per_gas: int = 7
    excess_blob_gas: int = 0
    mix_hash: Hash32 = _MIX_HASH
    chain_id: int = 1
    known_ancestors: int = 256
    withdrawals: tuple[WithdrawalAPI, ...] = field(default_factory=tuple)


def compose(
    setting: Setting, state: AccountState, transactions: Sequence[SignedTransactionAPI]
) -> dict[str, Any]:
    """The block of these transactions on this state, as a case that `recorded.load` takes.

    `state` is the whole state before the block.
    """
    draft = drafted(setting, state, transactions)
    header, refused = _run(draft, transactions)
    return {
        "fork": setting.fork,
        "chain_id": setting.chain_id,
        "refused": refused,
        "block": block_to_json(header, transactions, setting.withdrawals),
        "prestate": state_to_json(state),
        "block_hashes": {
            str(number): to_hex(value) for number, value in draft.block_hashes.items()
        },
    }


def drafted(
    setting: Setting, state: AccountState, transactions: Sequence[SignedTransactionAPI]
) -> RecordedBlock:
    """The block before anybody has run it: it can run, but its header's roots are blank."""
    block_hashes = _ancestors(setting)
    header_class: Any = VM_CLASSES[setting.fork].get_block_class()
    header_class = header_class._meta.sedes[0]
    fields: dict[str, Any] = {
        "parent_hash": block_hashes[setting.number - 1],
        "uncles_hash": EMPTY_UNCLE_HASH,
        "coinbase": setting.coinbase,
        "state_root": ZERO_HASH32,
        "transaction_root": BLANK_ROOT_HASH,
        "receipt_root": BLANK_ROOT_HASH,
        "bloom": 0,
        "difficulty": 0 if "base_fee_per_gas" in header_class._meta.field_names else 0x20000,
        "block_number": setting.number,
        "gas_limit": setting.gas_limit,
        "gas_used": 0,
        "timestamp": setting.timestamp,
        "extra_data": b"",
        "mix_hash": setting.mix_hash,
        "nonce": b"\x00" * 8,
        "base_fee_per_gas": setting.base_fee_per_gas,
        "withdrawals_root": BLANK_ROOT_HASH,
        "blob_gas_used": 0,
        "excess_blob_gas": setting.excess_blob_gas,
        "parent_beacon_block_root": Hash32(keccak(b"beacon")),
        "requests_hash": ZERO_HASH32,
    }
    header = header_class(**{name: fields[name] for name in header_class._meta.field_names})
    return RecordedBlock(
        source="composed",
        fork=setting.fork,
        chain_id=setting.chain_id,
        header=header,
        transactions=tuple(transaction.encode() for transaction in transactions),
        withdrawals=setting.withdrawals,
        traces=(state,),
        block_hashes=block_hashes,
    )


def _ancestors(setting: Setting) -> Mapping[int, Hash32]:
    newest = setting.number - 1
    oldest = max(newest - setting.known_ancestors + 1, 0)
    return {
        number: Hash32(keccak(b"ancestor %d" % number)) for number in range(newest, oldest - 1, -1)
    }


def _run(draft: RecordedBlock, transactions: Sequence[SignedTransactionAPI]) -> tuple[Any, bool]:
    """The header after the block, and whether py-evm refused it (the header is then unchanged)."""
    world = World.of(draft)
    vm = world.vm(specified(draft))
    roots: dict[str, Any] = {"transaction_root": make_trie_root_and_nodes(transactions)[0]}
    before: Any = draft.header
    try:
        after, receipts, _ = vm.apply_all_transactions(transactions, world.header)
    except Exception:
        # Whatever py-evm raises makes the block a refused one; replay compares what was raised.
        return before.copy(**roots), True
    if draft.withdrawals:
        vm.apply_all_withdrawals(draft.withdrawals)
        roots["withdrawals_root"] = make_trie_root_and_nodes(draft.withdrawals)[0]
    vm.state.persist()
    roots["receipt_root"] = make_trie_root_and_nodes(receipts)[0]
    roots["state_root"] = vm.state.state_root
    done: Any = after
    return done.copy(**roots), False
