"""Blocks, transactions and states in the JSON in which nodes give them.

Responsible for: the shapes of eth_getBlockByNumber, eth_getTransactionByHash and geth's
prestateTracer.
Never: reads any of them; `recorded` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth.typing import AccountState
from eth_utils.conversions import to_hex

HEADER_NAMES = {
    "parent_hash": "parentHash",
    "uncles_hash": "sha3Uncles",
    "coinbase": "miner",
    "state_root": "stateRoot",
    "transaction_root": "transactionsRoot",
    "receipt_root": "receiptsRoot",
    "bloom": "logsBloom",
    "difficulty": "difficulty",
    "block_number": "number",
    "gas_limit": "gasLimit",
    "gas_used": "gasUsed",
    "timestamp": "timestamp",
    "extra_data": "extraData",
    "mix_hash": "mixHash",
    "nonce": "nonce",
    "base_fee_per_gas": "baseFeePerGas",
    "withdrawals_root": "withdrawalsRoot",
    "blob_gas_used": "blobGasUsed",
    "excess_blob_gas": "excessBlobGas",
    "parent_beacon_block_root": "parentBeaconBlockRoot",
    "requests_hash": "requestsHash",
}
"""py-evm's header fields, as JSON-RPC calls them."""


def state_to_json(state: AccountState) -> dict[str, Any]:
    """Accounts in the shape of geth's prestateTracer."""
    return {
        to_hex(address): {
            "balance": hex(account["balance"]),
            "nonce": account["nonce"],
            "code": to_hex(account["code"]),
            "storage": {
                f"0x{slot:064x}": f"0x{value:064x}" for slot, value in account["storage"].items()
            },
        }
        for address, account in state.items()
    }


def block_to_json(
    header: Any, transactions: Sequence[Any], withdrawals: Sequence[Any] = ()
) -> dict[str, Any]:
    """A block in the shape of eth_getBlockByNumber with full transactions."""
    block: dict[str, Any] = {
        HEADER_NAMES[name]: to_hex(value) for name, value in header.as_dict().items()
    }
    block["logsBloom"] = f"0x{header.bloom:0512x}"
    block["hash"] = to_hex(header.hash)
    block["transactions"] = [transaction_to_json(transaction) for transaction in transactions]
    if hasattr(header, "withdrawals_root"):
        block["withdrawals"] = [
            {
                "index": hex(withdrawal.index),
                "validatorIndex": hex(withdrawal.validator_index),
                "address": to_hex(withdrawal.address),
                "amount": hex(withdrawal.amount),
            }
            for withdrawal in withdrawals
        ]
    return block


def transaction_to_json(transaction: Any) -> dict[str, Any]:
    """A signed transaction of any type in the shape of eth_getTransactionByHash."""
    type_id = transaction.type_id or 0
    fields: dict[str, Any] = {
        "type": hex(type_id),
        "hash": to_hex(transaction.hash),
        "from": to_hex(transaction.sender),
        "to": to_hex(transaction.to) if transaction.to else None,
        "nonce": hex(transaction.nonce),
        "gas": hex(transaction.gas),
        "value": hex(transaction.value),
        "input": to_hex(transaction.data),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
    }
    if type_id == 0:
        fields["v"] = hex(transaction.v)
        if transaction.chain_id is not None:
            fields["chainId"] = hex(transaction.chain_id)
    else:
        fields["yParity"] = hex(transaction.y_parity)
        fields["chainId"] = hex(transaction.chain_id)
        fields["accessList"] = [
            {"address": to_hex(address), "storageKeys": [f"0x{slot:064x}" for slot in slots]}
            for address, slots in transaction.access_list
        ]
    if type_id <= 1:
        fields["gasPrice"] = hex(transaction.gas_price)
    else:
        fields["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
    if type_id == 3:
        fields["maxFeePerBlobGas"] = hex(transaction.max_fee_per_blob_gas)
        fields["blobVersionedHashes"] = [to_hex(blob) for blob in transaction.blob_versioned_hashes]
    if type_id == 4:
        fields["authorizationList"] = [
            {
                "chainId": hex(authorization.chain_id),
                "address": to_hex(authorization.address),
                "nonce": hex(authorization.nonce),
                "yParity": hex(authorization.y_parity),
                "r": hex(authorization.r),
                "s": hex(authorization.s),
            }
            for authorization in transaction.authorization_list
        ]
    return fields
