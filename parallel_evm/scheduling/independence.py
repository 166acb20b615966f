"""Are lanes independent of each other? Then each is right as a whole.

Responsible for: finding a key that one lane wrote and another one touched, and whether it is worth
hoping that there is none.
Talks to: nobody; it looks at what lanes observed and wrote, as the judge looks at transactions.
Never: accepts what some order of the transactions would not have given. Lanes that do not meet come
to the same in every order that keeps each lane's own, that of the block among them; of lanes that
meet `scheduling.judge` decides, transaction by transaction.

It costs a few set operations for each contract and nothing for each transaction, so that a block's
coordinator is no slower for having more workers to look after. As long as a lane's transactions
are unknown to the others, the lane is one long transaction in the sense of Block-STM (Gelashvili
et al., 2022), validated once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from parallel_evm.scheduling.judge import WEALTH
from parallel_evm.speculation.result import WholeLane
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import BALANCE, EPOCH, LIFE, Key
from parallel_evm.state.recorder import Observations
from parallel_evm.state.source import Source

_LONGEST_PAUSE: Final = 32


def meeting(lanes: Sequence[WholeLane], before: Source) -> Key | None:
    """A key at which two ``lanes`` meet; None when they are independent of each other.

    ``before``: the state that they lie on. No transaction in them may have run on linear values
    (`state.guarded`): those say too little of what they have seen.
    """
    others = _Touched()
    for lane in lanes:
        key = others.meets(lane, before)
        if key is not None:
            return key
        others.add(lane)
    return None


class Hope:
    """Is it worth trying? That lanes meet is seen when all their work is done, and half of it was
    for nothing then. So it is tried where the block before had no conflicts; and not for a while,
    longer every time, where it went wrong."""

    def __init__(self) -> None:
        self._is_encouraged = False
        self._pause = 0
        self._next_pause = 1

    def is_left(self) -> bool:
        """To be asked once a block."""
        if self._pause:
            self._pause -= 1
            return False
        return self._is_encouraged

    def note(self, in_vain: bool) -> None:
        """What became of it."""
        if in_vain:
            self._pause = self._next_pause
            self._next_pause = min(2 * self._next_pause, _LONGEST_PAUSE)
        else:
            self._next_pause = 1

    def note_conflicts(self, count: int) -> None:
        """Of a block that was judged transaction by transaction."""
        self._is_encouraged = not count


class _Touched:
    """What some lanes, of which no two meet, have touched."""

    def __init__(self) -> None:
        self._read = Observations()
        """Bounds added up: what an account has to have for all these lanes together."""
        self._written = Effects()
        self._touched: dict[bytes, dict[int, int]] = {}
        """Slots that were read or written."""

    def add(self, lane: WholeLane) -> None:
        observed, effects = lane.observations, lane.effects
        self._read.cells.update(observed.cells)
        bounds = self._read.bounds
        for address, needed in observed.bounds.items():
            bounds[address] = bounds.get(address, 0) + needed
        self._written.cells.update(effects.cells)
        self._written.deltas.update(effects.deltas)
        _add(self._touched, observed.slots)
        _add(self._touched, effects.slots)
        _add(self._written.slots, effects.slots)

    def meets(self, lane: WholeLane, before: Source) -> Key | None:
        observed, effects = lane.observations, lane.effects
        written = self._written.slots
        for address, slots in observed.slots.items():
            key = _common(address, slots, written)
            if key is not None:
                return key
        for address, slots in effects.slots.items():
            key = _common(address, slots, self._touched)
            if key is not None:
                return key
        return self._meets_at_a_cell(observed, effects) or self._meets_at_a_balance(
            observed, effects, before
        )

    def _meets_at_a_cell(self, observed: Observations, effects: Effects) -> Key | None:
        mine, theirs = effects.cells, self._written.cells
        pairs = (observed.cells, theirs), (self._read.cells, mine), (mine, theirs)
        for touched, written in pairs:
            for key in touched.keys() & written.keys():
                address, field = key
                # That an account is there may be seen and said by many, as long as nobody ever
                # deletes it, which wipes its storage.
                stays = (address, EPOCH) not in mine and (address, EPOCH) not in theirs
                if not (field == LIFE and touched[key] and written[key] and stays):
                    return key
        return None

    def _meets_at_a_balance(
        self, observed: Observations, effects: Effects, before: Source
    ) -> Key | None:
        """Credits and debits commute, where what they need of the balance is there anyhow."""
        pairs = (observed, self._written, self._read), (self._read, effects, observed)
        for read, changed, theirs in pairs:
            for key in read.cells:
                if key[1] == BALANCE and (key[0] in changed.deltas or key[0] in theirs.bounds):
                    return key
        # Whoever pays is asked for what he has, unless he earned it in the same lane. So no lane
        # takes more from an account than it has asked for: there has to be enough for all of them.
        for address in observed.bounds.keys() & self._read.bounds.keys():
            moved = address in effects.deltas or address in self._written.deltas
            asked = observed.bounds[address] + self._read.bounds[address]
            if moved and before.balance(address) < asked:
                return address, BALANCE
        # Credits may have been undone, and have left no trace.
        for read in (observed, self._read):
            for address, needed in read.bounds.items():
                if needed >= WEALTH:
                    return address, BALANCE
            for key, seen in read.cells.items():
                if key[1] == BALANCE and seen >= WEALTH:
                    return key
        for address in effects.deltas.keys() & self._written.deltas.keys():
            if before.balance(address) >= WEALTH:
                return address, BALANCE
        return None


def _add(held: dict[bytes, dict[int, int]], more: dict[bytes, dict[int, int]]) -> None:
    for address, slots in more.items():
        known = held.get(address)
        if known is None:
            held[address] = dict(slots)
        else:
            known.update(slots)


def _common(address: bytes, slots: dict[int, int], held: dict[bytes, dict[int, int]]) -> Key | None:
    known = held.get(address)
    if known and not known.keys().isdisjoint(slots):
        return address, next(iter(known.keys() & slots.keys()))
    return None
