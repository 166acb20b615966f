"""The opcode table that programs are written in, and what belongs to it.

Responsible for: what opcodes mean, the names by which translated code calls them, and where
translations into this table's Python are kept, or made meanwhile.
Talks to: `operations`, `machine`, `calls` for the meanings; `cache`, `orders`.
Never: translates or runs anything.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from eth.vm import opcode_values

from parallel_evm.translator.cache import Cache, Record, identity
from parallel_evm.translator.calls import direct_call, has_direct_form
from parallel_evm.translator.machine import NAMESPACE, net_metered_sstore
from parallel_evm.translator.operations import Opcodes, net_metering, stock_name
from parallel_evm.translator.orders import Assistant, Described, described
from parallel_evm.translator.steps import StepTable
from parallel_evm.translator.visits import Counts

THRESHOLD: Final = 192
"""Visits of a block before it is translated. About so many, run cold, cost as much as translating
it and what follows it: whoever waits so long spends at most twice what was necessary."""
_VISITS_PER_CALL: Final = 6
"""A call counts as so many, since one that came 32 times mostly comes again."""


class Dialect:
    """The opcode table that programs are written in."""

    def __init__(
        self,
        opcodes: Opcodes,
        wrapped: Opcodes = MappingProxyType({}),
        threshold: int = THRESHOLD,
        cache: Cache | None = None,
        assistant: Assistant | None = None,
    ) -> None:
        """``opcodes``: the table that py-evm would use. ``wrapped``: by number, the stock opcodes
        whose work objects of this table do; a SHA3 among them also notes preimages in
        ``state.preimages``. ``cache``: where translations outlive the process. ``assistant``: who
        translates meanwhile; None: it is done when it is needed."""
        self.opcodes = opcodes
        self.threshold = threshold
        self.patience = max(1, threshold // _VISITS_PER_CALL)
        """Calls of a kind before one is recorded."""
        self.notes_sha3 = opcode_values.SHA3 in wrapped
        self.meanings: Opcodes = {**opcodes, **wrapped}
        """The table with each object replaced by the stock one whose work it does."""
        self.steps = StepTable(opcodes, self.meanings, self.notes_sha3)
        self.namespace = self._namespace()
        self.assistant = assistant
        self._cache = cache
        self._identity: bytes | None = None
        if cache is not None:
            self._identity = identity(opcodes, self.meanings, self.notes_sha3)

    def record(
        self, content: bytes, seen: dict[int, int], functions: Container[int]
    ) -> Record | None:
        """What is kept of the program ``content``; None if nothing can be."""
        if self._cache is None or self._identity is None or not content:
            return None
        return self._cache.record(self._identity, content, seen, functions)

    def visits(self, content: bytes, here: Sequence[Counts]) -> Counts:
        """What earlier processes have visited of the program ``content`` and not translated.
        ``here``: the same of this one, counted on by the program."""
        if self._cache is None or self._identity is None or not content:
            return {}
        return self._cache.visits(self._identity, content, here)

    @cached_property
    def description(self) -> Described | None:
        """For an assistant; None where it could not know what some opcodes mean."""
        return described(self.meanings, self.notes_sha3)

    def _namespace(self) -> dict[str, Any]:
        names = dict(NAMESPACE)
        for value, operation in self.opcodes.items():
            names[f"op_{value:02x}"] = operation
        for value, operation in self.meanings.items():
            name = stock_name(value, operation)
            if name is not None and has_direct_form(operation):
                names[name.lower()] = direct_call(name, operation)
        sstore = self.meanings.get(opcode_values.SSTORE)
        if stock_name(opcode_values.SSTORE, sstore) is not None:
            rules = net_metering(sstore)
            if rules is not None:
                names["sstore"] = net_metered_sstore(*rules)
        return names
