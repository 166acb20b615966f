"""What one transaction observed of the state below it.

A `Recorder` lies between a transaction's own writes (`FlatState`) and everything older. It
remembers the first value seen for every key, which is also the only value: nothing below changes
while a transaction runs. Where a question needs less than a value, less is remembered: buying gas
and sending value ask only for ``balance >= needed``.

It never judges and never writes; `scheduling.judge` compares what is recorded here with the
committed state. What it asks of the state below is no more than it was asked itself, so that
another recorder there, of a lane, remembers no more either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from parallel_evm.state.keys import BALANCE, CODE, EPOCH, LIFE, NONCE, Key
from parallel_evm.state.source import Source

UNHEARD_OF: Final = 1 << 253
"""Wei. Credits observe no balance as long as they leave so much of all numbers, and the balance is
below half of what they leave. They cannot overflow, at no moment of the transaction, if the balance
that they really meet is below this, too."""


@dataclass(slots=True)
class Observations:
    """All that a transaction's outcome depends on."""

    cells: dict[Key, Any] = field(default_factory=dict)
    """Balance (exact), nonce, code hash, life and storage epoch, as first seen."""
    slots: dict[bytes, dict[int, int]] = field(default_factory=dict)
    """Storage by address and slot, as first seen."""
    bounds: dict[bytes, int] = field(default_factory=dict)
    """The balance (wei) that an account had to have at least."""
    ranges: dict[bytes, dict[int, tuple[int, int]]] = field(default_factory=dict)
    """Storage by address and slot of which only this is known: the lowest and the highest value
    with which all would have been the same (`state.linear`)."""


class Recorder:
    """A `Source` that answers from the one below and remembers what it answered."""

    __slots__ = ("_bounds", "_cells", "_slots", "_source", "code", "observations")

    def __init__(self, source: Source) -> None:
        self._source = source
        self.code = source.code  # named by its content: nothing to observe
        self.observations = Observations()
        self._cells = self.observations.cells
        self._slots = self.observations.slots
        self._bounds = self.observations.bounds

    def balance(self, address: bytes) -> int:
        key = (address, BALANCE)
        value: int | None = self._cells.get(key)
        if value is None:
            value = self._cells[key] = self._source.balance(address)
        return value

    def at_least(self, address: bytes, needed: int) -> bool:
        if needed <= 0:
            return True  # balances are never negative: nothing was learned
        exact: int | None = self._cells.get((address, BALANCE))
        if exact is not None:
            return exact >= needed
        if needed <= self._bounds.get(address, 0):
            return True
        if self._source.at_least(address, needed):
            self._bounds[address] = needed
            return True
        # "Too little" is also true of every smaller balance, but the amount usually ends up in an
        # error text, and failing transactions are rare: observe the balance itself.
        return self.balance(address) >= needed

    def below(self, address: bytes, limit: int) -> bool:
        # Who holds, or is given, unheard-of sums is observed: else credits that overflow only
        # together would all be accepted.
        if limit >= UNHEARD_OF and self._source.below(address, limit >> 1):
            return True
        return self.balance(address) < limit

    def nonce(self, address: bytes) -> int:
        key = (address, NONCE)
        value: int | None = self._cells.get(key)
        if value is None:
            value = self._cells[key] = self._source.nonce(address)
        return value

    def code_hash(self, address: bytes) -> bytes:
        key = (address, CODE)
        value: bytes | None = self._cells.get(key)
        if value is None:
            value = self._cells[key] = self._source.code_hash(address)
        return value

    def exists(self, address: bytes) -> bool:
        key = (address, LIFE)
        value: bool | None = self._cells.get(key)
        if value is None:
            value = self._cells[key] = self._source.exists(address)
        return value

    def epoch(self, address: bytes) -> int:
        key = (address, EPOCH)
        value: int | None = self._cells.get(key)
        if value is None:
            value = self._cells[key] = self._source.epoch(address)
        return value

    def slot(self, address: bytes, slot: int) -> int:
        seen = self._slots.get(address)
        if seen is None:
            seen = self._slots[address] = {}
            # A slot that is zero before and after a wipe still conflicts with the wipe.
            self.epoch(address)
        value = seen.get(slot)
        if value is None:
            value = seen[slot] = self._source.slot(address, slot)
        return value
