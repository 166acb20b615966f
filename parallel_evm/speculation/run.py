"""Running transactions of one block on a lane of speculative state.

A `Speculator` belongs to one worker and one block. Each transaction runs by py-evm's rules on a
fresh view; what it wrote is folded into the lane, where the worker's later transactions see it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from eth.abc import SignedTransactionAPI
from eth.constants import BLANK_ROOT_HASH

from parallel_evm.speculation.executor import Irregular, executor_for
from parallel_evm.speculation.fields import Fields
from parallel_evm.speculation.result import Outcome, Speculation, outcome_of
from parallel_evm.speculation.senders import recover_sender
from parallel_evm.state.flat import Effects, FlatState
from parallel_evm.state.guarded import GuardedRecorder, GuardedView, HotSlots
from parallel_evm.state.recorder import Recorder
from parallel_evm.translator import NotRecorded

ANCESTORS_AT_ONCE = 32
MAX_PREIMAGES = 4096
"""Who hashes more than that is not asked how its slots came about."""
_REHEARSALS = 3
"""So often a transaction may run once more because the translator has to see some call of it."""

FetchAncestors = Callable[[int, int], Sequence[bytes]]
"""(first depth, count) -> hashes of ancestors, parent first; fewer where the chain ends."""


def ancestors(fetch: FetchAncestors) -> Iterator[bytes]:
    """Hashes of the ancestors, parent first, fetched when somebody looks that far back."""
    depth = 0
    while True:
        batch = fetch(depth, ANCESTORS_AT_ONCE)
        yield from batch
        if len(batch) < ANCESTORS_AT_ONCE:
            return
        depth += len(batch)


class Speculator:
    """Runs one worker's share of a block."""

    def __init__(
        self, state_class: Any, execution_context: Any, lane: FlatState, last: int
    ) -> None:
        """``lane``: the state that the first transaction sees; it is written to.

        ``last``: index of the block's last transaction.
        """
        self.lane = lane
        self._last = last
        self._state = state_class(lane, execution_context, BLANK_ROOT_HASH)
        self._executor = executor_for(self._state, lane)

    def run(
        self,
        index: int,
        transaction: SignedTransactionAPI,
        hot: HotSlots | None = None,
        fields: Fields | None = None,
    ) -> Speculation:
        """Execute one transaction on the lane, and let the lane see what it wrote.

        ``hot``: slots that it should compute with and not look at, as far as it can. ``fields``:
        the transaction's, where somebody has read them.
        """
        started = time.perf_counter()
        found = self._linearly(index, transaction, hot) if hot else None
        recorder, view = found[:2] if found else self._fresh(index)
        outcome = None
        try:
            try:
                outcome = found[2] if found else self._directly(transaction, fields)
            except Irregular:
                recorder, view = self._fresh(index)
                outcome = outcome_of(self._state.apply_transaction(transaction))
        except Exception:  # whatever it was: a run on the committed state decides
            effects = Effects()
        else:
            effects = view.effects
            self.lane.fold(effects)
        preimages = self._state.preimages
        traces = view.transaction_traces() if index == self._last else None
        if len(preimages) > MAX_PREIMAGES:
            preimages = {}
        seconds = time.perf_counter() - started
        # By position, as keywords take twice as long.
        return Speculation(
            index, recorder.observations, effects, outcome, seconds, None, traces, preimages
        )

    def _linearly(
        self, index: int, transaction: SignedTransactionAPI, hot: HotSlots
    ) -> tuple[Recorder, FlatState, Outcome] | None:
        """Where that is possible. A use of a linear value that nobody foresaw makes it fail."""
        for _ in range(_REHEARSALS + 1):
            recorder = GuardedRecorder(self.lane)
            view = GuardedView(recorder, index, hot)
            self._use(view)
            try:
                try:
                    outcome = self._directly(transaction)
                    view.settle(is_last=index == self._last)
                    return recorder, view, outcome
                except NotRecorded:  # run with numbers, for the translator to see
                    self._fresh(index)
                    self._directly(transaction)
            except Exception:
                return None
        return None

    def _fresh(self, index: int) -> tuple[Recorder, FlatState]:
        recorder = Recorder(self.lane)
        view = FlatState(recorder, index)
        self._use(view)
        return recorder, view

    def _use(self, view: FlatState) -> None:
        state = self._state
        state._account_db = view
        state.preimages = {}
        if getattr(state, "_transient_storage", None) is not None:
            state._transient_storage = None  # a run that failed half-way may have left something

    def _directly(self, transaction: SignedTransactionAPI, fields: Fields | None = None) -> Outcome:
        """Without py-evm's executor, where that is possible; else raises `Irregular`."""
        if self._executor is None:
            raise Irregular
        sender = vars(transaction).get("sender") or recover_sender(transaction, fields)
        if sender is None:
            raise Irregular
        return self._executor.run(transaction, sender, fields)
