"""Every shortcut can be switched off, and none changes a block."""

from __future__ import annotations

import pytest

from parallel_evm import BlockReport, ParallelConfig, parallelize
from parallel_evm.workloads import build
from tests.strategies import mostly_slow

SWITCHES = (
    {},
    {"translate": False},
    {"direct": False},
    {"accesses": False},
    {"accesses": False, "in_place": False},
    {"accesses": False, "translate": False},
    {"translate": False, "direct": False, "fast_precompiles": False},
)


@pytest.mark.parametrize("workload", mostly_slow(["transfers", "swaps", "bridge"], "transfers"))
def test_blocks_are_the_same_with_and_without(workload: str) -> None:
    scene = build(workload, transactions=24, accounts=12, blocks=2)
    builder = scene.open()
    blocks = [builder.mine_all(batch)[0].imported_block for batch in scene.blocks]
    for switches in SWITCHES:
        reports: list[BlockReport] = []
        config = ParallelConfig(
            backend="serial", min_transactions=1, on_block=reports.append, **switches
        )
        chain = scene.open(parallelize(scene.chain_class, config=config))
        for block in blocks:
            assert chain.import_block(block).imported_block.hash == block.hash
        assert [report.fallback for report in reports] == [None, None]


WITH_WORKERS = (
    {"forecasts": False},
    {"lanes": False},
    {"overlap": False},
    {"whole_lanes": False},
    {"deltas": False},
    {"forecasts": False, "lanes": False, "overlap": False, "deltas": False},
)


@pytest.mark.parametrize("backend", mostly_slow(["thread", "process"], "process"))
def test_blocks_are_the_same_however_they_are_scheduled(backend: str) -> None:
    scene = build("hot-pool", transactions=24, accounts=12, blocks=2)
    builder = scene.open()
    blocks = [builder.mine_all(batch)[0].imported_block for batch in scene.blocks]
    again = {}
    for switches in ({}, *WITH_WORKERS):
        reports: list[BlockReport] = []
        config = ParallelConfig(
            workers=2, backend=backend, min_transactions=1, on_block=reports.append, **switches
        )
        chain = scene.open(parallelize(scene.chain_class, config=config))
        for block in blocks:
            assert chain.import_block(block).imported_block.hash == block.hash
        assert [report.fallback for report in reports] == [None, None]
        again[frozenset(switches)] = reports[1].reexecutions
    # Everybody trades in one pool: what order prevents happens without it.
    assert again[frozenset()] == again[frozenset({"overlap"})] == 0
    assert again[frozenset({"forecasts"})] > 4
    assert again[frozenset({"lanes"})] > 4
