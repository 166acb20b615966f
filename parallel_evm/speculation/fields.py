"""A transaction's fields, all read at once.

Responsible for: `fields_of`, which takes py-evm's own transactions apart.
Talks to: nobody. Never: judges a field; what was put into a transaction comes out.

py-evm reads a field of a typed transaction through two properties and two attributes. Whoever needs
more than one or two of them reads them here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final, NamedTuple

from eth.vm.forks.berlin.transactions import AccessListTransaction
from eth.vm.forks.cancun.transactions import BlobTransaction
from eth.vm.forks.london.transactions import DynamicFeeTransaction
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
    """The fields of one of py-evm's own transactions since EIP-155; None for any other."""
    kind = type(transaction)
    if kind in STOCK_TYPED_TRANSACTIONS:
        signed = transaction._inner
        read = _TYPED.get(type(signed))
        if read is not None:
            return tuple.__new__(Fields, (signed, transaction.type_id, *read(signed)))
    elif kind in STOCK_LEGACY_TRANSACTIONS:
        return tuple.__new__(Fields, (transaction, 0, *_LEGACY[kind](transaction), 0, ()))
    return None


def _reader(kind: Any, *names: str) -> Callable[[Any], tuple[Any, ...]]:
    """Reads these fields where rlp keeps them."""
    attributes = dict(zip(kind._meta.field_names, kind._meta.field_attrs, strict=True))
    return attrgetter(*(attributes[name] for name in names))


def _readers(
    kinds: Iterable[type], *last: str, v: str = "y_parity"
) -> dict[type, Callable[[Any], tuple[Any, ...]]]:
    first = ("nonce", "gas", "to", "value", "data", v, "r", "s")
    return {kind: _reader(kind, *first, *last) for kind in kinds}


_LEGACY: Final = _readers(STOCK_LEGACY_TRANSACTIONS, "gas_price", "gas_price", v="v")
_TYPED: Final = {
    **_readers([AccessListTransaction], "gas_price", "gas_price", "chain_id", "access_list"),
    **_readers(
        [DynamicFeeTransaction, BlobTransaction, SetCodeTransaction],
        "max_fee_per_gas",
        "max_priority_fee_per_gas",
        "chain_id",
        "access_list",
    ),
}
