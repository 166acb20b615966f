"""A block built one transaction at a time: what stock py-evm builds, in steps that do not grow."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from eth.chains.base import MiningChain
from eth.db.chain import ChainDB
from eth.vm.forks.cancun.blocks import CancunBlock
from eth_utils.exceptions import ValidationError

from parallel_evm import ConfigurationError, ParallelConfig, parallelize, workloads
from parallel_evm.merkle.index import add_to_index_trie, index_trie
from tests.strategies import mostly_slow

FORKS = ("frontier", "spurious-dragon", "byzantium", "berlin", "london", "shanghai", "prague")


def parallel(workload: Any, **options: Any) -> Any:
    config = ParallelConfig(backend="serial", **options)
    return workload.open(parallelize(workload.chain_class, config=config))


def told(step: Any) -> tuple[Any, ...]:
    """Everything that a caller of apply_transaction can look at."""
    block, receipt, computation = step
    return (
        type(block).__name__,
        block.header.as_dict(),
        [(type(sent), sent.encode()) for sent in block.transactions],
        block.uncles,
        getattr(block, "withdrawals", None),
        receipt.encode(),
        computation.output,
        computation.is_error,
        computation.get_gas_used(),
    )


def same_steps(ours: Any, stock: Any, transactions: Any) -> None:
    for transaction in transactions:
        assert told(ours.apply_transaction(transaction)) == told(
            stock.apply_transaction(transaction)
        )
        assert ours.header == stock.header


def same_block(ours: Any, stock: Any) -> None:
    """The pending block, mined; withdrawals and rewards included."""
    mined, expected = ours.mine_block(), stock.mine_block()
    assert mined.hash == expected.hash
    assert [t.encode() for t in mined.transactions] == [t.encode() for t in expected.transactions]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The pending blocks that were read from a database."""
    noted: list[Any] = []
    read: Callable[..., Any] = ChainDB._get_block_transactions

    def noting(self: Any, root: Any, decoder: Any) -> Any:
        noted.append(root)
        return read(self, root, decoder)

    monkeypatch.setattr(ChainDB, "_get_block_transactions", noting)
    return noted


@pytest.mark.parametrize("fork", mostly_slow(FORKS, FORKS[0], FORKS[-1]))
def test_every_step_is_py_evms(fork: str) -> None:
    workload = workloads.build("transfers", transactions=20, accounts=6, blocks=2, fork=fork)
    ours, stock = parallel(workload), workload.open()
    for transactions in workload.blocks:
        same_steps(ours, stock, transactions)
        same_block(ours, stock)


def test_contracts_too() -> None:
    workload = workloads.build("erc20", transactions=12, accounts=6)
    ours, stock = parallel(workload), workload.open()
    same_steps(ours, stock, workload.blocks[0])
    same_block(ours, stock)


def test_the_block_so_far_is_read_once(reads: list[Any]) -> None:
    workload = workloads.build("transfers", transactions=30, accounts=6)
    ours = parallel(workload)
    for transaction in workload.blocks[0]:
        ours.apply_transaction(transaction)
    assert len(reads) == 1


def test_switched_off_it_is_read_at_every_step(reads: list[Any]) -> None:
    workload = workloads.build("transfers", transactions=6, accounts=6)
    same_steps(parallel(workload, incremental=False), workload.open(), workload.blocks[0])
    assert len(reads) == 12
    reads.clear()
    once_more = parallelize(
        type(parallel(workload)), config=ParallelConfig(backend="serial", incremental=False)
    )
    same_steps(workload.open(once_more), workload.open(), workload.blocks[0])
    assert len(reads) == 12


def test_another_chain_object_goes_on_from_the_database() -> None:
    workload = workloads.build("transfers", transactions=12, accounts=6)
    ours, stock = parallel(workload), workload.open()
    first, second = workload.blocks[0][:7], workload.blocks[0][7:]
    same_steps(ours, stock, first)
    other = workload.chain_class(ours.chaindb.db, ours.header)
    same_steps(other, stock, second)
    same_block(other, stock)


def test_a_refused_transaction_changes_nothing() -> None:
    workload = workloads.build("transfers", transactions=8, accounts=2)
    ours, stock = parallel(workload), workload.open()
    first, *rest = workload.blocks[0]
    same_steps(ours, stock, [first])
    for chain in (ours, stock):
        with pytest.raises(ValidationError):
            chain.apply_transaction(first)
    same_steps(ours, stock, rest)
    same_block(ours, stock)


def test_a_header_that_was_changed_or_put_back() -> None:
    workload = workloads.build("transfers", transactions=9, accounts=9)
    ours, stock = parallel(workload), workload.open()
    start, transactions = ours.header, workload.blocks[0]
    same_steps(ours, stock, transactions[:3])
    for chain in (ours, stock):
        chain.set_header_timestamp(chain.header.timestamp + 5)
    same_steps(ours, stock, transactions[3:6])
    for chain in (ours, stock):
        chain.header = start
    same_steps(ours, stock, transactions)
    same_block(ours, stock)


def test_transactions_of_another_forks_class_come_back_as_py_evm_reads_them() -> None:
    workload = workloads.build("transfers", transactions=6, accounts=6, fork="cancun")
    older = workloads.build("transfers", transactions=6, accounts=6, fork="london")
    # The same keys and nonces, but objects of London's classes.
    assert type(older.blocks[0][0]) is not type(workload.blocks[0][0])
    ours, stock = parallel(workload), workload.open()
    same_steps(ours, stock, older.blocks[0])
    same_block(ours, stock)


def test_what_is_customised_runs_as_it_is() -> None:
    workload = workloads.build("transfers", transactions=4, accounts=6)
    called = []

    class Own(workload.chain_class):  # type: ignore[misc, name-defined]
        def apply_transaction(self, transaction: Any) -> Any:
            called.append(transaction)
            return super().apply_transaction(transaction)

    class OwnBlock(CancunBlock):
        pass

    ours = workload.open(parallelize(Own, config=ParallelConfig(backend="serial")))
    same_steps(ours, workload.open(), workload.blocks[0])
    assert called == list(workload.blocks[0])

    (_, vm_class), *_ = workload.chain_class.vm_configuration
    own = workload.chain_class.configure(
        vm_configuration=((0, vm_class.configure(block_class=OwnBlock)),)
    )
    ours = workload.open(parallelize(own, config=ParallelConfig(backend="serial")))
    block, *_ = ours.apply_transaction(workload.blocks[0][0])
    assert type(block) is OwnBlock
    assert ours._pending is None


def test_a_chain_that_does_not_mine_gets_no_such_method() -> None:
    from eth.chains.base import Chain

    workload = workloads.build("transfers", transactions=1, accounts=2)
    plain = Chain.configure(vm_configuration=workload.chain_class.vm_configuration, chain_id=1337)
    assert not hasattr(parallelize(plain), "apply_transaction")
    assert issubclass(workload.chain_class, MiningChain)


@pytest.mark.parametrize("count", (1, 2, 127, 128, 129, 255, 256, 257))
def test_a_trie_with_one_more_item(count: int) -> None:
    items = [b"item %d " % index * 9 for index in range(count + 1)]
    before = index_trie(items[:-1])
    found = add_to_index_trie(before.nodes.__getitem__, before.root, count, items[-1])
    after = index_trie(items)
    assert found.root == after.root
    assert {**before.nodes, **found.nodes}.items() >= after.nodes.items()
    assert len(found.nodes) < 8


def test_the_switch_is_checked() -> None:
    wrong: Any = "yes"
    with pytest.raises(ConfigurationError, match="incremental"):
        ParallelConfig(incremental=wrong)


@pytest.mark.slow
def test_the_last_steps_of_four_hundred_cost_what_the_first_do() -> None:
    workload = workloads.build("transfers", transactions=400, accounts=100)
    chain, seconds = parallel(workload), []
    for transaction in workload.blocks[0]:
        started = time.perf_counter()
        chain.apply_transaction(transaction)
        seconds.append(time.perf_counter() - started)
    assert statistics.median(seconds[-50:]) < 3 * statistics.median(seconds[1:51])
