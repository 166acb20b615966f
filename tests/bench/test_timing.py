"""A timed import: from the RLP alone, and refused or not, as it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from eth_utils.exceptions import ValidationError

from parallel_evm import workloads
from parallel_evm.bench.timing import encoded_block, one_by_one, timed_import, timed_stream


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


@pytest.fixture(scope="module")
def stream() -> workloads.Workload:
    return workloads.build("transfers", transactions=3, blocks=3, fork="shanghai")


@pytest.fixture(scope="module")
def blocks(stream: workloads.Workload) -> list[Any]:
    chain = stream.open()
    return [chain.mine_all(sent)[0].imported_block for sent in stream.blocks]


def test_blocks_of_a_stream_come_out_in_order(
    stream: workloads.Workload, blocks: list[Any]
) -> None:
    chain = stream.open()
    done = timed_stream(chain, list(map(encoded_block, blocks)), one_by_one)
    assert [block.hash for block in done.blocks] == [block.hash for block in blocks]
    assert done.block.hash == blocks[-1].hash == chain.get_canonical_head().hash
    assert done.wall > 0 and done.cpu > 0


@pytest.mark.parametrize("validate", [True, False])
def test_whoever_imports_a_stream_is_given_all_of_it(
    stream: workloads.Workload, blocks: list[Any], validate: bool
) -> None:
    """Decoded before the time starts, with no sender known, and told whether to validate."""
    given: list[Any] = []

    def importer(chain: Any, coming: Iterable[Any], validates: bool) -> Iterator[Any]:
        assert validates is validate
        for block in coming:
            given.append((block.hash, ["sender" in vars(sent) for sent in block.transactions]))
            yield from one_by_one(chain, [block], validates)

    timed_stream(stream.open(), list(map(encoded_block, blocks)), importer, validate=validate)
    assert given == [(block.hash, [False] * 3) for block in blocks]


def test_one_by_one_imports_what_is_asked_for(
    stream: workloads.Workload, blocks: list[Any]
) -> None:
    chain = stream.open()
    imports = iter(one_by_one(chain, blocks, True))
    for number in (0, 1):
        assert chain.get_canonical_head().block_number == number
        assert next(imports).imported_block == blocks[number]
    assert chain.get_canonical_head().block_number == 2


@pytest.mark.parametrize("validate", [True, False])
def test_one_by_one_refuses_only_if_it_validates(
    stream: workloads.Workload, blocks: list[Any], validate: bool
) -> None:
    wrong = blocks[0].copy(header=blocks[0].header.copy(gas_used=1))
    imports = one_by_one(stream.open(), [wrong], validate)
    if validate:
        with pytest.raises(ValidationError):
            list(imports)
    else:
        assert [done.imported_block for done in imports] == blocks[:1]
