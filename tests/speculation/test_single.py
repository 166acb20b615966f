"""What is asked of a parallelized chain outside of blocks: the same answers, by translated code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.state import PragueState
from eth.vm.spoof import SpoofTransaction

from parallel_evm import ParallelConfig, parallelize
from parallel_evm.conformance.fuzz import try_block
from parallel_evm.conformance.parallel import Parallel
from parallel_evm.conformance.scenario import scenario
from parallel_evm.forks import since
from parallel_evm.speculation.single import SingleState, natively
from parallel_evm.workloads import Workload, build
from tests.strategies import assemble, mostly_slow, outcome_of

SERIAL = ParallelConfig(backend="serial", translation_cache=False)
WITHOUT_END = 10**9


def both(workload: Workload, **options: Any) -> tuple[Any, Any]:
    config = replace(SERIAL, **options)
    return workload.open(parallelize(workload.chain_class, config=config)), workload.open()


def tree_of(computation: Any) -> tuple[Any, ...]:
    """What can be seen of a computation, and of those that it called."""
    return (
        *outcome_of(computation),
        computation.msg.depth,
        computation.msg.storage_address,
        bytes(computation.msg.data),
        [tree_of(child) for child in computation.children],
    )


def answer(ask: Any, *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except Exception as error:
        return type(error), error.args


def estimated(chain: Any, transaction: Any) -> Any:
    return chain.estimate_gas(transaction, chain.get_canonical_head())


def called(chain: Any, transaction: Any) -> Any:
    with chain.get_vm().in_costless_state() as state:
        return tree_of(state.apply_transaction(SpoofTransaction(transaction, gas_price=0)))


@pytest.mark.parametrize("fork", mostly_slow(since("london"), "london", "prague"))
def test_a_block_built_one_by_one_runs_translated_to_the_same_end(fork: str) -> None:
    workload = build("swaps", transactions=8, accounts=6, fork=fork)
    ours, stock = both(workload)
    for transaction in workload.blocks[0]:
        block, receipt, computation = ours.apply_transaction(transaction)
        expected, its_receipt, its_computation = stock.apply_transaction(transaction)
        assert hasattr(computation, "programs")  # else py-evm's own loop ran it
        assert tree_of(computation) == tree_of(its_computation)
        assert receipt.encode() == its_receipt.encode()
        assert block.header == expected.header
    assert ours.mine_block().hash == stock.mine_block().hash


@pytest.mark.parametrize("name", mostly_slow(["swaps", "lending", "governance"], "lending"))
def test_calls_and_estimates(name: str) -> None:
    workload = build(name, transactions=10, accounts=6)
    ours, stock = both(workload)
    for transaction in workload.blocks[0]:
        free: list[Any] = [transaction]
        free += [
            SpoofTransaction(transaction, data=data, gas=gas)
            for data in (transaction.data[:-32], transaction.data[:4], b"\xff\xff\xff\xff")
            for gas in (30_000, 300_000)
        ]
        for asked in free:
            for ask in (estimated, called):
                assert answer(ask, ours, asked) == answer(ask, stock, asked)
    # None of it left anything behind.
    mined, *_ = ours.mine_all(workload.blocks[0])
    assert mined.imported_block.hash == stock.mine_all(workload.blocks[0])[0].imported_block.hash


def _agrees(index: int, caplog: pytest.LogCaptureFixture) -> None:
    subject = Parallel(workers=1, backend="serial", min_transactions=WITHOUT_END)
    trial = try_block(scenario(17, index), subject)
    assert trial.differences == ()
    assert "Translated code failed" not in caplog.text


@pytest.mark.parametrize("index", mostly_slow(range(40), *range(10)))
def test_random_blocks_in_py_evms_loop(index: int, caplog: pytest.LogCaptureFixture) -> None:
    _agrees(index, caplog)


@pytest.mark.slow
@pytest.mark.parametrize("tens", range(40))
def test_many_random_blocks_in_py_evms_loop(tens: int, caplog: pytest.LogCaptureFixture) -> None:
    for index in range(100 + 10 * tens, 110 + 10 * tens):
        _agrees(index, caplog)


def test_bytecode_that_is_executed_without_a_transaction() -> None:
    """``VM.execute_bytecode``, again and again, until it is translated."""
    workload = build("erc20", transactions=1, accounts=3)
    # Adds up the numbers up to the first word of the data, stores and returns the sum.
    code = assemble(
        0, 0, "CALLDATALOAD", "loop:", "DUP1", "ISZERO", "@end", "JUMPI",
        "DUP1", "SWAP2", "ADD", "SWAP1", 1, "SWAP1", "SUB", "@loop", "JUMP",
        "end:", "POP", "DUP1", 7, "SSTORE", 0, "MSTORE", 32, 0, "RETURN",
    )  # fmt: skip
    seen = []
    for chain in both(workload):
        vm = chain.get_vm()
        runs = []
        for number in range(120):
            computation = vm.execute_bytecode(
                origin=b"\x01" * 20,
                gas_price=1,
                gas=100_000 if number % 9 else 900,
                to=b"\x02" * 20,
                sender=b"\x01" * 20,
                value=0,
                data=(number % 40).to_bytes(32, "big"),
                code=code,
            )
            runs.append(tree_of(computation))
        seen.append((runs, vm.state.get_storage(b"\x02" * 20, 7)))
    assert seen[0] == seen[1]
    assert {run[0] for run in seen[0][0]} == {True, False}


def test_what_goes_wrong_in_translated_code_is_run_by_py_evm_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workload = build("erc20", transactions=4, accounts=6)
    ours, stock = both(workload)
    computation_class = ours.get_vm().state.computation_class
    broken = []

    def breaks(cls: Any, state: Any, message: Any, *_: Any) -> Any:
        state._account_db.set_balance(message.sender, 7)  # in the middle of something
        broken.append(message)
        raise LookupError("a bug of ours")

    monkeypatch.setattr(computation_class, "apply_computation", classmethod(breaks))
    for transaction in workload.blocks[0]:
        block, _, computation = ours.apply_transaction(transaction)
        expected, _, its_computation = stock.apply_transaction(transaction)
        assert tree_of(computation) == tree_of(its_computation)
        assert block.header == expected.header
    assert len(broken) == 4
    assert [record.getMessage().count("a bug of ours") for record in caplog.records] == [1] * 4


def test_py_evm_has_the_last_word_in_blocks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = build("erc20", transactions=4, accounts=6)
    ours, stock = both(workload)
    computation_class = ours.get_vm().state.computation_class

    broken = []

    def breaks(cls: Any, state: Any, message: Any, *_: Any) -> Any:
        broken.append(message)
        raise LookupError("a bug of ours")

    monkeypatch.setattr(computation_class, "apply_computation", classmethod(breaks))
    mined, *_ = ours.mine_all(workload.blocks[0])
    assert mined.imported_block.hash == stock.mine_all(workload.blocks[0])[0].imported_block.hash
    assert len(broken) == 4


def test_natively_is_for_as_long_as_it_says() -> None:
    ours, stock = both(build("erc20", transactions=1, fork="prague"))
    state = ours.get_vm().state
    translated, native = state.computation_class, PragueState.computation_class
    assert translated is not native
    with natively(state):
        assert state.computation_class is native
        with natively(state):
            assert state.computation_class is native
        assert state.computation_class is native
    assert state.computation_class is translated
    with natively(stock.get_vm().state):
        pass  # it is so in any case


def test_switched_off_and_customised_states_are_left_alone() -> None:
    def state_of(vm_class: Any, **options: Any) -> Any:
        return parallelize(vm_class, config=replace(SERIAL, **options)).get_state_class()

    assert issubclass(state_of(PragueVM), SingleState)
    untranslated = state_of(PragueVM, translate=False)
    assert not hasattr(untranslated.computation_class, "programs")
    plain = state_of(PragueVM, direct=False)
    assert not issubclass(plain, SingleState)
    assert plain.computation_class is PragueState.computation_class

    class Own(PragueState):
        def get_nonce(self, address: Any) -> int:
            return super().get_nonce(address)

    class OwnVM(PragueVM):
        _state_class = Own

    assert not issubclass(state_of(OwnVM), SingleState)


def test_snapshots_are_py_evms() -> None:
    roots = []
    for chain in both(build("erc20", transactions=1, fork="prague")):
        state, address = chain.get_vm().state, b"\x77" * 20
        outer = state.snapshot()
        assert outer[0] == state.state_root
        state.set_balance(address, 5)
        inner = state.snapshot()
        state.set_balance(address, 6)
        state.set_transient_storage(address, 1, b"\x01")
        state.revert(inner)
        assert state.get_balance(address) == 5
        assert not state.get_transient_storage(address, 1)
        state.commit(outer)
        roots.append(state.make_state_root())
    assert roots[0] == roots[1]
