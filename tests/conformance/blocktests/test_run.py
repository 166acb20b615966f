"""All cases: jobs, the exit code, results as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parallel_evm.conformance.blocktests.discovery import discover
from parallel_evm.conformance.blocktests.results import CaseResult
from parallel_evm.conformance.blocktests.run import run_conformance
from parallel_evm.conformance.subject import Stock


def test_nothing_to_run_is_not_success(folders: Path) -> None:
    assert run_conformance(discover([folders], match="st?"), Stock()).exit_code == 2


@pytest.mark.slow
def test_several_jobs_find_the_same(folders: Path) -> None:
    discovery = discover([folders])
    heard: list[CaseResult] = []
    alone = run_conformance(discovery, Stock())
    together = run_conformance(discovery, Stock(), jobs=2, progress=heard.append)
    assert [(r.case, r.verdict) for r in together.results] == [
        (r.case, r.verdict) for r in alone.results
    ]
    assert len(heard) == 6


def test_results_turn_into_json(folders: Path) -> None:
    conformance = run_conformance(discover([folders]), Stock())
    plain = json.loads(json.dumps(conformance.to_dict()))
    assert plain["totals"]["passed"] == 5
    assert plain["folders"] == {
        "stA": {"passed": 3},
        "stB": {"passed": 2, "unknown network": 1},
    }
    assert plain["cases"][0]["case"] == "p"
