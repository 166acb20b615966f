"""What a faster precompile is made of.

Responsible for the order of things: a price is found, the gas is there, the answer is computed,
the gas is charged. Whenever one of these steps has nothing to say, py-evm's own function runs from
the start; so every failure, out of gas included, is py-evm's own in type, text and gas.

Knows no precompile in particular, and never looks at state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from eth.abc import ComputationAPI

Precompile: TypeAlias = Callable[[ComputationAPI], Any]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A precompile as two pure functions of its input.

    ``price`` says what an input costs (gas), ``answer`` what comes out. Either returns None for an
    input that it does not want to judge.
    """

    reason: str
    price: Callable[[bytes], int | None]
    answer: Callable[[bytes], bytes | None]


@dataclass(frozen=True, slots=True)
class DropIn:
    """A precompile that answers regular inputs itself and leaves the others to ``stock``."""

    stock: Precompile
    arithmetic: Arithmetic

    def __call__(self, computation: ComputationAPI) -> Any:
        data = computation.msg.data_as_bytes
        cost = self.arithmetic.price(data)
        # Nothing is computed that has not been paid for.
        if cost is None or computation.get_gas_remaining() < cost:
            return self.stock(computation)
        output = self.arithmetic.answer(data)
        if output is None:
            return self.stock(computation)
        computation.consume_gas(cost, self.arithmetic.reason)
        computation.output = output
        return computation
