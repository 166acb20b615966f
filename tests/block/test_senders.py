"""Senders: found by workers or here, whoever is there first, and never waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import rlp.codec

from parallel_evm import BlockReport, close, workloads
from parallel_evm.assembly import LeanAssembly
from parallel_evm.block import senders as module
from parallel_evm.block.senders import Senders
from parallel_evm.block.underway import Clock
from parallel_evm.scheduling.pace import Way
from parallel_evm.workers import worker
from parallel_evm.workers.conversation import ProcessSession, _Share
from parallel_evm.workers.session import SENDERS_AT_ONCE
from tests.strategies import parallel

COUNT = 120


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Transactions whose senders were recovered in this process, one after the other. Workers are
    started anew, with whatever was exchanged by then."""
    found: list[Any] = []
    recover = module.recover_sender

    def listening(transaction: Any, *args: Any) -> Any:
        found.append(transaction)
        return recover(transaction, *args)

    monkeypatch.setattr(module, "recover_sender", listening)
    close()
    yield found
    close()


def make_workers_slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """By so much for each signature."""
    recover = worker.recover_encoded

    def slowly(encoded: bytes) -> bytes | None:
        time.sleep(seconds)
        return recover(encoded)

    monkeypatch.setattr(worker, "recover_encoded", slowly)


def imported(way: Way, blocks: int = 1) -> tuple[list[Any], BlockReport]:
    """The transactions of the last one of so many blocks, as it was imported."""
    scene = workloads.build("transfers", transactions=COUNT, blocks=blocks)
    reports: list[BlockReport] = []
    stock = scene.open()
    ours = scene.open(parallel(scene.chain_class, reports, backend="auto", way=way))
    sent: list[Any] = []
    for transactions in scene.blocks:
        block = stock.mine_all(transactions)[0].imported_block
        decoded: Any = rlp.codec.decode(rlp.encode(block), sedes=type(block))  # senders unknown
        assert ours.import_block(decoded).imported_block.hash == block.hash
        sent = list(decoded.transactions)
    return sent, reports[-1]


@pytest.mark.parametrize("way", [Way.ASSISTED, Way.TOGETHER])
def test_slow_workers_are_not_waited_for(
    here: list[Any], monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    """What they would come to last is found here meanwhile, and they do not look at it."""
    make_workers_slow(monkeypatch, 0.05)
    started = time.perf_counter()
    transactions, report = imported(way)
    assert time.perf_counter() - started < COUNT * 0.05
    assert report.lost_workers == ()
    # From the end on, as far as the worker has not begun, and then what is needed next.
    places = [transactions.index(transaction) for transaction in here]
    assert set(range(SENDERS_AT_ONCE, COUNT)) <= set(places)
    assert places[0] > COUNT // 2
    assert len(places) == len(set(places))


def test_quick_workers_are_left_most_of_it(
    here: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who knows them all at once: what is found here is for the first ones' sake."""
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    recover = module.recover_sender

    def slowly(transaction: Any, *args: Any) -> Any:
        time.sleep(0.02)  # a block's worth of signatures, over there
        return recover(transaction, *args)

    monkeypatch.setattr(module, "recover_sender", slowly)
    imported(Way.ASSISTED)
    assert len(here) < COUNT // 4


def test_what_workers_do_not_know_is_found_here(
    here: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "recover_encoded", lambda encoded: None)
    transactions, report = imported(Way.ASSISTED)
    assert report.lost_workers == ()
    places = [transactions.index(transaction) for transaction in here]
    assert sorted(places) == list(range(COUNT))  # each of them once


def test_an_answer_that_there_is_none_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is taken back from the worker for it, as it is where one is on its way."""
    session = ProcessSession.__new__(ProcessSession)
    session._senders, session._busy = {0: None}, {}
    session._shares = {0: _Share(range(1, 100), SimpleNamespace(value=0))}
    assert not session.awaits_sender(0)
    assert session.awaits_sender(1)
    monkeypatch.setattr(module, "recover_sender", lambda transaction, fields: transaction)
    waiting: list[list[Any]] = []

    def catch_up() -> bool:
        """There are receipts to make, once."""
        waiting.append(list(block.senders))
        if len(waiting) == 1:
            time.sleep(0.2)
            block.clock.receipts += 0.2
        return len(waiting) == 1

    block: Any = SimpleNamespace(
        session=session,
        catch_up=catch_up,
        senders=[None] * 100,
        transactions=list(range(100)),
        fields=[None] * 100,
        clock=Clock(),
    )
    subject = Senders(block, None)
    subject._asked.update(range(100))
    assert subject.find(0) == 0
    assert block.senders == [0] + [None] * 99
    assert waiting == []
    assert subject.find(1) == 1
    # What has to be done anyway was done before any sender was looked for here.
    assert waiting[:2] == [[0] + [None] * 99] * 2
    assert block.clock.senders < 0.1 < block.clock.receipts
    assert None not in block.senders[1 + SENDERS_AT_ONCE :]
    assert block.senders[2 : 1 + SENDERS_AT_ONCE] == [None] * (SENDERS_AT_ONCE - 1)


@pytest.mark.parametrize("way", Way)
def test_what_is_done_while_others_look_for_senders_is_named_for_what_it_is(
    monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    ready = LeanAssembly.ready_to_compare

    def slowly(vm: Any) -> None:
        time.sleep(0.5)
        ready(vm)

    monkeypatch.setattr(LeanAssembly, "ready_to_compare", slowly)
    _, report = imported(way)
    phases = report.phases
    assert max(phases.senders, phases.forecast, phases.judge) < 0.5 <= phases.receipts
    assert sum(phases.to_dict().values()) == pytest.approx(report.seconds, rel=0.5)


@pytest.mark.parametrize("way", Way)
def test_of_a_signature_that_is_none_all_say_the_same(here: list[Any], way: Way) -> None:
    scene = workloads.build("transfers", transactions=COUNT)
    block: Any = scene.open().mine_all(scene.blocks[0])[0].imported_block
    errors = []
    for chain_class in (
        scene.chain_class,
        parallel(scene.chain_class, [], backend="auto", way=way),
    ):
        decoded: Any = rlp.codec.decode(rlp.encode(block), sedes=type(block))
        sent = list(decoded.transactions)
        sent[-3] = sent[-3].copy(s=0)
        with pytest.raises(Exception) as found:
            scene.open(chain_class).import_block(decoded.copy(transactions=sent))
        errors.append((found.type, found.value.args))
    assert errors[0] == errors[1]


def test_who_needed_to_recover_many_begins_with_them_next_time(
    here: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_workers_slow(monkeypatch, 0.01)
    transactions, _ = imported(Way.ASSISTED, blocks=2)
    places = [transactions.index(sent) for sent in here if sent in transactions]
    assert places[:10] == list(range(10))


def test_a_share_is_taken_back_from_its_end() -> None:
    wanted = SimpleNamespace(value=0)
    share = _Share(range(100, 150), wanted)
    assert wanted.value == 50
    assert share.take_back(4) == range(146, 150)
    assert wanted.value == 46
    assert share.told(2) == range(100, 102)
    assert share.untouched() == 46 - 2 - SENDERS_AT_ONCE
    assert share.take_back(1000) == range(102 + SENDERS_AT_ONCE, 146)
    assert share.untouched() == 0
    assert len(share.take_back(1)) == 0
    # What it had begun with nonetheless is told all the same.
    assert share.told(30) == range(102, 132)
    assert len(share.take_back(1)) == 0
    assert wanted.value == 2 + SENDERS_AT_ONCE
