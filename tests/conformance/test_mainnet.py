"""Sixteen real mainnet blocks, Frontier to Cancun, against their headers and against py-evm."""

from __future__ import annotations

from pathlib import Path

import pytest

from parallel_evm.conformance.parallel import Parallel
from parallel_evm.conformance.recorded import load
from parallel_evm.conformance.replay import replay
from parallel_evm.conformance.subject import Subject

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode present")
BLOCKS = {
    116525: "frontier",
    2674998: "tangerine-whistle",
    4330482: "spurious-dragon",
    4864590: "byzantium",
    5891667: "byzantium",
    7280000: "petersburg",
    11114732: "muir-glacier",
    12243999: "muir-glacier",
    12459406: "berlin",
    13287210: "london",
    14029313: "arrow-glacier",
    15537394: "paris",
    17666333: "shanghai",
    18426253: "shanghai",
    19929064: "cancun",
    19932703: "cancun",
}
FIRST_BYZANTIUM = 4_370_000
SMALL = (4864590, 5891667, 19929064)


def check(corpora: Path, subject: Subject, number: int) -> None:
    recording = load(corpora / "mainnet" / str(number))
    assert recording.fork == BLOCKS[number]
    result = replay(recording, subject)
    assert result.differences == ()
    before_byzantium = number < FIRST_BYZANTIUM
    assert len(result.not_compared) == (2 if before_byzantium else 1)
    for account in (result.cold, result.warm):
        assert account.blocks == 1
        assert account.parallel == (0 if before_byzantium else 1)


@pytest.mark.conformance
@pytest.mark.parametrize("number", BLOCKS)
def test_a_mainnet_block_equals_py_evm(corpora: Path, number: int) -> None:
    check(corpora, Parallel(workers=2), number)


@pytest.mark.conformance
@pytest.mark.parametrize("number", SMALL)
@pytest.mark.parametrize(("backend", "workers"), [("serial", 1), ("process", 4), ("thread", 2)])
def test_every_way_of_running_it_gives_the_same(
    corpora: Path, backend: str, workers: int, number: int
) -> None:
    check(corpora, Parallel(workers, backend), number)
