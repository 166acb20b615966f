"""Blocks in a stream: the next one is read ahead, and nothing else differs from a loop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import rlp.codec
from eth.abc import BlockAPI
from eth_utils.exceptions import ValidationError

from parallel_evm import (
    BlockReport,
    ConfigurationError,
    ParallelConfig,
    close,
    import_blocks,
    parallelize,
)
from parallel_evm.bench.timing import encoded_block
from parallel_evm.engine import engine_of
from parallel_evm.rlp_objects import changed
from parallel_evm.workers import shared
from parallel_evm.workers.reader import ReadingProcess
from parallel_evm.workloads import Workload, build

BLOCKS = 5
TRANSACTIONS = 24


@pytest.fixture(scope="module")
def workload() -> Workload:
    return build("erc20", transactions=TRANSACTIONS, blocks=BLOCKS)


@pytest.fixture(scope="module")
def built(workload: Workload) -> list[bytes]:
    """The blocks, as stock py-evm makes them."""
    chain = workload.open()
    made = [chain.mine_all(sent)[0].imported_block for sent in workload.blocks]
    return [encoded_block(block) for block in made]


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Who reads for these chains reads for nobody else."""
    monkeypatch.setattr(shared, "_reading", {})
    monkeypatch.setattr("parallel_evm.workers.reader._RECOVERY_SECONDS", 1.0)  # let nobody be late
    yield
    close()


def decoded(workload: Workload, built: list[bytes]) -> list[Any]:
    """New objects, which know nothing."""
    block_class = workload.open().get_vm().get_block_class()
    return [rlp.codec.decode(block, sedes=block_class) for block in built]


def chain_of(workload: Workload, reports: list[BlockReport], **settings: Any) -> Any:
    settings = {"workers": 2, "backend": "auto", **settings}
    config = ParallelConfig(on_block=reports.append, **settings)
    return workload.open(parallelize(workload.chain_class, config=config))


def reading() -> ReadingProcess:
    (process,) = shared._reading.values()
    return process


@pytest.mark.parametrize("backend", ("auto", "process"))
def test_every_block_but_the_first_is_read_ahead(
    workload: Workload, built: list[bytes], backend: str
) -> None:
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    imported = import_blocks(chain_of(workload, reports, backend=backend), iter(blocks))
    assert [done.imported_block.hash for done in imported] == [block.hash for block in blocks]
    assert [report.read_ahead for report in reports] == [False] + [True] * (BLOCKS - 1)
    assert all(report.fallback is None for report in reports)
    assert reading().cpu > 0
    assert sum(report.worker_cpu_seconds for report in reports) >= reading().cpu


def test_what_was_read_is_what_would_have_been_found(
    workload: Workload, built: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody recovers a sender here after the first block, and nobody makes the list."""
    monkeypatch.setattr("parallel_evm.block.senders.recover_sender", refused)
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    for sent in blocks[0].transactions:
        assert sent.sender
    monkeypatch.setattr("parallel_evm.speculation.senders._recover", refused)
    chain = chain_of(workload, reports)
    imports = import_blocks(chain, blocks)
    next(imports)
    monkeypatch.setattr("parallel_evm.assembly.listed", refused)
    for block, done in zip(blocks[1:], imports, strict=True):
        assert done.imported_block.hash == block.hash
        for index, sent in enumerate(block.transactions):
            assert chain.get_canonical_transaction(sent.hash) == sent
            assert chain.get_canonical_transaction_index(sent.hash) == (block.number, index)
    assert all(report.read_ahead for report in reports[1:])


def refused(*arguments: Any) -> Any:
    raise AssertionError("somebody has done that already")


@pytest.mark.parametrize(
    "settings",
    (
        {"workers": 1},
        {"backend": "serial"},
        {"backend": "thread"},
        {"overlap": False},
    ),
    ids=str,
)
def test_where_nobody_reads_ahead(
    workload: Workload, built: list[bytes], settings: dict[str, Any]
) -> None:
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    imported = import_blocks(chain_of(workload, reports, **settings), blocks)
    assert [done.imported_block.hash for done in imported] == [block.hash for block in blocks]
    assert not any(report.read_ahead for report in reports)
    assert shared._reading == {}


def test_a_block_is_imported_when_its_result_is_asked_for(
    workload: Workload, built: list[bytes]
) -> None:
    taken: list[int] = []

    def coming() -> Iterator[Any]:
        for block in decoded(workload, built):
            taken.append(block.number)
            yield block

    chain = chain_of(workload, [])
    imports = import_blocks(chain, coming())
    assert taken == []
    for number in range(1, BLOCKS + 1):
        assert next(imports).imported_block.number == number
        assert chain.get_canonical_head().block_number == number
        assert taken == list(range(1, min(number + 1, BLOCKS) + 1))
    assert list(imports) == []


def test_no_blocks(workload: Workload) -> None:
    assert list(import_blocks(chain_of(workload, []), [])) == []


def test_a_block_that_is_refused_is_refused_in_its_turn(
    workload: Workload, built: list[bytes]
) -> None:
    """And may be imported as it should be afterwards."""
    blocks = decoded(workload, built)
    wrong = decoded(workload, built)[2]
    wrong = changed(wrong, header=changed(wrong.header, gas_used=wrong.header.gas_used + 1))
    stock = workload.open()
    for block in decoded(workload, built)[:2]:
        stock.import_block(block)
    with pytest.raises(ValidationError) as expected:
        stock.import_block(wrong)

    chain = chain_of(workload, [])
    imports = import_blocks(chain, [*blocks[:2], wrong, *blocks[3:]])
    assert [next(imports).imported_block.number for _ in range(2)] == [1, 2]
    with pytest.raises(ValidationError) as found:
        next(imports)
    assert str(found.value) == str(expected.value)
    assert chain.get_canonical_head() == blocks[1].header
    rest = [done.imported_block.hash for done in import_blocks(chain, blocks[2:])]
    assert rest == [block.hash for block in blocks[2:]]


def test_blocks_that_fail_to_come_fail_after_those_before_them(
    workload: Workload, built: list[bytes]
) -> None:
    def coming() -> Iterator[BlockAPI]:
        yield from decoded(workload, built)[:2]
        raise OSError("the disk is gone")

    chain = chain_of(workload, [])
    imports = import_blocks(chain, coming())
    assert [next(imports).imported_block.number for _ in range(2)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(imports)
    assert chain.get_canonical_head().block_number == 2


def test_what_is_no_block_is_refused_by_the_chain(workload: Workload, built: list[bytes]) -> None:
    nonsense: Any = "a block"
    imports = import_blocks(chain_of(workload, []), [decoded(workload, built)[0], nonsense])
    next(imports)
    with pytest.raises(AttributeError):
        next(imports)


def test_a_chain_that_is_not_parallel_is_refused_at_once(workload: Workload) -> None:
    with pytest.raises(ConfigurationError, match="no chain class that was parallelized"):
        import_blocks(workload.open(), [])


def test_blocks_of_two_chains_in_turn(workload: Workload, built: list[bytes]) -> None:
    """They share who reads: one of them may go without, and gets what is its own."""
    reports: list[BlockReport] = []
    chains = [chain_of(workload, reports) for _ in range(2)]
    streams = [import_blocks(chain, decoded(workload, built)) for chain in chains]
    for one, other in zip(*streams, strict=True):
        assert one.imported_block.hash == other.imported_block.hash
    assert any(report.read_ahead for report in reports)


def test_another_block_in_between(workload: Workload, built: list[bytes]) -> None:
    """Somebody imports the announced block himself, from other objects."""
    reports: list[BlockReport] = []
    chain = chain_of(workload, reports)
    imports = import_blocks(chain, decoded(workload, built))
    next(imports)
    chain.import_block(decoded(workload, built)[1])
    assert [done.imported_block.number for done in imports] == list(range(2, BLOCKS + 1))
    assert chain.get_canonical_head().block_number == BLOCKS


def test_a_reader_that_is_killed_is_replaced(workload: Workload, built: list[bytes]) -> None:
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    imports = import_blocks(chain_of(workload, reports), blocks)
    next(imports)
    next(imports)
    os.kill(reading().pids[0], signal.SIGKILL)
    assert [done.imported_block.hash for done in imports] == [b.hash for b in blocks[2:]]
    assert not all(report.read_ahead for report in reports[1:])
    assert reports[-1].read_ahead


@pytest.mark.slow
def test_a_reader_that_hangs_holds_nobody_up(
    workload: Workload, built: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parallel_evm.workers.reader._RECOVERY_SECONDS", 0.00006)
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    imports = import_blocks(chain_of(workload, reports), blocks)
    next(imports)
    os.kill(reading().pids[0], signal.SIGSTOP)
    assert [done.imported_block.hash for done in imports] == [b.hash for b in blocks[1:]]
    assert not any(report.read_ahead for report in reports[2:])
    assert sum(report.phases.senders for report in reports) < 5


LIES: dict[str, Any] = {
    "nothing": None,
    "a number": 5,
    "other senders than asked for": ([bytes(20)], [], b"", {}),
    "senders that are none": ([b"x"] * TRANSACTIONS, [], b"", {}),
    "hashes that are none": ([None] * TRANSACTIONS, [b"x"] * TRANSACTIONS, b"", {}),
    "hashes of other transactions": ([None] * TRANSACTIONS, [bytes(32)], bytes(32), {}),
    "nodes that are none": ([None] * TRANSACTIONS, [], bytes(32), {b"x": b""}),
}


@pytest.mark.parametrize("lie", LIES)
def test_nonsense_is_not_believed(
    workload: Workload, built: list[bytes], monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    """Told by a process that is a copy of this one."""
    monkeypatch.setattr(ReadingProcess, "fill", staticmethod(lambda order: LIES[lie]))
    blocks = decoded(workload, built)
    imports = import_blocks(chain_of(workload, []), blocks)
    assert [done.imported_block.hash for done in imports] == [block.hash for block in blocks]


def test_the_process_ends_with_the_others(workload: Workload, built: list[bytes]) -> None:
    list(import_blocks(chain_of(workload, []), decoded(workload, built)))
    (pid,) = reading().pids
    close()
    assert reading().pids == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_engine_of_a_chain_is_that_of_its_class(workload: Workload) -> None:
    chain = chain_of(workload, [])
    assert engine_of(chain) is engine_of(type(chain))
