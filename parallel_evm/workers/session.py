"""The interface between a block and the pool that works for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Protocol

from eth.abc import SignedTransactionAPI

from parallel_evm.merkle.index import Listed
from parallel_evm.merkle.source import TrieSource
from parallel_evm.speculation.result import Speculation, WholeLane
from parallel_evm.speculation.rules import Liberties
from parallel_evm.speculation.run import FetchAncestors
from parallel_evm.state.flat import Effects
from parallel_evm.state.guarded import HotSlots
from parallel_evm.state.keys import Key

FLUSH_SECONDS: Final = 0.004
"""Results are sent together, but not held back for longer than this."""
SENDERS_AT_ONCE: Final = 16
"""So many are sent together: who needs them has to do with the first ones already."""


class CannotServe(Exception):
    """This pool cannot work for this block; the text says why. The block runs without it."""


@dataclass(frozen=True, slots=True)
class BlockJob:
    """All that a worker must know to run any transaction of one block."""

    state_class: Any
    """The VM's state class as the user configured it."""
    liberties: Liberties
    """Shortcuts that its speculations may take."""
    execution_context: Any
    """py-evm's execution context; its ancestors' hashes are asked for when needed."""
    transactions: Sequence[SignedTransactionAPI]
    source: TrieSource
    """State before the block."""
    written: Effects
    """What the block wrote before its first transaction."""
    ancestors: FetchAncestors


Rules = Callable[[BlockJob], Any]
"""Says on which class the transactions of a job run, in this process."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is told of one transaction, apart from the transaction."""

    sender: bytes | None
    """None where nobody recovered it: whoever runs the transaction does."""
    hints: frozenset[Key]
    """Keys that are probably needed: who has no state is told what they hold."""
    teaches: bool = True
    """Is the speculation to say what was hashed? Forecasts learn from that."""
    hot: HotSlots | None = None
    """Slots to run on as linear values."""


@dataclass(frozen=True, slots=True)
class Work:
    """What workers are to do with a block's transactions."""

    lanes: Sequence[Sequence[int]]
    """Transactions that one of them runs in order."""
    tasks: Sequence[Task]
    """Of the whole block."""
    whole: bool = False
    """Will `Session.lanes` be asked for?"""
    lists: bool = False
    """Is somebody to list the block's transactions when all else is done?"""

    @property
    def teaching(self) -> frozenset[int]:
        """Transactions of which somebody will look at what they touched, whatever comes of them."""
        return frozenset(index for index, task in enumerate(self.tasks) if task.teaches)

    @property
    def is_linear(self) -> bool:
        """Does any run on linear values? Those say too little of what a lane has seen."""
        return any(task.hot for task in self.tasks)


class Session(Protocol):
    """One block's use of a pool. Not for several threads at once."""

    @property
    def works_ahead(self) -> bool:
        """As of its pool."""
        ...

    lost: list[str]
    """What happened to workers that were lost during this session."""

    @property
    def worker_cpu(self) -> float:
        """CPU seconds that other processes spent on the session; complete after close."""
        ...

    running_cpu: float
    """CPU seconds that went into transactions: running them and sending what came of it."""

    def ask_senders(self, indices: Sequence[int], lists: bool = False) -> None:
        """Begin to recover the senders of these transactions, the first ones first. Once only.
        ``lists``: and to list the block's transactions after it, where there is somebody to do
        it."""
        ...

    def awaits_sender(self, index: int) -> bool:
        """Is it one that was asked for and has not arrived? Takes what has arrived."""
        ...

    def sender(self, index: int) -> bytes | None:
        """One that was asked for, if it has arrived; None, too, where whoever was asked does not
        know the kind of transaction, or the signature is not valid."""
        ...

    def take_back_senders(self, count: int) -> Sequence[int]:
        """Transactions whose senders were asked for, at most so many: those that would be looked
        at last, and will not be now. Empty where all others are found or begun with."""
        ...

    def listed(self) -> Listed | None:
        """The list that was asked for, waited for; None when nobody will deliver it."""
        ...

    def probe(self, indices: Sequence[int], tasks: Sequence[Task]) -> list[Speculation | None]:
        """Run each of these transactions by itself, on the state before the block.

        Only to learn what they touch: the results are not kept, and no lane sees them.
        """
        ...

    def start(self, work: Work) -> None:
        """Begin to run the lanes."""
        ...

    def lanes(self, patience: float = inf) -> list[WholeLane] | None:
        """All lanes that were started, waited for so many seconds.

        None when that was not long enough, when any of them was not finished, or when a transaction
        in it was refused: then `result` tells of each. What the speculations of a lane observed and
        wrote may be packed (`wire.Delivered`), except for those that teach.
        """
        ...

    def take_in(self) -> None:
        """Take what has arrived, without waiting: a worker must not have to wait for a reader."""
        ...

    def await_all(self) -> None:
        """Wait until nobody is running anything."""
        ...

    def result(self, index: int, patience: float = inf) -> Speculation | None:
        """The speculation of one transaction, waited for so many seconds; None when it is not there
        then, or nobody will deliver it."""
        ...

    def overtaken(self) -> list[Speculation]:
        """Those that came after `result` had stopped waiting for them. What a worker speculated
        after one of them is never handed out before it is."""
        ...

    def cancel(self) -> None:
        """What has not run yet is not wanted any more."""
        ...

    def close(self) -> None:
        """Leave the pool ready for the next block."""
        ...

    def abandon(self) -> None:
        """The same at once, whatever is under way; for interrupts."""
        ...


class Pool(Protocol):
    """Workers that serve one block at a time, of any chain, VM class or database."""

    workers: int
    lock: threading.RLock
    """Held by whoever has a session open."""

    @property
    def works_ahead(self) -> bool:
        """Is there anybody to run transactions before their turn has come? If not, nobody helps
        with anything else either."""
        ...

    @property
    def usable(self) -> bool:
        """Is it still good for blocks? If not, there has to be another one."""
        ...

    def open(self, job: BlockJob, rules: Rules) -> Session:
        """``rules``: for those who run transactions in this process. Raises `CannotServe`, and
        `PoolClosedError` after `close`."""
        ...

    def close(self) -> None: ...
