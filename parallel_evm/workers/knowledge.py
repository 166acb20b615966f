"""What one worker process already knows, so that it is told nothing twice.

Responsible for: counting along which rules, states and bytecode it holds, and what it was told of
them. Whatever is forgotten over there is forgotten here in the same moment.
Talks to: nobody; the limits are the worker's own (`worker.RULES`, `REPLICAS` and `CODES`).
Never: sends anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final, TypeVar

from parallel_evm.merkle.source import TrieSource
from parallel_evm.state.base import Changes
from parallel_evm.state.keys import Key
from parallel_evm.workers import worker

MAX_HINTED: Final = 1 << 16

_T = TypeVar("_T")


class Knowledge:
    """Of rules by their tokens, and of states by their lineages."""

    def __init__(self) -> None:
        self._rules: dict[int, None] = {}
        """In the order in which it got them."""
        self._versions: dict[bytes, int] = {}
        """Version of each lineage that its replica holds, the one used last at the end."""
        self._hinted: dict[bytes, set[Key]] = {}
        """Keys of each lineage that it was told the values of."""
        self._codes: set[bytes] = set()
        """Hashes of bytecode that it was given, of whatever state."""

    def has_rules(self, token: int) -> bool:
        return token in self._rules

    def missed(self, source: TrieSource) -> list[Changes] | None:
        """What it has to be told of these states to be where ``source`` is. None: it begins with
        nothing, and what it was told of them before does not count any more."""
        known = self._versions.get(source.lineage)
        missed = None if known is None else source.changes_since(known)
        if missed is None:
            self._forget(source.lineage)
        return missed

    def note(self, token: int, source: TrieSource) -> None:
        """It was told all that was needed to have these rules, and to be where ``source`` is."""
        if token not in self._rules:
            self._rules[token] = None
            while len(self._rules) > worker.RULES:
                del self._rules[next(iter(self._rules))]
        self._versions.pop(source.lineage, None)
        self._versions[source.lineage] = source.version
        while len(self._versions) > worker.REPLICAS:
            self._forget(next(iter(self._versions)))

    def new_to_it(self, lineage: bytes, hints: Iterable[frozenset[Key]]) -> list[Key]:
        """Those of all ``hints`` that it has not been given before. From now on it has."""
        hinted = self._hinted.setdefault(lineage, set())
        return list(_added(hinted, frozenset[Key]().union(*hints), MAX_HINTED))

    def new_codes(self, hashes: Iterable[bytes]) -> Set[bytes]:
        """Those of ``hashes`` whose bytecode it has not been given before. From now on it has; one
        that lost it asks."""
        return _added(self._codes, frozenset(hashes), worker.CODES)

    def forget_all(self) -> None:
        """Nobody can say what it knows: next time it gets everything."""
        self._rules.clear()
        self._versions.clear()
        self._hinted.clear()
        self._codes.clear()

    def _forget(self, lineage: bytes) -> None:
        self._versions.pop(lineage, None)
        self._hinted.pop(lineage, None)


def _added(known: set[_T], items: Set[_T], limit: int) -> Set[_T]:
    """Those of ``items`` that ``known`` does not have, and has from now on. Where they would be too
    many together, whatever was known before is forgotten."""
    new = items - known
    if len(known) + len(new) > limit:
        known.clear()
    known |= new
    return new
