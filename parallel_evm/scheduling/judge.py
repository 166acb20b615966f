"""The judge: does what a transaction observed still hold, now that its turn has come?

It compares by value, in block order, against the committed state. A key that nobody in the block
has written still holds what every worker saw, so nothing below the block is read to judge it; only
intervals, of which there are few, are looked up.
Correctness rests on it, and on `independence`, alone; forecasts and lanes may be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from eth.constants import UINT_256_MAX

from parallel_evm.speculation.result import Speculation
from parallel_evm.state.flat import Effects, FlatState
from parallel_evm.state.keys import BALANCE, CODE, EPOCH, LIFE, NONCE, Key
from parallel_evm.state.recorder import UNHEARD_OF

WEALTH: Final = 1 << 200
"""Wei. As long as nobody pays as much, no sum of a block's credits comes near that: each is paid by
one who had it, and a block has fewer than 2^32 transactions."""


class Judge:
    """Accepts or rejects the speculations of one block, in block order."""

    def __init__(self, committed: FlatState) -> None:
        self._committed = committed
        # Keys that rejected speculations wrote: later transactions of the same lane saw those
        # values, so for these keys "nobody has written it" proves nothing.
        self._rejected: set[Key] = set()
        self._accepted: list[tuple[int, Effects]] = []
        self._moved_wealth = False
        """Has a sum been paid, or seen as paid, with which a credit can overflow that was undone
        later, and left no trace? From then on nothing is believed."""

    def failures(self, speculation: Speculation) -> Iterator[Key]:
        """Keys whose observed value (or bound) does not hold in the committed state."""
        committed = self._committed
        written = committed.effects
        cells, deltas = written.cells, written.deltas
        rejected = self._rejected
        observed = speculation.observations
        for key, seen in observed.cells.items():
            if key[1] == BALANCE:
                changed = key[0] in deltas or key in rejected
                if changed and committed.balance(key[0]) != seen:
                    yield key
            elif key in cells:
                if cells[key] != seen:
                    yield key
            elif key in rejected and _cell(committed, key) != seen:
                yield key
        for address, needed in observed.bounds.items():
            changed = address in deltas or (address, BALANCE) in rejected
            if changed and committed.balance(address) < needed:
                yield address, BALANCE
        for address, slots in observed.slots.items():
            held = written.slots.get(address)
            if held:
                for slot in slots.keys() & held.keys():
                    if held[slot] != slots[slot]:
                        yield address, slot
            if rejected:
                for slot, seen in slots.items():
                    if (address, slot) in rejected and committed.slot(address, slot) != seen:
                        yield address, slot
        for address, ranges in observed.ranges.items():
            for slot, (low, high) in ranges.items():
                # Looked up always: the base may have been assumed, and not have been there.
                if not low <= committed.slot(address, slot) <= high:
                    yield address, slot
        for address, increments in speculation.effects.increments.items():
            for slot, change in increments.items():
                if not 0 <= committed.slot(address, slot) + change <= UINT_256_MAX:
                    yield address, slot
        for address in speculation.effects.deltas:
            if self._moved_wealth:
                yield address, BALANCE
                continue
            changed = address in deltas or (address, BALANCE) in rejected
            if changed and committed.balance(address) >= UNHEARD_OF:
                yield address, BALANCE

    def holds(self, speculation: Speculation) -> bool:
        """Would running the transaction on the committed state give the same result?"""
        return next(self.failures(speculation), None) is None

    def accept(self, speculation: Speculation) -> None:
        """Fold the transaction's effects into the committed state."""
        committed, effects = self._committed, speculation.effects
        for address, increments in effects.increments.items():
            for slot, change in increments.items():
                effects.slots[address][slot] = committed.slot(address, slot) + change
        committed.fold(effects)
        self.note_accepted(speculation)

    def note_accepted(self, speculation: Speculation) -> None:
        """The transaction ran on the committed state itself, which holds its effects already."""
        self._accepted.append((speculation.index, speculation.effects))
        self._look_for_wealth(speculation.effects)

    def note_run_by_others(self) -> None:
        """A transaction ran on the committed state of which nobody says what it wrote."""
        self._look_for_wealth(self._committed.effects)

    def reject(self, speculation: Speculation) -> None:
        """Remember what a speculation wrote that is not to be believed."""
        self._rejected.update(written_keys(speculation.effects))
        self._look_for_wealth(speculation.effects)

    def _look_for_wealth(self, effects: Effects) -> None:
        deltas = effects.deltas.values()
        if deltas and (max(deltas) >= WEALTH or min(deltas) <= -WEALTH):
            self._moved_wealth = True

    def last_writer(self, key: Key) -> int | None:
        """Index of the latest accepted transaction that wrote ``key``."""
        address, field = key
        for index, effects in reversed(self._accepted):
            if field >= 0:
                wrote = field in effects.slots.get(address, ())
            elif field == BALANCE:
                wrote = address in effects.deltas
            else:
                wrote = key in effects.cells
            if wrote:
                return index
        return None


def written_keys(effects: Effects) -> Iterator[Key]:
    """Every key that ``effects`` write."""
    yield from effects.cells
    for address in effects.deltas:
        yield address, BALANCE
    for address, slots in effects.slots.items():
        for slot in slots:
            yield address, slot


def _cell(state: FlatState, key: Key) -> object:
    address, field = key
    if field == NONCE:
        return state.nonce(address)
    if field == CODE:
        return state.code_hash(address)
    if field == LIFE:
        return state.exists(address)
    assert field == EPOCH
    return state.epoch(address)
