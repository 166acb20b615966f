"""The benchmark measures what it says, and refuses blocks that differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from parallel_evm import close
from parallel_evm.bench import blocks as bench
from parallel_evm.bench.timing import Timed, timed_stream
from parallel_evm.workers import shared


@pytest.fixture
def chains(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Our sides as they were measured; who reads for them is never late."""
    made: list[Any] = []
    open_chain = bench._parallel_chain

    def noted(*side: Any) -> Any:
        made.append(open_chain(*side))
        return made[-1]

    monkeypatch.setattr(bench, "_parallel_chain", noted)
    monkeypatch.setattr(shared, "_reading", {})
    monkeypatch.setattr("parallel_evm.workers.reader._RECOVERY_SECONDS", 1.0)
    yield made
    close()


def test_every_side_imports_the_block_that_stock_py_evm_built() -> None:
    found = bench.measure(bench.prepare("transfers", transactions=8, blocks=2), workers=[1])
    (side,) = found.sides
    assert (side.workers, side.backend) == (1, "serial")
    assert side.warm_ms > 0
    assert side.cpu_ms > 0
    assert side.reexecuted == 0


def test_a_block_with_another_hash_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    build = bench._built_blocks

    def forged(workload, progress):
        return [(encoded, bytes(32)) for encoded, _ in build(workload, progress)]

    monkeypatch.setattr(bench, "_built_blocks", forged)
    workload = bench.prepare("transfers", transactions=4, blocks=1)
    with pytest.raises(bench.BlocksDiffer, match="block 1"):
        bench.measure(workload, workers=[1])


def test_a_stream_of_blocks_is_imported_as_one(chains: list[Any]) -> None:
    """Five warm blocks by two: nobody announces the first of a stretch, and the last is alone."""
    workload = bench.prepare("transfers", transactions=8, blocks=5)
    found = bench.measure(workload, workers=[2], stream=2)
    (chain,) = chains
    assert [report.block_number for report in chain.reports] == [1, 2, 3, 4, 5, 6]
    ahead = [report.read_ahead for report in chain.reports]
    assert ahead == [False, False, True, False, True, False]
    assert len(chain.wall) == len(chain.cpu) == 4
    assert (found.blocks, found.stream) == (5, 2)
    assert found.sides[0].warm_ms > 0
    told = found.to_dict()
    assert told["stream"] == 2
    assert "streams of 2 warm blocks in turn" in told["included"]


def test_without_a_stream_nobody_is_told_what_comes(chains: list[Any]) -> None:
    found = bench.measure(bench.prepare("transfers", transactions=8, blocks=2), workers=[2])
    assert [report.read_ahead for report in chains[0].reports] == [False] * 3
    assert found.stream == 1
    assert "; one chain per side, blocks in turn; " in found.included


def test_times_of_a_stream_are_those_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is each stretch, however long: here each block takes a second."""

    def timed(chain: Any, encoded: Any, importer: Any) -> Any:
        done = timed_stream(chain, encoded, importer)
        return Timed(done.blocks, float(len(encoded)), 2.0 * len(encoded))

    monkeypatch.setattr(bench, "timed_stream", timed)
    workload = bench.prepare("transfers", transactions=4, blocks=3)
    found = bench.measure(workload, workers=[1], stream=2)
    (side,) = found.sides
    assert found.sequential_ms == side.warm_ms == side.cold_ms == 1_000 / 4
    assert found.sequential_cpu_ms == 2_000 / 4
    assert side.warm_ratio == side.cold_ratio == 1


def test_a_block_that_differs_amid_a_stream_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    build = bench._built_blocks

    def forged(workload: Any, progress: Any) -> Any:
        built = build(workload, progress)
        return [(block, bytes(32) if i == 2 else digest) for i, (block, digest) in enumerate(built)]

    monkeypatch.setattr(bench, "_built_blocks", forged)
    workload = bench.prepare("transfers", transactions=4, blocks=3)
    with pytest.raises(bench.BlocksDiffer, match=r"^block 3: 0x[0-9a-f]{64} instead of 0x0{64}$"):
        bench.measure(workload, workers=[1], stream=3)
