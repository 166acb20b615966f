"""What a sender signed: the bytes whose hash the signature is over.

Responsible for: `get_message_for_signing` of py-evm's own transaction types, without building an
unsigned transaction and having rlp work out how each of its fields is to be encoded.
Talks to: `fields`; `merkle.nodes`, for RLP items.
Never: judges a signature, and never encodes what it is not sure of: py-evm does that.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

from eth._utils.transactions import EIP155_CHAIN_ID_OFFSET, V_OFFSET
from eth.vm.forks.berlin.constants import ACCESS_LIST_TRANSACTION_TYPE
from eth.vm.forks.cancun.constants import BLOB_TX_TYPE
from eth.vm.forks.london.constants import DYNAMIC_FEE_TRANSACTION_TYPE
from eth.vm.forks.prague.constants import SET_CODE_TRANSACTION_TYPE
from eth.vm.forks.prague.transactions import Authorization

from parallel_evm.merkle.nodes import (
    end_of_item,
    node_of,
    number_item,
    payload_start,
    string_item,
    string_of,
)
from parallel_evm.speculation.fields import Fields

_EMPTY = string_item(b"")


def message_for_signing(transaction: Any, fields: Fields | None) -> bytes:
    """``transaction.get_message_for_signing()``, faster where the type is py-evm's own.

    ``fields``: `fields_of` the transaction. EIP-155 for legacy transactions, EIP-2718 for typed
    ones. Raises what py-evm raises.
    """
    if fields is not None:
        try:
            if not fields.type_id:
                return _legacy(fields)
            rest = _unsigned_on_the_wire(fields) or _WRITERS[fields.type_id](fields)
            return bytes((fields.type_id,)) + node_of(rest)
        except (_Unusual, AttributeError, TypeError, ValueError):
            pass
    message: bytes = transaction.get_message_for_signing()
    return message


def _unsigned_on_the_wire(fields: Fields) -> bytes | None:
    """Of a transaction that was decoded, whose RLP is remembered: its items without the signature,
    which are the last three."""
    encoded = vars(fields.signed).get("_cached_rlp")
    if encoded is None:
        return None
    signature = _size(fields.v) + _size(fields.r) + _size(fields.s)
    unsigned: bytes = encoded[payload_start(encoded) : -signature]
    return unsigned


def signed_on_the_wire(encoded: bytes) -> tuple[bytes, int, int, int]:
    """What the sender of an encoded transaction signed, r, s, and the parity of y.

    ``encoded``: one of py-evm's own transactions since EIP-155, as EIP-2718 has it. Raises
    IndexError or ValueError for what is none.
    """
    type_id = encoded[0] if encoded[0] < 0x80 else 0
    content = encoded[1:] if type_id else encoded
    begin = position = payload_start(content)
    ends = []
    while position < len(content):
        position = end_of_item(content, position)
        ends.append(position)
    unsigned = content[begin : ends[-4]]
    v, r, s = (
        int.from_bytes(string_of(content[start:end]), "big") for start, end in pairwise(ends[-4:])
    )
    if type_id:
        return bytes((type_id,)) + node_of(unsigned), r, s, _parity(v)
    if v < EIP155_CHAIN_ID_OFFSET:
        return node_of(unsigned), r, s, _parity(v - V_OFFSET)
    chain_id, parity = divmod(v - EIP155_CHAIN_ID_OFFSET, 2)
    if not chain_id:
        raise ValueError("signed as py-evm alone does it")
    return node_of(unsigned + number_item(chain_id) + _EMPTY + _EMPTY), r, s, parity


def _parity(number: int) -> int:
    if number not in (0, 1):
        raise ValueError("not a parity")
    return number


def _size(number: int) -> int:
    """Of a number's RLP."""
    if number < 128:
        return 1
    size = (number.bit_length() + 7) // 8
    return 1 + size if size < 56 else len(number_item(number))


class _Unusual(Exception):
    """A field that rlp might refuse, or encode otherwise."""


def _legacy(fields: Fields) -> bytes:
    payload = _unsigned_on_the_wire(fields)
    if payload is None:
        payload = _number(fields.nonce) + _number(fields.highest_price) + _core(fields)
    if fields.v >= EIP155_CHAIN_ID_OFFSET:
        chain_id = fields.signed.chain_id
        if chain_id == 0:  # py-evm signs it as the byte 0, which is no number in RLP
            raise _Unusual
        payload += _number(chain_id) + _EMPTY + _EMPTY
    return node_of(payload)


def _access_list(fields: Fields) -> bytes:
    return (
        _number(fields.chain_id)
        + _number(fields.nonce)
        + _number(fields.highest_price)
        + _core(fields)
        + _accesses(fields.access_list)
    )


def _dynamic_fee(fields: Fields) -> bytes:
    """These are the fields that all transactions since EIP-1559 begin with."""
    return (
        _number(fields.chain_id)
        + _number(fields.nonce)
        + _number(fields.priority)
        + _number(fields.highest_price)
        + _core(fields)
        + _accesses(fields.access_list)
    )


def _blob(fields: Fields) -> bytes:
    signed = fields.signed
    hashes = b"".join(map(_string, signed.blob_versioned_hashes))
    return _dynamic_fee(fields) + _number(signed.max_fee_per_blob_gas) + node_of(hashes)


def _set_code(fields: Fields) -> bytes:
    authorizations = b"".join(map(_authorization, fields.signed.authorization_list))
    return _dynamic_fee(fields) + node_of(authorizations)


_WRITERS: Final = {
    ACCESS_LIST_TRANSACTION_TYPE: _access_list,
    DYNAMIC_FEE_TRANSACTION_TYPE: _dynamic_fee,
    BLOB_TX_TYPE: _blob,
    SET_CODE_TRANSACTION_TYPE: _set_code,
}
"""By type (EIP-2718): what writes the items of such a transaction without its signature."""


def _core(fields: Fields) -> bytes:
    to = fields.to
    if type(to) is not bytes or (to and len(to) != 20):
        raise _Unusual
    return _number(fields.gas) + string_item(to) + _number(fields.value) + _string(fields.data)


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
