"""The seam of the translator: a computation class whose code runs translated.

`translating` derives a class from one of py-evm's. It replaces `apply_computation`, and of that
only the loop over opcodes: what comes before (contracts created, initcode gas, precompiles) and
after (what turns errors into results) is py-evm's, statement by statement.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from eth.exceptions import Halt
from eth.vm.computation import NO_RESULT, BaseComputation

from parallel_evm.translator.cache import Cache
from parallel_evm.translator.dialect import THRESHOLD, Dialect
from parallel_evm.translator.guarded_memory import GuardedMemory
from parallel_evm.translator.operations import Opcodes, OpcodeTable
from parallel_evm.translator.orders import Assistant
from parallel_evm.translator.program import PADDING, Programs

_PADDING: Final = bytes(PADDING)


def has_stock_loop(computation_class: Any) -> bool:
    """Does this class run opcodes in py-evm's own loop, and end it as py-evm does, so that
    translating changes nothing?"""
    method = getattr(computation_class.apply_computation, "__func__", None)
    return (
        method is BaseComputation.apply_computation.__func__  # type: ignore[attr-defined]
        and computation_class.__enter__ is BaseComputation.__enter__
        and computation_class.__exit__ is BaseComputation.__exit__
    )


def translating(
    computation_class: Any,
    wrapped: Opcodes = MappingProxyType({}),
    threshold: int = THRESHOLD,
    cache: Cache | None = None,
    assistant: Assistant | None = None,
) -> Any:
    """A subclass of ``computation_class`` with the same results, faster.

    ``wrapped``: by number, the stock opcodes whose work objects of the class's table do; a SHA3
    among them also notes preimages in ``state.preimages``. ``threshold``: visits before a block is
    translated. ``cache``: where translations outlive the process. ``assistant``: who translates
    while code goes on cold.

    Raises ValueError for a class that has a loop of its own (`has_stock_loop`).
    """
    if not has_stock_loop(computation_class):
        raise ValueError(f"{computation_class.__name__} has a loop or an end of its own")
    programs = Programs(Dialect(computation_class.opcodes, wrapped, threshold, cache, assistant))
    table = computation_class.opcodes
    if not isinstance(table, OpcodeTable):
        table = OpcodeTable(table)

    def apply_computation(
        cls: Any,
        state: Any,
        message: Any,
        transaction_context: Any,
        parent_computation: Any = None,
    ) -> Any:
        linear = getattr(state._account_db, "linear", None)
        computation = cls(state, message, transaction_context)
        if (
            cls.logger.show_debug2  # somebody wants to see every opcode
            or linear is None  # somebody gave the state another account database
            or computation.opcodes is not table  # or the computation other opcodes
            or table.has_changed
        ):
            return computation_class.apply_computation.__func__(
                cls, state, message, transaction_context, parent_computation
            )
        try:
            # Most calls have a parent, which is asked below, and is_origin_computation is slow.
            if (
                parent_computation is None or message.is_create
            ) and computation.is_origin_computation:
                computation.contracts_created = []
                if message.is_create:
                    cls.consume_initcode_gas_cost(computation)
            if parent_computation is not None:
                computation.contracts_created = parent_computation.contracts_created
            elif assistant is not None and assistant.is_awaited:
                assistant.take_in()
            if message.is_create:
                computation.contracts_created.append(message.storage_address)

            precompile = computation.precompiles.get(message.code_address, NO_RESULT)
            if precompile is not NO_RESULT:
                if not message.is_delegation:
                    precompile(computation)
                return computation

            program = programs[message.code]
            functions = program.functions
            if linear:
                functions = program.blocks
                computation._memory = GuardedMemory()
            stack = computation._stack.values
            meter = computation._gas_meter
            memory = computation._memory
            data = message.data_as_bytes
            address = message.storage_address
            pc = 0
            try:
                if message.is_create:
                    data = _PADDING
                else:
                    kind = len(data), data[:4]
                    data += _PADDING
                    whole = program.calls.get(kind) or program.call(kind)
                    pc = whole(computation, stack, meter, memory, data, address)
                while pc >= 0:
                    function = functions.get(pc)
                    if function is None:
                        pc = program.cold(computation, pc)
                    else:
                        pc = function(computation, stack, meter, memory, data, address)
            except Halt:
                pass
        except BaseException as error:
            # py-evm's ``with``, which does nothing where nothing was raised
            if not computation.__exit__(type(error), error, error.__traceback__):
                raise
        return computation

    return type(
        computation_class.__name__,
        (computation_class,),
        {
            "apply_computation": classmethod(apply_computation),
            "opcodes": table,
            "programs": programs,
            "__module__": computation_class.__module__,
            "__qualname__": computation_class.__qualname__,
        },
    )
