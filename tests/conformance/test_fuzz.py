"""The fuzzer: it draws what it should, finds planted errors, and cuts them down to little."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from parallel_evm.conformance.blocktests.discovery import discover
from parallel_evm.conformance.blocktests.results import Verdict
from parallel_evm.conformance.blocktests.run import run_conformance
from parallel_evm.conformance.compose import compose
from parallel_evm.conformance.fuzz import FuzzReport, run_fuzz, try_block, try_chain
from parallel_evm.conformance.parallel import Parallel
from parallel_evm.conformance.recorded import load
from parallel_evm.conformance.replay import replay
from parallel_evm.conformance.scenario import FORK_WEIGHTS, scenario
from parallel_evm.conformance.subject import Stock
from parallel_evm.fallback import ROOT_PER_TRANSACTION
from parallel_evm.forks import FORKS

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode present")


def test_a_block_is_a_function_of_seed_and_index() -> None:
    assert scenario(3, 14) == scenario(3, 14)
    assert scenario(3, 14) != scenario(3, 15)
    assert scenario(3, 14) != scenario(4, 14)
    first, again = scenario(3, 14).transactions(), scenario(3, 14).transactions()
    assert [made.hash for made in first] == [made.hash for made in again]


def test_all_forks_and_transaction_types_are_drawn() -> None:
    drawn = [scenario(0, index) for index in range(300)]
    assert {one.setting.fork for one in drawn} == set(FORK_WEIGHTS) <= set(FORKS)
    assert {draft.type_id for one in drawn for draft in one.drafts} == {0, 1, 2, 3, 4}
    assert any(draft.to == b"" for one in drawn for draft in one.drafts)
    assert any(one.setting.withdrawals for one in drawn)


@pytest.mark.slow
def test_the_blocks_are_worth_running() -> None:
    """Most blocks are valid, and their transactions end in many different ways."""
    report = run_fuzz(Stock(), draws=20, seed=1)
    assert report.findings == []
    assert report.refused < 0.3 * report.blocks
    assert report.blocks > report.draws == 20


def test_it_goes_on_for_as_long_as_it_is_told() -> None:
    """Without a number of draws, that is; one draw is made at least."""
    assert run_fuzz(Stock(), seconds=1e-9).draws == 1
    assert run_fuzz(Stock(), seconds=1e-9, draws=2).draws == 1
    report = run_fuzz(Stock(), seconds=0.3)
    assert report.draws >= 1
    assert report.seconds >= 0.3


@pytest.mark.parametrize("index", range(12))
def test_stock_py_evm_equals_itself(index: int) -> None:
    assert try_block(scenario(5, index), Stock()).differences == ()


@pytest.mark.parametrize("index", range(6))
def test_a_chain_made_by_py_evm_is_imported_by_py_evm(index: int) -> None:
    trial = try_chain(scenario(5, index), Stock())
    assert trial.differences == ()
    assert trial.blocks >= 1


@pytest.mark.slow
def test_a_drawn_block_can_be_replayed(tmp_path: Path) -> None:
    forks: Counter[str] = Counter()
    for index in range(25):
        drawn = scenario(6, index)
        case = compose(drawn.setting, drawn.state, drawn.transactions())
        path = tmp_path / "case.json"
        path.write_text(json.dumps(case))
        assert replay(load(path), Stock()).equal
        forks[drawn.setting.fork] += 1
    assert len(forks) > 5


@dataclass(frozen=True)
class MisplacesWei(Stock):
    """py-evm that puts a wei where it does not belong when a block transfers value."""

    name: str = "misplaces a wei"

    def transform(self, vm_class: Any) -> Any:
        class WrongVM(vm_class):  # type: ignore[misc]
            def apply_all_transactions(self, transactions: Any, base_header: Any) -> Any:
                done = super().apply_all_transactions(transactions, base_header)
                if any(transaction.value > 0 for transaction in transactions):
                    self.state.delta_balance(b"\x77" * 20, 1)
                return done

        return WrongVM


@pytest.fixture(scope="module")
def report() -> FuzzReport:
    """What the fuzzer finds where there is something to find."""
    heard: list[int] = []

    def hear(report: FuzzReport) -> None:
        heard.append(report.draws)

    # 40 tries each: only a machine that is ten times as slow does not cut them down to the end.
    found = run_fuzz(MisplacesWei(), draws=6, seed=2, progress=hear)
    assert heard == list(range(1, found.draws + 1))
    return found


@pytest.mark.slow
def test_a_planted_error_is_found_cut_down_and_written(report: FuzzReport, tmp_path: Path) -> None:
    assert report.exit_code == 1
    finding = next(finding for finding in report.findings if finding.kind == "block")
    assert [check.name for check in finding.checks] == ["state root, once"]
    assert finding.alone
    recording = load(finding.write(tmp_path))
    assert len(recording.transactions) == 1
    assert len(recording.traces[0]) <= 2
    assert [check.name for check in replay(recording, MisplacesWei()).differences] == [
        "state root, cold",
        "state root, warm",
    ]
    assert replay(recording, Stock()).equal


@pytest.mark.slow
def test_a_planted_error_is_found_in_a_chain(report: FuzzReport, tmp_path: Path) -> None:
    finding = next(finding for finding in report.findings if finding.kind == "chain")
    discovery = discover([finding.write(tmp_path)])
    (wrong,) = run_conformance(discovery, MisplacesWei()).results
    assert (wrong.verdict, wrong.case.name) == (Verdict.FAILED, f"seed-2-draw-{finding.index}")
    (right,) = run_conformance(discovery, Stock()).results
    assert right.verdict is Verdict.PASSED


@pytest.mark.slow
def test_a_report_turns_into_json(report: FuzzReport) -> None:
    plain = json.loads(json.dumps(report.to_dict()))
    assert {finding["kind"] for finding in plain["findings"]} == {"block", "chain"}
    assert all(finding["transactions"] >= 1 for finding in plain["findings"])


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "workers"), [("serial", 1), ("process", 2), ("process", 4)])
def test_the_executor_equals_py_evm_on_random_blocks(backend: str, workers: int) -> None:
    subject = Parallel(workers, backend)
    report = run_fuzz(subject, draws=40, seed=100 + workers, max_findings=1)
    assert [finding.to_dict() for finding in report.findings] == []
    assert report.tally.parallel > 0.7 * report.tally.blocks > 0


@pytest.mark.slow
def test_before_byzantium_it_equals_py_evm_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction after the other, but over a flat state and translated."""
    old = ("frontier", "homestead", "tangerine-whistle", "spurious-dragon")
    monkeypatch.setattr("parallel_evm.conformance.scenario.FORK_WEIGHTS", dict.fromkeys(old, 1))
    subject = Parallel(2, "auto")
    report = run_fuzz(subject, draws=24, seed=104, max_findings=1)
    assert report.findings == []
    assert report.tally.parallel == 0
    assert set(report.tally.fallbacks) == {ROOT_PER_TRANSACTION}
    assert report.transactions > 50
