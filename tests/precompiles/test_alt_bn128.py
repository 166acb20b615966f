"""ECADD, ECMUL and ECPAIRING against py-evm's."""

from __future__ import annotations

import random
from typing import Any

import pytest
from eth.vm.forks import ByzantiumVM, PragueVM
from py_ecc import optimized_bn128 as bn

from tests.precompiles.outcomes import hold, hold_at_cost
from tests.precompiles.points import (
    bn_encoded,
    bn_encoded2,
    bn_g1,
    bn_g2,
    curve_point,
    twist_point,
    word,
)

P, R = bn.field_modulus, bn.curve_order
G1, G2 = bn_encoded((1, 2)), bn_encoded2(bn_g2(1))
FORKS = [ByzantiumVM, PragueVM]


def some(rng: random.Random) -> bytes:
    return rng.choice((bytes(64), G1, *(bn_encoded(curve_point(rng, P, 3)) for _ in range(4))))


def spoilt(rng: random.Random, data: bytes) -> bytes:
    """The same with another bit, another length, or a coordinate not below the modulus."""
    where = rng.randrange(len(data) * 8)
    changed = bytearray(data)
    changed[where // 8] ^= 1 << where % 8
    start = where // 256 * 32
    beyond = int.from_bytes(data[start : start + 32], "big") + P
    return rng.choice(
        (
            bytes(changed),
            data[: where // 8],
            data + rng.randbytes(rng.randrange(64)),
            data[:start] + word(beyond % 2**256) + data[start + 32 :],
            data[:start] + word(P) + data[start + 32 :],
        )
    )


@pytest.mark.parametrize("vm_class", FORKS)
def test_sums(vm_class: Any) -> None:
    rng = random.Random(1)
    for _ in range(50):
        data = some(rng) + some(rng)
        hold_at_cost(6, data, vm_class=vm_class)
        hold(6, spoilt(rng, data), vm_class=vm_class)
        hold(6, rng.randbytes(rng.randrange(200)), vm_class=vm_class)


def test_sums_of_related_points() -> None:
    x, y = curve_point(random.Random(2), P, 3)
    point, opposite = bn_encoded((x, y)), bn_encoded((x, P - y))
    for data in (point + point, point + opposite, opposite + point, point, bytes(64) + point, b""):
        hold_at_cost(6, data)
    for size in range(0, 128, 3):
        hold(6, (point + opposite)[:size])


FACTORS = [0, 1, 2, 3, R - 1, R, R + 1, 2 * R - 1, P, 2**255, 2**256 - 1]


@pytest.mark.parametrize("factor", FACTORS)
def test_multiples(factor: int) -> None:
    hold_at_cost(7, G1 + word(factor))
    hold_at_cost(7, bytes(64) + word(factor))


@pytest.mark.parametrize("vm_class", FORKS)
def test_multiples_of_any_point(vm_class: Any) -> None:
    rng = random.Random(3)
    for _ in range(4):
        hold_at_cost(7, some(rng) + word(rng.randrange(2**256)), vm_class=vm_class)
        hold_at_cost(7, some(rng) + word(rng.randrange(2**20)) + b"\xff", vm_class=vm_class)
    for _ in range(40):
        hold(7, spoilt(rng, some(rng) + word(rng.randrange(200))), vm_class=vm_class)
        hold(7, rng.randbytes(rng.randrange(120)), vm_class=vm_class)
    for size in range(0, 96, 7):
        hold(7, (G1 + word(1 << 250))[:size], vm_class=vm_class)


TRUE = bn_encoded(bn_g1(6)) + G2 + bn_encoded(bn_g1(R - 2)) + bn_encoded2(bn_g2(3))


@pytest.mark.parametrize(
    ("vm_class", "pairs", "truth"),
    [
        (ByzantiumVM, b"", 1),
        (ByzantiumVM, G1 + bytes(128), 1),
        (PragueVM, b"", 1),
        (PragueVM, bytes(64) + G2 + bytes(192), 1),
        (PragueVM, TRUE, 1),
        (PragueVM, G1 + G2, 0),
    ],
)
def test_pairings(vm_class: Any, pairs: bytes, truth: int) -> None:
    assert hold_at_cost(8, pairs, vm_class=vm_class).output == word(truth)


def test_irregular_pairings() -> None:
    rng = random.Random(4)
    outside = bn_encoded2(twist_point(rng, bn))
    for data in (
        G1 + outside,
        bytes(64) + outside,
        bn_encoded((1, 3)) + G2,
        G1 + word(P) + G2[32:],
        G1 + G2[:96] + word(P + 1),
        G1 + bytes(127) + b"\x01",
        G1 + G2[32:64] + G2[:32] + G2[64:],
        (G1 + G2)[:-1],
        G1 + G2 + b"\0",
        G1,
    ):
        assert hold(8, data).error is not None
        assert hold(8, data, gas=0).error is not None
    for _ in range(200):
        hold(8, rng.randbytes(rng.choice((1, 63, 191, 192, 193, 384))))


@pytest.mark.slow
def test_many_pairings() -> None:
    rng = random.Random(5)
    for _ in range(40):
        terms = [(rng.randrange(R), rng.randrange(R)) for _ in range(rng.randrange(1, 4))]
        rest = -sum(a * b for a, b in terms) + rng.randrange(2)
        terms.append((rest % R, 1))
        data = b"".join(bn_encoded(bn_g1(a)) + bn_encoded2(bn_g2(b)) for a, b in terms)
        hold_at_cost(8, data)
        hold(8, spoilt(rng, data))


@pytest.mark.slow
def test_many_sums_and_multiples() -> None:
    rng = random.Random(6)
    for _ in range(2000):
        data = some(rng) + some(rng)
        hold_at_cost(6, data)
        hold(6, spoilt(rng, data))
    for _ in range(500):
        data = some(rng) + word(rng.randrange(2**256))
        hold_at_cost(7, data)
        hold(7, spoilt(rng, data))
