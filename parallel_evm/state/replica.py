"""A worker's copy of the state before the block, filled on demand.

Whatever is missing is fetched from the coordinator through one function, many keys at a time
where the keys are known beforehand (`prefetch`). It knows nothing of pipes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from parallel_evm.state.base import DEFAULT_CAPACITY, CachedSource
from parallel_evm.state.keys import Key
from parallel_evm.state.source import Account

ACCOUNT = "account"
SLOT = "slot"
CODE = "code"

Want = tuple[Any, ...]
"""(ACCOUNT, address), (SLOT, address, slot) or (CODE, code hash)."""

Fetch = Callable[[Sequence[Want]], Sequence[Any]]
"""Answers each want: an `Account` or None, an int, bytes. Raises when the state lacks the data."""


class Replica(CachedSource):
    """A `Source` for the state before the block, in a process that has no database."""

    def __init__(self, fetch: Fetch, capacity: int = DEFAULT_CAPACITY) -> None:
        super().__init__(capacity)
        self._fetch = fetch

    def load_account(self, address: bytes) -> Account | None:
        (answer,) = self._fetch([(ACCOUNT, address)])
        return None if answer is None else Account(*answer)

    def load_slot(self, address: bytes, slot: int) -> int:
        (answer,) = self._fetch([(SLOT, address, slot)])
        return int(answer)

    def load_code(self, code_hash: bytes) -> bytes:
        (answer,) = self._fetch([(CODE, code_hash)])
        return bytes(answer)

    def prefetch(self, keys: Iterable[Key]) -> None:
        """Load all that ``keys`` name and is not here yet, in one exchange."""
        wants: dict[Want, None] = {}
        for address, field in keys:
            if field < 0:
                if address not in self._accounts:
                    wants[(ACCOUNT, address)] = None
            elif field not in self._slots.get(address, ()):
                wants[(SLOT, address, field)] = None
        if not wants:
            return
        ordered = list(wants)
        for want, answer in zip(ordered, self._fetch(ordered), strict=True):
            if want[0] == ACCOUNT:
                self._accounts[want[1]] = None if answer is None else Account(*answer)
            else:
                self._slots.setdefault(want[1], {})[want[2]] = answer
        self._room -= len(ordered)


def answer(source: CachedSource, wants: Sequence[Want]) -> list[Any]:
    """What the coordinator replies to a worker's wants."""
    answers: list[Any] = []
    for want in wants:
        kind = want[0]
        if kind == ACCOUNT:
            account = source.account(want[1])
            answers.append(None if account is None else tuple(account))
        elif kind == SLOT:
            answers.append(source.slot(want[1], want[2]))
        else:
            answers.append(source.code(want[1]))
    return answers
