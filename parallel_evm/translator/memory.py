"""What a trace knows of the EVM's memory: bytes by their position, and writes that still wait.

Responsible for: which word lies where, how long memory is, and what has not been written to the
real `bytearray` yet. A word that is written and read again within a trace never touches it.
Talks to nobody: `writer` asks, and writes the Python. Never: holds addresses that are not constant;
after a write to such an address nothing is known any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from parallel_evm.translator.values import Value, constant

MAX_PIECES = 24
"""Of how many pieces a span may consist to be put together without the real memory."""

_ZERO = constant(0)


class Piece(NamedTuple):
    """Bytes ``first`` to ``last`` of a 32-byte word; with ``value`` None they are unknown."""

    value: Value | None
    first: int
    last: int


class KnownMemory:
    """The memory of one computation, as far as a trace knows it."""

    def __init__(self, fresh: bool) -> None:
        """``fresh``: the computation begins here, so memory is empty (and reads as zero)."""
        self.exact = fresh
        """Is `length` the length? Else memory is at least that long."""
        self.length = 0
        """In bytes, as the EVM sees it."""
        self.real = 0
        """Where the length is exact: how long the `bytearray` is; it follows `length` later."""
        self.waiting: dict[int, Value] = {}
        """Words that the `bytearray` lacks, by position, in the order in which they were stored."""
        self._blank = fresh
        self._known: dict[int, tuple[int, Value | None, int]] = {}
        # start -> (end, word, position of the first byte in the word); these spans never overlap

    def store(self, start: int, word: Value) -> None:
        """A word was stored at ``start``; it waits until somebody needs the real memory."""
        self.forget(start, 32)
        self._known[start] = (start + 32, word, 0)
        self.waiting.pop(start, None)
        self.waiting[start] = word

    def learn(self, start: int, word: Value) -> None:
        """A word was loaded from the real memory."""
        self.forget(start, 32)
        self._known[start] = (start + 32, word, 0)

    def forget(self, start: int, size: int) -> None:
        """Whatever lies there is about to change in a way that is not known."""
        if size == 0:
            return
        end = start + size
        for first in [f for f, (last, _, _) in self._known.items() if f < end and last > start]:
            last, word, shift = self._known.pop(first)
            if first < start:
                self._known[first] = (start, word, shift)
            if last > end:
                self._known[end] = (last, word, shift + end - first)
        if self._blank:
            self._known[start] = (end, None, 0)

    def keep_only(self, is_left: Callable[[Value], bool]) -> None:
        """Forget what those words hold that are not there any more."""
        for start, (end, word, _) in list(self._known.items()):
            if word is not None and not is_left(word):
                del self._known[start]
                self.forget(start, end - start)

    def forget_all(self) -> None:
        self._known.clear()
        self._blank = False

    def written(self) -> None:
        """The real memory is up to date."""
        self.waiting.clear()
        self.real = self.length

    def waiting_at(self, start: int, size: int) -> list[int]:
        """Waiting words that must be written before somebody else writes ``size`` bytes there:
        those that overlap the span, and those that overlap them. In order."""
        first, last = start, start + size
        found: set[int] = set()
        while size:
            more = {w for w in self.waiting if w < last and w + 32 > first} - found
            if not more:
                break
            found |= more
            first, last = min(first, *more), max(last, *(w + 32 for w in more))
        return [word for word in self.waiting if word in found]

    def word(self, start: int) -> Value | None:
        """The word at ``start``, if it was stored or loaded as one."""
        pieces = self.pieces(start, 32)
        if pieces is not None and len(pieces) == 1 and pieces[0].last - pieces[0].first == 32:
            return pieces[0].value
        return None

    def pieces(self, start: int, size: int) -> list[Piece] | None:
        """What lies at ``start``; None if that is not known, or of too many pieces."""
        if size > 32 * MAX_PIECES:
            return None
        end = start + size
        found: list[Piece] = []
        spans = sorted(
            (first, *span) for first, span in self._known.items() if first < end and span[0] > start
        )
        at = start
        for first, last, word, shift in spans:
            if first > at:
                if not self._blank:
                    return None
                found += _zeros(first - at)
            if word is None:
                return None
            begin, finish = max(first, at), min(last, end)
            found.append(Piece(word, shift + begin - first, shift + finish - first))
            at = finish
        if at < end:
            if not self._blank:
                return None
            found += _zeros(end - at)
        return found if len(found) <= MAX_PIECES else None


def _zeros(count: int) -> list[Piece]:
    words, rest = divmod(count, 32)
    return [Piece(_ZERO, 0, 32)] * words + ([Piece(_ZERO, 0, rest)] if rest else [])
