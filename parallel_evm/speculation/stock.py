"""Is this py-evm's own code?

Some liberties (bounds instead of balances, receipts made directly) are only sound where it is
known what the code does with what it reads. Whatever a user customised is run as it is, with
nothing assumed. Stock things are recognised by identity, never by name.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Final

from eth.vm.forks.spurious_dragon.transactions import SpuriousDragonTransaction

from parallel_evm.forks import VM_CLASSES

STOCK_VMS: Final = tuple(VM_CLASSES.values())

_STATES: Final = tuple(vm.get_state_class() for vm in STOCK_VMS)

_STOCK_CLASSES: Final[frozenset[type]] = frozenset(
    base
    for state in _STATES
    for cls in (state, state.computation_class, state.transaction_executor_class)
    for base in cls.__mro__
) | frozenset(base for vm in STOCK_VMS for base in vm.__mro__)

_STOCK_OPERATIONS: Final[frozenset[int]] = frozenset(
    id(operation)
    for state in _STATES
    for table in (state.computation_class.opcodes, state.computation_class._precompiles or {})
    for operation in table.values()
)

_BUILDERS: Final[tuple[Any, ...]] = tuple(vm.get_transaction_builder() for vm in STOCK_VMS)

ALL_LEGACY_TRANSACTIONS: Final[frozenset[type]] = frozenset(
    getattr(builder, "legacy_signed", builder) for builder in _BUILDERS
)
"""py-evm's legacy transactions, of all forks."""

STOCK_LEGACY_TRANSACTIONS: Final[frozenset[type]] = frozenset(
    legacy for legacy in ALL_LEGACY_TRANSACTIONS if issubclass(legacy, SpuriousDragonTransaction)
)
"""py-evm's legacy transactions since EIP-155."""

STOCK_TYPED_TRANSACTIONS: Final[frozenset[type]] = frozenset(
    builder.typed_transaction for builder in _BUILDERS if hasattr(builder, "typed_transaction")
)
"""The wrappers (EIP-2718) around py-evm's typed transactions."""

# What a subclass may set without having changed a rule: each of these is checked by itself.
_CHECKED_ATTRIBUTES: Final = frozenset(
    {
        "_precompiles",
        "account_db_class",
        "computation_class",
        "opcodes",
        "transaction_executor_class",
    }
)


# What Python itself puts into every class.
_FURNITURE: Final = frozenset(
    {
        "__abstractmethods__",
        "__annotations__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        "__orig_bases__",
        "__parameters__",
        "__qualname__",
        "__slots__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
    }
)


def is_stock_class(cls: type) -> bool:
    """Is this one of py-evm's classes, or a subclass that changes none of its methods?"""
    own = takewhile(lambda base: base not in _STOCK_CLASSES, cls.__mro__)
    return not any(vars(base).keys() - _CHECKED_ATTRIBUTES - _FURNITURE for base in own)


def stock_base(cls: type) -> Any:
    """The class of py-evm that ``cls`` is, or is derived from most closely; at the end, object."""
    return next(base for base in cls.__mro__ if base in _STOCK_CLASSES)


def is_stock_operation(operation: Any) -> bool:
    """Is this the very object that one of py-evm's opcode or precompile tables holds?"""
    return id(operation) in _STOCK_OPERATIONS


def is_stock_method(cls: type, name: str) -> bool:
    """Does ``cls`` inherit ``name`` from a class of py-evm?"""
    for base in cls.__mro__:
        if name in vars(base):
            return base in _STOCK_CLASSES
    return False


def hidden_by_object(thing: Any) -> str | None:
    """A method of the object's class, or a class named there, in whose place something was put on
    the object itself; None where there is no such thing."""
    cls = type(thing)
    return next((name for name in vars(thing) if callable(getattr(cls, name, None))), None)


def state_runs_stock_rules(state: Any) -> bool:
    """Are this state class, its executor, computation, opcodes and precompiles all py-evm's own?"""
    computation = state.computation_class
    executor = state.transaction_executor_class
    tables = (computation.opcodes, computation._precompiles or {})
    return all(map(is_stock_class, (state, computation, executor))) and all(
        is_stock_operation(operation) for table in tables for operation in table.values()
    )
