"""A transaction's fields, all read at once.

Responsible for: `fields_of`, which takes py-evm's own transactions apart, and `has_fields`, which
says of which.
Talks to: nobody. Never: judges a field; what was put into a transaction comes out.

py-evm reads a field of a typed transaction through two properties and two attributes. Whoever needs
more than one or two of them reads them here.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, NamedTuple

from eth.vm.forks.berlin.constants import ACCESS_LIST_TRANSACTION_TYPE
from eth.vm.forks.berlin.transactions import AccessListTransaction
from eth.vm.forks.cancun.constants import BLOB_TX_TYPE
from eth.vm.forks.cancun.transactions import BlobTransaction
from eth.vm.forks.london.constants import DYNAMIC_FEE_TRANSACTION_TYPE
from eth.vm.forks.london.transactions import DynamicFeeTransaction
from eth.vm.forks.prague.constants import SET_CODE_TRANSACTION_TYPE
from eth.vm.forks.prague.transactions import SetCodeTransaction

from parallel_evm.speculation.stock import STOCK_LEGACY_TRANSACTIONS, STOCK_TYPED_TRANSACTIONS


class Fields(NamedTuple):
    """What all types of transactions have, by the same names."""

    signed: Any
    """py-evm's transaction, without the wrapper of a typed one."""
    type_id: int
    """Of EIP-2718; 0 for a legacy transaction."""
    nonce: Any
    gas: Any
    to: Any
    value: Any
    data: Any
    v: Any
    """The parity of y; in a legacy transaction 27 more, or 35 and twice the chain id."""
    r: Any
    s: Any
    highest_price: Any
    """Wei per gas that the sender pays at most."""
    priority: Any
    """Wei per gas of it that may go to the coinbase, at most (EIP-1559)."""
    chain_id: Any
    """0 in a legacy transaction, whose ``v`` has it."""
    access_list: Any


def fields_of(transaction: Any) -> Fields | None:
    """The fields of one of py-evm's own transactions since EIP-155; None for any other, and for one
    whose wrapper gives its type wrong."""
    kind = type(transaction)
    if kind in STOCK_TYPED_TRANSACTIONS:
        signed = transaction._inner
        type_id, read = _TYPED.get(type(signed), _NOTHING)
        if type_id == transaction.type_id:
            return tuple.__new__(Fields, (signed, type_id, *read(signed)))
    elif kind in STOCK_LEGACY_TRANSACTIONS:
        return tuple.__new__(Fields, (transaction, 0, *_LEGACY[kind](transaction), 0, ()))
    return None


def has_fields(transaction: Any) -> bool:
    """Would `fields_of` take it apart?"""
    kind = type(transaction)
    if kind in STOCK_TYPED_TRANSACTIONS:
        type_id, _ = _TYPED.get(type(transaction._inner), _NOTHING)
        return bool(type_id == transaction.type_id)
    return kind in STOCK_LEGACY_TRANSACTIONS


_Reader = Callable[[Any], tuple[Any, ...]]


def _reader(kind: Any, v: str, *prices: str) -> _Reader:
    """Reads the fields in their order, where rlp keeps them."""
    attributes = dict(zip(kind._meta.field_names, kind._meta.field_attrs, strict=True))
    names = ["nonce", "gas", "to", "value", "data", v, "r", "s", *prices]
    if kind not in STOCK_LEGACY_TRANSACTIONS:
        names += ["chain_id", "access_list"]
    return attrgetter(*(attributes[name] for name in names))


_LEGACY: Final = {
    kind: _reader(kind, "v", "gas_price", "gas_price") for kind in STOCK_LEGACY_TRANSACTIONS
}
_ONE_PRICE: Final = ("y_parity", "gas_price", "gas_price")
_TWO_PRICES: Final = ("y_parity", "max_fee_per_gas", "max_priority_fee_per_gas")
_TYPED: Final[dict[type, tuple[int, _Reader]]] = {
    kind: (type_id, _reader(kind, *names))
    for kind, type_id, names in (
        (AccessListTransaction, ACCESS_LIST_TRANSACTION_TYPE, _ONE_PRICE),
        (DynamicFeeTransaction, DYNAMIC_FEE_TRANSACTION_TYPE, _TWO_PRICES),
        (BlobTransaction, BLOB_TX_TYPE, _TWO_PRICES),
        (SetCodeTransaction, SET_CODE_TRANSACTION_TYPE, _TWO_PRICES),
    )
}
_NOTHING: Final[tuple[int, _Reader]] = (-1, tuple)

STOCK_PAYLOADS: Final[frozenset[type]] = frozenset(_TYPED)
"""py-evm's typed transactions, without their wrappers."""
