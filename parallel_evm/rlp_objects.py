"""rlp's objects (headers, blocks, transactions, receipts, logs), without asking rlp twice.

Responsible for: `made_of`, which takes fields that are known to be sound; `changed`, which copies
nothing that stays; `encoded`, which encodes nothing that was decoded; `remember_hashes`;
`are_same`.
Talks to: nobody. Never: changes what an object holds; all of them are immutable, and may be shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from operator import attrgetter, is_
from typing import Any, Final, cast

from rlp.sedes.serializable import BaseSerializable

from parallel_evm.speculation.fields import STOCK_PAYLOADS
from parallel_evm.speculation.stock import (
    STOCK_LEGACY_TRANSACTIONS,
    STOCK_TYPED_TRANSACTIONS,
    STOCK_VMS,
)


def made_of(cls: Any, *values: Any) -> Any:
    """An ``rlp.Serializable`` of all its fields' values, which are known to be sound."""
    made = cls.__new__(cls)
    vars(made).update(zip(cls._meta.field_attrs, values))  # noqa: B905 (it takes half the time)
    return made


_WRAPPERS: Final = frozenset(STOCK_TYPED_TRANSACTIONS) | frozenset(
    cast(Any, wrapper).receipt_builder.typed_receipt_class for wrapper in STOCK_TYPED_TRANSACTIONS
)


def encoded(item: Any) -> bytes:
    """``item.encode()`` of a transaction or receipt. rlp remembers it of whatever was decoded, and
    `Ledger` of its receipts."""
    if type(item) in _WRAPPERS:  # of EIP-2718
        content: bytes | None = vars(item._inner).get("_cached_rlp")
        if content is not None:
            return bytes((item.type_id,)) + content
    made: bytes = item.encode()
    return made


_FIELDS: Final = {
    kind: attrgetter(*cast(Any, kind)._meta.field_attrs)
    for kind in (*STOCK_LEGACY_TRANSACTIONS, *STOCK_PAYLOADS)
}


def remember_hashes(transactions: Iterable[Any]) -> None:
    """Let ``hash()`` of py-evm's own transactions be known beforehand: rlp asks itself for each
    field, and a block is compared by it with the one that was to be imported."""
    with suppress(TypeError):  # somebody has put something into one that has no hash
        for transaction in transactions:
            wrapped = type(transaction) in STOCK_TYPED_TRANSACTIONS
            signed = transaction._inner if wrapped else transaction
            fields = _FIELDS.get(type(signed))
            if fields is not None and signed._hash_cache is None:
                signed._hash_cache = hash(fields(signed))


def are_same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Are these the very same objects, and is there any?"""
    return bool(some) and len(some) == len(others) and all(map(is_, some, others))


def header_class(vm_class: Any) -> Any:
    """Of the headers that this fork's blocks have."""
    return dict(vm_class.get_block_class()._meta.fields)["header"]


_HEADERS: Final = frozenset(map(header_class, STOCK_VMS))
"""py-evm's own: what they are made of is all that they hold."""


def changed(original: Any, **fields: Any) -> Any:
    """``original.copy(**fields)``, with the other fields as they are instead of deep copies."""
    kind = type(original)
    names = original._meta.field_names
    if kind.copy is not BaseSerializable.copy or not fields.keys() <= set(names):
        return original.copy(**fields)  # somebody's own, or rlp's to refuse
    values = dict(zip(names, original, strict=True))
    values.update(fields)
    if kind in _HEADERS and None not in fields.values():  # a timestamp of None is refused
        return made_of(kind, *values.values())
    return kind(**values)
