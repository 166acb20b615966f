"""The benchmark measures what it says, and refuses blocks that differ."""

from __future__ import annotations

import pytest

from parallel_evm.bench import blocks as bench


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
