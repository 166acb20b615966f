"""What each workload does: its functions, and where its hot transactions go."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from eth_abi import decode

from parallel_evm.workloads import Workload, artifacts, build
from parallel_evm.workloads.world import GENESIS_TIMESTAMP
from tests.strategies import mostly_slow

FUNCTIONS = {
    "erc20": {"Stablecoin.transfer", "Stablecoin.transferFrom", "Stablecoin.approve"},
    "swaps": {
        "Router.swapExactTokensForTokens",
        "Router.swapTokensForExactTokens",
        "Router.addLiquidity",
        "Router.removeLiquidity",
    },
    "hot-pool": {"Router.swapExactTokensForTokens", "Router.swapTokensForExactTokens"},
    "lending": {
        "LendingMarket.supply",
        "LendingMarket.borrow",
        "LendingMarket.repay",
        "LendingMarket.withdraw",
        "LendingMarket.liquidate",
        "PriceOracle.setPrice",
    },
    "insurance": {
        "InsurancePool.deposit",
        "InsurancePool.withdraw",
        "InsurancePool.buyPolicy",
        "InsurancePool.endPolicy",
        "InsurancePool.fileClaim",
        "InsurancePool.assess",
        "InsurancePool.payClaim",
    },
    "bridge": {"Bridge.send", "Bridge.arrive"},
    "escrow": {
        "Escrow.open",
        "Escrow.fund",
        "Escrow.release",
        "Escrow.refund",
        "Escrow.dispute",
        "Escrow.resolve",
        "AssetToken.transfer",
        "AssetToken.payDividend",
        "AssetToken.collectDividend",
    },
    "governance": {
        "Governor.propose",
        "Governor.castVote",
        "Governor.queue",
        "Governor.execute",
        "Governor.cancel",
        "VoteToken.delegate",
        "VoteToken.transfer",
    },
    "airdrop": {"Airdrop.distribute", "Airdrop.distributeEther"},
}


def calls(workload: Workload) -> Counter[str]:
    """How often each function is called, `Router.addLiquidity` for example."""
    functions = {
        (address, function.selector): f"{name}.{label}"
        for address, name in workload.artifacts.items()
        for label, function in artifacts.load(name).functions.items()
    }
    return Counter(
        functions[transaction.to, transaction.data[:4]] if transaction.data else ""
        for block in workload.blocks
        for transaction in block
    )


@pytest.mark.parametrize("name", mostly_slow(list(FUNCTIONS), *list(FUNCTIONS)[::3]))
def test_every_function_of_a_protocol_is_called(name: str) -> None:
    assert calls(build(name, transactions=300, accounts=8)).keys() == FUNCTIONS[name]


def test_a_defi_day_has_something_of_everything() -> None:
    count = calls(build("mixed", transactions=400, accounts=4))
    protocols = {function.partition(".")[0] for function in count}
    assert protocols == {
        "",
        "Stablecoin",
        "Router",
        "LendingMarket",
        "PriceOracle",
        "InsurancePool",
        "Bridge",
        "Escrow",
        "AssetToken",
        "Governor",
        "VoteToken",
        "Airdrop",
    }
    assert 0.15 < count[""] / count.total() < 0.25


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
    workload = build("swaps", transactions=24, accounts=8)
    count = pools(workload, execute(workload))
    assert len(count) == 4  # two groups of traders, two pools each
    assert count.total() > 24
    assert "Pair WETH/USDC" not in count


def test_the_hot_pool_is_one_pool(execute: Any) -> None:
    workload = build("hot-pool", transactions=20, accounts=16)
    assert pools(workload, execute(workload)) == {"Pair WETH/USDC": 20}


def target(workload: Workload, to: bytes, data: bytes) -> object:
    """Where a transaction goes: a recipient, a pool or market, or the contract of a place."""
    addresses = {label: address for address, label in workload.labels.items()}
    match workload.name:
        case "transfers":
            return to
        case "erc20":
            return data[4:36]
        case "swaps":
            return "hot" if addresses["WrappedEther WETH"] in data else data
        case "lending":
            couple = (addresses["WrappedEther WETH"], addresses["Stablecoin USDC"])
            return "hot" if any(asset in data for asset in couple) else data
        case _:
            return workload.labels[to].partition(" ")[2]


@pytest.mark.parametrize(
    "name",
    ["transfers", "erc20", "swaps", "lending", "insurance", "bridge", "escrow", "governance"],
)
def test_the_hot_ratio_is_the_part_with_one_target(name: str) -> None:
    workload = build(name, transactions=50, accounts=8, hot_ratio=0.8)
    (block,) = workload.blocks
    count = Counter(target(workload, t.to, t.data) for t in block)
    ((_, most),) = count.most_common(1)
    assert most == 40


def recipients(data: bytes) -> set[str]:
    functions = artifacts.load("Airdrop").functions.values()
    (function,) = (f for f in functions if f.selector == data[:4])
    return set(decode(function.inputs, data[4:])[-2])


def test_hot_airdrops_share_a_recipient() -> None:
    for hot_ratio, shared in ((0.0, 0), (1.0, 1)):
        (block,) = build("airdrop", transactions=20, accounts=16, hot_ratio=hot_ratio).blocks
        assert len(set.intersection(*(recipients(t.data) for t in block))) == shared


def test_signatures_on_the_bridge_are_verified(small: Any, execute: Any) -> None:
    """The precompile that recovers signers runs three times for each arrival."""
    workload = small("bridge")
    recover = (1).to_bytes(20, "big")
    for execution in execute(workload).executions:
        recoveries = [c for c in execution.computation.children if c.msg.code_address == recover]
        assert len(recoveries) == (3 if execution.called == "Bridge.arrive" else 0)


def test_time_does_not_depend_on_the_clock(execute: Any) -> None:
    workload = build("transfers", transactions=1, blocks=3)
    times = [block.header.timestamp for block in execute(workload).blocks]
    assert times == [GENESIS_TIMESTAMP + second for second in (1, 2, 3)]
