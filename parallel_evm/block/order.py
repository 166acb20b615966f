"""Transaction by transaction, in the block's order: what holds is folded, the rest runs here.

Responsible for: judging speculations as they come, running what nobody speculated on or what does
not hold, and for calling speculation off where it keeps failing.
Talks to: the session, `scheduling.judge`; py-evm, for what only it can do.
Never: writes anything but the committed state, and that in order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from parallel_evm.block.layout import Layout
from parallel_evm.block.patience import Patience
from parallel_evm.block.senders import Senders
from parallel_evm.block.underway import Underway
from parallel_evm.report import Conflict
from parallel_evm.scheduling.judge import Judge
from parallel_evm.speculation.executor import Irregular
from parallel_evm.speculation.in_place import InPlace
from parallel_evm.speculation.result import Speculation
from parallel_evm.speculation.run import Speculator
from parallel_evm.speculation.single import natively
from parallel_evm.state.keys import Key, readable
from parallel_evm.workers.local import RuleBook, new_in_place, new_speculator

# Speculation is given up for the rest of a block when it keeps failing: what is judged next would
# mostly run twice.
_GIVE_UP_AFTER = 6
_GIVE_UP_SHARE = 0.34


class InOrder:
    """One block's transactions, one after the other."""

    def __init__(
        self,
        block: Underway,
        senders: Senders,
        layout: Layout,
        ahead: Mapping[int, Speculation],
        patience: Patience,
        rules: RuleBook,
    ) -> None:
        """``ahead``: what this process speculated itself, on a lane of its own."""
        self._block = block
        self._senders = senders
        self._layout = layout
        self._ahead = ahead
        self._patience = patience
        self._rules = rules
        self._judge = Judge(block.committed)
        self._in_place: InPlace | None = None
        self._own: Speculator | None = None
        self._written = block.committed.effects
        self.failed = 0
        """So many speculations did not hold."""
        self.given_up: str | None = None
        """Why speculation was called off."""

    def run(self) -> None:
        """All of them; raise what py-evm raises at the first that it refuses."""
        block, mine = self._block, self._layout.mine
        for index in range(len(block.transactions)):
            if not block.ledger.admits(index):
                self._run_natively(index)
            elif block.runs_all:
                self._run_here(index)
            elif block.committed.effects is not self._written:
                # A customised VM made a state root between two transactions. What the block has
                # written is in the tries now, where the judge does not look.
                self._give_up("a state root was made between transactions")
                self._run_here(index)
            elif index in mine and index not in self._ahead:
                block.session.take_in()
                self._run_here(index)
            else:
                self._judge_or_run(index)

    def _judge_or_run(self, index: int) -> None:
        """Take over what somebody speculated, where it holds."""
        speculation = self._ahead.get(index) or self._await(index)
        if speculation is not None:
            trail = self._block.trails[index]
            trail.attempts += 1
            if speculation.outcome is not None and self._judge.holds(speculation):
                trail.worker = speculation.worker
                self._judge.accept(speculation)
                self._block.enter(speculation)
                self._learn_of_hot_slots(speculation)
                return
            self._send_back(index, speculation)
        self._run_here(index)

    def _await(self, index: int) -> Speculation | None:
        block = self._block
        waiting = time.perf_counter()
        speculation = block.session.result(index, self._patience.seconds(index))
        block.clock.speculate += time.perf_counter() - waiting
        self._patience.note(in_vain=speculation is None)
        for late in block.session.overtaken():  # others may have seen what these wrote
            block.trails[late.index].attempts += 1
            self._judge.reject(late)
        return speculation

    def _send_back(self, index: int, speculation: Speculation) -> None:
        judge = self._judge
        failed = list(judge.failures(speculation))
        self._block.trails[index].conflicts = tuple(
            Conflict(readable(key), judge.last_writer(key)) for key in failed
        )
        self._learn_of_hot_slots(speculation, failed)
        judge.reject(speculation)
        self.failed += 1
        if self.failed >= _GIVE_UP_AFTER and self.failed > _GIVE_UP_SHARE * (index + 1):
            self._give_up(f"{self.failed} of {index + 1} speculations did not hold")

    def _give_up(self, reason: str) -> None:
        """Call off what has not been speculated yet: it would most likely run twice."""
        if self.given_up is None:
            self.given_up = reason
            self._block.session.cancel()

    def _run_here(self, index: int) -> None:
        """Run a transaction on the committed state: it cannot fail to hold."""
        block = self._block
        block.committed.index = index
        sender = self._senders.find(index)
        if block.needs_no_views and self._runs_in_place(index, sender):
            return
        if self._own is None:
            self._own = new_speculator(block.job, self._rules, block.committed)
        speculation = self._own.run(index, block.transactions[index], None, block.fields[index])
        block.clock.speculate += speculation.seconds
        block.trails[index].attempts += 1
        if speculation.outcome is None:
            self._run_natively(index)
        else:
            if not block.runs_all:  # else there is nothing to judge by it
                self._judge.note_accepted(speculation)
            block.enter(speculation)

    def _runs_in_place(self, index: int, sender: bytes | None) -> bool:
        """Run it on that state itself. False where a view is needed."""
        block = self._block
        if self._in_place is None:
            self._in_place = new_in_place(block.job, self._rules, block.committed)
        started = time.perf_counter()
        try:
            outcome = self._in_place.run(block.transactions[index], sender, block.fields[index])
        except Irregular:
            return False
        seconds = time.perf_counter() - started
        block.clock.speculate += seconds
        if outcome is None:
            self._run_natively(index)
        else:
            block.enter_outcome(index, outcome, seconds)
        return True

    def _run_natively(self, index: int) -> None:
        """py-evm's own ``apply_transaction``: for what it refuses, and for what only it can do."""
        block, vm = self._block, self._block.vm
        transaction = block.transactions[index]
        block.committed.index = index
        with natively(vm.state):
            receipt, computation = vm.apply_transaction(block.ledger.header(), transaction)
        block.trails[index].attempts += 1
        if not block.runs_all:
            self._judge.note_run_by_others()
        block.ledger.enter_receipt(transaction, receipt, computation)

    def _learn_of_hot_slots(self, speculation: Speculation, failed: Sequence[Key] = ()) -> None:
        hot_slots, tried = self._block.scheduling.hot_slots, self._layout.hot.tried
        slots = tried.get(speculation.index)
        if slots and hot_slots is not None:
            hot_slots.learn(slots, speculation, failed)
