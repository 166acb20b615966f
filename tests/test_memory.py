"""Memory stays bounded: blocks leave nothing behind, and long chains do not swell."""

from __future__ import annotations

import gc
from collections import Counter
from typing import Any

import pytest
from eth.db.header import _decode_block_header

from parallel_evm import ParallelConfig, parallelize, workloads
from tests.memory import growth, run


def counted() -> Counter[str]:
    """Objects of ours and of py-evm's, by class."""
    _decode_block_header.cache_clear()  # py-evm's own, of 128 headers
    gc.collect()
    return Counter(
        f"{type(one).__module__}.{type(one).__qualname__}"
        for one in gc.get_objects()
        if str(type(one).__module__).startswith(("parallel_evm.", "eth.", "rlp."))
    )


@pytest.mark.parametrize("name", ("transfers", pytest.param("swaps", marks=pytest.mark.slow)))
def test_blocks_leave_no_objects_behind(name: str) -> None:
    workload = workloads.build(name, transactions=8, accounts=8, blocks=90)
    config = ParallelConfig(backend="serial", min_transactions=1)
    chain: Any = workload.open(parallelize(workload.chain_class, config=config))
    seen = []
    for number, transactions in enumerate(workload.blocks, 1):
        chain.mine_all(list(transactions))
        if number in (70, 90):  # 64 blocks' changes are kept for workers that missed them
            seen.append(counted())
    before, after = seen
    # Twenty blocks of eight transactions: whatever stayed of each would show. Accounts are cached,
    # and contracts are still being translated.
    grown = {
        name: after[name] - before[name]
        for name in after
        if after[name] - before[name] >= 20
        and not name.startswith("parallel_evm.translator.")
        and not name.endswith(".Account")
    }
    assert not grown


@pytest.mark.slow
def test_a_chain_does_not_swell() -> None:
    samples = run(accounts=500, blocks=60, every=5)
    assert len(samples) == 13
    assert samples[-1].database > samples[0].database
    coordinator, workers = growth(samples)
    # Kibibytes a block. What is cached of new accounts and slots is a part of it; sixteen
    # transactions that nobody forgot would be ten times as much.
    assert coordinator < 150
    assert workers < 300
