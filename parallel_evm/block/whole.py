"""Lane by lane: those that do not meet are taken over as they are.

Responsible for: the coordinator's own lane, which runs ahead of the committed state as a worker's
does, and for folding all lanes into that state at once.
Talks to: the session, for the others' lanes; `scheduling.independence`, for whether they meet.
Never: takes anything over where a single transaction went wrong.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from parallel_evm.block.patience import Patience
from parallel_evm.block.senders import Senders
from parallel_evm.block.underway import Underway
from parallel_evm.scheduling.independence import meeting
from parallel_evm.speculation.result import Speculation, WholeLane
from parallel_evm.state.keys import EPOCH
from parallel_evm.state.recorder import Observations
from parallel_evm.workers.local import RuleBook, new_lane, new_speculator


@dataclass(slots=True)
class OwnLane:
    """What this process speculated itself."""

    ahead: dict[int, Speculation] = field(default_factory=dict)
    whole: WholeLane | None = None
    """None where there is none, and where it was cut short."""
    cut_short: bool = False
    """One of its transactions is refused. That is left for its turn, with all after it; ``ahead``
    are those before it."""


def run_own_lane(
    block: Underway, mine: Collection[int], senders: Senders, rules: RuleBook
) -> OwnLane:
    """Run what nobody else was given, apart from the committed state."""
    own = OwnLane()
    if not mine:
        return own
    lane = new_lane(block.job)
    speculator = new_speculator(block.job, rules, lane)
    for index in sorted(mine):
        block.session.take_in()
        senders.find(index)
        speculation = speculator.run(index, block.transactions[index], None, block.fields[index])
        block.clock.speculate += speculation.seconds
        if speculation.outcome is None:
            block.trails[index].attempts += 1
            own.cut_short = True
            return own
        own.ahead[index] = speculation
    own.whole = WholeLane(lane.observations, lane.effects, list(own.ahead.values()))
    return own


def independent_lanes(
    block: Underway, mine: Collection[int], own: OwnLane, patience: Patience
) -> list[WholeLane] | None:
    """All lanes of the block, if everything in them went well and no two of them meet.

    ``mine``: what others were not given, and ``own`` has run.
    """
    if own.cut_short:
        return None
    waiting = time.perf_counter()
    others = [index for index in range(len(block.transactions)) if index not in mine]
    lanes = block.session.lanes(patience.seconds(*others))
    block.clock.speculate += time.perf_counter() - waiting
    patience.note(in_vain=lanes is None)
    if lanes is None:
        return None
    if own.whole is not None:
        lanes.append(own.whole)
    return lanes if meeting(lanes, block.committed) is None else None


def take_over(block: Underway, lanes: Sequence[WholeLane], teaching: Collection[int]) -> bool:
    """Take over all that independent lanes did: what the block's order makes of it, too. False
    where its gas does not suffice: then the transaction has to be found that py-evm refuses."""
    found = [speculation for lane in lanes for speculation in lane.speculations]
    found.sort(key=lambda speculation: speculation.index)
    outcomes: list[Any] = [speculation.outcome for speculation in found]
    if not block.ledger.admits_all(outcomes):
        return False
    for index, (speculation, trail) in enumerate(zip(found, block.trails, strict=True)):
        block.ledger.enter(index, outcomes[index])
        trail.attempts += 1
        trail.worker = speculation.worker
        trail.end(speculation, block.wants_accesses)
    for lane in lanes:
        block.committed.fold(lane.effects)
        for observations in _witnessed(lane):
            block.committed.witness(observations)
    last = found[-1]
    if last.traces is not None:
        block.committed.resume(last.traces, {})
    for index in sorted(teaching):
        block.learn(index, found[index])
    return True


def _witnessed(lane: WholeLane) -> list[Observations]:
    """What its transactions observed. A lane asks nobody for storage that it has wiped (that of a
    new contract is); then each of them says it for itself, unless a worker packed nonsense."""
    if any(part == EPOCH for _, part in lane.effects.cells):
        with contextlib.suppress(ValueError):
            return [speculation.observations for speculation in lane.speculations]
    return [lane.observations]
