"""A timed import: from the RLP alone, and refused or not, as it was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.exceptions import ValidationError

from parallel_evm import workloads
from parallel_evm.bench.timing import encoded_block, timed_import


@pytest.fixture(scope="module")
def workload() -> workloads.Workload:
    return workloads.build("transfers", transactions=3, fork="shanghai")


@pytest.fixture(scope="module")
def block(workload: workloads.Workload) -> Any:
    return workload.open().mine_all(workload.blocks[0])[0].imported_block


def test_the_block_comes_out_as_it_was_built(workload: workloads.Workload, block: Any) -> None:
    done = timed_import(workload.open(), encoded_block(block))
    assert done.block.hash == block.hash
    assert done.wall > 0 and done.cpu > 0


def test_no_sender_is_known_beforehand(workload: workloads.Workload, block: Any) -> None:
    knew: list[bool] = []

    class Looking(workload.chain_class):  # type: ignore[misc, name-defined]
        def import_block(self, block: Any, perform_validation: bool = True) -> Any:
            knew.extend("sender" in vars(sent) for sent in block.transactions)
            return super().import_block(block, perform_validation)

    assert all(sent.sender for sent in block.transactions)
    timed_import(workload.open(Looking), encoded_block(block))
    assert knew == [False] * 3


def test_a_block_that_comes_out_otherwise_is_refused_only_if_validated(
    workload: workloads.Workload, block: Any
) -> None:
    wrong = encoded_block(block.copy(header=block.header.copy(gas_used=1)))
    with pytest.raises(ValidationError):
        timed_import(workload.open(), wrong)
    assert timed_import(workload.open(), wrong, validate=False).block.hash == block.hash
