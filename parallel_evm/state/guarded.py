"""A transaction's view on which contended slots are linear values.

Responsible for: handing out `Linear`s for the slots that it is told are hot, to those who `load`
them; keeping them as what was stored; and saying at the end, in plain data, which interval each
base must lie in and what was added to it.
Talks to: translated code, which loads; py-evm's rules, which get numbers; a `Source` below.
Never: lets a linear value out. `settle` leaves nothing but numbers behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from eth.constants import UINT_256_MAX

from parallel_evm.state.flat import FlatState
from parallel_evm.state.keys import EPOCH, Key
from parallel_evm.state.linear import Guard, Linear
from parallel_evm.state.recorder import Recorder
from parallel_evm.state.source import Source

HotSlots = Mapping[Key, bool]
"""The slots that a transaction is to run linearly on. True: an earlier transaction of the block is
expected to put something where there is nothing yet, so a zero is taken for a one."""


class GuardedRecorder(Recorder):
    """A `Recorder` that can hand out a slot without knowing its value."""

    __slots__ = ("guards",)

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.guards: dict[Key, Guard] = {}

    def linear(self, key: Key, zero_is_one: bool) -> Linear | int:
        """The slot as a linear value; a number where the number is observed already."""
        address, slot = key
        guard = self.guards.get(key)
        if guard is None:
            if slot in self._slots.get(address, ()):
                return self.slot(address, slot)
            self.epoch(address)
            seen = self._source.slot(address, slot)
            guard = self.guards[key] = Guard(key, seen or int(zero_is_one))
        return guard.seen if guard.exact else Linear(guard)


class GuardedView(FlatState):
    """A `FlatState` whose hot slots are loaded as linear values."""

    __slots__ = ("_hot", "_loaded")

    linear: ClassVar[bool] = True
    source: GuardedRecorder

    def __init__(self, source: GuardedRecorder, index: int, hot: HotSlots) -> None:
        super().__init__(source, index)
        self._hot = hot
        self._loaded: dict[Key, Any] = {}
        """What slots held before the transaction, as it was handed out."""

    def load(self, address: bytes, slot: int) -> Any:
        written = self.effects.slots.get(address)
        if written is not None:
            value = written.get(slot)
            if value is not None:
                return value
            if (address, EPOCH) in self.effects.cells:
                return 0
        key = (address, slot)
        known = self._loaded.get(key)
        if known is None:
            zero_is_one = self._hot.get(key)
            if zero_is_one is None:
                return self.source.slot(address, slot)
            known = self._loaded[key] = self.source.linear(key, zero_is_one)
        return known

    def slot(self, address: bytes, slot: int) -> int:
        return int(self.load(address, slot))

    def get_storage(self, address: Any, slot: int, from_journal: bool = True) -> int:
        return int(super().get_storage(address, slot, from_journal))

    def _checked(self, value: Any, key: Key) -> Any:
        if type(value) is not Linear:
            return super()._checked(value, key)
        if value.increment(key) is None:
            return super()._checked(int(value), key)
        return value & UINT_256_MAX

    def settle(self, is_last: bool) -> None:
        """The transaction is over: from here on there is only plain data.

        ``is_last``: what slots held before it will be asked for (`transaction_traces`).
        """
        slots, cells = self.effects.slots, self.effects.cells
        originals: dict[Key, Any] = self._originals
        for key, guard in self.source.guards.items():
            address, slot = key
            stored: Any = slots.get(address, {}).get(slot)
            change = stored.increment(key) if type(stored) is Linear else None
            is_replaced = stored is not None and change is None
            if (address, EPOCH) in cells or (is_last and is_replaced):
                guard.exact = True  # a difference would not tell what the slot held before
            observations = self.source.observations
            if not guard.exact:
                ranges = observations.ranges.setdefault(address, {})
                ranges[slot] = guard.low, guard.high
                if change is not None:
                    self.effects.increments.setdefault(address, {})[slot] = change
            elif self._hot[key]:
                # It may have been assumed, and what was not seen below is always looked up.
                observations.ranges.setdefault(address, {})[slot] = guard.seen, guard.seen
            else:
                observations.slots.setdefault(address, {})[slot] = guard.seen
            if type(stored) is Linear:
                slots[address][slot] = stored.now
            if key in originals:
                originals[key] = int(originals[key]) if guard.exact else None
