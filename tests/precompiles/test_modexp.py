"""MODEXP against py-evm's."""

from __future__ import annotations

import random
from typing import Any

import pytest
from eth.vm.forks import BerlinVM, ByzantiumVM, PragueVM
from hypothesis import example, given
from hypothesis import strategies as st

from parallel_evm.precompiles import modexp
from tests.precompiles.outcomes import hold, hold_at_cost
from tests.precompiles.points import word
from tests.strategies import drawn


def encoded(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    parts = (base, exponent, modulus)
    return b"".join(word(len(part)) for part in parts) + b"".join(parts)


def some(rng: random.Random, largest: int) -> bytes:
    size = rng.choice((0, 1, 2, 31, 32, 33, 64, rng.randrange(largest)))
    return rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size, word(1, max(size, 1))))


@pytest.fixture(params=["installed", "python"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the library that is installed, and with Python's own integers."""
    if request.param == "python":
        monkeypatch.setattr(modexp, "powmod", pow)


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("vm_class", [ByzantiumVM, BerlinVM])
def test_numbers(vm_class: Any) -> None:
    rng = random.Random(1)
    for _ in range(150):
        data = encoded(some(rng, 100), some(rng, 50), some(rng, 100))
        hold(5, data, vm_class=vm_class)
        hold(5, data[: rng.randrange(len(data) + 1)], vm_class=vm_class)
        hold(5, data + rng.randbytes(5), vm_class=vm_class)


@pytest.mark.usefixtures("arithmetic")
def test_small_numbers() -> None:
    for base in range(4):
        for exponent in range(4):
            for modulus in range(5):
                hold(5, encoded(bytes([base]), bytes([exponent]), bytes([modulus])))


@pytest.mark.parametrize("vm_class", [ByzantiumVM, PragueVM])
def test_gas(vm_class: Any) -> None:
    rng = random.Random(2)
    for size in (1, 32, 64, 65, 128, 256):
        data = encoded(rng.randbytes(size), rng.randbytes(size), b"\x80" + rng.randbytes(size))
        hold_at_cost(5, data, vm_class=vm_class)


LENGTHS = st.one_of(
    st.integers(0, 40),
    st.sampled_from([2**31, 2**32, 2**63 - 1, 2**63, 2**64, 2**255, 2**256 - 1]),
)


@drawn(150)
@given(LENGTHS, LENGTHS, LENGTHS, st.binary(max_size=100), st.sampled_from([ByzantiumVM, BerlinVM]))
@example(0, 2**64, 0, b"", BerlinVM)
@example(0, 2**256 - 1, 1, b"", ByzantiumVM)
@example(1, 0, 0, b"", BerlinVM)
def test_lengths_that_lie(base: int, exponent: int, modulus: int, rest: bytes, vm: Any) -> None:
    hold(5, word(base) + word(exponent) + word(modulus) + rest, gas=100_000, vm_class=vm)


@pytest.mark.slow
@pytest.mark.usefixtures("arithmetic")
def test_many() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        hold(5, encoded(some(rng, 300), some(rng, 100), some(rng, 300)))
