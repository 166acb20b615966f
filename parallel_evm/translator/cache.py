"""Translations that outlive the process: what one has translated, the next one runs at once.

Responsible for: which translations may be used where, and when new ones are written down. A file
belongs to one bytecode under one opcode table, as this version of the translator translates it
for this Python; none of it is read by anybody else. Talks to: `store`, which keeps the bytes.
Never: writes while a block runs; decides whether a translation is used (`program` does).

The caches of a process are found again by their folder: all that it translates is saved together.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.util
import logging
import marshal
import os
import sys
import time
from collections.abc import Container, Sequence
from pathlib import Path
from types import CodeType
from typing import Any, Final

import eth

from parallel_evm.translator.operations import Opcodes, exponent_byte_gas, origin, stock_name
from parallel_evm.translator.store import LIMIT, VISITS, Stamp, Store
from parallel_evm.translator.visits import Counts, Visits

FOLDER_VARIABLE: Final = "PARALLEL_EVM_CACHE"

SAVE_SECONDS: Final = 1.0
"""New translations of a program are collected for so long before they are written."""
RETRY_SECONDS: Final = 0.05
"""When another process was just writing."""
BLOCK_SECONDS: Final = 0.005
"""So much time may be spent on writing after a block that ran in this process."""
EXIT_SECONDS: Final = 0.5
MAX_TRANSLATIONS: Final = 512
MAX_BYTES: Final = 6 << 20
"""Of one program: what is translated beyond that is not kept."""
MAX_UNSAVED: Final = 1024
"""Programs that wait for being written."""

Key = int | tuple[Any, ...]
"""What is translated: a block, by its position; a kind of call, by the size of its data and its
selector; or what comes after a way out of that, by its number, and so forth."""

Translation = tuple[tuple[str, ...], bytes, bytes]
"""The names of the opcodes that the function calls, the code that defines it, marshalled, and what
it goes on from: the digest of that function's code, or nothing."""


def _version() -> bytes | None:
    """Names the translator, the Python it translates for and the py-evm whose rules it knows.

    The translator by its sources, so that nobody has to remember to count. None: there are none.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    try:
        parts = [(source.name, source.read_bytes()) for source in sources]
    except OSError:
        return None
    python = (sys.implementation.cache_tag, importlib.util.MAGIC_NUMBER, marshal.version)
    text = repr((parts, python, getattr(sys, "abiflags", ""), eth.__version__))
    return hashlib.blake2b(text.encode()).digest() if parts else None


VERSION: Final = _version()  # now: later the files may be newer than what was imported


def identity(opcodes: Opcodes, meanings: Opcodes, notes_sha3: bool) -> bytes | None:
    """Names an opcode table and what its objects mean; None where that is not known exactly.

    Known are py-evm's objects, and those that this package puts in their places: such a one is
    called by translated code and nothing is assumed of it.
    """
    parts: list[Any] = [VERSION, notes_sha3]
    for value, operation in sorted(opcodes.items()):
        name = origin(value, operation)
        if name is None:
            kind = type(operation)
            if kind.__module__.partition(".")[0] != __name__.partition(".")[0]:
                return None
            name = f"{kind.__module__}.{kind.__qualname__}"
        meaning = meanings[value]
        costs = [getattr(meaning, "gas_cost", None)]
        if stock_name(value, meaning) == "EXP":
            costs.append(exponent_byte_gas(meaning))
        parts.append((value, name, origin(value, meaning), costs))
    if VERSION is None:
        return None
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()


class Record:
    """What is kept of one program."""

    def __init__(
        self, cache: Cache, name: str, seen: dict[int, int], functions: Container[Key]
    ) -> None:
        """``seen``: the program's own directions of branches, which are written and filled up.
        ``functions``: what it need not be given."""
        self.due = 0.0
        self._cache = cache
        self._name = name
        self._seen = seen
        self._functions = functions
        self._stamp: Stamp | None = None
        self._found: dict[Key, Translation] = {}
        self._new: dict[Key, Translation] = {}
        self._in_use: dict[Key, bytes] = {}
        """Digests of functions that others may go on from. A key does not tell them apart: another
        process may have followed another path, whose ways out are others, too."""
        self._read()

    def look_again(self) -> None:
        """Has another process written in the meantime?"""
        stamp = self._cache.store.stamp(self._name)
        if stamp is not None and stamp != self._stamp:
            self._read()

    def take(self, pc: Key) -> tuple[tuple[str, ...], CodeType] | None:
        """The translation at ``pc``, if there is one that fits. It is handed out once."""
        found = self._found.pop(pc, None)
        if found is None or found[2] != self._before(pc):
            return None
        self._in_use[pc] = _digest(found[1])
        return found[0], marshal.loads(found[1])

    def add(self, pc: Key, operations: tuple[str, ...], code: CodeType) -> None:
        """A translation that was made here. It is written later."""
        if not self._new:
            self.due = time.monotonic() + SAVE_SECONDS
        content = marshal.dumps(code)
        self._in_use[pc] = _digest(content)
        self._new[pc] = operations, content, self._before(pc)
        self._cache.remember(self)

    def save(self) -> bool:
        """Write what is new, together with what others have written. False: not now."""
        store = self._cache.store
        with store.locked() as is_alone:
            if not is_alone:
                return False
            new, self._new = self._new, {}
            stamp, seen, translations = self._on_disk()
            if new.keys() <= translations.keys():  # others were faster
                return True
            merged: dict[Key, Translation] = {}
            size = 0
            for pc, translation in {**new, **translations}.items():
                size += len(translation[1])
                if len(merged) < MAX_TRANSLATIONS and size <= MAX_BYTES:
                    merged[pc] = translation
            content = marshal.dumps(({**seen, **self._seen}, _that_fit(merged)))
            written = store.write(self._name, content)
            if stamp is None or stamp == self._stamp:  # else others' are still to be read
                self._stamp = written
        return True

    def _before(self, pc: Key) -> bytes:
        """The digest of what the function at ``pc`` goes on from; empty where that is nothing."""
        parent = _parent(pc)
        return b"" if parent is None else self._in_use.get(parent, b"?")

    def _read(self) -> None:
        self._stamp, seen, found = self._on_disk()
        self._found = {pc: kept for pc, kept in found.items() if pc not in self._functions}
        for pc, following in seen.items():
            self._seen.setdefault(pc, following)

    def _on_disk(self) -> tuple[Stamp | None, dict[int, int], dict[Key, Translation]]:
        kept = self._cache.store.read(self._name)
        if kept is None:
            return None, {}, {}
        seen, translations = marshal.loads(kept[0])
        return kept[1], seen, translations


def _parent(key: Any) -> Any:
    """The key of the function that the one with this key goes on from; None for most."""
    return key[:-1] if isinstance(key, tuple) and len(key) > 2 else None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _that_fit(translations: dict[Key, Translation]) -> dict[Key, Translation]:
    """Without those that go on from what is not there."""
    fitting: dict[Key, Translation] = {}
    for key in sorted(translations, key=lambda key: len(key) if isinstance(key, tuple) else 0):
        parent = _parent(key)
        if parent is not None:
            before = fitting.get(parent)
            if before is None or _digest(before[1]) != translations[key][2]:
                continue
        fitting[key] = translations[key]
    return fitting


def _name_of(dialect: bytes, content: bytes) -> str:
    """The files for the program ``content`` in the dialect with that `identity`."""
    return hashlib.blake2b(content, digest_size=32, key=dialect).hexdigest()


class Cache:
    """The translations in one folder, and those that are on their way there."""

    def __init__(self, folder: str, limit: int = LIMIT) -> None:
        self.store = Store(folder, limit)
        self._unsaved: dict[Record, None] = {}
        self._visits: dict[str, Visits] = {}
        self._numbers = Store(folder, limit, VISITS)

    def record(
        self, dialect: bytes, content: bytes, seen: dict[int, int], functions: Container[Key]
    ) -> Record:
        """For the program ``content`` in the dialect with that `identity`."""
        return Record(self, _name_of(dialect, content), seen, functions)

    def visits(self, dialect: bytes, content: bytes, here: Sequence[Counts]) -> Counts:
        """What earlier processes have visited of the program ``content``. What this one has until
        it ends, ``here``, is written then."""
        name = _name_of(dialect, content)
        visits = self._visits.get(name)
        if visits is not None:
            visits.go_on(here)
            return visits.earlier
        visits = self._visits[name] = Visits(self._numbers, name, here)
        while len(self._visits) > MAX_UNSAVED:
            self._visits.pop(next(iter(self._visits)), None)
        return visits.earlier

    def remember(self, record: Record) -> None:
        """It has something to write."""
        self._unsaved[record] = None
        while len(self._unsaved) > MAX_UNSAVED:
            self._unsaved.pop(next(iter(self._unsaved)), None)

    def pause(self) -> float | None:
        """Seconds until there is something to write; None if there is nothing."""
        due = min((record.due for record in list(self._unsaved)), default=None)
        return None if due is None else max(0.0, due - time.monotonic())

    def save(self, seconds: float, last: bool = False) -> None:
        """Write what is due, one program after another until the time is up, but at least one.

        ``last``: there will be no later; all is due, and whoever else is writing is waited for.
        """
        until = time.monotonic() + seconds
        while True:
            for record in list(self._unsaved):
                now = time.monotonic()
                if record.due > now and not last:
                    continue
                self._unsaved.pop(record, None)
                if not record.save():
                    record.due = now + RETRY_SECONDS
                    self.remember(record)
                if time.monotonic() > until:
                    return
            if last and not self._unsaved:
                for name, visits in list(self._visits.items()):
                    if visits.save():
                        del self._visits[name]
                    if time.monotonic() > until:
                        return
            if not last or not (self._unsaved or self._visits):
                return
            time.sleep(RETRY_SECONDS / 10)


@functools.cache
def cache_at(folder: str) -> Cache:
    """This process's cache in that folder. What it has not written at exit, it writes then."""
    cache = Cache(folder)
    atexit.register(cache.save, EXIT_SECONDS, last=True)
    return cache


def folder_of(setting: bool | str | os.PathLike[str]) -> str | None:
    """The folder that `ParallelConfig.translation_cache` means; None: there is no cache.

    A folder that may not be used is named in a warning, once.
    """
    if setting is False or VERSION is None:
        return None
    if setting is True:
        chosen = os.environ.get(FOLDER_VARIABLE) or _default_folder()
    else:
        chosen = os.fspath(setting)
    folder = os.path.abspath(os.path.expanduser(chosen))
    problem = Store(folder).problem()
    if problem is not None:
        _warn(folder, problem)
        return None
    return folder


def _default_folder() -> str:
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):  # the XDG specification wants such a value ignored
        home = os.path.join("~", ".cache")
    return os.path.join(home, "parallel-evm", "translations")


@functools.cache
def _warn(folder: str, problem: str) -> None:
    logging.getLogger(__name__).warning("the translation cache %s is not used: %s", folder, problem)
