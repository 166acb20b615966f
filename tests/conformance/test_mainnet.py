"""Sixteen real mainnet blocks, Frontier to Cancun, against their headers and against py-evm."""

from __future__ import annotations

from pathlib import Path

import pytest

from parallel_evm.conformance.recording import load
from parallel_evm.conformance.replay import replay
from parallel_evm.conformance.subject import Stock, Subject

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
SUBJECTS: list[Subject] = [Stock()]


@pytest.mark.conformance
@pytest.mark.parametrize("number", BLOCKS)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_a_mainnet_block_equals_py_evm(corpora: Path, subject: Subject, number: int) -> None:
    recording = load(corpora / "mainnet" / str(number))
    assert recording.fork == BLOCKS[number]
    result = replay(recording, subject)
    subject.close()
    assert result.differences == ()
    before_byzantium = number < 4_370_000
    assert len(result.not_compared) == (2 if before_byzantium else 1)
