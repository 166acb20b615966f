"""Many keys at once: written, and written as whoever looks on expects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB

from parallel_evm.database import write
from parallel_evm.vm import parallelize
from parallel_evm.workloads import build
from tests.workers.faults import Disk

ENTRIES = {b"a": b"1", b"b": b"2", b"c": b"3"}


class Noting(MemoryDB):
    """Somebody's own database, which tells what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[bytes] = []

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.given.append(key)
        super().__setitem__(key, value)


def test_all_of_it_is_written_over_what_was_there() -> None:
    for database in (AtomicDB(MemoryDB({b"a": b"0", b"d": b"4"})), AtomicDB(AtomicDB())):
        write(database, ENTRIES)
        assert all(database[key] == value for key, value in ENTRIES.items())
    memory = MemoryDB({b"a": b"0", b"d": b"4"})
    write(AtomicDB(memory), ENTRIES)
    assert memory.kv_store == {**ENTRIES, b"d": b"4"}


def test_a_database_of_ones_own_is_given_every_key() -> None:
    memory = Noting()
    write(AtomicDB(memory), ENTRIES)
    assert memory.given == list(ENTRIES)


def test_who_keeps_keys_in_no_plain_dictionary_is_given_them_one_by_one() -> None:
    class Keeping(dict[bytes, bytes]):
        def __setitem__(self, key: bytes, value: bytes) -> None:
            super().__setitem__(key, value + b"!")

    memory = MemoryDB(Keeping())
    write(AtomicDB(memory), {b"a": b"1"})
    assert memory.kv_store == {b"a": b"1!"}


@pytest.mark.parametrize("place", ["batch", "class", "object"])
def test_who_looks_on_from_the_place_of_a_method_sees_what_is_written(place: str) -> None:
    seen: list[bytes] = []
    database = AtomicDB()
    batch, set_item = AtomicDB.atomic_batch, MemoryDB.__setitem__

    @contextmanager
    def watched_batch(self: Any = database) -> Iterator[Any]:
        with batch(self) as inner:
            yield inner
            seen.extend(inner._track_diff._changes)

    def watched_set(self: MemoryDB, key: bytes, value: bytes) -> None:
        seen.append(key)
        set_item(self, key, value)

    patches = {
        "batch": mock.patch.object(AtomicDB, "atomic_batch", watched_batch),
        "class": mock.patch.object(MemoryDB, "__setitem__", watched_set),
        "object": mock.patch.object(database, "atomic_batch", watched_batch),
    }
    with patches[place]:
        write(database, ENTRIES)
    assert seen == list(ENTRIES)
    assert all(database[key] == value for key, value in ENTRIES.items())


def test_a_database_without_room_is_written_nothing() -> None:
    disk = Disk({})
    disk.room = 2
    with pytest.raises(OSError, match="No space left"):
        write(disk, ENTRIES)
    assert disk.content == {}


@pytest.mark.parametrize("name", ["persist_trie_data_dict", "_persist_trie_data_dict"])
def test_a_chain_database_that_stores_tries_in_its_own_way_does_so(name: str) -> None:
    scene = build("transfers", transactions=2, blocks=1)
    stored: list[int] = []

    class Outer(scene.chain_class.chaindb_class):  # type: ignore[name-defined,misc]
        def persist_trie_data_dict(self, trie_data_dict: dict[Any, bytes]) -> None:
            stored.append(len(trie_data_dict))
            super().persist_trie_data_dict(trie_data_dict)

    class Inner(scene.chain_class.chaindb_class):  # type: ignore[name-defined,misc]
        @classmethod
        def _persist_trie_data_dict(cls, db: Any, trie_data_dict: dict[Any, bytes]) -> None:
            stored.append(len(trie_data_dict))
            super()._persist_trie_data_dict(db, trie_data_dict)

    ChainDatabase = Outer if name == "persist_trie_data_dict" else Inner

    class Chain(scene.chain_class):  # type: ignore[name-defined,misc]
        chaindb_class = ChainDatabase

    scene.open(parallelize(Chain)).mine_all(scene.blocks[0])
    assert len(stored) == 2  # transactions and receipts
