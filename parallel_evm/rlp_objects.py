"""rlp's objects (headers, blocks, transactions, receipts, logs), without asking rlp twice.

Responsible for: `made_of`, which takes fields that are known to be sound; `changed`, which copies
nothing that stays; `encoded`, which encodes nothing that was decoded; `are_same`.
Talks to: nobody. Never: changes an object; all of them are immutable, and may be shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any, Final, cast

from rlp.sedes.serializable import BaseSerializable

from parallel_evm.speculation.stock import STOCK_TYPED_TRANSACTIONS, STOCK_VMS


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
