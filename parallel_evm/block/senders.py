"""Who sent a block's transactions: recovered here, by workers meanwhile, or both.

Responsible for: who recovers which, and for waiting for those that others recover.
Talks to: the session; `speculation.senders`, which recovers; `pace`, which knows what it costs.
Never: judges a signature.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from parallel_evm.block.underway import Underway
from parallel_evm.scheduling.pace import Pace
from parallel_evm.speculation.senders import recover_sender, remember_sender


class Senders:
    """The senders of one block, which are put down in `Underway.senders`."""

    def __init__(self, block: Underway, pace: Pace | None, helpers: int) -> None:
        """``helpers``: so many other processes may recover some."""
        self._block = block
        self._pace = pace
        self._helpers = helpers
        self.asked: frozenset[int] = frozenset()
        """Transactions whose senders the session was asked for."""

    def recover(self) -> None:
        """Recover some, and ask for the others.

        Those that are needed first are recovered here; all, where nobody helps: one after the other
        is faster than each before its transaction.
        """
        started = time.perf_counter()
        block = self._block
        unknown = [index for index, sender in enumerate(block.senders) if sender is None]
        mine = frozenset(unknown[: self._own_share(len(unknown))])
        lists = block.vm.lean and block.runs_all
        block.session.ask_senders([index for index in unknown if index not in mine], lists)
        self._recover(mine)
        self.asked = frozenset(unknown) - mine
        block.clock.senders = time.perf_counter() - started

    def find(self, index: int) -> bytes | None:
        """The sender of a transaction, waited for where a worker was asked."""
        block = self._block
        if index in self.asked and block.senders[index] is None:
            started = time.perf_counter()
            sender = block.senders[index] = block.session.sender(index)
            if sender is not None:
                remember_sender(block.transactions[index], sender)
            block.clock.senders += time.perf_counter() - started
        return block.senders[index]

    def _own_share(self, unknown: int) -> int:
        """How many of the ``unknown`` senders to recover here, where workers do the others."""
        block = self._block
        if block.is_alone:
            return unknown
        if self._pace is None or block.way is None or not unknown:
            return 0
        return self._pace.own_senders(block.way, block.transactions, unknown, self._helpers)

    def _recover(self, indices: Collection[int]) -> None:
        started = time.perf_counter()
        for index in indices:
            self._block.senders[index] = recover_sender(
                self._block.transactions[index], self._block.fields[index]
            )
        if indices and self._pace is not None:
            self._pace.note_senders((time.perf_counter() - started) / len(indices))
