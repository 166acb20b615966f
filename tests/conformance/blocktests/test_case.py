"""Reading a case: what is missing or malformed is named, and spoils nothing else."""

from __future__ import annotations

import pytest

from parallel_evm.conformance.blocktests.discovery import discover
from parallel_evm.conformance.blocktests.results import Verdict
from parallel_evm.conformance.blocktests.run import run_conformance
from parallel_evm.conformance.subject import Stock
from tests.conformance.blocktests.conftest import Entry, Write, run_one


@pytest.mark.parametrize(
    ("field", "detail"),
    [
        ("network", "network: missing"),
        ("blocks", "blocks: missing"),
        ("pre", "pre: missing"),
        ("lastblockhash", "lastblockhash: missing"),
        ("genesisBlockHeader", "genesisBlockHeader: missing"),
    ],
)
def test_a_missing_field_spoils_only_its_own_case(
    field: str, detail: str, write_case: Write, entry: Entry
) -> None:
    broken = {name: value for name, value in entry.items() if name != field}
    conformance = run_conformance(discover([write_case({"bad": broken, "good": entry})]), Stock())
    results = {result.case.name: result for result in conformance.results}
    assert results["good"].verdict is Verdict.PASSED
    assert results["bad"].verdict is Verdict.ERROR
    assert results["bad"].detail == detail
    assert conformance.exit_code == 2


def test_malformed_fields_are_named(write_case: Write, entry: Entry) -> None:
    entry["genesisBlockHeader"]["stateRoot"] = "0x12"
    result = run_one(write_case, entry)
    assert (result.verdict, result.detail) == (
        Verdict.ERROR,
        "genesisBlockHeader.stateRoot: expected 32 bytes, found 1",
    )


def test_a_valid_block_without_rlp(write_case: Write, entry: Entry) -> None:
    del entry["blocks"][0]["rlp"]
    assert run_one(write_case, entry).detail == "blocks[0].rlp: missing"
