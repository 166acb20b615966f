"""Workloads: sequential py-evm against parallel execution, on the same blocks in the same run.

Every block is built once, by stock py-evm, and then imported on every side from its RLP, so that
no side knows a sender, a trie or a hash beforehand. ``import_block`` is timed as a whole: signature
recovery, execution, receipts, roots, validation, persistence. All sides use the same keccak and
coincurve.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from eth.chains.base import MiningChain

from parallel_evm.bench.timing import Importer, encoded_block, one_by_one, timed_stream
from parallel_evm.config import ParallelConfig
from parallel_evm.errors import ParallelEVMError
from parallel_evm.hashing import use_fast_keccak
from parallel_evm.report import BlockReport
from parallel_evm.stream import import_blocks
from parallel_evm.vm import parallelize
from parallel_evm.workloads import Workload, build

_INCLUDED: Final = (
    "import_block as a whole: signature recovery, execution, receipts, blooms, storage and state "
    "tries, validation, persistence to a memory database; senders unknown on both sides; "
    "coincurve and the same keccak on both sides; nobody notes what transactions touch; one chain "
    "per side, "
)
_TURNS: Final = {
    False: "blocks in turn",
    True: "streams of {} warm blocks in turn, timed as wholes, in which our sides are given the "
    "next block while they import one (import_blocks)",
}

CACHED: Final = {
    False: "no translation is taken from disk or kept there",
    True: "translations that earlier processes kept on disk are used, cold blocks included",
}
"""Which half of the truth about cold blocks the figures tell."""


def usual_backend(workers: int) -> str:
    """Where transactions run unless somebody asks otherwise: a single worker needs no company."""
    return "serial" if workers == 1 else "auto"


class BlocksDiffer(ParallelEVMError):
    """The two sides did not arrive at the same block: never a measurement, always a bug."""


@dataclass(frozen=True, slots=True)
class Side:
    """One way to execute, on one workload. Times are per transaction, medians over blocks (or over
    streams of them, but for what the coordinator does)."""

    workers: int
    backend: str
    cold_ms: float | None
    """First block that this chain and these workers see. None where something is switched off: the
    workers have seen it already, on the side that has everything."""
    warm_ms: float
    """Median of the later blocks."""
    cold_ratio: float | None
    warm_ratio: float
    """Sequential py-evm's time for the same block or stream, divided by this side's: medians of
    ratios."""
    cpu_ms: float
    """CPU time over all processes, warm."""
    reexecuted: float
    """Share of transactions that were run again, warm."""
    coordinator_us: float
    """The coordinator's own wall time for what workers need of it: forecast, plan, judging and
    folding, warm. It bounds how many of them can be fed."""
    finishing_us: float
    """For storage tries and receipts, which come after that, and for waiting until a worker has
    listed the transactions."""
    without: str | None = None
    """What was switched off on this side."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One workload, measured."""

    workload: str
    transactions: int
    """Per block."""
    blocks: int
    """Warm blocks; the cold one comes on top."""
    sequential_cold_ms: float
    sequential_ms: float
    """Sequential py-evm per transaction, median over warm blocks or streams."""
    sequential_cpu_ms: float
    sides: tuple[Side, ...]
    translation_cache: bool = False
    """Were translations taken from the disk?"""
    stream: int = 1
    """So many warm blocks came after one another, and were timed together."""

    @property
    def turns(self) -> str:
        """What was timed as a whole, and how often, warm."""
        if self.stream == 1:
            return f"{self.blocks} warm blocks"
        return f"{-(-self.blocks // self.stream)} streams of {self.stream} warm blocks"

    @property
    def included(self) -> str:
        """What the figures stand for."""
        turns = _TURNS[self.stream > 1].format(self.stream)
        return f"{_INCLUDED}{turns}; {CACHED[self.translation_cache]}"

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "included": self.included}


Progress = Callable[[str], None]


def prepare(
    name: str,
    *,
    transactions: int,
    blocks: int,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> Workload:
    """Build a workload to be measured: so many warm blocks, after a cold one.

    Raises ValueError for unknown workloads and impossible sizes.
    """
    use_fast_keccak()
    progress(f"{name}: building the workload")
    return build(name, transactions=transactions, blocks=blocks + 1, seed=seed)


def measure(
    workload: Workload,
    *,
    workers: Sequence[int],
    backend: str | None = None,
    translation_cache: bool = False,
    without: Sequence[str] = (),
    stream: int = 1,
    progress: Progress = lambda text: None,
) -> Measurement:
    """Measure a workload, its first block cold. ``backend`` None: the usual one.
    ``translation_cache``: with what earlier processes have kept on disk. ``without``: names of
    `config.SWITCHES`; for each there is another side where this is off. ``stream``: a side imports
    so many warm blocks before it is the next one's turn, and ours know what comes.

    Raises `BlocksDiffer` when any side's block is not the one that stock py-evm built.
    """
    name, transactions = workload.name, len(workload.blocks[0])
    encoded = _built_blocks(workload, progress)
    sequential = _Chain(workload, workload.chain_class, one_by_one, [])
    kinds = [
        (count, backend or usual_backend(count), switch)
        for count in workers
        for switch in (None, *without)
    ]
    sides = [_parallel_chain(workload, *kind, translation_cache) for kind in kinds]
    starts = [0, *range(1, len(encoded), stream)]
    for turn, start in enumerate(starts):
        blocks = encoded[start : start + stream] if start else encoded[:1]
        progress(f"{name}: block {start + 1} of {len(encoded)}")
        # The order changes from turn to turn, so that nobody always runs in a warmed-up cache.
        order = [sequential, *sides]
        for chain in order[turn % len(order) :] + order[: turn % len(order)]:
            chain.run(blocks)
    return Measurement(
        workload=name,
        transactions=transactions,
        blocks=len(workload.blocks) - 1,
        sequential_cold_ms=sequential.wall[0] / transactions * 1e3,
        sequential_ms=statistics.median(sequential.wall[1:]) / transactions * 1e3,
        sequential_cpu_ms=statistics.median(sequential.cpu[1:]) / transactions * 1e3,
        sides=tuple(
            _side(chain, sequential, transactions, *kind)
            for chain, kind in zip(sides, kinds, strict=True)
        ),
        translation_cache=translation_cache,
        stream=stream,
    )


def _built_blocks(workload: Workload, progress: Progress) -> list[tuple[bytes, bytes]]:
    """(RLP, hash) of each block, built by stock py-evm."""
    chain = workload.open()
    built: list[tuple[bytes, bytes]] = []
    for number, transactions in enumerate(workload.blocks):
        progress(f"{workload.name}: py-evm builds block {number + 1} of {len(workload.blocks)}")
        block = chain.mine_all(transactions)[0].imported_block
        built.append((encoded_block(block), block.hash))
    return built


class _Chain:
    """A chain that imports blocks against the clock."""

    def __init__(
        self,
        workload: Workload,
        chain_class: type[MiningChain],
        importer: Importer,
        reports: list[BlockReport],
    ) -> None:
        self.chain = workload.open(chain_class)
        self.reports = reports
        self.wall: list[float] = []
        """Seconds per block, one entry for each turn; so is `cpu`."""
        self.cpu: list[float] = []
        self._importer = importer

    def run(self, encoded: Sequence[tuple[bytes, bytes]]) -> None:
        seen = len(self.reports)
        done = timed_stream(self.chain, [block for block, _ in encoded], self._importer)
        for block, (_, digest) in zip(done.blocks, encoded, strict=True):
            if block.hash != digest:
                raise BlocksDiffer(
                    f"block {block.number}: 0x{block.hash.hex()} instead of 0x{digest.hex()}"
                )
        cpu = done.cpu + sum(r.worker_cpu_seconds for r in self.reports[seen:])
        self.wall.append(done.wall / len(encoded))
        self.cpu.append(cpu / len(encoded))


def _parallel_chain(
    workload: Workload,
    workers: int,
    backend: str,
    without: str | None,
    translation_cache: bool,
) -> _Chain:
    reports: list[BlockReport] = []
    switched_off: dict[str, Any] = {} if without is None else {without: False}
    config = ParallelConfig(
        workers=workers,
        backend=backend,
        on_block=reports.append,
        accesses=False,
        translation_cache=translation_cache,
        **switched_off,
    )
    return _Chain(
        workload, parallelize(workload.chain_class, config=config), import_blocks, reports
    )


def _side(
    chain: _Chain,
    sequential: _Chain,
    transactions: int,
    workers: int,
    backend: str,
    without: str | None,
) -> Side:
    ratios = [s / p for s, p in zip(sequential.wall, chain.wall, strict=True)]
    warm = chain.reports[1:]
    own = [r.phases.forecast + r.phases.judge for r in warm]
    finishing = [r.phases.roots + r.phases.receipts for r in warm]
    return Side(
        workers=workers,
        backend=backend,
        cold_ms=None if without else chain.wall[0] / transactions * 1e3,
        warm_ms=statistics.median(chain.wall[1:]) / transactions * 1e3,
        cold_ratio=None if without else ratios[0],
        warm_ratio=statistics.median(ratios[1:]),
        cpu_ms=statistics.median(chain.cpu[1:]) / transactions * 1e3,
        reexecuted=sum(r.reexecutions for r in warm) / (transactions * len(warm)),
        coordinator_us=statistics.median(own) / transactions * 1e6,
        finishing_us=statistics.median(finishing) / transactions * 1e6,
        without=without,
    )
