"""Recorded mainnet blocks: sequential py-evm against parallel execution, in the same run.

Each block is replayed from a cold start, first sight of everything, and then again and again: warm
means that contracts are translated and learned, while state is read anew every time, from a
database of its own. Runs of stock py-evm lie between the warm ones. What a replay is, and that
its results are right, is `conformance.replay`'s business.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from parallel_evm.bench.blocks import CACHED, usual_backend
from parallel_evm.conformance.parallel import Parallel
from parallel_evm.conformance.replay import BlockReplay, Replays, Unusable, run_replay

SUBSTANTIAL: Final = 20
"""Blocks with fewer transactions do not count in the medians."""
_INCLUDED: Final = (
    "apply_all_transactions, withdrawals and the state root: signature recovery, execution, "
    "receipts, blooms, tries; not headers, transaction and receipt roots, or the database; senders "
    "and state unknown in every run; the same keccak and coincurve on both sides"
)


@dataclass(frozen=True, slots=True)
class MainnetSide:
    """All blocks by one number of workers."""

    workers: int
    backend: str
    replays: Replays

    def ratios(self, cold: bool) -> list[float]:
        """Sequential time / parallel time of the blocks that count."""
        return [
            block.sequential_seconds / (block.cold_seconds if cold else block.warm_seconds)
            for block in self.replays.blocks
            if block.transactions >= SUBSTANTIAL
        ]

    def to_dict(self) -> dict[str, Any]:
        cold, warm = self.ratios(cold=True), self.ratios(cold=False)
        return {
            "workers": self.workers,
            "backend": self.backend,
            "median_cold_ratio": statistics.median(cold) if cold else None,
            "median_warm_ratio": statistics.median(warm) if warm else None,
            **self.replays.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Mainnet:
    """Recorded blocks, measured."""

    repeats: int
    sides: tuple[MainnetSide, ...]
    translation_cache: bool = False
    """Were translations taken from the disk?"""
    warm_up: int = 0
    """Replays of each block between the cold one and the warm ones, which do not count."""

    @property
    def exit_code(self) -> int:
        codes = {side.replays.exit_code for side in self.sides}
        return 1 if 1 in codes else max(codes)

    @property
    def unusable(self) -> list[Unusable]:
        return [r for r in self.sides[0].replays.results if isinstance(r, Unusable)]

    @property
    def included(self) -> str:
        """What the figures stand for."""
        return f"{_INCLUDED}; {CACHED[self.translation_cache]}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "workload": "mainnet",
            "translation_cache": self.translation_cache,
            "warm_runs": self.repeats,
            "warm_up": self.warm_up,
            "median_over": f"blocks of {SUBSTANTIAL} transactions and more",
            "sides": [side.to_dict() for side in self.sides],
            "included": self.included,
        }


def recorded_blocks(folder: Path) -> list[Path]:
    """The recordings in a folder: itself, or its subfolders and JSON cases, ordered by number.

    Raises ValueError if there are none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    if (folder / "block.json").is_file():
        return [folder]
    found = [file.parent for file in folder.glob("*/block.json")] + list(folder.glob("*.json"))
    if not found:
        raise ValueError(
            f"{folder}: no recorded block here (a folder with a block.json, or a case)"
        )
    return sorted(found, key=lambda path: (len(path.stem), path.stem))


def measure_mainnet(
    folders: Sequence[Path],
    *,
    workers: Sequence[int],
    repeats: int,
    backend: str | None = None,
    translation_cache: bool = False,
    warm_up: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> Mainnet:
    """Replay the blocks, with each number of workers, once cold and ``repeats`` times warm.

    ``translation_cache``: with what earlier processes have kept on disk. ``warm_up``: so many more
    replays come in between, as in a process that has run for long.
    """
    sides = []
    for count in workers:
        chosen = backend or usual_backend(count)

        def hear(result: BlockReplay | Unusable, count: int = count) -> None:
            progress(f"mainnet: {result.source} done, workers: {count}")

        with closing(Parallel(count, chosen, translation_cache)) as subject:
            progress(f"mainnet: {len(folders)} blocks, workers: {count}")
            found = run_replay(folders, subject, progress=hear, repeats=repeats, warm_up=warm_up)
        sides.append(MainnetSide(count, chosen, found))
    return Mainnet(repeats, tuple(sides), translation_cache, warm_up)
