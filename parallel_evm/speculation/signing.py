"""What a sender signed: the bytes whose hash the signature is over.

Responsible for: `get_message_for_signing` of py-evm's own transaction types, without building an
unsigned transaction and having rlp work out how each of its fields is to be encoded.
Talks to: `merkle.nodes`, for RLP items.
Never: judges a signature, and never encodes what it is not sure of: py-evm does that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eth._utils.transactions import EIP155_CHAIN_ID_OFFSET
from eth.vm.forks.berlin.constants import ACCESS_LIST_TRANSACTION_TYPE
from eth.vm.forks.berlin.transactions import AccessListTransaction
from eth.vm.forks.cancun.constants import BLOB_TX_TYPE
from eth.vm.forks.cancun.transactions import BlobTransaction
from eth.vm.forks.london.constants import DYNAMIC_FEE_TRANSACTION_TYPE
from eth.vm.forks.london.transactions import DynamicFeeTransaction
from eth.vm.forks.prague.constants import SET_CODE_TRANSACTION_TYPE
from eth.vm.forks.prague.transactions import Authorization, SetCodeTransaction

from parallel_evm.merkle.nodes import node_of, number_item, string_item
from parallel_evm.speculation.stock import STOCK_LEGACY_TRANSACTIONS, STOCK_TYPED_TRANSACTIONS

_EMPTY = string_item(b"")
_LONG_LIST = 0xF8
"""From this first byte on, it says how many bytes of length follow."""


def message_for_signing(transaction: Any) -> bytes:
    """``transaction.get_message_for_signing()``, faster where the type is py-evm's own.

    EIP-155 for legacy transactions, EIP-2718 for typed ones. Raises what py-evm raises.
    """
    kind = type(transaction)
    try:
        if kind in STOCK_LEGACY_TRANSACTIONS:
            return _legacy(transaction)
        if kind in STOCK_TYPED_TRANSACTIONS:
            inner = transaction._inner
            write = _WRITERS.get(type(inner))
            if write is not None:
                return _from_the_wire(inner, transaction.type_id) or write(inner)
    except (_Unusual, AttributeError, TypeError, ValueError):
        pass
    message: bytes = transaction.get_message_for_signing()
    return message


def _from_the_wire(signed: Any, type_id: int) -> bytes | None:
    """Of a transaction that was decoded, whose RLP is remembered: the same without the signature,
    which are its last three items."""
    encoded = vars(signed).get("_cached_rlp")
    if encoded is None:
        return None
    start = 1 if encoded[0] < _LONG_LIST else 1 + encoded[0] - _LONG_LIST + 1
    signature = number_item(signed.y_parity) + number_item(signed.r) + number_item(signed.s)
    payload: bytes = encoded[start : -len(signature)]
    return bytes((type_id,)) + node_of(payload)


class _Unusual(Exception):
    """A field that rlp might refuse, or encode otherwise."""


def _legacy(signed: Any) -> bytes:
    payload = _number(signed.nonce) + _number(signed.gas_price) + _core(signed)
    if signed.v >= EIP155_CHAIN_ID_OFFSET:
        chain_id = signed.chain_id
        if chain_id == 0:  # py-evm signs it as the byte 0, which is no number in RLP
            raise _Unusual
        payload += _number(chain_id) + _EMPTY + _EMPTY
    return node_of(payload)


def _access_list(signed: Any) -> bytes:
    payload = (
        _number(signed.chain_id)
        + _number(signed.nonce)
        + _number(signed.gas_price)
        + _core(signed)
        + _accesses(signed.access_list)
    )
    return bytes((ACCESS_LIST_TRANSACTION_TYPE,)) + node_of(payload)


def _dynamic_fee(signed: Any) -> bytes:
    return bytes((DYNAMIC_FEE_TRANSACTION_TYPE,)) + node_of(_with_fees(signed))


def _blob(signed: Any) -> bytes:
    hashes = b"".join(map(_string, signed.blob_versioned_hashes))
    payload = _with_fees(signed) + _number(signed.max_fee_per_blob_gas) + node_of(hashes)
    return bytes((BLOB_TX_TYPE,)) + node_of(payload)


def _set_code(signed: Any) -> bytes:
    authorizations = b"".join(map(_authorization, signed.authorization_list))
    payload = _with_fees(signed) + node_of(authorizations)
    return bytes((SET_CODE_TRANSACTION_TYPE,)) + node_of(payload)


_WRITERS = {
    AccessListTransaction: _access_list,
    DynamicFeeTransaction: _dynamic_fee,
    BlobTransaction: _blob,
    SetCodeTransaction: _set_code,
}


def _with_fees(signed: Any) -> bytes:
    """The fields that all transactions since EIP-1559 begin with."""
    return (
        _number(signed.chain_id)
        + _number(signed.nonce)
        + _number(signed.max_priority_fee_per_gas)
        + _number(signed.max_fee_per_gas)
        + _core(signed)
        + _accesses(signed.access_list)
    )


def _core(signed: Any) -> bytes:
    to = signed.to
    if type(to) is not bytes or (to and len(to) != 20):
        raise _Unusual
    return _number(signed.gas) + string_item(to) + _number(signed.value) + _string(signed.data)


def _accesses(access_list: Iterable[Any]) -> bytes:
    if not access_list:
        return node_of(b"")
    entries = []
    for address, slots in access_list:
        if type(address) is not bytes or len(address) != 20:
            raise _Unusual
        keys = b"".join(map(_slot, slots))
        entries.append(node_of(string_item(address) + node_of(keys)))
    return node_of(b"".join(entries))


def _slot(slot: Any) -> bytes:
    if type(slot) is not int or slot < 0 or slot >> 256:
        raise _Unusual
    return string_item(slot.to_bytes(32, "big"))


def _authorization(authorization: Any) -> bytes:
    if type(authorization) is not Authorization or len(authorization.address) != 20:
        raise _Unusual
    return node_of(
        _number(authorization.chain_id)
        + _string(authorization.address)
        + _number(authorization.nonce)
        + _number(authorization.y_parity)
        + _number(authorization.r)
        + _number(authorization.s)
    )


def _number(value: Any) -> bytes:
    if type(value) is not int or value < 0:
        raise _Unusual
    return number_item(value)


def _string(value: Any) -> bytes:
    if type(value) is not bytes:
        raise _Unusual
    return string_item(value)
