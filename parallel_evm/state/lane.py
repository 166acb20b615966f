"""A lane: the state that transactions run on one after another, ahead of their block.

Each of them sees what those before it wrote. A lane also records what all of them together observed
of the state below, so that it can be judged like one long transaction (`scheduling.independence`).
Slots that every transaction left as it found them do not count as written.
"""

from __future__ import annotations

from typing import Final

from parallel_evm.state.flat import Effects, FlatState
from parallel_evm.state.keys import EPOCH
from parallel_evm.state.recorder import Observations, Recorder
from parallel_evm.state.source import Source

_NOTHING: Final[dict[int, int]] = {}


class Lane(FlatState):
    """A `FlatState` that knows what was read through it."""

    __slots__ = ("_ghosts", "observations")

    def __init__(self, source: Source, written: Effects) -> None:
        """``source``: before the block, which has ``written`` something before its first
        transaction; that is not part of the lane's own effects."""
        self._ghosts: frozenset[bytes] = frozenset()
        if written.cells or written.slots or written.deltas or written.codes:
            before = FlatState(source)
            before.fold(written)
            self._ghosts = before.ghosts()
            source = before
        recorder = Recorder(source)
        super().__init__(recorder)
        self.observations: Observations = recorder.observations

    def ghosts(self) -> frozenset[bytes]:
        return self._ghosts

    def fold(self, effects: Effects) -> None:
        """Take over what a transaction wrote that ran on this lane, where it is another value now:
        a guard against reentrancy is written twice, and is what it was."""
        cells, seen = self.effects.cells, self.observations.slots
        changed: dict[bytes, dict[int, int]] = {}
        for address, written in effects.slots.items():
            if (address, EPOCH) in cells or (address, EPOCH) in effects.cells:
                changed[address] = written
                continue
            before = seen.get(address, _NOTHING)
            held = self.effects.slots.get(address, before)
            different = {
                slot: value
                for slot, value in written.items()
                if value != (held[slot] if slot in held else before.get(slot))
            }
            if different:
                changed[address] = different
        super().fold(Effects(effects.cells, changed, effects.deltas, effects.codes))
