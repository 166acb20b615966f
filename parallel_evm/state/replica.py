"""A worker's copy of the state before the block, filled on demand.

Whatever is missing is fetched from the coordinator through one function. What will probably be
needed is told beforehand (`told_of`): for each answer a worker waits until the coordinator has
ended a transaction of its own. It knows nothing of pipes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

from eth.constants import EMPTY_SHA3

from parallel_evm.state.base import DEFAULT_CAPACITY, CachedSource
from parallel_evm.state.keys import Key
from parallel_evm.state.source import Account

ACCOUNT = "account"
SLOT = "slot"
CODE = "code"

Want = tuple[Any, ...]
"""(ACCOUNT, address), (SLOT, address, slot) or (CODE, code hash)."""

Told = tuple[
    dict[bytes, tuple[Any, ...] | None], dict[bytes, dict[int, int]], dict[bytes, bytes | None]
]
"""Accounts, slots by address, and bytecode by its hash: None for what the worker has already."""

Fetch = Callable[[Sequence[Want]], Sequence[Any]]
"""Answers each want: an `Account` or None, an int, bytes. Raises when the state lacks the data."""


def account_of(parts: tuple[Any, ...] | None) -> Account | None:
    """An account as it travels; None: there is none."""
    return None if parts is None else Account(*parts)


class Replica(CachedSource):
    """A `Source` for the state before the block, in a process that has no database."""

    def __init__(self, fetch: Fetch, capacity: int = DEFAULT_CAPACITY) -> None:
        super().__init__(capacity)
        self._fetch = fetch

    def load_account(self, address: bytes) -> Account | None:
        (answer,) = self._fetch([(ACCOUNT, address)])
        return account_of(answer)

    def load_slot(self, address: bytes, slot: int) -> int:
        (answer,) = self._fetch([(SLOT, address, slot)])
        return int(answer)

    def load_code(self, code_hash: bytes) -> bytes:
        (answer,) = self._fetch([(CODE, code_hash)])
        return bytes(answer)

    def learn(
        self,
        accounts: Mapping[bytes, tuple[Any, ...] | None],
        slots: Mapping[bytes, Mapping[int, int]],
        codes: Mapping[bytes, bytes],
    ) -> None:
        """Take what somebody told without being asked (`told_of`)."""
        for address, account in accounts.items():
            self._accounts[address] = account_of(account)
        for address, values in slots.items():
            self._slots.setdefault(address, {}).update(values)
            self._room -= len(values)
        self._codes.update(codes)
        self._room -= len(accounts) + len(codes)


def told_of(
    source: CachedSource, keys: Iterable[Key], new_codes: Callable[[Iterable[bytes]], Set[bytes]]
) -> Told:
    """What a worker is told of these keys, before it asks.

    Of accounts, the bytecode too. ``new_codes``: those among these hashes whose bytecode it does
    not have. What the state lacks is left out: a worker that needs it asks, and hears so.
    """
    accounts: dict[bytes, tuple[Any, ...] | None] = {}
    slots: dict[bytes, dict[int, int]] = {}
    found: dict[bytes, bytes] = {}
    for address, field in keys:
        try:
            if field >= 0:
                slots.setdefault(address, {})[field] = source.slot(address, field)
            elif address not in accounts:
                account = source.account(address)
                accounts[address] = None if account is None else tuple(account)
                if account is not None and account.code_hash != EMPTY_SHA3:
                    found[account.code_hash] = source.code(account.code_hash)
        except Exception:  # of whatever database it is
            continue
    new = new_codes(found)
    return accounts, slots, {name: found[name] if name in new else None for name in found}


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
