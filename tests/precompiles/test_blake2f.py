"""BLAKE2F against py-evm's own Python code."""

from __future__ import annotations

import random

import pytest
from eth._utils.blake2.compression import blake2b_compress
from eth.precompiles import blake2b_fcompress
from eth.vm.forks import IstanbulVM

from tests.precompiles.outcomes import hold, hold_at_cost

pytest.importorskip("blake2b", reason="without blake2b-py py-evm's own function stays")


@pytest.fixture(autouse=True)
def _python_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """py-evm would take the library that is tested here."""
    monkeypatch.setitem(blake2b_fcompress.__globals__, "blake2b_compress", blake2b_compress)


def some(rng: random.Random, rounds: int) -> bytes:
    return rounds.to_bytes(4, "big") + rng.randbytes(208) + bytes([rng.randrange(2)])


@pytest.mark.parametrize("rounds", [0, 1, 2, 9, 10, 11, 12, 20, 21, 100])
def test_rounds(rounds: int) -> None:
    rng = random.Random(rounds)
    for _ in range(5):
        hold_at_cost(9, some(rng, rounds))
    hold_at_cost(9, some(rng, rounds), vm_class=IstanbulVM)


def test_irregular() -> None:
    rng = random.Random(1)
    data = some(rng, 12)
    for size in (0, 1, 4, 211, 212, 214, 300):
        assert hold(9, data[:size].ljust(size, b"\0")).error is not None
    for flag in (2, 3, 128, 255):
        assert hold(9, data[:-1] + bytes([flag])).error is not None
        assert hold(9, data[:-1] + bytes([flag]), gas=0).error is not None
    assert hold(9, b"\xff" * 4 + data[4:]).error is not None


@pytest.mark.slow
def test_many() -> None:
    rng = random.Random(2)
    for _ in range(2000):
        hold_at_cost(9, some(rng, rng.randrange(30)))
