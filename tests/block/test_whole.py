"""Lanes that are taken over as wholes: independent ones are, those that meet are not, and whatever
happens the block is the one that stock py-evm makes."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from eth_utils.exceptions import ValidationError
from hypothesis import given

from parallel_evm import BlockReport, close
from parallel_evm.block import flow
from parallel_evm.block.layout import Planner
from parallel_evm.block.whole import OwnLane
from parallel_evm.merkle.account_db import MerkleState
from parallel_evm.scheduling.forecast import Forecast
from parallel_evm.scheduling.independence import Hope
from parallel_evm.scheduling.lanes import Costs
from parallel_evm.speculation.result import Speculation
from parallel_evm.speculation.run import Speculator
from parallel_evm.workers import wire, worker
from parallel_evm.workers.session import Task
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    CONTRACTS,
    GHOST,
    INIT_CODES,
    SENDERS,
    Act,
    Bound,
    Laid,
    Mined,
    Pen,
    Play,
    Refused,
    account,
    assemble,
    create2_address,
    hold,
    mine,
    mostly_slow,
    open_chain,
    parallel,
    plays,
    state_of,
    tried,
    words,
)
from tests.test_vm import failing_precompile

FORK = "prague"
COINBASE = b"\xcb" * 20
BACKENDS = ["thread", "process", "auto"]
LANES = [0, 1, 0, 1, 2, 2, 0, 1]

# Everybody has a contract of their own, and they all pay one recipient.
APART = (
    Act(0, CONTRACTS["counter"]),
    Act(1, CONTRACTS["branch"]),
    Act(0, CONTRACTS["counter"]),
    Act(1, CONTRACTS["branch"]),
    Act(2, GHOST, value=5),
    Act(2, CONTRACTS["gas"]),
    Act(0, GHOST, value=6),
    Act(1, CONTRACTS["watcher"], data=words(SENDERS[7])),
)
MEETING = {
    "at a slot": replace(APART[1], to=CONTRACTS["counter"]),
    "at a balance": replace(APART[1], to=CONTRACTS["watcher"], data=words(GHOST)),
    "at the coinbase": Act(1, CONTRACTS["tips"]),
}


class Steady(Hope):
    """Is never lost."""

    def is_left(self) -> bool:
        return True


def chain_of(
    reports: list[BlockReport],
    backend: str = "thread",
    lanes: Sequence[int] = LANES,
    **options: Any,
) -> Any:
    """Whose engine tries whole lanes in every block. ``auto``: the coordinator runs one of them."""
    made = parallel(fork(FORK).chain_class, reports, lanes=lanes, backend=backend, **options)
    if options.get("whole_lanes", True):
        engine_of(made)._hope = Steady()
    return made


def engine_of(chain_class: Any) -> Any:
    ((_, vm_class),) = chain_class.vm_configuration
    return vm_class.parallel_engine


def scene(*acts: Act, coinbase: bytes = COINBASE, **chain_options: Any) -> Play:
    return Play(FORK, coinbase, (acts,), chain_options=chain_options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_independent_lanes_are_taken_over_as_wholes(backend: str) -> None:
    reports: list[BlockReport] = []
    hold(Play(FORK, COINBASE, (APART, APART[::-1])), chain_of(reports, backend), reports)
    assert [report.whole_lanes for report in reports[:2]] == [True, True]
    for report in reports[:2]:
        assert report.reexecutions == 0
        ran_here = [t.worker is None for t in report.transactions]
        assert any(ran_here) == (backend == "auto") and not all(ran_here)
        assert report.to_dict()["whole_lanes"]
    # In the second block the same lanes are given to others, who meet.
    assert [report.whole_lanes for report in reports[2:]] == [False, False]


@pytest.mark.parametrize("backend", mostly_slow(BACKENDS, "process", "auto"))
@pytest.mark.parametrize("where", MEETING)
def test_lanes_that_meet_are_judged_one_transaction_after_the_other(
    where: str, backend: str
) -> None:
    reports: list[BlockReport] = []
    hold(scene(MEETING[where], *APART), chain_of(reports, backend, [1, *LANES]), reports)
    assert [report.whole_lanes for report in reports] == [False, False]


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_lane_is_a_whole_where_that_is_switched_off(backend: str) -> None:
    reports: list[BlockReport] = []
    hold(scene(*APART), chain_of(reports, backend, whole_lanes=False), reports)
    assert [report.whole_lanes for report in reports] == [False, False]
    assert [report.reexecutions for report in reports] == [0, 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_transactions_are_reported_as_those_that_are_judged(backend: str) -> None:
    """What was observed and written may still be packed when the block is done."""
    reports: list[BlockReport] = []
    for whole in (True, False):
        hold(scene(*APART), chain_of(reports, backend, whole_lanes=whole), reports)
    wholes, judged = reports[0], reports[2]
    assert (wholes.whole_lanes, judged.whole_lanes) == (True, False)
    for mine_, theirs in zip(wholes.transactions, judged.transactions, strict=True):
        assert mine_.reads and mine_.writes
        assert replace(mine_, seconds=0.0) == replace(theirs, seconds=0.0)


def test_lanes_that_met_are_not_tried_in_the_next_block() -> None:
    reports: list[BlockReport] = []
    chain_class = parallel(fork(FORK).chain_class, reports, lanes=[1, *LANES])
    engine_of(chain_class)._hope.note_conflicts(0)
    hold(scene(MEETING["at a slot"], *APART), chain_class, reports)
    engine_of(chain_class)._forecaster = Laid(LANES)
    hold(scene(*APART), chain_class, reports)
    assert [report.whole_lanes for report in reports] == [False, False, False, True]


@pytest.mark.parametrize("in_vain", [False, True])
def test_a_worker_costs_no_more_for_what_nobody_could_use(in_vain: bool) -> None:
    """What lanes are laid by is not measured where most of what the worker did ran again here."""
    reports: list[BlockReport] = []
    made = chain_of(reports, "auto", lanes=[1, 0, 0, 0, 0], whole_lanes=False)
    counter = CONTRACTS["counter"] if in_vain else GHOST
    acts = [Act(number, to) for number, to in enumerate([counter, GHOST, *[counter] * 3])]
    pace = engine_of(made)._pace
    before = pace._freight, dict(pace._burden)
    hold(scene(*acts), made, reports)
    used = sum(t.worker is not None for t in reports[0].transactions)
    assert used == (1 if in_vain else 4)
    assert ((pace._freight, pace._burden) == before) is in_vain


def test_lanes_as_they_are_really_forecast() -> None:
    """Payments are forecast rightly from the first block on."""
    reports: list[BlockReport] = []
    acts = tuple(Act(sender, GHOST, value=1) for sender in range(6)) * 2
    chain_class = parallel(fork(FORK).chain_class, reports, workers=3)
    hold(Play(FORK, COINBASE, (acts, acts)), chain_class, reports)
    assert [report.whole_lanes for report in reports] == [False, True, True, True]


class Noting(Laid):
    """Teach about some transactions only."""

    def __init__(self, lanes: Sequence[int], teaching: Sequence[int]) -> None:
        super().__init__(lanes)
        self._teaching = teaching
        self.learned: list[tuple[int, bool]] = []

    def forecast(self, index: int, transaction: Any, sender: bytes | None) -> Forecast:
        made = super().forecast(index, transaction, sender)
        return replace(made, teaches=index in self._teaching)

    def learn(
        self, transaction: Any, sender: bytes | None, speculation: Any, conflicted: bool = False
    ) -> None:
        assert speculation.effects.deltas and speculation.observations.cells
        self.learned.append((speculation.index, conflicted))


@pytest.mark.parametrize("backend", BACKENDS)
def test_forecasts_learn_from_those_that_teach(backend: str) -> None:
    reports: list[BlockReport] = []
    chain_class = chain_of(reports, backend)
    noting = engine_of(chain_class)._forecaster = Noting(LANES, teaching=[1, 2, 5])
    hold(scene(*APART), chain_class, reports)
    assert all(report.whole_lanes for report in reports)
    assert noting.learned == [(1, False), (2, False), (5, False)] * 2


#
# What py-evm refuses
#
def steps(monkeypatch: pytest.MonkeyPatch, *names: str) -> Counter[str]:
    """Counts calls of these steps of a block."""
    counts: Counter[str] = Counter()
    for name in names:
        step = getattr(flow, name)

        def counted(*arguments: Any, name: str = name, step: Any = step) -> Any:
            found = step(*arguments)
            in_vain = found is None or (isinstance(found, OwnLane) and found.cut_short)
            counts[f"{name} in vain" if in_vain else name] += 1
            return found

        monkeypatch.setattr(flow, name, counted)
    return counts


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_block_that_runs_out_of_gas_half_way(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    counts = steps(monkeypatch, "independent_lanes")
    reports: list[BlockReport] = []
    burning = [Act(sender, CONTRACTS["burner"], gas=400_000) for sender in range(4)]
    # There is gas for two; before and after the third are transactions that would do.
    acts = [*burning[:2], Act(5, GHOST), burning[2], Act(6, GHOST)]
    hold(scene(*acts, gas_limit=1_000_000), chain_of(reports, backend, [0, 1, 1, 0, 1]), reports)
    assert counts == {"independent_lanes": 1}
    assert reports == []


def test_the_block_that_ran_out_of_gas_is_refused_as_by_py_evm() -> None:
    """`hold` compares refusals, too; here is what it compared."""
    stock = open_chain(fork(FORK).chain_class, state_of(FORK), gas_limit=1_000_000)
    pen = Pen(fork(FORK), stock)
    burning = [pen.sign(Act(s, CONTRACTS["burner"], gas=400_000)) for s in range(3)]
    assert isinstance(mine(stock, burning[:2]), Mined)
    stock = open_chain(fork(FORK).chain_class, state_of(FORK), gas_limit=1_000_000)
    refused = mine(stock, burning)
    assert isinstance(refused, Refused) and refused.error == "ValidationError"


@pytest.mark.parametrize("whole_lanes", [False, True])
def test_a_refused_block_leaves_the_state_as_py_evm_does(whole_lanes: bool) -> None:
    """Those before the refused transaction have had their effect on the VM."""
    left = []
    for chain_class in (fork(FORK).chain_class, chain_of([], whole_lanes=whole_lanes)):
        chain = open_chain(chain_class, state_of(FORK), gas_limit=1_000_000)
        pen = Pen(fork(FORK), chain)
        burning = [pen.sign(Act(s, CONTRACTS["burner"], gas=400_000)) for s in range(4)]
        head = chain.get_canonical_head()
        vm = chain.get_vm(chain.create_header_from_parent(head, coinbase=COINBASE))
        with pytest.raises(ValidationError, match="exceeds gas limit"):
            vm.apply_all_transactions(burning, vm.get_header())
        left.append([vm.state.get_balance(address) for address in (*SENDERS[:4], COINBASE)])
    assert left[0] == left[1]


@pytest.mark.parametrize("spoilt", mostly_slow(["future", "funds", "signature", "fee"], "funds"))
@pytest.mark.parametrize("backend", mostly_slow(BACKENDS, "auto"))
def test_a_transaction_that_is_refused_in_any_place(
    monkeypatch: pytest.MonkeyPatch, backend: str, spoilt: str
) -> None:
    """With ``auto``, some of these places are in the lane of the coordinator."""
    counts = steps(monkeypatch, "run_own_lane", "independent_lanes")
    reports: list[BlockReport] = []
    chain_class = chain_of(reports, backend)
    for place in range(len(APART)):
        acts = list(APART)
        acts[place] = replace(acts[place], spoilt=spoilt)
        hold(scene(*acts), chain_class, reports)
    assert reports == []
    assert counts["independent_lanes in vain"] == len(APART)
    assert counts["run_own_lane"] > 0
    assert (counts["run_own_lane in vain"] > 0) == (backend == "auto")


#
# Random blocks
#
@pytest.mark.parametrize("seed", [0, *[pytest.param(n, marks=pytest.mark.slow) for n in (1, 2)]])
@pytest.mark.parametrize("backend", mostly_slow(BACKENDS, "auto"))
def test_random_blocks_in_random_lanes(backend: str, seed: int) -> None:
    reports: list[BlockReport] = []
    chain_class = parallel(fork(FORK).chain_class, reports, misled=seed, backend=backend, workers=3)
    engine_of(chain_class)._hope = Steady()

    @tried(7)
    @given(play=plays(FORK, transactions=5))
    def check(play: Play) -> None:
        hold(play, chain_class, reports)

    check()
    whole = sum(report.whole_lanes for report in reports)
    assert 3 < whole < len(reports) - 3


#
# Workers that fail
#
@pytest.fixture
def fresh_workers() -> Iterator[None]:
    close()
    yield
    close()


def mined(acts: Sequence[Act], chain_class: Any, stock_class: Any = None, name: str = FORK) -> None:
    """The block is the one that stock py-evm mines, whoever was lost."""
    stock = open_chain(stock_class or fork(name).chain_class, state_of(name))
    ours = open_chain(chain_class, state_of(name))
    pen = Pen(fork(name), stock)
    transactions = [pen.sign(act) for act in acts]
    expected = mine(stock, transactions, coinbase=COINBASE)
    assert isinstance(expected, Mined)
    assert mine(ours, transactions, coinbase=COINBASE) == expected


@pytest.mark.parametrize("backend", ["process", "auto"])
def test_a_worker_that_is_killed_in_the_middle_of_its_lane(
    fresh_workers: None, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    here = os.getpid()
    run = Speculator.run

    def fatal(self: Speculator, index: int, *arguments: Any) -> Speculation:
        if index == 3 and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return run(self, index, *arguments)

    monkeypatch.setattr(Speculator, "run", fatal)
    reports: list[BlockReport] = []
    chain_class = chain_of(reports, backend)
    mined(APART, chain_class)
    assert not reports[0].whole_lanes
    assert [loss.split(": ")[1] for loss in reports[0].lost_workers] == ["killed by signal 9"]
    monkeypatch.undo()
    mined(APART, chain_class)
    assert reports[1].whole_lanes and reports[1].lost_workers == ()


def test_an_outcome_that_cannot_travel(fresh_workers: None) -> None:
    """Its lane is no whole: nobody but the coordinator knows how that transaction ends."""
    stock_class = fork("shanghai").chain_class.configure(
        vm_configuration=((0, failing_precompile()),)
    )
    reports: list[BlockReport] = []
    chain_class = parallel(stock_class, reports, lanes=[0, 1], backend="process")
    acts = [Act(1, CONTRACTS["counter"]), Act(2, bytes(19) + b"\xff"), Act(3, CONTRACTS["branch"])]
    mined(acts, chain_class, stock_class, "shanghai")
    assert [t.attempts for t in reports[0].transactions] == [1, 2, 1]
    assert not reports[0].whole_lanes and reports[0].lost_workers == ()


def lying(monkeypatch: pytest.MonkeyPatch, *indices: int) -> None:
    """Workers that are started from now on say nonsense of what these transactions touched."""
    details_of = wire.details_of

    def odd(speculation: Speculation, silent: bool) -> Any:
        return pickle.dumps(5) if speculation.index in indices else details_of(speculation, silent)

    monkeypatch.setattr(worker.wire, "details_of", odd)


@pytest.mark.parametrize("lie", [0, 5, 7])
@pytest.mark.parametrize("backend", ["process", "auto"])
def test_nonsense_about_lanes_that_meet_ends_the_worker(
    fresh_workers: None, monkeypatch: pytest.MonkeyPatch, backend: str, lie: int
) -> None:
    """It is found out only when somebody looks."""
    lying(monkeypatch, lie)
    reports: list[BlockReport] = []
    acts = (*APART, MEETING["at a slot"])
    lanes = [*LANES, 1]
    chain_class = chain_of(reports, backend, lanes)
    engine_of(chain_class)._forecaster = Noting(lanes, teaching=[])
    mined(acts, chain_class)
    (report,) = reports
    assert not report.whole_lanes
    lost = [loss.split(" (")[0].split(": ")[1] for loss in report.lost_workers]
    here = report.transactions[lie].worker is None and backend == "auto"
    assert lost == ["answers nonsense"] or (here and not lost)
    assert report.transactions[lie].worker is None


@pytest.mark.parametrize("backend", ["process", "auto"])
def test_nonsense_that_nobody_has_to_look_at_spoils_no_report(
    fresh_workers: None, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """Independent lanes are right by what each of them came to."""
    lying(monkeypatch, *range(len(APART)))
    reports: list[BlockReport] = []
    chain_class = chain_of(reports, backend)
    engine_of(chain_class)._forecaster = Noting(LANES, teaching=[])
    mined(APART, chain_class)
    (report,) = reports
    assert [t["gas_used"] > 0 for t in report.to_dict()["transactions"]] == [True] * len(APART)


#
# What else a block leaves
#
def test_refunds_make_room_for_those_who_come_later() -> None:
    """Six transactions that clear storage, in a block in which only refunds leave room for all."""
    clear = assemble(0, 0, "SSTORE", 0, 3, "SSTORE")
    state = state_of(FORK)
    places = [bytes([0xD0, number]) * 10 for number in range(6)]
    state |= {place: account(0, 1, clear, {0: 2, 3: 4}) for place in places}
    reports: list[BlockReport] = []
    acts = [Act(number, place, gas=32_000) for number, place in enumerate(places)]
    stock, ours = (
        open_chain(chain_class, state, gas_limit=160_000)
        for chain_class in (fork(FORK).chain_class, chain_of(reports))
    )
    pen = Pen(fork(FORK), stock)
    transactions = [pen.sign(act) for act in acts]
    expected = mine(stock, transactions)
    assert isinstance(expected, Mined)
    assert mine(ours, transactions) == expected
    assert [report.whole_lanes for report in reports] == [True]


def test_a_new_contract_that_its_own_lane_reads_is_witnessed() -> None:
    """The lane knows its storage, and asks nobody; py-evm names it all the same."""
    child = create2_address(CONTRACTS["factory"], 0, INIT_CODES[2])
    acts = [
        Act(0, CONTRACTS["factory"], data=words(0) + INIT_CODES[2], gas=400_000),
        Act(3, child),
        Act(1, CONTRACTS["branch"]),
    ]
    reports: list[BlockReport] = []
    stock = open_chain(fork(FORK).chain_class, state_of(FORK))
    ours = open_chain(chain_of(reports, lanes=[0, 0, 1]), state_of(FORK))
    pen = Pen(fork(FORK), stock)
    assert isinstance(mine(stock, [pen.sign(act) for act in acts]), Mined)
    made = stock.get_block_by_header(stock.get_canonical_head())
    again = open_chain(fork(FORK).chain_class, state_of(FORK))
    seen = [chain.import_block(made).meta_witness for chain in (again, ours)]
    assert [report.whole_lanes for report in reports] == [True]
    for witness in seen:
        assert child in witness.accounts_queried
        assert witness.get_slots_queried(child) == {0}


@pytest.mark.parametrize("act", [Act(0, GHOST, value=1), Act(1, CONTRACTS["invalid"])])
def test_a_report_keeps_no_state_alive(act: Act) -> None:
    """An error knows the frames that it went through, and those know everything."""
    before = states_alive()
    reports: list[BlockReport] = []
    chain = open_chain(chain_of(reports, "serial", workers=1), state_of(FORK))
    mine(chain, [Pen(fork(FORK), chain).sign(act)])
    (report,) = reports
    del chain
    assert states_alive() <= before
    assert len(report.transactions) == 1


def states_alive() -> int:
    gc.collect()
    return sum(isinstance(thing, MerkleState) for thing in gc.get_objects())


def test_whoever_waits_in_vain_gives_up_hope(
    fresh_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, run = os.getpid(), Speculator.run

    def slow(self: Speculator, *details: Any) -> Speculation:
        if os.getpid() != here:
            time.sleep(0.1)
        return run(self, *details)

    monkeypatch.setattr(Speculator, "run", slow)
    monkeypatch.setattr(
        Bound, "costs", lambda self, sent, whole=False: Costs([0.01] * len(sent), 0.0, 0.0)
    )
    counts = steps(monkeypatch, "independent_lanes")
    reports: list[BlockReport] = []
    chain_class = parallel(fork(FORK).chain_class, reports, lanes=[0, 1, 2], backend="auto")
    engine_of(chain_class)._hope.note_conflicts(0)
    acts = tuple(Act(sender, GHOST, value=1) for sender in range(6))
    hold(Play(FORK, COINBASE, (acts,) * 3), chain_class, reports)
    assert not any(report.whole_lanes for report in reports)
    assert counts["independent_lanes"] == 0
    assert 0 < counts["independent_lanes in vain"] < len(reports) - 1


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_a_lane_with_linear_values_is_no_whole(backend: str) -> None:
    """They say too little of what they saw, and nobody should ask for such a lane as a whole."""
    reports: list[BlockReport] = []
    chain_class = chain_of(reports, backend, lanes=[0, 1])
    engine = engine_of(chain_class)

    def hot(self: Any, forecasts: Sequence[Any], plan: Any) -> list[Task]:
        key = (CONTRACTS["counter"], 0)
        return [Task(None, frozenset(), True, {key: False}) for _ in forecasts]

    with (
        mock.patch.object(Planner, "_tasks", hot),
        mock.patch.object(engine, "_hot_slots", None),
    ):
        mined([Act(0, CONTRACTS["counter"]), Act(1, CONTRACTS["branch"])], chain_class)
    assert [report.whole_lanes for report in reports] == [False]
