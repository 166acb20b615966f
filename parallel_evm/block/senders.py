"""Who sent a block's transactions: recovered here, by workers meanwhile, or both.

Responsible for: who recovers which, and for finding a sender when it is needed.
Talks to: the session; `speculation.senders`, which recovers; `pace`, which knows how many were
recovered here lately.
Never: judges a signature, or waits: while one is on its way, receipts are made that can be, and
then those senders recovered here that others would come to last. So nobody has to know beforehand
how fast they are.
"""

from __future__ import annotations

import time
from typing import Final

from parallel_evm.block.underway import Underway
from parallel_evm.scheduling.pace import Pace
from parallel_evm.speculation.senders import recover_sender, remember_sender

_AT_ONCE: Final = 4
"""So many are recovered here between two looks at what others have found."""


class Senders:
    """The senders of one block, which are put down in `Underway.senders`."""

    def __init__(self, block: Underway, pace: Pace | None) -> None:
        self._block = block
        self._pace = pace
        self._unknown = 0
        """So many were unknown to begin with,"""
        self._own = 0
        """and so many of them were recovered here."""
        self._asked: set[int] = set()
        """Transactions whose senders others were asked for, and which have not been needed yet."""

    def recover(self) -> None:
        """Ask for those that are unknown, and recover the first of them here; all, where nobody
        helps: one after the other is faster than each before its transaction."""
        started = time.perf_counter()
        block = self._block
        unknown = [index for index, sender in enumerate(block.senders) if sender is None]
        self._unknown = len(unknown)
        own = self._first_share()
        block.session.ask_senders(unknown[own:], block.vm.lean and block.runs_all)
        self._asked.update(unknown[own:])
        for index in unknown[:own]:
            self._recover(index)
        block.clock.senders = time.perf_counter() - started

    def find(self, index: int) -> bytes | None:
        """The sender of a transaction; None where its signature is not valid."""
        if index in self._asked:
            clock = self._block.clock
            started, receipts = time.perf_counter(), clock.receipts
            self._asked.remove(index)
            self._find(index)
            clock.senders += time.perf_counter() - started - (clock.receipts - receipts)
        return self._block.senders[index]

    def _find(self, index: int) -> None:
        block, session = self._block, self._block.session
        while session.awaits_sender(index):
            if block.catch_up():
                continue
            others = session.take_back_senders(_AT_ONCE)
            if not others:
                break
            self._asked.difference_update(others)
            for other in others:
                self._recover(other)
        sender = session.sender(index)
        if sender is None:
            self._recover(index)
        else:
            block.senders[index] = sender
            remember_sender(block.transactions[index], sender)

    def _recover(self, index: int) -> None:
        block = self._block
        self._own += 1
        block.senders[index] = recover_sender(block.transactions[index], block.fields[index])

    def _first_share(self) -> int:
        """How many to recover here before anything else."""
        block, pace = self._block, self._pace
        if block.is_alone:
            return self._unknown
        if pace is None or block.way is None:
            return 0
        return pace.own_senders(block.way, self._unknown)

    def note_pace(self) -> None:
        """How many came to be recovered here, for the next block."""
        block, pace = self._block, self._pace
        if pace is None or block.way is None or block.is_alone or not self._unknown:
            return
        pace.note_senders(block.way, self._own / self._unknown)
