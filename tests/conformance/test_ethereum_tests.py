"""A sample of the official ethereum/tests, every folder and every network in it.

All of it runs with one command: ``parallel-evm conform ../shared/ethereum-tests``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from parallel_evm.conformance.blocktests import Verdict, discover, run_conformance
from parallel_evm.conformance.subject import Stock, Subject

SUBJECTS: list[tuple[Subject, int]] = [(Stock(), 150)]


@pytest.mark.conformance
@pytest.mark.parametrize(("subject", "number"), SUBJECTS, ids=lambda it: getattr(it, "name", ""))
def test_a_sample_equals_py_evm(corpora: Path, subject: Subject, number: int) -> None:
    everything = discover([corpora / "ethereum-tests"])
    discovery = discover([corpora / "ethereum-tests"], sample=number, seed=1)
    assert len(discovery.cases) == number
    for kind in (lambda case: case.file.parent, lambda case: case.network):
        assert set(map(kind, discovery.cases)) == set(map(kind, everything.cases))
    conformance = run_conformance(discovery, subject)
    subject.close()
    wrong = [
        f"{result.case}: {result.detail}"
        for result in conformance.results
        if result.verdict not in (Verdict.PASSED, Verdict.STOCK_FAILS)
    ]
    assert wrong == []
    assert conformance.count(Verdict.PASSED) > 0.95 * number
