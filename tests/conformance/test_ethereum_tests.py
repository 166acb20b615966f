"""A sample of the official ethereum/tests, every folder and every network in it.

All of it, and all recorded blocks, run with one command: ``make conformance``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eth.constants import BLANK_ROOT_HASH
from eth.db.account import AccountDB

from parallel_evm.conformance.blocktests.discovery import Discovery, discover
from parallel_evm.conformance.blocktests.results import Conformance, Verdict
from parallel_evm.conformance.blocktests.run import run_conformance
from parallel_evm.conformance.parallel import Parallel
from parallel_evm.conformance.subject import Stock

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
    assert _wrong(conformance) == []
    assert conformance.count(Verdict.PASSED) > 0.95 * number

    tally = conformance.tally
    assert set(tally.fallbacks) <= SEQUENTIAL_BY_DEFINITION
    assert tally.parallel + sum(tally.fallbacks.values()) == tally.blocks
    assert tally.parallel > 0.8 * number, "the parallel path was taken"


@pytest.mark.conformance
def test_a_sample_one_transaction_at_a_time_equals_py_evm(corpora: Path) -> None:
    """In py-evm's own loop, as calls and pending blocks run, but translated."""
    discovery = discover([corpora / "ethereum-tests"], sample=200, seed=6)
    subject = Parallel(1, "serial", min_transactions=10**9)
    conformance = run_conformance(discovery, subject)
    assert _wrong(conformance) == []
    assert conformance.count(Verdict.PASSED) > 190
    assert conformance.tally.parallel == 0
    assert conformance.tally.blocks > 190


@pytest.mark.conformance
def test_what_stock_py_evm_fails_it_fails_for_one_reason(
    corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With EIP-7610 (what has storage is not created over), py-evm passes these cases."""
    files = [
        file for name in CREATED_OVER for file in (corpora / "ethereum-tests").rglob(f"{name}.json")
    ]
    assert len(files) == len(CREATED_OVER)
    found = discover(files)
    assert run_conformance(found, Stock()).count(Verdict.STOCK_FAILS) == 10

    def has_anything(self: Any, address: Any) -> bool:
        return stock_rule(self, address) or self._get_storage_root(address) != BLANK_ROOT_HASH

    stock_rule = AccountDB.account_has_code_or_nonce
    monkeypatch.setattr(AccountDB, "account_has_code_or_nonce", has_anything)
    assert run_conformance(found, Stock()).count(Verdict.PASSED) == len(found.cases)


def _wrong(conformance: Conformance) -> list[str]:
    """The cases that should have passed."""
    return [
        f"{result.case}: {result.detail}"
        for result in conformance.results
        if result.verdict is not Verdict.PASSED
        and not (result.verdict is Verdict.STOCK_FAILS and result.case.file.stem in CREATED_OVER)
    ]


def _folders(discovery: Discovery) -> set[Path]:
    return {case.file.parent for case in discovery.cases}


def _networks(discovery: Discovery) -> set[str]:
    return {case.network for case in discovery.cases}
