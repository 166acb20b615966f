"""The seam: `parallelize` turns a py-evm chain or VM class into one that runs blocks in parallel.

The returned class is a subclass. It replaces ``VM.apply_all_transactions``, through which
`mine_all`, `import_block` and block building all go, and puts a `MerkleState` under the VM's
state. Everything else stays py-evm's. What cannot run in parallel runs in py-evm's own loop, over
the same state, and the block's report says why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, TypeVar, cast

from eth.abc import BlockHeaderAPI, ChainAPI, SignedTransactionAPI, VirtualMachineAPI
from eth.chains.base import BaseChain
from eth.db.account import AccountDB
from eth.vm.base import VM
from eth.vm.forks.byzantium import ByzantiumVM
from eth_typing import Hash32

from parallel_evm.assembly import REPLACED, LeanAssembly, LeanImport, lean_chaindb
from parallel_evm.block import BlockResult, Forecasts, Scheduling, execute
from parallel_evm.config import ParallelConfig
from parallel_evm.errors import ConfigurationError, PoolClosedError
from parallel_evm.hashing import use_fast_keccak
from parallel_evm.merkle.account_db import MerkleState, merkle_state_class
from parallel_evm.merkle.source import TrieSources
from parallel_evm.pending import LeanPending, builds_pending_blocks
from parallel_evm.report import BlockReport, Phases
from parallel_evm.scheduling.forecast import Forecaster, Unforeseen
from parallel_evm.scheduling.hot import HotSlotBook
from parallel_evm.scheduling.independence import Hope
from parallel_evm.scheduling.learned import to_json
from parallel_evm.scheduling.pace import Choice, Pace, Way
from parallel_evm.speculation.balances import lean_methods
from parallel_evm.speculation.rules import Liberties
from parallel_evm.speculation.single import single_state_bases
from parallel_evm.speculation.stock import hidden_by_object, is_stock_method
from parallel_evm.translator.cache import BLOCK_SECONDS, cache_at, folder_of
from parallel_evm.workers.local import RuleBook, SerialPool
from parallel_evm.workers.session import CannotServe, Pool
from parallel_evm.workers.shared import assistant_for, pool_for

T = TypeVar("T")


ROOT_PER_TRANSACTION: Final = "receipts before Byzantium carry a state root per transaction"
"""Nothing can run ahead, but translated, and on a flat state, it runs all the same."""


class Engine:
    """What the VMs of one `parallelize` call share: configuration, pool, caches, experience."""

    def __init__(self, config: ParallelConfig) -> None:
        self.config = config
        self.sources = TrieSources()
        self.merkle_state = merkle_state_class(self.sources)
        self._assistant = assistant_for(config)
        self._assistance = 0.0 if self._assistant is None else self._assistant.cpu
        """CPU seconds of the assistant that were reported."""
        self.rules = RuleBook(self._assistant)
        self._liberties = Liberties(
            translate=config.translate,
            direct=config.direct,
            fast_precompiles=config.fast_precompiles,
            translation_cache=folder_of(config.translation_cache) if config.translate else None,
        )
        alone = config.backend == "serial" or (config.backend == "auto" and config.workers == 1)
        self._forecaster: Forecasts | None = None
        if not alone:
            self._forecaster = Forecaster() if config.forecasts else Unforeseen()
        self._hot_slots = HotSlotBook() if config.deltas and config.workers > 1 else None
        self._hope = Hope() if config.whole_lanes else None
        self._pace = Pace(config.workers) if config.backend == "auto" and not alone else None
        self._alone = SerialPool()
        self._pool: Pool | None = None
        self._lock = threading.RLock()

    def speculative_state(self, state_class: Any) -> Any:
        """The class that transactions of ``state_class`` run on in a block."""
        return self.rules.derived(state_class, self._liberties)

    def forecaster(self) -> Forecaster:
        """What learns from this chain's blocks. Raises `ConfigurationError` where nothing does."""
        if not isinstance(self._forecaster, Forecaster):
            raise ConfigurationError(
                "a chain forecasts only with several workers and ParallelConfig.forecasts"
            )
        return self._forecaster

    def learned(self) -> dict[str, Any]:
        """What it has learned, between two blocks (`scheduling.learned`). Raises the same."""
        with self._lock:
            return to_json(self.forecaster())

    def start_with(self, forecaster: Forecaster) -> None:
        """Go on from what was learned elsewhere."""
        with self._lock:
            self._forecaster = forecaster

    def apply_all(
        self,
        vm: Any,
        sequentially: Any,
        transactions: Sequence[SignedTransactionAPI],
        base_header: BlockHeaderAPI,
    ) -> BlockResult:
        """``vm.apply_all_transactions``; ``sequentially`` is the method that we replaced."""
        reason = self._reason_to_fall_back(vm, transactions, base_header)
        if reason is ROOT_PER_TRANSACTION:
            done, report = self._execute(vm, transactions, base_header, reason)
            self._tell(None if report is None else replace(report, fallback=reason, choice=None))
            return done
        if reason is None:
            try:
                try:
                    done, report = self._execute(vm, transactions, base_header)
                except PoolClosedError:  # by another thread, just now: the next one is new
                    done, report = self._execute(vm, transactions, base_header)
            except (CannotServe, PoolClosedError) as error:
                reason = str(error)
            else:
                self._tell(report)
                return done
        started = time.perf_counter()
        result: BlockResult = sequentially(transactions, base_header)
        if self.config.on_block is not None:
            seconds = time.perf_counter() - started
            self._tell(self._fallback_report(vm, len(result[1]), seconds, reason))
        return result

    def _execute(
        self,
        vm: Any,
        transactions: Sequence[SignedTransactionAPI],
        base_header: BlockHeaderAPI,
        why_alone: str | None = None,
    ) -> tuple[BlockResult, BlockReport | None]:
        with self._lock:  # forecasts and caches serve one block at a time
            if why_alone is None:
                done = self._in_the_way_chosen(vm, transactions, base_header)
            else:
                choice = Choice(Way.ALONE, {}, why_alone)
                done = self._execute_on(self._alone, vm, transactions, base_header, choice)
            done = self._with_assistance(*done)
            folder = self._liberties.translation_cache
            if folder is not None:  # now, when nobody waits for a transaction
                cache_at(folder).save(BLOCK_SECONDS)
            return done

    def _with_assistance(
        self, result: BlockResult, report: BlockReport | None
    ) -> tuple[BlockResult, BlockReport | None]:
        """What the assistant has spent since the last block, for whomever, counts as workers'
        time."""
        if report is None or self._assistant is None:
            return result, report
        before, self._assistance = self._assistance, self._assistant.cpu
        spent = report.worker_cpu_seconds + self._assistance - before
        return result, replace(report, worker_cpu_seconds=spent)

    def _in_the_way_chosen(
        self, vm: Any, transactions: Sequence[SignedTransactionAPI], base_header: BlockHeaderAPI
    ) -> tuple[BlockResult, BlockReport | None]:
        if self._pace is None:
            return self._execute_on(self._usable_pool(), vm, transactions, base_header)
        knows = all("sender" in vars(transaction) for transaction in transactions)
        choice = self._pace.choose(transactions, knows_senders=knows)
        if choice.way is not Way.ALONE:
            try:
                return self._execute_on(self._usable_pool(), vm, transactions, base_header, choice)
            except CannotServe as error:
                self._pace.note_absence()
                choice = replace(choice, way=Way.ALONE, why=str(error))
        return self._execute_on(self._alone, vm, transactions, base_header, choice)

    def _execute_on(
        self,
        pool: Pool,
        vm: Any,
        transactions: Sequence[SignedTransactionAPI],
        base_header: BlockHeaderAPI,
        choice: Choice | None = None,
    ) -> tuple[BlockResult, BlockReport | None]:
        speculates = pool.works_ahead
        backend = self.config.backend
        if choice is not None:
            speculates = choice.way is Way.TOGETHER
            backend = "process" if speculates else "serial"
        elif backend == "auto":
            backend = "serial"  # of one worker
        return execute(
            vm,
            transactions,
            base_header,
            state_class=vm.sequential_state_class,
            liberties=self._liberties,
            pool=pool,
            rules=self.rules,
            scheduling=Scheduling(
                forecasts=self._forecaster if speculates else None,
                hot_slots=self._hot_slots,
                lanes=self.config.lanes,
                overlap=self.config.overlap,
                hope=self._hope,
            ),
            pace=self._pace,
            backend=backend,
            choice=choice,
            wants_report=self.config.on_block is not None,
        )

    def _reason_to_fall_back(
        self, vm: Any, transactions: Sequence[SignedTransactionAPI], base_header: BlockHeaderAPI
    ) -> str | None:
        if not isinstance(transactions, Sequence):
            return f"the transactions are no sequence, but a {type(transactions).__name__}"
        if not all(hasattr(transaction, "__dict__") for transaction in transactions):
            return "one of the transactions is none"  # py-evm will say so
        count = len(transactions)
        if count < self.config.min_transactions:
            return (
                f"{count} transactions, fewer than min_transactions "
                f"({self.config.min_transactions})"
            )
        for name in ("apply_all_transactions", "apply_transaction"):
            if not _is_stock(type(vm), name):
                return f"{type(vm).__name__}.{name} is customised"
        for thing in (vm, vm.state):
            hidden = hidden_by_object(thing)
            if hidden is not None:
                return f"{type(thing).__name__}.{hidden} was set on the object"
        computation = vm.state.computation_class
        if getattr(computation.opcodes, "has_changed", False) or (
            computation is vm.sequential_state_class.computation_class
            and computation.opcodes != vm.sequential_opcodes
        ):
            return f"opcodes of {computation.__name__} were exchanged"
        if base_header.block_number != vm.get_header().block_number:
            return "the header is for another block than the VM"  # py-evm refuses it
        if not isinstance(vm.state._account_db, MerkleState):
            database = type(vm.state._account_db).__name__
            return f"the state keeps its accounts in a customised database ({database})"
        if type(vm.state) is not vm.parallel_state_class:
            return f"{type(vm).__name__} got another state class after it was parallelized"
        if not issubclass(type(vm), ByzantiumVM):
            return ROOT_PER_TRANSACTION
        return None

    def _usable_pool(self) -> Pool:
        if self._pool is None or not self._pool.usable:
            self._pool = pool_for(self.config)
        return self._pool

    def _fallback_report(
        self, vm: Any, count: int, seconds: float, reason: str | None
    ) -> BlockReport:
        return BlockReport(
            block_number=vm.get_header().block_number,
            transaction_count=count,
            workers=1,
            backend="serial",
            executions=count,
            reexecutions=0,
            seconds=seconds,
            phases=Phases(speculate=seconds),
            worker_cpu_seconds=0.0,
            fallback=reason,
        )

    def _tell(self, report: BlockReport | None) -> None:
        if report is not None and self.config.on_block is not None:
            self.config.on_block(report)


class ParallelVM(LeanAssembly):
    """Mixed into a VM class by `parallelize`."""

    parallel_engine: ClassVar[Engine]
    sequential_vm_class: ClassVar[type[VM]]
    sequential_state_class: ClassVar[Any]
    sequential_opcodes: ClassVar[dict[int, Any]]
    """As they were when the class was parallelized."""
    parallel_state_class: ClassVar[Any]

    def apply_all_transactions(
        self, transactions: Sequence[SignedTransactionAPI], base_header: BlockHeaderAPI
    ) -> BlockResult:
        sequentially = super().apply_all_transactions  # type: ignore[misc]
        return self.parallel_engine.apply_all(self, sequentially, transactions, base_header)

    @property
    def previous_hashes(self) -> Iterable[Hash32] | None:
        hashes = super().previous_hashes  # type: ignore[misc]
        return None if hashes is None else _Insistent(hashes)


class _Insistent(Iterator[Hash32]):
    """Hashes that, once they could not be read, cannot be read again.

    py-evm's generator has ended when it has raised. What fails while a transaction is speculated on
    has to fail again when that transaction has its turn.
    """

    def __init__(self, hashes: Iterable[Hash32]) -> None:
        self._hashes = iter(hashes)
        self._error: Exception | None = None

    def __next__(self) -> Hash32:
        if self._error is not None:
            raise self._error
        try:
            return next(self._hashes)
        except StopIteration:
            raise
        except Exception as error:
            self._error = error
            raise


def parallelize(
    target: type[T],
    *,
    workers: int | None = None,
    backend: str | None = None,
    config: ParallelConfig | None = None,
) -> type[T]:
    """A subclass of ``target`` that executes blocks in parallel, with identical results.

    ``target`` is a py-evm chain class (every VM of its ``vm_configuration`` is wrapped) or one VM
    class. Give either ``config`` or ``workers`` and ``backend``, which are short for it.

    Raises TypeError when ``target`` is neither, and `ConfigurationError` for impossible values.
    """
    if config is None:
        given: dict[str, Any] = {"workers": workers, "backend": backend}
        config = ParallelConfig(**{k: v for k, v in given.items() if v is not None})
    elif not isinstance(config, ParallelConfig):
        raise TypeError(f"config must be a ParallelConfig, not {type(config).__name__}")
    elif workers is not None or backend is not None:
        raise TypeError("give either config or workers and backend, not both")
    if isinstance(target, type):
        if issubclass(target, VM):
            return cast(type[T], _parallel_vm(target, Engine(config)))
        if issubclass(target, BaseChain):
            return cast(type[T], _parallel_chain(target, Engine(config)))
    hint = ""
    if isinstance(target, ChainAPI | VirtualMachineAPI):
        hint = f"; give its class, {type(target).__name__}, before it is instantiated"
    raise TypeError(f"parallelize takes a py-evm Chain or VM class, not {target!r}{hint}")


def _parallel_chain(chain: Any, engine: Engine) -> Any:
    if not chain.vm_configuration:
        raise TypeError(
            f"{chain.__name__} has no vm_configuration yet: configure the chain first, then "
            "parallelize it"
        )
    wrapped: dict[Any, Any] = {}
    configuration = []
    for start_block, vm in chain.vm_configuration:
        if vm not in wrapped:
            wrapped[vm] = _parallel_vm(vm, engine)
        configuration.append((start_block, wrapped[vm]))
    bases = (chain,) if issubclass(chain, LeanImport) else (LeanImport, chain)
    if builds_pending_blocks(chain):
        bases = (LeanPending, *bases)
    namespace = {
        "vm_configuration": tuple(configuration),
        "chaindb_class": lean_chaindb(chain.chaindb_class),
    }
    return _subclass(chain, bases, namespace)


def _parallel_vm(vm: Any, engine: Engine) -> Any:
    use_fast_keccak()
    if "parallel_engine" in vars(vm):
        vm = vm.sequential_vm_class  # ours already: never two engines around one VM
    state = vm.get_state_class()
    state = vars(state).get("sequential_state_class", state)
    parallel_state = state
    if state.account_db_class is AccountDB:
        bases, overrides = single_state_bases(state, engine.speculative_state(state))
        parallel_state = _subclass(
            state,
            bases,
            {
                **overrides,
                "account_db_class": engine.merkle_state,
                "sequential_state_class": state,
                **lean_methods(state),
            },
        )
    namespace: dict[str, Any] = {
        "parallel_engine": engine,
        "sequential_vm_class": vm,
        "sequential_state_class": state,
        "sequential_opcodes": dict(state.computation_class.opcodes),
        "parallel_state_class": parallel_state,
        "_state_class": parallel_state,
        "lean": all(_is_stock(vm, name) for name in REPLACED),
    }
    # A subclass of a parallel VM brings `ParallelVM` along.
    bases = (vm,) if issubclass(vm, ParallelVM) else (ParallelVM, vm)
    return _subclass(vm, bases, namespace)


def _is_stock(vm_class: type, name: str) -> bool:
    """Does the VM, apart from ourselves, have this method from py-evm?"""
    for base in vm_class.__mro__:
        if base not in (ParallelVM, LeanAssembly) and name in vars(base):
            return is_stock_method(base, name)
    return False


def _subclass(like: Any, bases: tuple[Any, ...], namespace: dict[str, Any]) -> Any:
    """A subclass that goes by its parent's name, in logs and in errors."""
    names = {"__module__": like.__module__, "__qualname__": like.__qualname__}
    return type(like.__name__, bases, {**names, **namespace})
