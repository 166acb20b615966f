"""Many keys written to py-evm's database: all of them or none.

Responsible for: `write`, which fills py-evm's own memory database in one step and goes through a
batch of any other.
Talks to: nobody. Never: knows what it writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB

_METHODS: Final = (
    (AtomicDB, "atomic_batch", AtomicDB.atomic_batch),
    (AtomicDB, "__setitem__", AtomicDB.__setitem__),
    (MemoryDB, "__setitem__", MemoryDB.__setitem__),
)
"""Whoever puts something in the place of one of them, to see what is written, sees it."""


def write(db: Any, entries: Mapping[bytes, bytes]) -> None:
    """Write ``entries`` to py-evm's database. Raises what the database raises."""
    memory = _dictionary_of(db)
    if memory is not None:
        memory.update(entries)
        return
    with db.atomic_batch() as batch:
        for key, value in entries.items():
            batch[key] = value


def _dictionary_of(db: Any) -> dict[bytes, bytes] | None:
    """In which all of py-evm's own memory database lies; None for any other database."""
    if type(db) is not AtomicDB or type(db.wrapped_db) is not MemoryDB:
        return None
    content = db.wrapped_db.kv_store
    if (
        type(content) is not dict
        or vars(db).keys() != {"wrapped_db"}  # something put on the object itself
        or vars(db.wrapped_db).keys() != {"kv_store"}
        or any(getattr(cls, name) is not method for cls, name, method in _METHODS)
    ):
        return None
    return content
