"""The seam: what `parallelize` takes and returns, customised VMs, pools, chains and threads."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import resource
import sys
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from eth.chains.base import Chain, MiningChain
from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.exceptions import VMError
from eth.vm.forks.shanghai import ShanghaiVM
from eth.vm.forks.shanghai.computation import ShanghaiComputation
from eth.vm.forks.shanghai.state import ShanghaiState, ShanghaiTransactionExecutor
from eth.vm.opcode import as_opcode
from eth_utils import ValidationError

from parallel_evm import BlockReport, ParallelConfig, close, parallelize
from parallel_evm.scheduling.forecast import Forecast
from parallel_evm.scheduling.hot import HotPlan, HotSlotBook
from parallel_evm.vm import ParallelVM
from parallel_evm.workers.process import ProcessPool
from parallel_evm.workers.session import CannotServe
from parallel_evm.workers.shared import pool, pool_for
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    CONTRACTS,
    GHOST,
    IN_PLACE,
    SENDERS,
    A,
    Act,
    Laid,
    Mined,
    Pen,
    Refused,
    account,
    assemble,
    cold,
    mine,
    mostly_slow,
    open_chain,
    parallel,
    state_of,
    words,
)

SHANGHAI = fork("shanghai")
COINBASE = b"\xcb" * 20
# Six lanes, so that everything that depends on something was speculated without it.
LANES = (0, 1, 2, 0, 1, 2)


#
# What it takes
#
@pytest.mark.parametrize(
    "target",
    [
        None,
        3,
        "CancunVM",
        object,
        dict,
        MiningChain,  # not configured
        ShanghaiState,
        lambda: None,
        open_chain(SHANGHAI.chain_class, {}),
        open_chain(SHANGHAI.chain_class, {}).get_vm(),
    ],
    ids=lambda target: getattr(target, "__name__", type(target).__name__),
)
def test_what_is_no_chain_and_no_vm_is_a_type_error(target: Any) -> None:
    with pytest.raises(TypeError) as raised:
        parallelize(target)
    assert "parallelize" in str(raised.value)


def test_an_instance_is_told_to_be_a_class() -> None:
    with pytest.raises(TypeError, match="before it is instantiated"):
        parallelize(open_chain(SHANGHAI.chain_class, {}))


def test_config_and_its_abbreviations_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="either config or workers"):
        parallelize(ShanghaiVM, workers=2, config=ParallelConfig())
    with pytest.raises(TypeError, match="either config or workers"):
        parallelize(ShanghaiVM, backend="serial", config=ParallelConfig())
    with pytest.raises(TypeError, match="must be a ParallelConfig"):
        parallelize(ShanghaiVM, config={"workers": 2})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ParallelConfig\.workers"):
        parallelize(ShanghaiVM, workers=0)


def test_it_returns_a_subclass_that_goes_by_the_same_name() -> None:
    made = parallelize(ShanghaiVM, workers=1, backend="serial")
    assert issubclass(made, ShanghaiVM)
    assert (made.__name__, made.fork) == ("ShanghaiVM", "shanghai")
    chain_class = parallelize(SHANGHAI.chain_class, workers=1, backend="serial")
    assert issubclass(chain_class, SHANGHAI.chain_class)
    assert issubclass(chain_class, MiningChain)
    assert all(issubclass(vm, ParallelVM) for _, vm in chain_class.vm_configuration)
    # The class it was made from is what it was.
    assert not any(issubclass(vm, ParallelVM) for _, vm in SHANGHAI.chain_class.vm_configuration)


def test_a_chain_that_cannot_mine_imports_in_parallel() -> None:
    plain = Chain.configure(
        vm_configuration=SHANGHAI.chain_class.vm_configuration,
        chain_id=SHANGHAI.chain_class.chain_id,
    )
    reports: list[BlockReport] = []
    stock = open_chain(SHANGHAI.chain_class, state_of("shanghai"))
    ours = open_chain(parallel(plain, reports), state_of("shanghai"))
    block = stock.mine_all(_signed(stock, _acts()))[0].imported_block
    assert ours.import_block(block).imported_block == block
    assert [report.fallback for report in reports] == [None]


def test_every_fork_of_a_chain_is_wrapped_and_each_once() -> None:
    byzantium, paris = fork("byzantium").vm_class, fork("paris").vm_class
    chain_class = MiningChain.configure(
        __name__="ManyForks",
        vm_configuration=((0, byzantium), (2, paris), (5, byzantium)),
        chain_id=1337,
    )
    made = parallelize(chain_class, workers=1, backend="serial")
    (_, first), (_, second), (_, third) = made.vm_configuration
    assert first is third
    assert issubclass(second, paris)


def test_blocks_across_a_fork() -> None:
    shanghai, cancun = fork("shanghai").vm_class, fork("cancun").vm_class
    chain_class = MiningChain.configure(
        __name__="Forking", vm_configuration=((0, shanghai), (2, cancun)), chain_id=1337
    )
    reports: list[BlockReport] = []
    stock = open_chain(chain_class, state_of("shanghai"))
    ours = open_chain(parallel(chain_class, reports, lanes=LANES), state_of("shanghai"))
    for name in ("shanghai", "cancun", "cancun"):
        transactions = [
            Pen(fork(name), stock).sign(act)
            for act in (Act(n, CONTRACTS["suicide" if n % 2 else "counter"]) for n in range(6))
        ]
        assert mine(ours, transactions) == mine(stock, transactions)
    assert [report.fallback for report in reports] == [None] * 3


#
# Customised VMs
#
def _acts() -> list[Act]:
    custom = b"\xdc" * 20
    return [
        Act(0, CONTRACTS["counter"]),
        Act(1, custom, data=words(1)),
        Act(2, CONTRACTS["counter"]),
        Act(3, custom, data=words(2)),
        Act(4, CONTRACTS["payer"], data=words(custom, 3)),
        Act(5, custom, data=words(3)),
    ]


# Opcode 0x0c if there is one (else it fails), and the precompile at 0xff if there is one.
CUSTOM_CODE = (
    assemble(32, 0, 0, 0, 0, 0xFF, "GAS", "CALL", "POP", 0, "MLOAD", *A, "SSTORE")
    + b"\x0c"
    + assemble(9, "SSTORE")
)


def _signed(chain: Any, acts: list[Act]) -> list[Any]:
    pen = Pen(SHANGHAI, chain)
    return [pen.sign(act) for act in acts]


def own_opcode() -> type[ShanghaiVM]:
    """One opcode more: the caller's balance, plus the code size of whoever it is."""

    def wealth(computation: Any) -> None:
        computation.stack_push_int(computation.state.get_balance(computation.msg.sender))

    opcode = as_opcode(gas_cost=7, logic_fn=wealth, mnemonic="WEALTH")

    class Computation(ShanghaiComputation):
        opcodes: ClassVar = {**ShanghaiComputation.opcodes, 0x0C: opcode}

    class State(ShanghaiState):
        computation_class = Computation

    return ShanghaiVM.configure(_state_class=State)


def own_precompile() -> type[ShanghaiVM]:
    """A precompile that reads and writes state, by py-evm's own interface."""

    def piggy_bank(computation: Any) -> Any:
        state, here = computation.state, computation.msg.storage_address
        computation.consume_gas(1_000, reason="piggy bank")
        count = state.get_storage(here, 0) + 1
        state.set_storage(here, 0, count)
        computation.output = count.to_bytes(32, "big")
        return computation

    class Computation(ShanghaiComputation):
        _precompiles: ClassVar = {
            **ShanghaiComputation._precompiles,
            bytes(19) + b"\xff": piggy_bank,
        }

    class State(ShanghaiState):
        computation_class = Computation

    return ShanghaiVM.configure(_state_class=State)


def failing_precompile() -> type[ShanghaiVM]:
    """A precompile whose error is of a class that only its author can pickle."""

    class Broke(VMError):
        pass

    def broken(computation: Any) -> Any:
        raise Broke("piggy bank", computation.state.get_balance(SENDERS[0]))

    class Computation(ShanghaiComputation):
        _precompiles: ClassVar = {
            **ShanghaiComputation._precompiles,
            bytes(19) + b"\xff": broken,
            b"\xdc" * 20: broken,
        }

    class State(ShanghaiState):
        computation_class = Computation

    return ShanghaiVM.configure(_state_class=State)


def own_executor() -> type[ShanghaiVM]:
    """Half of the tip goes to a treasury, and the sender is warned in a slot of its own."""

    class Executor(ShanghaiTransactionExecutor):
        def finalize_computation(self, transaction: Any, computation: Any) -> Any:
            done = super().finalize_computation(transaction, computation)
            state = self.vm_state
            half = state.get_balance(state.coinbase) // 2
            state.delta_balance(state.coinbase, -half)
            state.delta_balance(GHOST, half)
            state.set_storage(GHOST, transaction.nonce, half)
            return done

    class State(ShanghaiState):
        transaction_executor_class = Executor

    return ShanghaiVM.configure(_state_class=State)


def own_call() -> type[ShanghaiVM]:
    """An executor that does something after everything else, as Cancun's does."""

    class Executor(ShanghaiTransactionExecutor):
        def __call__(self, transaction: Any) -> Any:
            computation = super().__call__(transaction)
            self.vm_state.delta_balance(GHOST, transaction.nonce + 1)
            return computation

    class State(ShanghaiState):
        transaction_executor_class = Executor

    return ShanghaiVM.configure(_state_class=State)


def own_fees() -> type[ShanghaiVM]:
    class State(ShanghaiState):
        def get_tip(self, transaction: Any) -> int:
            return self.get_nonce(transaction.sender) + self.get_balance(GHOST) % 7

        def get_gas_price(self, transaction: Any) -> int:
            return 7

    return ShanghaiVM.configure(_state_class=State)


def own_balances() -> type[ShanghaiVM]:
    """Everybody looks one wei richer than they are."""

    class State(ShanghaiState):
        def get_balance(self, address: Any) -> int:
            return super().get_balance(address) + 1

        def delta_balance(self, address: Any, delta: int) -> None:
            self.set_balance(address, super().get_balance(address) + delta)

    return ShanghaiVM.configure(_state_class=State)


def own_receipts() -> type[ShanghaiVM]:
    class OwnReceipts(ShanghaiVM):
        @classmethod
        def make_receipt(
            cls, base_header: Any, transaction: Any, computation: Any, state: Any
        ) -> Any:
            receipt = super().make_receipt(base_header, transaction, computation, state)
            return receipt.copy(gas_used=receipt.gas_used + len(computation.output) + 1)

    return OwnReceipts


def own_validation() -> type[ShanghaiVM]:
    class OwnValidation(ShanghaiVM):
        def validate_transaction_against_header(self, base_header: Any, transaction: Any) -> None:
            super().validate_transaction_against_header(base_header, transaction)
            if self.state.get_storage(CONTRACTS["counter"], 0) > 3:
                raise ValidationError("the counter has had enough")

    return OwnValidation


def state_roots_in_between() -> type[ShanghaiVM]:
    class Rooted(ShanghaiVM):
        def transaction_applied_hook(self, *_: Any) -> None:
            self.state.make_state_root()

    return Rooted


def own_rewards() -> type[ShanghaiVM]:
    class Rewarding(ShanghaiVM):
        def block_postprocessing(self, block: Any) -> Any:
            self.state.delta_balance(GHOST, 5)
            return super().block_postprocessing(block)

        @staticmethod
        def get_block_reward() -> int:
            return 17

    return Rewarding


def own_consensus() -> type[ShanghaiVM]:
    """Whoever mines is paid by the transaction."""

    class PaidByTransaction(ShanghaiVM):
        def _assign_block_rewards(self, block: Any) -> None:
            super()._assign_block_rewards(block)
            self.state.delta_balance(block.header.coinbase, len(block.transactions))

    return PaidByTransaction


def with_a_lock() -> type[ShanghaiVM]:
    """A state class that no pickle carries."""

    class State(ShanghaiState):
        lock = threading.Lock()

        def get_nonce(self, address: Any) -> int:
            with self.lock:
                return super().get_nonce(address)

    return ShanghaiVM.configure(_state_class=State)


CUSTOM = {
    made.__name__: made
    for made in (
        own_opcode,
        own_precompile,
        failing_precompile,
        own_executor,
        own_call,
        own_fees,
        own_balances,
        own_receipts,
        own_validation,
        state_roots_in_between,
        own_rewards,
        own_consensus,
        with_a_lock,
    )
}


def _of(vm_class: Any) -> Any:
    """A chain of one VM class."""
    return MiningChain.configure(
        __name__="Custom", vm_configuration=((0, vm_class),), chain_id=1337
    )


def _state() -> dict[bytes, Any]:
    return {**state_of("shanghai"), b"\xdc" * 20: account(10, 1, CUSTOM_CODE)}


def _twice(chain_class: Any, acts: list[Act], coinbase: bytes = COINBASE) -> list[Any]:
    """Two blocks of these acts on a new chain."""
    chain = open_chain(chain_class, _state())
    return [mine(chain, _signed(chain, acts), coinbase=coinbase) for _ in range(2)]


@pytest.mark.parametrize(
    "backend", mostly_slow(["serial", "in place", "thread", "process"], "in place", "process")
)
@pytest.mark.parametrize("name", CUSTOM)
def test_customised_vms_give_what_they_give_sequentially(name: str, backend: str) -> None:
    chain_class = _of(CUSTOM[name]())
    reports: list[BlockReport] = []
    options: dict[str, Any] = {"backend": backend}
    if backend == "in place":
        options = IN_PLACE
    elif backend != "serial":
        options["lanes"] = LANES
    expected = _twice(chain_class, _acts())
    assert _twice(parallel(chain_class, reports, **options), _acts()) == expected
    if name == "own_validation":
        assert expected[0] == Refused("ValidationError", ("the counter has had enough",))
    elif name == "with_a_lock" and backend == "process":
        assert all("State cannot be sent to worker processes" in str(r.fallback) for r in reports)
    else:
        assert isinstance(expected[0], Mined)
        assert [report.fallback for report in reports] == [None, None]
        assert all(report.transactions for report in reports)


def test_a_hook_sees_headers_receipts_and_outcomes_in_block_order() -> None:
    seen: list[Any] = []

    class Watched(ShanghaiVM):
        def transaction_applied_hook(
            self, index: int, transactions: Any, vm_header: Any, header: Any, computation: Any,
            receipt: Any,
        ) -> None:  # fmt: skip
            seen.append(
                (index, len(transactions), vm_header.gas_used, header.gas_used, header.bloom,
                 computation.is_success, computation.get_gas_used(), receipt.encode())
            )  # fmt: skip

    _twice(_of(Watched), _acts())
    expected = list(seen)
    seen.clear()
    _twice(parallel(_of(Watched), [], lanes=LANES), _acts())
    assert seen == expected
    assert len(seen) == 2 * len(_acts())


@pytest.mark.parametrize("name", ["apply_transaction", "apply_all_transactions"])
def test_a_vm_with_a_loop_of_its_own_falls_back_and_is_obeyed(name: str) -> None:
    called: list[str] = []
    stock = getattr(ShanghaiVM, name)

    def own(self: Any, *arguments: Any) -> Any:
        called.append(name)
        return stock(self, *arguments)

    vm_class = type("OwnLoop", (ShanghaiVM,), {name: own})
    reports: list[BlockReport] = []
    expected = _twice(_of(vm_class), _acts())
    times = len(called)
    assert _twice(parallel(_of(vm_class), reports), _acts()) == expected
    assert len(called) == 2 * times
    assert {report.fallback for report in reports} == {f"OwnLoop.{name} is customised"}
    assert all(report.executions == report.transaction_count for report in reports)


def test_a_customised_account_database_falls_back_and_is_used() -> None:
    opened: list[bytes] = []

    class OwnDatabase(AccountDB):
        def __init__(self, db: Any, state_root: Any) -> None:
            opened.append(state_root)
            super().__init__(db, state_root)

    class State(ShanghaiState):
        account_db_class = OwnDatabase

    chain_class = _of(ShanghaiVM.configure(_state_class=State))
    expected = _twice(chain_class, _acts())
    opened.clear()
    reports: list[BlockReport] = []
    assert _twice(parallel(chain_class, reports), _acts()) == expected
    assert opened
    assert {report.fallback for report in reports} == {
        "the state keeps its accounts in a customised database (OwnDatabase)"
    }


def test_too_few_transactions_fall_back() -> None:
    reports: list[BlockReport] = []
    acts = _acts()
    chain_class = parallel(SHANGHAI.chain_class, reports, min_transactions=7)
    assert _twice(chain_class, acts) == _twice(SHANGHAI.chain_class, acts)
    assert _twice(chain_class, [*acts, Act(6, GHOST)]) == _twice(
        SHANGHAI.chain_class, [*acts, Act(6, GHOST)]
    )
    few = "6 transactions, fewer than min_transactions (7)"
    assert [report.fallback for report in reports] == [few, few, None, None]


def test_empty_blocks() -> None:
    reports: list[BlockReport] = []
    assert _twice(parallel(SHANGHAI.chain_class, reports), []) == _twice(SHANGHAI.chain_class, [])
    assert all(report.transaction_count == 0 for report in reports)


#
# Wrapping what was wrapped, and subclassing it
#
def test_parallelizing_twice_leaves_one_engine_with_the_last_configuration() -> None:
    first: list[BlockReport] = []
    second: list[BlockReport] = []
    twice = parallel(parallel(SHANGHAI.chain_class, first), second, workers=3)
    assert _twice(twice, _acts()) == _twice(SHANGHAI.chain_class, _acts())
    assert first == []
    assert [report.workers for report in second] == [3, 3]


def _subclass(base: Any, **attributes: Any) -> Any:
    return type("Sub", (base,), attributes)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("what", ["state", "apply_transaction", "rewards"])
def test_a_subclass_of_a_parallel_vm_keeps_what_it_customises(what: str, again: bool) -> None:
    stock_apply = ShanghaiVM.apply_transaction

    def apply_transaction(self: Any, header: Any, transaction: Any) -> Any:
        self.state.delta_balance(GHOST, 1)
        return stock_apply(self, header, transaction)

    class State(ShanghaiState):
        def get_tip(self, transaction: Any) -> int:
            return 1

    attributes: dict[str, Any] = {
        "state": {"_state_class": State},
        "apply_transaction": {"apply_transaction": apply_transaction},
        "rewards": {"get_block_reward": staticmethod(lambda: 3)},
    }[what]
    expected = _twice(_of(_subclass(ShanghaiVM, **attributes)), _acts())
    reports: list[BlockReport] = []
    config = ParallelConfig(
        workers=2, backend="thread", min_transactions=1, on_block=reports.append
    )
    made = _of(_subclass(parallelize(ShanghaiVM, config=config), **attributes))
    if again:
        made = parallelize(made, config=config)
    assert _twice(made, _acts()) == expected
    assert len(reports) == 2
    falls_back = what == "apply_transaction" or (what == "state" and not again)
    assert all((report.fallback is not None) == falls_back for report in reports)


def test_configuring_a_parallel_chain_further() -> None:
    """`Configurable.configure` makes subclasses, too."""
    reports: list[BlockReport] = []
    made = parallel(SHANGHAI.chain_class, reports).configure(__name__="Named", chain_id=1337)
    assert _twice(made, _acts()) == _twice(SHANGHAI.chain_class, _acts())
    assert [report.fallback for report in reports] == [None, None]


#
# Reports
#
def test_the_report_of_a_block() -> None:
    reports: list[BlockReport] = []
    _twice(parallel(SHANGHAI.chain_class, reports, lanes=(0, 1, 1, 0, 1, 0)), _acts())
    for number, report in enumerate(reports, start=1):
        assert report.block_number == number
        assert report.backend == "thread"
        assert report.workers == 2
        assert report.transaction_count == len(report.transactions) == len(_acts())
        assert report.executions == sum(t.attempts for t in report.transactions)
        assert report.reexecutions == report.executions - len(_acts())
        third = report.transactions[2]
        assert third.attempts == 2
        assert third.worker is None
        assert [(str(c.key), c.writer) for c in third.conflicts] == [
            (f"slot:0x{CONTRACTS['counter'].hex()}:0x0", 0)
        ]
        counter = {k for k in third.writes if k.address == CONTRACTS["counter"]}
        assert {k.kind for k in counter} >= {"slot"}
        assert any(k.kind == "nonce" and k.address == SENDERS[2] for k in third.reads)
    import json

    assert json.loads(json.dumps(reports[0].to_dict()))["transactions"][2]["conflicts"]


def test_a_conflict_names_who_wrote_last_wherever_that_ran() -> None:
    reports: list[BlockReport] = []
    acts = [Act(n, CONTRACTS["counter"]) for n in range(3)]
    chain_class = parallel(SHANGHAI.chain_class, reports, lanes=(0, 1, 2))
    assert _twice(chain_class, acts) == _twice(SHANGHAI.chain_class, acts)
    for report in reports:
        writers = [{c.writer for c in t.conflicts} for t in report.transactions]
        assert writers == [set(), {0}, {1}]  # the second one ran again here


def test_what_a_listener_raises_is_raised_and_the_chain_goes_on() -> None:
    class Full(Exception):
        pass

    angry = True

    def listen(report: BlockReport) -> None:
        if angry:
            raise Full

    chain_class = parallelize(
        SHANGHAI.chain_class,
        config=ParallelConfig(workers=2, backend="thread", min_transactions=1, on_block=listen),
    )
    stock, ours = (open_chain(c, _state()) for c in (SHANGHAI.chain_class, chain_class))
    transactions = _signed(stock, _acts())
    with pytest.raises(Full):
        ours.mine_all(transactions)
    angry = False
    assert mine(ours, transactions) == mine(stock, transactions)


#
# Pools
#
@pytest.fixture
def clean() -> Iterator[None]:
    close()
    yield
    close()
    assert multiprocessing.active_children() == []


def _process(reports: list[BlockReport], chain_class: Any = None, **options: Any) -> Any:
    return parallel(chain_class or SHANGHAI.chain_class, reports, backend="process", **options)


def _pids(**options: Any) -> list[int]:
    return list(pool_for(ParallelConfig(backend="process", **options)).pids)  # type: ignore[attr-defined]


def test_workers_start_on_first_use_stay_and_end_when_closed(clean: None) -> None:
    reports: list[BlockReport] = []
    chain_class = _process(reports)
    assert multiprocessing.active_children() == []
    expected = _twice(SHANGHAI.chain_class, _acts())
    assert _twice(chain_class, _acts()) == expected
    pids = _pids(workers=2)
    assert len(pids) == len(multiprocessing.active_children()) == 2
    assert _twice(chain_class, _acts()) == expected
    assert _pids(workers=2) == pids
    close()
    close()
    assert multiprocessing.active_children() == []
    assert _twice(chain_class, _acts()) == expected  # as if nothing had been
    assert set(_pids(workers=2)).isdisjoint(pids)
    assert {report.fallback for report in reports} == {None}


def test_a_pool_lives_as_long_as_its_with_block(clean: None) -> None:
    with pool():
        _twice(_process([]), _acts())
        assert len(multiprocessing.active_children()) == 2
    assert multiprocessing.active_children() == []
    with pytest.raises(ZeroDivisionError), pool():
        _twice(_process([]), _acts())
        raise ZeroDivisionError
    assert multiprocessing.active_children() == []


def test_closing_while_another_thread_mines(clean: None) -> None:
    """The next block starts new workers, also if it was about to ask the old ones."""
    reports: list[BlockReport] = []
    stock, ours = (
        open_chain(chain_class, state_of("shanghai"))
        for chain_class in (SHANGHAI.chain_class, _process(reports))
    )
    done = threading.Event()

    def keep_closing() -> None:
        while not done.wait(0.005):
            close()

    closing = threading.Thread(target=keep_closing)
    closing.start()
    try:
        for _ in range(8):
            transactions = _signed(stock, [Act(n, CONTRACTS["counter"]) for n in range(4)])
            assert mine(ours, transactions) == mine(stock, transactions)
    finally:
        done.set()
        closing.join()
    assert {report.fallback for report in reports} == {None}


def test_a_hint_that_the_database_cannot_answer_costs_nothing(clean: None) -> None:
    """Partial tries hold what a block needs, not what somebody thought that it might need."""
    state = {**state_of("shanghai"), b"\xd1" * 20: account(0, 1, b"\x00", {0: 5})}
    stock = open_chain(SHANGHAI.chain_class, state)
    store = dict(stock.chaindb.db.wrapped_db.kv_store)
    database = AccountDB(AtomicDB(MemoryDB(store)), stock.get_canonical_head().state_root)
    del store[database._get_account(b"\xd1" * 20).storage_root]

    class Hinting(Laid):
        def forecast(self, index: int, transaction: Any, sender: bytes | None) -> Forecast:
            forecast = super().forecast(index, transaction, sender)
            return dataclasses.replace(forecast, reads=frozenset({(b"\xd1" * 20, 0)}))

    reports: list[BlockReport] = []
    chain_class = _process(reports)
    chain_class.vm_configuration[0][1].parallel_engine._forecaster = Hinting((0, 1))
    ours = chain_class(AtomicDB(MemoryDB(store)))
    transactions = _signed(stock, [Act(n, GHOST, value=n) for n in range(4)])
    assert mine(ours, transactions) == mine(stock, transactions)
    assert reports[0].lost_workers == ()
    assert {t.worker for t in reports[0].transactions} == {0, 1}


def test_a_plan_that_asks_for_what_the_database_lacks_costs_nothing() -> None:
    state = {**state_of("shanghai"), b"\xd1" * 20: account(0, 1, b"\x00", {0: 5})}
    stock = open_chain(SHANGHAI.chain_class, state)
    store = dict(stock.chaindb.db.wrapped_db.kv_store)
    database = AccountDB(AtomicDB(MemoryDB(store)), stock.get_canonical_head().state_root)
    del store[database._get_account(b"\xd1" * 20).storage_root]
    answers: list[int | None] = []

    class Asking(HotSlotBook):
        def plan(self, forecasts: Any, chains: Any, lanes: Any, holds: Any) -> HotPlan:
            answers.append(holds((b"\xd1" * 20, 0)))
            return super().plan(forecasts, chains, lanes, holds)

    reports: list[BlockReport] = []
    chain_class = parallel(SHANGHAI.chain_class, reports)
    chain_class.vm_configuration[0][1].parallel_engine._hot_slots = Asking()
    ours = chain_class(AtomicDB(MemoryDB(store)))
    transactions = _signed(stock, [Act(n, GHOST, value=n) for n in range(4)])
    assert mine(ours, transactions) == mine(stock, transactions)
    assert answers == [None]


def test_one_pool_serves_chains_of_other_rules_and_databases(clean: None) -> None:
    """Interleaved, block by block, with the same workers all the time."""
    reports: list[BlockReport] = []
    kinds = [SHANGHAI.chain_class, fork("byzantium").chain_class, _of(own_precompile())]
    kinds += [SHANGHAI.chain_class, fork("prague").chain_class, _of(own_executor())]
    names = ["shanghai", "byzantium", "shanghai", "shanghai", "prague", "shanghai"]
    pairs = []
    for kind, name in zip(kinds, names, strict=True):
        state = {**state_of(name), b"\xdc" * 20: account(10, 1, CUSTOM_CODE)}
        pairs.append(
            (name, open_chain(kind, state), open_chain(_process(reports, kind, lanes=LANES), state))
        )
    pids = None
    for _ in range(3):
        for name, stock, ours in pairs:
            pen = Pen(fork(name), stock)
            transactions = [pen.sign(act) for act in _acts()]
            assert mine(ours, transactions) == mine(stock, transactions)
            pids = pids or _pids(workers=3)
            assert _pids(workers=3) == pids
    assert {report.fallback for report in reports} == {None}
    assert {report.lost_workers for report in reports} == {()}


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_chains_in_threads_of_their_own(clean: None, backend: str) -> None:
    """Two VM classes, two databases each, one pool, four threads."""
    errors: list[BaseException] = []
    reports: list[BlockReport] = []

    def live(name: str, chain_class: Any) -> None:
        try:
            stock = open_chain(fork(name).chain_class, state_of(name))
            ours = open_chain(chain_class, state_of(name))
            for _ in range(3):
                pen = Pen(fork(name), stock)
                transactions = [pen.sign(Act(n, CONTRACTS["counter"])) for n in range(6)]
                assert mine(ours, transactions) == mine(stock, transactions)
        except BaseException as error:
            errors.append(error)

    classes = {
        name: parallel(fork(name).chain_class, reports, backend=backend, lanes=LANES)
        for name in ("byzantium", "prague")
    }
    threads = [
        threading.Thread(target=live, args=(name, classes[name])) for name in list(classes) * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(reports) == 12
    assert {report.fallback for report in reports} == {None}


def test_reading_an_old_state_while_the_next_block_is_mined() -> None:
    """A slot that is being read at the old root must not enter the cache of the new one."""
    mined, reading = threading.Event(), threading.Event()

    class Slow(MemoryDB):
        def __getitem__(self, key: bytes) -> bytes:
            value = super().__getitem__(key)
            if threading.current_thread().name == "reader" and not reading.is_set():
                reading.set()
                mined.wait(
                    0.3
                )  # in vain, where a reader keeps the block waiting: that is fine, too
            return value

    state = state_of("shanghai")
    stock = open_chain(SHANGHAI.chain_class, state)
    database = AtomicDB(Slow(dict(stock.chaindb.db.wrapped_db.kv_store)))
    ours = parallel(SHANGHAI.chain_class, [], backend="serial")(database)
    first = _signed(stock, [Act(7, GHOST, value=1)])
    assert mine(ours, first) == mine(stock, first)
    seen: list[int] = []
    old = ours.get_vm().state
    reader = threading.Thread(
        target=lambda: seen.append(old.get_storage(CONTRACTS["counter"], 0)), name="reader"
    )
    reader.start()
    assert reading.wait(10)
    for _ in range(2):
        transactions = _signed(stock, [Act(n, CONTRACTS["counter"]) for n in range(4)])
        expected = mine(stock, transactions)
        assert mine(ours, transactions) == expected
        mined.set()
        reader.join()
    assert seen == [2]
    assert ours.get_vm().state.get_storage(CONTRACTS["counter"], 0) == 10


def test_ancestors_asked_for_by_several_threads_at_once() -> None:
    reports: list[BlockReport] = []
    stock = open_chain(SHANGHAI.chain_class, state_of("shanghai"))
    for _ in range(40):
        stock.mine_all([])
    historian = CONTRACTS["historian"]
    transactions = _signed(stock, [Act(n, historian, data=words(31 + n)) for n in range(8)])
    store = dict(stock.chaindb.db.wrapped_db.kv_store)
    expected = mine(stock, transactions)
    chain_class = parallel(SHANGHAI.chain_class, reports, lanes=tuple(range(8)))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            assert mine(chain_class(AtomicDB(MemoryDB(dict(store)))), transactions) == expected
    finally:
        sys.setswitchinterval(interval)


#
# Where worker processes cannot be had
#
def test_no_file_descriptors_left(clean: None) -> None:
    reports: list[BlockReport] = []
    expected = _twice(SHANGHAI.chain_class, _acts())
    chain_class = _process(reports)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    fillers = [os.dup(1)]
    while fillers[-1] <= highest:  # the limit is on the number, and there may be gaps below
        fillers.append(os.dup(1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1, hard))
    try:
        results = _twice(chain_class, _acts())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)
    assert results == expected
    assert all("worker processes cannot be started" in str(r.fallback) for r in reports)
    reports.clear()
    assert _twice(chain_class, _acts()) == expected
    assert [report.fallback for report in reports] == [None, None]


def _in_a_child(queue: Any) -> None:
    reports: list[BlockReport] = []
    results = _twice(_process(reports), _acts())
    queue.put((results, [report.fallback for report in reports], len(reports[0].lost_workers)))
    close()


@pytest.mark.parametrize("daemon", [True, False])
def test_in_a_process_that_was_forked_from_one_with_workers(clean: None, daemon: bool) -> None:
    """The child must not talk to its parent's workers; a daemon may not have workers at all."""
    expected = _twice(_process([]), _acts())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue,), daemon=daemon)
    child.start()
    results, fallbacks, lost = queue.get(timeout=60)
    child.join(10)
    assert child.exitcode == 0
    assert results == expected
    assert lost == 0
    if daemon:
        assert all("cannot be started" in str(fallback) for fallback in fallbacks)
    else:
        assert fallbacks == [None, None]
    assert _twice(_process([]), _acts()) == expected  # the parent's workers are still its own


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_start_methods(clean: None, method: str) -> None:
    for vm_class in (ShanghaiVM, own_precompile(), own_executor()):
        reports: list[BlockReport] = []
        chain_class = _process(reports, _of(vm_class), start_method=method, lanes=LANES)
        assert _twice(chain_class, _acts()) == _twice(_of(vm_class), _acts())
        assert [report.fallback for report in reports] == [None, None]
        assert [report.lost_workers for report in reports] == [(), ()]
        assert any(t.worker is not None for t in reports[1].transactions)


def test_disk_full_leaves_the_chain_where_it_was() -> None:
    class Disk(MemoryDB):
        full = False

        def __setitem__(self, key: bytes, value: bytes) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            super().__setitem__(key, value)

    disk = Disk()
    stock = open_chain(SHANGHAI.chain_class, state_of("shanghai"))
    disk.kv_store.update(stock.chaindb.db.wrapped_db.kv_store)
    chain_class = parallel(SHANGHAI.chain_class, [], lanes=LANES)
    ours = chain_class(AtomicDB(disk))
    for _ in range(2):
        transactions = _signed(stock, _acts_without_custom())
        head = ours.get_canonical_head()
        disk.full = True
        with pytest.raises(OSError, match="No space left"):
            ours.mine_all(cold(ours, transactions))
        disk.full = False
        assert ours.get_canonical_head() == head
        ours = chain_class(ours.chaindb.db)
        assert mine(ours, transactions) == mine(stock, transactions)


def _acts_without_custom() -> list[Act]:
    return [Act(n, CONTRACTS["counter"]) for n in range(6)]


#
# Left to measurements
#
def test_with_one_worker_nothing_is_left_to_choose(clean: None) -> None:
    reports: list[BlockReport] = []
    config = ParallelConfig(workers=1, min_transactions=1, on_block=reports.append)
    assert config.backend == "auto"
    chain_class = parallelize(SHANGHAI.chain_class, config=config)
    assert _twice(chain_class, _acts()) == _twice(SHANGHAI.chain_class, _acts())
    assert {(r.backend, r.workers, r.choice) for r in reports} == {("serial", 1, None)}


@pytest.mark.parametrize("count", [1, 3])
def test_a_small_block_says_why_it_runs_where_it_does(clean: None, count: int) -> None:
    reports: list[BlockReport] = []
    config = ParallelConfig(workers=2, min_transactions=1, on_block=reports.append)
    chain_class = parallelize(SHANGHAI.chain_class, config=config)
    acts = [Act(index, GHOST, value=1) for index in range(count)]
    assert _twice(chain_class, acts) == _twice(SHANGHAI.chain_class, acts)
    first, second = reports
    assert (first.backend, first.workers, first.fallback) == ("serial", 1, None)
    assert first.choice is not None
    if count == 1:
        assert (second.backend, second.workers) == ("serial", 1)
        assert first.choice == second.choice == "in this process: a single transaction"
    else:  # where the second one runs is a matter of how slow the first one was
        assert first.choice.startswith("in this process: ")
        assert first.choice.endswith(" ms with workers")
    for report in reports:
        assert report.to_dict()["choice"] == report.choice


def test_where_no_worker_can_be_had_blocks_run_in_this_process(
    clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(self: ProcessPool) -> Any:
        asked.append(self)
        raise CannotServe("no more processes")

    asked: list[ProcessPool] = []
    monkeypatch.setattr(ProcessPool, "handles", none_left)
    reports: list[BlockReport] = []
    chain_class = parallel(SHANGHAI.chain_class, reports, backend="auto")
    assert _twice(chain_class, _acts()) == _twice(SHANGHAI.chain_class, _acts())
    assert asked
    assert {(r.backend, r.fallback) for r in reports} == {("serial", None)}
    assert {r.choice for r in reports} == {"in this process: no more processes"}


def test_a_block_that_is_shared_names_its_workers(clean: None) -> None:
    reports: list[BlockReport] = []
    chain_class = parallel(SHANGHAI.chain_class, reports, backend="auto", workers=3)
    assert _twice(chain_class, _acts()) == _twice(SHANGHAI.chain_class, _acts())
    for report in reports:
        assert (report.backend, report.workers) == ("process", 3)
        assert report.choice is not None
        assert report.choice.startswith("with workers: ")
    ran = [t.worker for report in reports for t in report.transactions]
    assert {None, 0, 1} >= set(ran) > {None}
