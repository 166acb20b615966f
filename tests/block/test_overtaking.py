"""The coordinator does not wait for ever: what comes late is not taken, and not forgotten."""

from __future__ import annotations

import random
from math import inf
from typing import Any

import pytest
from hypothesis import given

from parallel_evm import BlockReport
from parallel_evm.block.patience import Patience
from parallel_evm.state.keys import StateKey
from parallel_evm.workers.conversation import ProcessSession
from parallel_evm.workers.local import ThreadSession
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    ETHER,
    SENDERS,
    A,
    Act,
    Play,
    account,
    assemble,
    hold,
    parallel,
    plays,
    tried,
    words,
)

PLACE = b"\xd1" * 20
BUMP, BRANCH, READ = 2, 0, 1
# 2: slot 0 goes up. 0: slot 1 or 2 is written, as slot 0 is even or odd. 1: slot 5 := slot 1.
CODE = assemble(
    *A, 1, "EQ", "@read", "JUMPI", *A, "@bump", "JUMPI",
    1, 0, "SLOAD", "AND", "@odd", "JUMPI", "CALLER", 1, "SSTORE", "STOP",
    "odd:", "CALLER", 2, "SSTORE", "STOP",
    "read:", 1, "SLOAD", 5, "SSTORE", "STOP",
    "bump:", 1, 0, "SLOAD", "ADD", 0, "SSTORE",
)  # fmt: skip


def test_what_a_late_speculation_wrote_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second transaction writes slot 2, but its worker had it write slot 1, where the third one
    saw it; nobody ever writes slot 1 for good."""
    result = ThreadSession.result

    def late(self: Any, index: int, patience: float = inf) -> Any:
        if index == 1:
            self._late.add(index)
            return None
        return result(self, index, patience)

    monkeypatch.setattr(ThreadSession, "result", late)
    reports: list[BlockReport] = []
    state = {address: account(100 * ETHER) for address in SENDERS}
    state[PLACE] = account(0, 1, CODE, {0: 2})
    acts = [Act(place, PLACE, data=words(what)) for place, what in enumerate((BUMP, BRANCH, READ))]
    hold(
        Play("prague", b"\xcb" * 20, (tuple(acts),), state=state),
        parallel(fork("prague").chain_class, reports, lanes=[0, 1, 1]),
        reports,
    )
    for report in reports:
        read = report.transactions[2]
        assert [conflict.key for conflict in read.conflicts] == [StateKey("slot", PLACE, 1)]
        assert report.transactions[1].attempts == 2  # here, and by the worker for nothing


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_random_blocks_by_an_impatient_coordinator(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    overtaken = ProcessSession.overtaken
    late: list[int] = []

    def noted(self: Any) -> Any:
        found = overtaken(self)
        late.extend(speculation.index for speculation in found)
        return found

    monkeypatch.setattr(ProcessSession, "overtaken", noted)
    monkeypatch.setattr(
        Patience, "seconds", lambda self, *_: chance.choice((0.0, 0.0, 0.0003, inf))
    )
    reports: list[BlockReport] = []
    chain_class = parallel(
        fork("prague").chain_class, reports, misled=seed, backend="auto", workers=3
    )

    @tried(6)
    @given(play=plays("prague"))
    def check(play: Play) -> None:
        hold(play, chain_class, reports)

    check()
    assert late
