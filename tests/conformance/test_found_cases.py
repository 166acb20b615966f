"""Blocks on which the executor once differed from py-evm. The fuzzer found each and cut it down.

A case is added by writing its file into cases/, named after what went wrong.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from parallel_evm.conformance.parallel import Parallel
from parallel_evm.conformance.recorded import load
from parallel_evm.conformance.replay import replay

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode present")
CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
@pytest.mark.parametrize(("backend", "workers"), [("serial", 1), ("process", 2)])
def test_it_does_not_come_back(path: Path, backend: str, workers: int) -> None:
    subject = Parallel(workers, backend)
    result = replay(load(path), subject)
    subject.close()
    assert result.differences == ()
    assert result.warm.parallel == 1


def test_there_are_cases() -> None:
    assert CASES
