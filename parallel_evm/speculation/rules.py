"""The rules by which speculations run: a state class of py-evm, made to observe little.

py-evm reads whole balances where it only compares them (can the sender pay? can the caller
transfer?). Recorded as they are, such reads would make every transfer conflict with every other.
`speculative_state` derives a state class whose ``get_balance`` hands out a `LazyBalance`: it
answers comparisons by recording a bound, and turns into the exact, observed number as soon as
anything else is done with it. Opcodes that put a balance on the stack get the number at once.

Only where every rule is py-evm's own is this known to be harmless; customised rules get numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eth.abc import ComputationAPI
from eth.vm import opcode_values
from eth.vm.opcode import Opcode
from eth.vm.stack import to_bytes, to_int
from eth.vm.state import BaseState

from parallel_evm import precompiles
from parallel_evm.speculation.calls import DirectCalls, DirectState, refund_strategy_of
from parallel_evm.speculation.executor import fork_of
from parallel_evm.speculation.stock import is_stock_method, state_runs_stock_rules
from parallel_evm.state.flat import FlatState
from parallel_evm.state.source import Source
from parallel_evm.translator import has_stock_loop, translating
from parallel_evm.translator.cache import cache_at
from parallel_evm.translator.machine import NOTED_SIZES
from parallel_evm.translator.orders import Assistant


@dataclass(frozen=True, slots=True)
class Liberties:
    """Shortcuts that speculations take where every rule is py-evm's own. None changes a result."""

    translate: bool = True
    """Run hot contracts as Python functions made from their bytecode."""
    direct: bool = True
    """Go about a transaction without py-evm's layers (Byzantium and later)."""
    fast_precompiles: bool = True
    """Precompiles through native libraries."""
    translation_cache: str | None = None
    """The folder where translations are kept for other processes."""


class View(FlatState):
    """A `FlatState` in the form in which py-evm's states build their account database."""

    __slots__ = ()

    def __init__(self, db: Source, state_root: bytes) -> None:
        super().__init__(db)


class LazyBalance:
    """A balance (wei) that observes a bound when compared and itself when used.

    It stays what it was when it was read, also after the transaction changes the account: what
    the transaction itself had added by then is kept, and only the rest is asked for later.

    It is not an int on purpose: a use that is not foreseen here fails loudly, and the transaction
    is then run on the committed state.
    """

    __slots__ = ("_address", "_delta", "_source")

    def __init__(self, state: FlatState, address: bytes) -> None:
        self._source = state.source
        self._delta = state.effects.deltas.get(address, 0)
        self._address = address

    def _at_least(self, needed: int) -> bool:
        return self._source.at_least(self._address, needed - self._delta)

    def __int__(self) -> int:
        return self._source.balance(self._address) + self._delta

    __index__ = __int__

    def __lt__(self, other: Any) -> bool:
        return not self._at_least(int(other))

    def __ge__(self, other: Any) -> bool:
        return self._at_least(int(other))

    def __le__(self, other: Any) -> bool:
        return not self._at_least(int(other) + 1)

    def __gt__(self, other: Any) -> bool:
        return self._at_least(int(other) + 1)

    def __eq__(self, other: object) -> bool:
        return int(self) == other

    def __hash__(self) -> int:
        return hash(int(self))

    def __bool__(self) -> bool:
        return self._at_least(1)

    def __add__(self, other: Any) -> int:
        return int(self) + int(other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> int:
        return int(self) - int(other)

    def __rsub__(self, other: Any) -> int:
        return int(other) - int(self)

    def __mul__(self, other: Any) -> int:
        return int(self) * int(other)

    __rmul__ = __mul__

    def __neg__(self) -> int:
        return -int(self)

    def __str__(self) -> str:
        return str(int(self))

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(int(self), spec)


class ExactBalance(Opcode):
    """An opcode of py-evm that pushes a balance: it gets a number."""

    def __init__(self, operation: Any) -> None:
        self._operation = operation
        self.mnemonic = operation.mnemonic
        self.gas_cost = operation.gas_cost
        super().__init__()

    def __call__(self, computation: ComputationAPI) -> Any:
        state: Any = computation.state
        state.exact_balances = True
        try:
            return self._operation(computation)
        finally:
            state.exact_balances = False


class NotedSha3(Opcode):
    """SHA3 that notes what a slot may come from."""

    def __init__(self, operation: Any) -> None:
        self._operation = operation
        self.mnemonic = operation.mnemonic
        self.gas_cost = operation.gas_cost
        super().__init__()

    def __call__(self, computation: ComputationAPI) -> Any:
        values = computation._stack.values  # type: ignore[attr-defined]
        start, size = values[-1:], values[-2:-1]
        self._operation(computation)
        if size and to_int(size[0]) in NOTED_SIZES:
            state: Any = computation.state
            preimage = computation.memory_read_bytes(to_int(start[0]), to_int(size[0]))
            state.preimages[to_bytes(values[-1])] = bytes(preimage)
        return None


def credit(self: Any, address: bytes, delta: int) -> None:
    """``delta_balance`` that reads the balance only where py-evm's rules need it."""
    self._account_db.delta_balance(address, int(delta))


def lean_methods(state_class: type[BaseState]) -> dict[str, Callable[..., Any]]:
    """Overrides that any state over a `FlatState` profits from, as far as they are sound."""
    if is_stock_method(state_class, "delta_balance"):
        return {"delta_balance": credit}
    return {}


def speculative_state(
    state_class: Any,
    translate: bool = True,
    direct: bool = True,
    fast_precompiles: bool = True,
    translation_cache: str | None = None,
    assistant: Assistant | None = None,
) -> Any:
    """The state class that speculations of ``state_class``'s transactions run on.

    With ``translate``, contracts run as Python functions where all rules are py-evm's own.
    ``direct``: where every rule is py-evm's own, go about it without py-evm's layers.
    ``fast_precompiles``: likewise, with faster precompiles. ``translation_cache``: where what is
    translated outlives the process. ``assistant``: who translates meanwhile.
    """
    state_bases: tuple[Any, ...] = (state_class,)
    namespace: dict[str, Any] = {
        "account_db_class": View,
        "direct_fork": fork_of(state_class) if direct else None,
        "exact_balances": False,
        "preimages": {},
        "__module__": state_class.__module__,
        "__qualname__": state_class.__qualname__,
        **lean_methods(state_class),
    }
    if state_runs_stock_rules(state_class):

        def get_balance(self: Any, address: bytes) -> Any:
            if self.exact_balances:
                return self._account_db.balance(address)
            return LazyBalance(self._account_db, address)

        namespace["get_balance"] = get_balance
        computation = state_class.computation_class
        computation_bases: tuple[Any, ...] = (computation,)
        if direct:
            state_bases = (DirectState, state_class)
            computation_bases = (DirectCalls, computation)
        wrapped = {
            value: computation.opcodes[value]
            for value in (opcode_values.BALANCE, opcode_values.SELFBALANCE, opcode_values.SHA3)
            if value in computation.opcodes
        }
        opcodes = {
            **computation.opcodes,
            **{value: ExactBalance(operation) for value, operation in wrapped.items()},
            opcode_values.SHA3: NotedSha3(wrapped[opcode_values.SHA3]),
        }
        table = computation._precompiles
        if fast_precompiles:
            table = precompiles.fast_precompiles(computation)
        derived = type(
            computation.__name__,
            computation_bases,
            {
                "_precompiles": table,
                "refund_strategy": staticmethod(refund_strategy_of(computation)),
                "opcodes": opcodes,
                "__module__": computation.__module__,
                "__qualname__": computation.__qualname__,
            },
        )
        if translate and has_stock_loop(derived):
            cache = None if translation_cache is None else cache_at(translation_cache)
            derived = translating(derived, wrapped, cache=cache, assistant=assistant)
        namespace["computation_class"] = derived
    return type(state_class.__name__, state_bases, namespace)
