"""Visits to code that is not translated, counted from process to process.

Responsible for: that what many short-lived processes run now and then (the tests of a project, one
after another) gets its turn to be translated, although no single one of them visits it often.
Talks to: `store`, which keeps the numbers, in files of their own beside the translations.
Never: writes before the process ends; decides what is translated (`program` does).
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping, Sequence
from typing import Any, Final

from parallel_evm.translator.store import Store

MAX_KEYS: Final = 2048
"""Of one program, those most visited."""
WORTH_COUNTING: Final = 4
"""A program is not written while all its keys have fewer visits."""
_HIGHEST: Final = 1 << 20

Counts = Mapping[Any, int]
"""Visits by key, as of `cache.Key`. 0: it is translated. Less: it will not be."""


class Visits:
    """Those of one program. Of the program itself it holds nothing but numbers."""

    def __init__(self, store: Store, name: str, here: Sequence[Counts]) -> None:
        """``here``: this process's, for several kinds of keys, which are counted on."""
        self._store = store
        self._name = name
        self._here = here
        self._before: Counts = {}
        """This process's that are not counted on."""
        self.earlier: Counts = self._kept()
        """Those before ``here``: by processes that have ended, first of all."""

    def go_on(self, here: Sequence[Counts]) -> None:
        """The program was made once more in this process, and counts in ``here`` from now on."""
        self._before = self._counted()
        self._here = here
        self.earlier = _counted_on(self._kept(), self._before)

    def save(self) -> bool:
        """Add this process's visits to what others have written. False: not now. Once only."""
        counted = self._counted()
        if max(counted.values(), default=0) < WORTH_COUNTING:
            return True
        with self._store.locked() as is_alone:
            if not is_alone:
                return False
            visits = _counted_on(self._kept(), counted)
            most = sorted(visits.items(), key=lambda item: -item[1])[:MAX_KEYS]
            self._store.write(self._name, marshal.dumps({key: n for key, n in most if n}))
        return True

    def _counted(self) -> dict[Any, int]:
        counted = dict(self._before)
        for counts in self._here:
            counted = _counted_on(counted, counts)
        return counted

    def _kept(self) -> dict[Any, int]:
        kept = self._store.read(self._name)
        if kept is None:
            return {}
        visits: dict[Any, int] = marshal.loads(kept[0])
        return visits


def _counted_on(visits: Counts, more: Counts) -> dict[Any, int]:
    """``visits`` and ``more``. What is translated in between, a 0 in ``more``, starts anew."""
    total = dict(visits)
    for key, count in list(more.items()):  # somebody may be counting
        if count >= 0:
            total[key] = min(total.get(key, 0) + count, _HIGHEST) if count else 0
    return total
