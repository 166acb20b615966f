"""ECRECOVER against py-evm's."""

from __future__ import annotations

import random

import pytest
from coincurve import PrivateKey
from eth.constants import SECPK1_N
from eth.vm.forks import FrontierVM, PragueVM

from tests.precompiles.outcomes import hold, hold_at_cost
from tests.precompiles.points import word

HALF = SECPK1_N // 2


def signed(rng: random.Random) -> tuple[bytes, int, int, int]:
    digest = rng.randbytes(32)
    signature = PrivateKey(word(rng.randrange(1, SECPK1_N))).sign_recoverable(digest, hasher=None)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    v = 27 + signature[64]
    if rng.random() < 0.5:  # the other half of the signatures, which transactions may not use
        s, v = SECPK1_N - s, 55 - v
    return digest, v, r, s


def encoded(digest: bytes, v: int, r: int, s: int) -> bytes:
    return digest + word(v) + word(r) + word(s)


@pytest.mark.parametrize("vm_class", [FrontierVM, PragueVM])
def test_signatures(vm_class: type) -> None:
    rng = random.Random(1)
    for _ in range(100):
        outcome = hold_at_cost(1, encoded(*signed(rng)), vm_class=vm_class)
        assert len(outcome.output) == 32


def test_any_bytes() -> None:
    rng = random.Random(2)
    for _ in range(200):
        hold(1, rng.randbytes(rng.choice((0, 31, 32, 64, 96, 127, 128, 129, 200))))
        hold(1, rng.randbytes(32) + word(rng.choice((27, 28))) + rng.randbytes(64))


def test_shortened_and_lengthened() -> None:
    rng = random.Random(3)
    data = encoded(*signed(rng))
    for size in (*range(0, 128, 5), 95, 96, 97, 126, 127):
        hold(1, data[:size])
    assert hold(1, data + rng.randbytes(100), regular=True).output == hold(1, data).output


@pytest.mark.parametrize("v", [0, 1, 26, 27, 28, 29, 255, 27 << 8, 2**256 - 1, (1 << 248) + 27])
def test_v(v: int) -> None:
    digest, _, r, s = signed(random.Random(4))
    hold(1, encoded(digest, v, r, s))


@pytest.mark.parametrize("edge", [0, 1, 2, 5, HALF, HALF + 1, SECPK1_N - 1, SECPK1_N, 2**256 - 1])
@pytest.mark.parametrize("v", [27, 28])
def test_r_and_s(edge: int, v: int) -> None:
    digest, _, r, s = signed(random.Random(5))
    hold(1, encoded(digest, v, edge, s))
    hold(1, encoded(digest, v, r, edge))
    hold(1, encoded(digest, v, edge, edge))
    hold(1, encoded(bytes(32), v, edge, s))
    hold(1, encoded(b"\xff" * 32, v, r, edge))


def test_a_signature_of_infinity() -> None:
    """Where s R = h G no public key is left."""
    key = PrivateKey(word(7))
    r = int.from_bytes(key.public_key.format(compressed=True)[1:], "big")
    parity = key.public_key.format(compressed=True)[0] - 2
    s = 12345
    outcome = hold(1, encoded(word(s * 7 % SECPK1_N), 27 + parity, r, s))
    assert outcome.output == b""


@pytest.mark.slow
def test_many() -> None:
    rng = random.Random(6)
    for _ in range(3000):
        hold_at_cost(1, encoded(*signed(rng)))
        hold(1, rng.randbytes(32) + word(rng.choice((27, 28))) + rng.randbytes(64))
