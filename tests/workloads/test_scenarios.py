"""What each workload does: its functions, and where its hot transactions go."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from parallel_evm.workloads import Workload, build
from parallel_evm.workloads.world import GENESIS_TIMESTAMP

FUNCTIONS = {
    "erc20": {
        "Stablecoin.transfer",
        "Stablecoin.transferFrom",
        "Stablecoin.approve",
    },
    "swaps": {
        "Router.swapExactTokensForTokens",
        "Router.swapTokensForExactTokens",
        "Router.addLiquidity",
        "Router.removeLiquidity",
    },
    "hot-pool": {
        "Router.swapExactTokensForTokens",
        "Router.swapTokensForExactTokens",
    },
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_functions_of_a_protocol_are_used(name: str, execute: Any) -> None:
    run = execute(build(name, transactions=100, accounts=12, seed=4))
    assert run.called() == FUNCTIONS[name]


def pools(workload: Workload, run: Any) -> Counter[str]:
    """How many swaps, deposits and withdrawals each pool had part in."""
    count: Counter[str] = Counter()
    for execution in run.executions:
        touched = {
            workload.labels[address]
            for address, _, _ in execution.computation.get_log_entries()
            if workload.artifacts[address] == "Pair"
        }
        count.update(touched)
    return count


def test_swaps_use_many_pools_and_paths_of_two(execute: Any) -> None:
    workload = build("swaps", transactions=60, accounts=16)
    count = pools(workload, execute(workload))
    assert len(count) == 8  # four groups of traders, two pools each
    assert count.total() > 60
    assert "Pair WETH/USDC" not in count


@pytest.mark.parametrize(("hot_ratio", "least", "most"), [(0.5, 20, 40), (1.0, 60, 60)])
def test_hot_swaps_meet_in_one_pool(hot_ratio: float, least: int, most: int, execute: Any) -> None:
    workload = build("swaps", transactions=60, accounts=16, hot_ratio=hot_ratio)
    assert least <= pools(workload, execute(workload))["Pair WETH/USDC"] <= most


def test_the_hot_pool_is_one_pool(execute: Any) -> None:
    workload = build("hot-pool", transactions=30, accounts=16)
    assert pools(workload, execute(workload)) == {"Pair WETH/USDC": 30}


@pytest.mark.parametrize(
    ("hot_ratio", "least", "most"), [(0.0, 0, 4), (0.5, 20, 40), (1.0, 60, 60)]
)
def test_hot_transfers_meet_at_one_recipient(hot_ratio: float, least: int, most: int) -> None:
    (block,) = build("transfers", transactions=60, accounts=60, hot_ratio=hot_ratio).blocks
    ((_, most_frequent),) = Counter(transaction.to for transaction in block).most_common(1)
    assert least <= most_frequent <= most


@pytest.mark.parametrize(
    ("hot_ratio", "least", "most"), [(0.0, 0, 6), (0.5, 20, 40), (1.0, 60, 60)]
)
def test_hot_payments_meet_at_one_recipient(hot_ratio: float, least: int, most: int) -> None:
    (block,) = build("erc20", transactions=60, accounts=60, hot_ratio=hot_ratio).blocks
    ((_, most_frequent),) = Counter(t.data[4:36] for t in block).most_common(1)
    assert least <= most_frequent <= most


def test_time_does_not_depend_on_the_clock(execute: Any) -> None:
    workload = build("transfers", transactions=1, blocks=3)
    times = [block.header.timestamp for block in execute(workload).blocks]
    assert times == [GENESIS_TIMESTAMP + second for second in (1, 2, 3)]
