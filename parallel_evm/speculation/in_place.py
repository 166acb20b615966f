"""Transactions that run on the committed state itself, one after another.

Responsible for: `InPlace`, for blocks where nobody speculates and nobody wants to know what each
transaction touched: it needs no view of its own then, and nothing has to be folded.
Talks to: `executor`; the committed state, whose log undoes a transaction that did not come to its
end.
Never: refuses a transaction, or leaves anything of one that it did not run to its end.
"""

from __future__ import annotations

from typing import Any

from eth.constants import BLANK_ROOT_HASH

from parallel_evm.merkle.account_db import MerkleState
from parallel_evm.speculation.executor import Irregular, executor_for
from parallel_evm.speculation.fields import Fields
from parallel_evm.speculation.result import Outcome


class InPlace:
    """Runs transactions of one block."""

    def __init__(self, state_class: Any, execution_context: Any, committed: MerkleState) -> None:
        """``state_class``: as `rules.speculative_state` makes it."""
        self._committed = committed
        self._state = state_class(committed, execution_context, BLANK_ROOT_HASH)
        self._state._account_db = committed
        self._state.preimages = {}
        self._executor = executor_for(self._state, committed)
        if self._executor is not None:
            committed.note_reads()

    def run(self, transaction: Any, sender: bytes | None, fields: Fields | None) -> Outcome | None:
        """Execute a transaction. None where that failed: only a run by py-evm can tell, and raise,
        what it would. Raises `Irregular` where a view is needed. In both cases nothing has
        happened."""
        if self._executor is None or sender is None:
            raise Irregular
        committed = self._committed
        committed.lock_changes()
        try:
            outcome = self._executor.run(transaction, sender, fields)
        except Exception as error:
            committed.undo_all()
            if isinstance(error, Irregular):
                raise
            return None
        committed.clear_transient_storage()
        self._state.preimages.clear()  # nobody forecasts anything from them
        return outcome
