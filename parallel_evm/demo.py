"""The demonstration: a day of DeFi in one block, executed both ways and compared.

Real contracts (see solidity/) are deployed on a py-evm chain, one mixed block is built by stock
py-evm and imported by a sequential and by a parallel chain. Nothing here prints; `terminal` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from eth.chains.base import MiningChain
from eth_utils.hexadecimal import encode_hex

from parallel_evm.bench.timing import encoded_block, timed_import
from parallel_evm.config import ParallelConfig
from parallel_evm.hashing import use_fast_keccak
from parallel_evm.report import BlockReport
from parallel_evm.vm import parallelize
from parallel_evm.workloads import Workload, build

HOTTEST = 8


@dataclass(frozen=True, slots=True)
class HotSlot:
    """A storage slot and how many of the block's transactions wrote it."""

    contract: str
    slot: str
    readers: int
    writers: int


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What the demonstration found."""

    workload: str
    transactions: int
    contracts: int
    workers: int
    backend: str
    same_hash: bool
    same_receipts: bool
    same_logs: bool
    sequential_seconds: float
    parallel_seconds: float
    first_seconds: float
    """The parallel chain's first block, when workers had seen nothing yet."""
    executions: int
    reexecutions: int
    hottest: tuple[HotSlot, ...]

    @property
    def identical(self) -> bool:
        return self.same_hash and self.same_receipts and self.same_logs

    @property
    def speedup(self) -> float:
        return self.sequential_seconds / self.parallel_seconds

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "identical": self.identical, "speedup": self.speedup}


def demonstrate(
    *,
    transactions: int = 300,
    workers: int | None = None,
    backend: str | None = None,
    workload: str = "mixed",
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> Demonstration:
    """Run the demonstration. The second of two blocks is the one that is timed and compared.

    ``backend`` None: ``process``.
    """
    use_fast_keccak()
    reports: list[BlockReport] = []
    config = ParallelConfig(
        workers=ParallelConfig().workers if workers is None else workers,
        backend=backend or "process",  # in parallel, whether or not that is the fastest here
        on_block=reports.append,
    )
    progress("deploying the contracts and funding the accounts")
    scene = build(workload, transactions=transactions, blocks=2, seed=seed)
    builder = scene.open()
    sequential = scene.open()
    parallel = scene.open(parallelize(scene.chain_class, config=config))
    blocks: list[bytes] = []
    for number, batch in enumerate(scene.blocks):
        progress(f"py-evm builds block {number + 1} of {len(scene.blocks)}")
        blocks.append(encoded_block(builder.mine_all(batch)[0].imported_block))
    progress("a first block on both chains, to warm up")
    # Not validated: what differs is to be seen, and not refused.
    timed_import(sequential, blocks[0], validate=False)
    first = timed_import(parallel, blocks[0], validate=False)
    progress(f"{transactions} transactions, one after another")
    expected = timed_import(sequential, blocks[1], validate=False)
    progress(f"{transactions} transactions, in parallel")
    found = timed_import(parallel, blocks[1], validate=False)
    report = reports[-1]
    return Demonstration(
        workload=workload,
        transactions=transactions,
        contracts=len(scene.labels),
        workers=report.workers,
        backend=report.backend,
        same_hash=expected.block.hash == found.block.hash,
        same_receipts=_receipts(sequential, expected.block) == _receipts(parallel, found.block),
        same_logs=_logs(sequential, expected.block) == _logs(parallel, found.block),
        sequential_seconds=expected.wall,
        parallel_seconds=found.wall,
        first_seconds=first.wall,
        executions=report.executions,
        reexecutions=report.reexecutions,
        hottest=_hottest(report, scene),
    )


def _receipts(chain: MiningChain, block: Any) -> list[bytes]:
    return [receipt.encode() for receipt in block.get_receipts(chain.chaindb)]


def _logs(chain: MiningChain, block: Any) -> list[Any]:
    return [
        (log.address, tuple(log.topics), log.data)
        for receipt in block.get_receipts(chain.chaindb)
        for log in receipt.logs
    ]


def _hottest(report: BlockReport, scene: Workload) -> tuple[HotSlot, ...]:
    reads: Counter[Any] = Counter()
    writes: Counter[Any] = Counter()
    for transaction in report.transactions:
        reads.update(key for key in transaction.reads if key.kind == "slot")
        writes.update(key for key in transaction.writes if key.kind == "slot")
    labels: dict[bytes, str] = {bytes(a): label for a, label in scene.labels.items()}
    return tuple(
        HotSlot(
            contract=labels.get(key.address, encode_hex(key.address)),
            slot=f"{key.slot:#x}",
            readers=reads[key],
            writers=count,
        )
        for key, count in sorted(writes.items(), key=lambda item: (-item[1], item[0]))[:HOTTEST]
    )
