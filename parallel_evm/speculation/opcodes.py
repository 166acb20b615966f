"""Opcodes of py-evm, put into objects that see to it that speculations can go on.

Responsible for: `WRAPPERS`, which says of which opcodes: those that push a balance get a
number, SHA3 notes what a slot may come from.
Talks to: the state of `rules.speculative_state`. Never: changes what an opcode does or costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eth.abc import ComputationAPI
from eth.vm import opcode_values
from eth.vm.opcode import Opcode
from eth.vm.stack import to_bytes, to_int

from parallel_evm.translator.machine import NOTED_SIZES


class _Wrapped(Opcode):
    def __init__(self, operation: Any) -> None:
        self._operation = operation
        self.mnemonic = operation.mnemonic
        self.gas_cost = operation.gas_cost
        super().__init__()


class ExactBalance(_Wrapped):
    """An opcode of py-evm that pushes a balance: it gets a number."""

    def __call__(self, computation: ComputationAPI) -> Any:
        state: Any = computation.state
        state.exact_balances = True
        try:
            return self._operation(computation)
        finally:
            state.exact_balances = False


class NotedSha3(_Wrapped):
    """SHA3 that notes what a slot may come from."""

    def __call__(self, computation: ComputationAPI) -> Any:
        values = computation._stack.values  # type: ignore[attr-defined]
        start, size = values[-1:], values[-2:-1]
        self._operation(computation)
        if size and to_int(size[0]) in NOTED_SIZES:
            state: Any = computation.state
            preimage = computation.memory_read_bytes(to_int(start[0]), to_int(size[0]))
            state.preimages[to_bytes(values[-1])] = bytes(preimage)
        return None


WRAPPERS: Final[Mapping[int, type[_Wrapped]]] = {
    opcode_values.BALANCE: ExactBalance,
    opcode_values.SELFBALANCE: ExactBalance,
    opcode_values.SHA3: NotedSha3,
}
"""By number."""
