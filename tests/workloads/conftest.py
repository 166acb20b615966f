"""Builds workloads once for all tests, and executes them on stock py-evm, block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
from eth.abc import BlockAPI, ComputationAPI, SignedTransactionAPI

from parallel_evm.workloads import Workload, artifacts, build


@dataclass(frozen=True)
class Execution:
    """What became of one transaction."""

    transaction: SignedTransactionAPI
    computation: ComputationAPI
    gas_used: int
    called: str
    """`Router.addLiquidity`, or the empty string where no contract is called."""


@dataclass(frozen=True)
class Run:
    """What became of a workload."""

    executions: tuple[Execution, ...]
    blocks: tuple[BlockAPI, ...]

    def called(self) -> set[str]:
        return {execution.called for execution in self.executions}


def _execute(workload: Workload) -> Run:
    chain = workload.open()
    executions: list[Execution] = []
    blocks: list[BlockAPI] = []
    for transactions in workload.blocks:
        result, receipts, computations = chain.mine_all(transactions)
        blocks.append(result.imported_block)
        cumulative = 0
        for transaction, receipt, computation in zip(
            transactions, receipts, computations, strict=True
        ):
            gas_used = receipt.gas_used - cumulative
            cumulative = receipt.gas_used
            called = _function(workload, transaction)
            executions.append(Execution(transaction, computation, gas_used, called))
    return Run(tuple(executions), tuple(blocks))


def _function(workload: Workload, transaction: SignedTransactionAPI) -> str:
    if transaction.to not in workload.artifacts:
        return ""
    artifact = artifacts.load(workload.artifacts[transaction.to])
    selector = transaction.data[:4]
    return next(
        f"{artifact.name}.{name}"
        for name, function in artifact.functions.items()
        if function.selector == selector
    )


@pytest.fixture(scope="session")
def execute() -> Callable[[Workload], Run]:
    return _execute


@pytest.fixture(scope="session")
def small() -> Callable[[str], Workload]:
    """Small workloads by name: two blocks of 20 transactions by 8 accounts, some of them hot."""
    return cache(
        lambda name: build(name, transactions=20, accounts=8, hot_ratio=0.3, blocks=2, seed=1)
    )
