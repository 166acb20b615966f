"""The seam: `parallelize` turns a py-evm chain or VM class into one that runs blocks in parallel.

The returned class is a subclass. It replaces ``VM.apply_all_transactions``, through which
`mine_all`, `import_block` and block building all go, and puts a `MerkleState` under the VM's
state. Everything else stays py-evm's. What cannot run in parallel runs in py-evm's own loop, over
the same state, and the block's report says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar, cast

from eth.abc import BlockHeaderAPI, ChainAPI, SignedTransactionAPI, VirtualMachineAPI
from eth.chains.base import BaseChain
from eth.db.account import AccountDB
from eth.vm.base import VM
from eth_typing import Hash32

from parallel_evm.assembly import REPLACED, LeanAssembly, LeanImport, lean_chaindb
from parallel_evm.block import BlockResult
from parallel_evm.config import ParallelConfig
from parallel_evm.engine import Engine
from parallel_evm.fallback import is_stock_but_for_us
from parallel_evm.hashing import use_fast_keccak
from parallel_evm.headers import LeanHeaders, configures_plainly, succession_of
from parallel_evm.pending import LeanPending, builds_pending_blocks
from parallel_evm.requests import LeanRequests, has_plain_requests
from parallel_evm.speculation.balances import lean_methods
from parallel_evm.speculation.single import single_state_bases

T = TypeVar("T")


class ParallelVM(LeanAssembly, LeanHeaders):
    """Mixed into a VM class by `parallelize`."""

    is_ours: ClassVar[bool] = True
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
        "lean": all(is_stock_but_for_us(vm, name) for name in REPLACED),
        "succession": succession_of(vm),
        "has_plain_headers": configures_plainly(vm),
    }
    # A subclass of a parallel VM brings `ParallelVM` along.
    bases = (vm,) if issubclass(vm, ParallelVM) else (ParallelVM, vm)
    if has_plain_requests(vm) and not issubclass(vm, LeanRequests):
        bases = (LeanRequests, *bases)
    return _subclass(vm, bases, namespace)


def _subclass(like: Any, bases: tuple[Any, ...], namespace: dict[str, Any]) -> Any:
    """A subclass that goes by its parent's name, in logs and in errors."""
    names = {"__module__": like.__module__, "__qualname__": like.__qualname__}
    return type(like.__name__, bases, {**names, **namespace})
