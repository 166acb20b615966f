"""rlp's objects (headers, blocks, receipts, logs) made and changed without asking rlp twice.

Responsible for: `made_of`, which takes fields that are known to be sound, and `changed`, which
copies nothing that stays.
Talks to: nobody. Never: changes an object; all of them are immutable, and may be shared.
"""

from __future__ import annotations

from typing import Any

from rlp.sedes.serializable import BaseSerializable


def made_of(cls: Any, *values: Any) -> Any:
    """An ``rlp.Serializable`` of all its fields' values, which are known to be sound."""
    made = cls.__new__(cls)
    vars(made).update(zip(cls._meta.field_attrs, values))  # noqa: B905 (it takes half the time)
    return made


def changed(original: Any, **fields: Any) -> Any:
    """``original.copy(**fields)``, with the other fields as they are instead of deep copies."""
    if type(original).copy is not BaseSerializable.copy:  # somebody's own
        return original.copy(**fields)
    names = original._meta.field_names
    return type(original)(**{**{name: getattr(original, name) for name in names}, **fields})
