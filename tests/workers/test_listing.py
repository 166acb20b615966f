"""Who recovers senders also lists the block; what comes back is used, or not believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from parallel_evm import BlockReport, assembly, close
from parallel_evm.merkle.index import listed
from parallel_evm.scheduling.pace import Way
from parallel_evm.workers import wire, worker
from parallel_evm.workers.worker import Worker
from parallel_evm.workloads.forks import fork
from tests.strategies import CONTRACTS, Act, Mined, Pen, mine, open_chain, parallel, state_of

RULES = fork("prague")
ACTS = [Act(number % 8, CONTRACTS["counter"], type_id=number % 3) for number in range(40)]


@pytest.fixture
def made_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many transactions this process has listed itself, block by block."""
    counts: list[int] = []

    def noted(contents: list[bytes]) -> Any:
        counts.append(len(contents))
        return listed(contents)

    monkeypatch.setattr(assembly, "listed", noted)
    close()
    yield counts
    close()


def mined() -> BlockReport:
    """A block that one worker helps with; it is the one that stock py-evm makes."""
    reports: list[BlockReport] = []
    stock = open_chain(RULES.chain_class, state_of("prague"))
    options: dict[str, Any] = {"backend": "auto", "workers": 2, "way": Way.ASSISTED}
    ours = open_chain(parallel(RULES.chain_class, reports, **options), state_of("prague"))
    pen = Pen(RULES, stock)
    transactions = [pen.sign(act) for act in ACTS]
    expected = mine(stock, transactions)
    assert isinstance(expected, Mined)
    assert mine(ours, transactions) == expected
    assert reports[-1].fallback is None
    return reports[-1]


def test_the_helper_lists_the_block(made_here: list[int]) -> None:
    report = mined()
    assert report.lost_workers == ()
    assert made_here == []


HASHES, NODE = [bytes(32)] * len(ACTS), {bytes(32): b"node"}
LIES: dict[str, tuple[Any, ...]] = {
    "nothing": (),
    "no hashes": (None, bytes(32), NODE, 0.0),
    "too few hashes": (HASHES[1:], bytes(32), NODE, 0.0),
    "short hashes": ([*HASHES[1:], b"\x01"], bytes(32), NODE, 0.0),
    "no root": (HASHES, None, NODE, 0.0),
    "no nodes": (HASHES, bytes(32), None, 0.0),
    "nodes of something": (HASHES, bytes(32), {bytes(32): 5}, 0.0),
    "nodes by something": (HASHES, bytes(32), {5: b""}, 0.0),
    "at no time": (HASHES, bytes(32), NODE, "x"),
}


@pytest.mark.parametrize("lie", LIES)
def test_nonsense_is_no_list(
    made_here: list[int], monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    send: Callable[..., None] = Worker._send

    def lying(self: Worker, message: tuple[Any, ...]) -> None:
        send(self, (wire.LISTED, *LIES[lie]) if message[0] == wire.LISTED else message)

    monkeypatch.setattr(Worker, "_send", lying)
    report = mined()
    assert len(report.lost_workers) == 1
    assert "nonsense" in report.lost_workers[0]
    assert made_here == [len(ACTS)]


def test_a_list_that_nobody_asked_for_is_nonsense(
    made_here: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    send: Callable[..., None] = Worker._send

    def eager(self: Worker, message: tuple[Any, ...]) -> None:
        if message[0] == wire.RECOVERED:
            send(self, (wire.LISTED, HASHES, bytes(32), NODE, 0.0))
        send(self, message)

    monkeypatch.setattr(Worker, "_send", eager)
    assert len(mined().lost_workers) == 1
    assert made_here == [len(ACTS)]


def test_a_helper_that_dies_over_the_list(
    made_here: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(contents: list[bytes]) -> Any:
        raise SystemExit(1)

    monkeypatch.setattr(worker, "listed", dies)
    assert len(mined().lost_workers) == 1
    assert made_here == [len(ACTS)]
