"""Single transactions: sequential py-evm against a parallelized chain, in the same run.

What test suites and scripts ask most: a call, a gas estimate, and one more transaction for the
pending block. Each transaction of a workload is called, estimated and then applied, on both sides
in turn; answers are compared. The state that a transaction meets is the one before it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from eth.exceptions import VMError
from eth.vm.spoof import SpoofTransaction

from parallel_evm.bench.blocks import CACHED, BlocksDiffer, Progress
from parallel_evm.config import ParallelConfig
from parallel_evm.hashing import use_fast_keccak
from parallel_evm.vm import parallelize
from parallel_evm.workloads import build

_INCLUDED: Final = (
    "call: apply_transaction on a costless state; estimate: chain.estimate_gas, py-evm's search, "
    "which runs a transaction a dozen times; pending: MiningChain.apply_transaction, tries "
    "included; senders unknown; the same keccak and coincurve on both sides"
)


def _call(chain: Any, transaction: Any) -> Any:
    with chain.get_vm(chain.header).in_costless_state() as state:
        computation = state.apply_transaction(SpoofTransaction(transaction, gas_price=0))
    return bytes(computation.output), computation.is_error, computation.get_gas_used()


def _estimate(chain: Any, transaction: Any) -> Any:
    try:
        return chain.estimate_gas(transaction, chain.header)
    except VMError as error:  # it fails, with whatever gas
        return type(error), error.args


def _apply(chain: Any, transaction: Any) -> Any:
    block, receipt, computation = chain.apply_transaction(transaction)
    return block.hash, receipt.encode(), bytes(computation.output), computation.is_error


OPERATIONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "call": _call,
    "estimate": _estimate,
    "pending": _apply,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One kind of question. Milliseconds are medians over the transactions."""

    operation: str
    sequential_ms: float
    ms: float
    ratio: float
    """Median of the ratios of each transaction."""


@dataclass(frozen=True, slots=True)
class Singles:
    """One workload's transactions, one at a time."""

    transactions: int
    asked: tuple[Asked, ...]
    translation_cache: bool

    @property
    def included(self) -> str:
        """What the figures stand for."""
        return f"{_INCLUDED}; {CACHED[self.translation_cache]}"

    def to_dict(self) -> dict[str, Any]:
        operations = {
            asked.operation: {
                "sequential_ms": asked.sequential_ms,
                "ms": asked.ms,
                "ratio": asked.ratio,
            }
            for asked in self.asked
        }
        return {"transactions": self.transactions, **operations, "included": self.included}


def measure_singles(
    name: str,
    *,
    transactions: int,
    seed: int = 0,
    translation_cache: bool = False,
    progress: Progress = lambda text: None,
) -> Singles:
    """Ask about the transactions of one block of a workload, after another block was mined.

    Raises `BlocksDiffer` when the answers are not the same, ValueError as `workloads.build` does.
    """
    use_fast_keccak()
    progress(f"{name}: building the workload")
    workload = build(name, transactions=transactions, blocks=2, seed=seed)
    config = ParallelConfig(backend="serial", translation_cache=translation_cache)
    sequential = workload.open()
    ours = workload.open(parallelize(workload.chain_class, config=config))
    for chain in (sequential, ours):
        chain.mine_all(workload.blocks[0])
    seconds: dict[tuple[str, Any], list[float]] = {
        (operation, chain): [] for operation in OPERATIONS for chain in (sequential, ours)
    }
    builder = sequential.get_vm().get_transaction_builder()
    gc.collect()
    for number, transaction in enumerate(workload.blocks[1]):
        progress(f"{name}: single transaction {number + 1} of {transactions}")
        for operation, ask in OPERATIONS.items():
            answers = {}
            # Nobody always comes second, and nobody knows the sender.
            for chain in (sequential, ours) if number % 2 else (ours, sequential):
                fresh = builder.decode(transaction.encode())
                started = time.perf_counter()
                answers[chain] = ask(chain, fresh)
                seconds[operation, chain].append(time.perf_counter() - started)
            if answers[ours] != answers[sequential]:
                raise BlocksDiffer(
                    f"transaction {number}, {operation}: {answers[ours]!r:.200} instead of "
                    f"{answers[sequential]!r:.200}"
                )
    return Singles(
        transactions,
        tuple(
            _asked(operation, seconds[operation, sequential], seconds[operation, ours])
            for operation in OPERATIONS
        ),
        translation_cache,
    )


def _asked(operation: str, sequential: list[float], ours: list[float]) -> Asked:
    return Asked(
        operation,
        sequential_ms=statistics.median(sequential) * 1e3,
        ms=statistics.median(ours) * 1e3,
        ratio=statistics.median(s / o for s, o in zip(sequential, ours, strict=True)),
    )
