"""A process that translates bytecode while this one goes on.

Responsible for: what is said to it and what it answers; it is a `Clerk`, and `translator.orders`
knows it as the `Assistant`.
Talks to: `translator.orders`, whose `fill` is called over there.
Never: decides what is translated or run.
"""

from __future__ import annotations

import marshal
from types import CodeType
from typing import Any, ClassVar

from parallel_evm.translator import orders
from parallel_evm.translator.cache import VERSION
from parallel_evm.translator.translation import Made
from parallel_evm.workers.clerk import Clerk


class ProcessAssistant(Clerk[orders.Order, Made]):
    """An `Assistant` with a process of its own. It makes way for everybody else."""

    NAME: ClassVar[str] = "parallel-evm-translator"
    WORK: ClassVar[str] = "Translating bytecode in another process"
    NICENESS: ClassVar[int] = 10
    VERSION: ClassVar[Any] = VERSION

    @staticmethod
    def fill(order: orders.Order) -> tuple[tuple[str, ...], bytes] | None:
        made = orders.fill(order)
        return None if made is None else (made.operations, marshal.dumps(made.code))

    @staticmethod
    def checked(content: Any) -> Made:
        operations, marshalled = content
        code = marshal.loads(marshalled)
        if not (
            isinstance(code, CodeType)
            and isinstance(operations, tuple)
            and all(isinstance(operation, str) for operation in operations)
        ):
            raise ValueError("no translation")
        return Made(operations, code)
