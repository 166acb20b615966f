"""BlockReport: what happened to every transaction of a block. Plain data, no behaviour.

Everything here can be turned into JSON with `to_dict`. Whoever explains a block reads
this and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parallel_evm.state.keys import StateKey


@dataclass(frozen=True, slots=True)
class Conflict:
    """An observation that did not hold when the transaction was judged."""

    key: StateKey
    writer: int | None
    """Index of the earlier transaction that changed the key; None when it was speculated to
    change it and in the end did not."""

    def to_dict(self) -> dict[str, Any]:
        return {"key": str(self.key), "writer": self.writer}


@dataclass(frozen=True, slots=True)
class TransactionReport:
    """One transaction's way through the block."""

    index: int
    hash: bytes
    worker: int | None
    """Which worker's speculation was accepted; None when the coordinator ran it."""
    attempts: int
    """Executions, the accepted one included."""
    reads: frozenset[StateKey]
    writes: frozenset[StateKey]
    conflicts: tuple[Conflict, ...]
    gas_used: int
    status: bool
    """True when the receipt says success."""
    seconds: float
    """Execution time of the accepted attempt."""
    deltas: frozenset[StateKey] = frozenset()
    """The slots among `writes` that it added to without knowing what they held: whoever wrote them
    before did not disturb it."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "hash": "0x" + self.hash.hex(),
            "worker": self.worker,
            "attempts": self.attempts,
            "reads": sorted(map(str, self.reads)),
            "writes": sorted(map(str, self.writes)),
            "conflicts": [conflict.to_dict() for conflict in self.conflicts],
            "gas_used": self.gas_used,
            "status": self.status,
            "seconds": self.seconds,
            "deltas": sorted(map(str, self.deltas)),
        }


@dataclass(frozen=True, slots=True)
class Phases:
    """Wall seconds by phase. Judging overlaps speculation; it counts the coordinator's own work."""

    senders: float = 0.0
    forecast: float = 0.0
    speculate: float = 0.0
    judge: float = 0.0
    roots: float = 0.0
    """Building the changed storage tries. The state trie follows in ``finalize_block``, after
    withdrawals and rewards, and is not in here."""
    receipts: float = 0.0
    """Making them, and what an imported block is compared by; waiting for the transactions' trie
    where a worker makes that."""

    def to_dict(self) -> dict[str, float]:
        return {
            "senders": self.senders,
            "forecast": self.forecast,
            "speculate": self.speculate,
            "judge": self.judge,
            "roots": self.roots,
            "receipts": self.receipts,
        }


@dataclass(frozen=True, slots=True)
class BlockReport:
    """One call of ``apply_all_transactions``."""

    block_number: int
    transaction_count: int
    workers: int
    backend: str
    executions: int
    """How often a transaction was executed, re-executions included."""
    reexecutions: int
    seconds: float
    phases: Phases
    worker_cpu_seconds: float
    """CPU time spent in worker processes; the coordinator's own is not in it."""
    fallback: str | None
    """Why the block ran in py-evm's own sequential loop; None when it ran in parallel."""
    choice: str | None = None
    """Why the block ran with workers or without, where that was left to measurements."""
    given_up: str | None = None
    """Why speculation was called off in the middle of the block; None when it was not. The rest
    of the block then ran in the coordinator."""
    lost_workers: tuple[str, ...] = ()
    """What happened to workers that had to be replaced during this block."""
    whole_lanes: bool = False
    """No lane touched what another wrote, so that each was taken over as a whole. Else, where there
    were lanes, they were judged transaction by transaction."""
    read_ahead: bool = False
    """Senders were recovered while the block before this one was imported (`import_blocks`)."""
    transactions: Sequence[TransactionReport] = ()
    """Empty when the block fell back."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "block_number": self.block_number,
            "transaction_count": self.transaction_count,
            "workers": self.workers,
            "backend": self.backend,
            "executions": self.executions,
            "reexecutions": self.reexecutions,
            "seconds": self.seconds,
            "phases": self.phases.to_dict(),
            "worker_cpu_seconds": self.worker_cpu_seconds,
            "fallback": self.fallback,
            "choice": self.choice,
            "given_up": self.given_up,
            "lost_workers": list(self.lost_workers),
            "whole_lanes": self.whole_lanes,
            "read_ahead": self.read_ahead,
            "transactions": [transaction.to_dict() for transaction in self.transactions],
        }
