"""How much runs twice: blocks of every workload, whose forecasts come from earlier blocks alone."""

from __future__ import annotations

import pytest

from parallel_evm import BlockReport, ParallelConfig, parallelize
from parallel_evm.workloads import build, names

SIZE = 200

# A transfer conflicts with nothing, and in the hot pool everything runs in one lane.
WORKLOADS = [name for name in names() if name not in ("transfers", "hot-pool")]


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_hardly_anything_runs_twice_once_it_was_seen(name: str) -> None:
    workload = build(name, transactions=SIZE, blocks=4, seed=3)
    reports: list[BlockReport] = []
    config = ParallelConfig(
        workers=2, backend="thread", min_transactions=1, on_block=reports.append
    )
    ours = workload.open(parallelize(workload.chain_class, config=config))
    stock = workload.open()
    for transactions in workload.blocks:
        mined = ours.mine_all(transactions)[0].imported_block
        assert mined.hash == stock.mine_all(transactions)[0].imported_block.hash

    again = [report.reexecutions for report in reports]
    assert again[0] <= 0.3 * SIZE
    assert sum(again[1:]) <= 0.02 * SIZE * len(again[1:])
    lanes = [{t.worker for t in report.transactions} - {None} for report in reports]
    assert lanes[1:] == [{0, 1}] * 3  # and not because everything was put in one lane
