"""The rules by which speculations run: a state class of py-evm, made to observe little.

`speculative_state` derives a state class whose ``get_balance`` hands out a `LazyBalance`: it
answers comparisons by recording a bound, and turns into the exact, observed number as soon as
anything else is done with it. Opcodes that put a balance on the stack get the number at once.
SHA3 notes what slots may come from; contracts run translated, precompiles through native libraries.

Only where every rule is py-evm's own is this known to be harmless. Customised ones run as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from parallel_evm import precompiles
from parallel_evm.speculation.balances import LazyBalance, lean_methods
from parallel_evm.speculation.calls import (
    DirectCalls,
    DirectState,
    refund_strategy_of,
    transient_storage_of,
)
from parallel_evm.speculation.executor import fork_of
from parallel_evm.speculation.opcodes import WRAPPERS
from parallel_evm.speculation.stock import state_runs_stock_rules
from parallel_evm.state.flat import View
from parallel_evm.translator import has_stock_loop, translating
from parallel_evm.translator.cache import cache_at
from parallel_evm.translator.operations import OpcodeTable
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


def speculative_state(
    state_class: Any, liberties: Liberties, assistant: Assistant | None = None
) -> Any:
    """The state class that speculations of ``state_class``'s transactions run on.

    ``assistant``: who translates while code goes on cold.
    """
    state_bases: tuple[Any, ...] = (state_class,)
    namespace: dict[str, Any] = {
        "account_db_class": View,
        "direct_fork": fork_of(state_class) if liberties.direct else None,
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
        if liberties.direct:
            state_bases = (DirectState, *transient_storage_of(state_class), state_class)
            computation_bases = (DirectCalls, computation)
        wrapped = {
            value: computation.opcodes[value] for value in WRAPPERS if value in computation.opcodes
        }
        opcodes = OpcodeTable(
            {
                **computation.opcodes,
                **{value: WRAPPERS[value](operation) for value, operation in wrapped.items()},
            }
        )
        table = computation._precompiles
        if liberties.fast_precompiles:
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
        if liberties.translate and has_stock_loop(derived):
            folder = liberties.translation_cache
            cache = None if folder is None else cache_at(folder)
            derived = translating(derived, wrapped, cache=cache, assistant=assistant)
        namespace["computation_class"] = derived
    return type(state_class.__name__, state_bases, namespace)
