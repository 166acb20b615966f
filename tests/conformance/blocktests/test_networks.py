"""Networks: names, classes, and those that py-evm does not know."""

from __future__ import annotations

from typing import Any

import pytest

from parallel_evm.conformance.blocktests.discovery import discover
from parallel_evm.conformance.blocktests.results import Verdict
from parallel_evm.conformance.blocktests.run import run_conformance
from parallel_evm.conformance.subject import Stock
from tests.conformance.blocktests.conftest import Entry, Write, run, run_one


def test_an_unknown_network(write_case: Write, entry: Entry) -> None:
    result = run_one(write_case, entry | {"network": "Osaka"})
    assert result.verdict is Verdict.UNKNOWN_NETWORK
    assert result.detail == "py-evm has no rules for network Osaka"


def test_an_unknown_network_is_no_failure(write_case: Write, entry: Entry) -> None:
    content = {"known": entry, "unknown": entry | {"network": "Osaka"}}
    conformance = run_conformance(discover([write_case(content)]), Stock())
    assert conformance.exit_code == 0
    assert conformance.by_network() == {
        "Cancun": {Verdict.PASSED: 1},
        "Osaka": {Verdict.UNKNOWN_NETWORK: 1},
    }


@pytest.mark.parametrize(
    "network",
    ["Merge", "MergeToShanghaiAtTime15k", "ArrowGlacierToMergeAtDiffC0000", "MuirGlacier"],
)
def test_networks_that_py_evm_knows_by_another_name(
    network: str, write_case: Write, entry: Entry
) -> None:
    result = run_one(write_case, entry | {"network": network})
    assert result.detail.startswith("genesisBlockHeader"), "known, but the genesis is Cancun's"


@pytest.mark.parametrize("network", ["Cancun", "Homestead"])
def test_all_cases_of_a_network_have_the_same_classes(
    network: str, write_case: Write, entry: Entry
) -> None:
    """So that a subject makes one class of its own, and not one for each case."""
    given: list[Any] = []

    class Notes(Stock):
        def transform(self, vm_class: Any) -> Any:
            given.append(vm_class)
            return vm_class

    case = entry | {"network": network}
    run(write_case({"one": case, "other": case}), Notes())
    assert len(given) == 2
    assert given[0] is given[1]
