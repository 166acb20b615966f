"""A sample of the official ethereum/tests, every folder and every network in it.

All of it runs with one command: ``parallel-evm conform ../shared/ethereum-tests``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from parallel_evm.conformance.blocktests import (
    Discovery,
    Verdict,
    discover,
    run_conformance,
)
from parallel_evm.conformance.parallel import Parallel

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode present")
# py-evm lets a contract be created over an account that has storage (EIP-7610).
CREATED_OVER = {
    "InitCollisionParis",
    "RevertInCreateInInitCreate2Paris",
    "RevertInCreateInInit_Paris",
    "create2collisionStorageParis",
    "dynamicAccountOverwriteEmpty_Paris",
}
SEQUENTIAL_BY_DEFINITION = {"receipts before Byzantium carry a state root per transaction"}


@pytest.mark.conformance
@pytest.mark.parametrize(
    ("backend", "workers", "number"), [("serial", 1, 200), ("process", 2, 80), ("process", 4, 60)]
)
def test_a_sample_equals_py_evm(corpora: Path, backend: str, workers: int, number: int) -> None:
    everything = discover([corpora / "ethereum-tests"])
    discovery = discover([corpora / "ethereum-tests"], sample=number, seed=workers)
    assert len(discovery.cases) == number
    assert _folders(discovery) == _folders(everything)
    assert _networks(discovery) == _networks(everything)

    subject = Parallel(workers, backend)
    conformance = run_conformance(discovery, subject)
    wrong = [
        f"{result.case}: {result.detail}"
        for result in conformance.results
        if result.verdict is not Verdict.PASSED
        and not (result.verdict is Verdict.STOCK_FAILS and result.case.file.stem in CREATED_OVER)
    ]
    assert wrong == []
    assert conformance.count(Verdict.PASSED) > 0.95 * number

    account = conformance.account
    assert set(account.fallbacks) <= SEQUENTIAL_BY_DEFINITION
    assert account.parallel + sum(account.fallbacks.values()) == account.blocks
    assert account.parallel > 0.8 * number, "the parallel path was taken"


def _folders(discovery: Discovery) -> set[Path]:
    return {case.file.parent for case in discovery.cases}


def _networks(discovery: Discovery) -> set[str]:
    return {case.network for case in discovery.cases}
