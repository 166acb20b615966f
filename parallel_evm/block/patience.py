"""How long others are waited for, before what they were given is run here."""

from __future__ import annotations

from math import inf

from parallel_evm.scheduling.lanes import Costs
from parallel_evm.workers.session import FLUSH_SECONDS

_MAX_MISSES = 10
"""So often waiting is halved at most: as good as not at all."""


class Patience:
    """By the old rule for renting or buying skis, about as long as running it here takes. Workers
    that are late again and again (they know less, at first) are waited for ever less."""

    def __init__(self, costs: Costs | None) -> None:
        """``costs``: of the block's transactions; None: nothing is ever run here instead."""
        self._costs = costs
        self._misses = 0

    def seconds(self, *indices: int) -> float:
        """How long to wait for the speculations on these transactions."""
        if self._costs is None:
            return inf
        runs = self._costs.runs
        return (FLUSH_SECONDS + sum(runs[index] for index in indices)) / (1 << self._misses)

    def note(self, in_vain: bool) -> None:
        """The wait is over. ``in_vain``: they did not come."""
        self._misses = min(self._misses + 1, _MAX_MISSES) if in_vain else max(self._misses - 1, 0)
