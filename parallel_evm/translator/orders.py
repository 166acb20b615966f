"""What a program lets somebody else translate, while it goes on cold.

Responsible for: the `Order`, all of it plain data that travels; `fill`, which is what whoever gets
it does; and the interface of an `Assistant` who sees to that.
Talks to: `translation`. Never: knows processes or pipes (`workers.assistant` does).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from eth.vm import forks

from parallel_evm.translator.code import Code
from parallel_evm.translator.operations import Opcodes, origin
from parallel_evm.translator.trace import NoWayOn
from parallel_evm.translator.translation import Made, Wanted, translate

Described = tuple[bool, tuple[tuple[int, str], ...]]
"""An opcode table by whose objects its objects do the work of: does it note preimages, and for
each opcode the VM class of a fork that has this very object."""


@dataclass(frozen=True, slots=True)
class Order:
    """A translation that is wanted, and all that it depends on."""

    table: Described
    content: bytes
    """The bytecode."""
    seen: Mapping[int, int]
    wanted: Wanted


class Assistant(Protocol):
    """Somebody who translates meanwhile."""

    @property
    def is_awaited(self) -> bool:
        """Is there anything to take in?"""
        ...

    def order(self, order: Order, deliver: Callable[[Made | None], None], lost: Lost) -> bool:
        """Have it translated. ``deliver`` is called within `take_in` with what was made, None
        where it cannot be; ``lost`` where nobody will say. False: do it yourself."""
        ...

    def take_in(self) -> None:
        """Deliver what is there, without waiting."""
        ...


Lost = Callable[[], None]


def described(meanings: Opcodes, notes_sha3: bool) -> Described | None:
    """None where a table has objects that are no fork's."""
    table = tuple((value, origin(value, meaning)) for value, meaning in sorted(meanings.items()))
    named = tuple((value, name) for value, name in table if name is not None)
    return (notes_sha3, named) if len(named) == len(table) else None


def fill(order: Order) -> Made | None:
    """What was ordered; None where its trail leads nowhere."""
    code = _code(order.table, order.content)
    try:
        return translate(code, order.seen, order.table[0], order.wanted)
    except NoWayOn:
        return None


@functools.lru_cache(maxsize=64)
def _code(table: Described, content: bytes) -> Code:
    return Code(content, _meanings(table))


@functools.lru_cache(maxsize=64)
def _meanings(table: Described) -> Opcodes:
    return {
        value: getattr(forks, name).get_state_class().computation_class.opcodes[value]
        for value, name in table[1]
    }
