"""The interface between a block and the pool that works for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eth.abc import SignedTransactionAPI

from parallel_evm.merkle.source import TrieSource
from parallel_evm.speculation.result import Speculation
from parallel_evm.speculation.rules import Liberties
from parallel_evm.speculation.run import FetchAncestors
from parallel_evm.state.flat import Effects
from parallel_evm.state.guarded import HotSlots
from parallel_evm.state.keys import Key


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


class Session(Protocol):
    """One block's use of a pool. Not for several threads at once."""

    lost: list[str]
    """What happened to workers that were lost during this session."""

    worker_cpu: float
    """CPU seconds that processes other than this one spent on the session; complete after close."""

    def senders(self, indices: Sequence[int]) -> list[bytes | None]:
        """Recover the senders of these transactions; None where the signature is not valid."""
        ...

    def probe(
        self,
        indices: Sequence[int],
        senders: Sequence[bytes | None],
        hints: Sequence[Iterable[Key]],
    ) -> list[Speculation | None]:
        """Run each of these transactions by itself, on the state before the block.

        Only to learn what they touch: the results are not kept, and no lane sees them.
        """
        ...

    def start(
        self,
        lanes: Sequence[Sequence[int]],
        senders: Sequence[bytes | None],
        hints: Sequence[Iterable[Key]],
        hot: Mapping[int, HotSlots],
    ) -> None:
        """Begin to run each lane's transactions in order.

        ``hints`` are keys, by transaction, that are probably needed: where state has to be
        fetched they are fetched together. ``hot``, by index: the slots that a transaction should
        run on as linear values.
        """
        ...

    def result(self, index: int) -> Speculation | None:
        """The speculation of one transaction, waited for; None when nobody will deliver it."""
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

    def open(self, job: BlockJob) -> Session:
        """Raises `CannotServe`, and `PoolClosedError` after `close`."""
        ...

    def close(self) -> None: ...
