"""The precompiles of BLS12-381 against py-evm's."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest
from eth.vm.forks import PragueVM
from py_ecc import optimized_bls12_381 as bls

from tests.precompiles.outcomes import address, fast_table, hold, hold_at_cost
from tests.precompiles.points import (
    bls_encoded,
    bls_encoded2,
    bls_g1,
    bls_g2,
    curve_point,
    twist_point,
    word,
)

pytest.importorskip("py_arkworks_bls12381", reason="py-evm's own functions stay")

P, R = bls.field_modulus, bls.curve_order
G1_ADD, G1_MSM, G2_ADD, G2_MSM, PAIRING, MAP_FP, MAP_FP2 = range(0x0B, 0x12)


@cache
def g1(n: int) -> bytes:
    return bls_encoded(bls_g1(n))


@cache
def g2(n: int) -> bytes:
    return bls_encoded2(bls_g2(n))


def outside1(rng: random.Random) -> bytes:
    return bls_encoded(curve_point(rng, P, 4))


def outside2(rng: random.Random) -> bytes:
    return bls_encoded2(twist_point(rng, bls))


def spoilt(rng: random.Random, data: bytes) -> bytes:
    where = rng.randrange(len(data) * 8)
    changed = bytearray(data)
    changed[where // 8] ^= 1 << where % 8
    start = where // 512 * 64
    beyond = int.from_bytes(data[start : start + 64], "big") + P
    return rng.choice(
        (
            bytes(changed),
            data[: where // 8],
            data + rng.randbytes(1 + rng.randrange(200)),
            data[:start] + word(beyond % 2**512, 64) + data[start + 64 :],
            data[:start] + word(P, 64) + data[start + 64 :],
            data[:start] + b"\x01" + data[start + 1 :],
        )
    )


def test_sums() -> None:
    """Points need not be in the subgroup."""
    rng = random.Random(1)
    x, y = curve_point(rng, P, 4)
    (u, v) = twist_point(rng, bls)
    some = [bytes(128), g1(1), g1(R - 1), bls_encoded((x, y)), bls_encoded((x, P - y))]
    some2 = [
        bytes(256),
        g2(1),
        g2(R - 1),
        bls_encoded2((u, v)),
        bls_encoded2((u, (-v[0] % P, -v[1] % P))),
    ]
    for number, points in ((G1_ADD, some), (G2_ADD, some2)):
        for a in points:
            for b in points:
                hold_at_cost(number, a + b)
                for _ in range(3):
                    hold(number, spoilt(rng, a + b))


@pytest.mark.parametrize(("number", "point"), [(G1_MSM, g1), (G2_MSM, g2)])
def test_multiples(number: int, point: Any) -> None:
    infinity = bytes(len(point(1)))
    for factor in (0, R + 1, 2**256 - 1):
        hold_at_cost(number, point(2) + word(factor))
    hold_at_cost(number, infinity + word(7))
    hold_at_cost(number, point(1) + word(5) + infinity + word(9) + point(R - 5) + word(1))


@pytest.mark.parametrize(
    ("number", "outside", "size"), [(G1_MSM, outside1, 160), (G2_MSM, outside2, 288)]
)
def test_irregular_multiples(number: int, outside: Any, size: int) -> None:
    rng = random.Random(2)
    assert "sub-group" in str(hold(number, outside(rng) + word(0)).error)
    for length in (0, 1, size - 1, size + 1, 2 * size - 1):
        assert hold(number, bytes(length)).error is not None
        assert hold(number, bytes(length), gas=0).error is not None
    for _ in range(50):
        hold(number, rng.randbytes(size))


@pytest.mark.parametrize("terms", [1, 2, 3, 64, 127, 128, 129, 200])
@pytest.mark.parametrize(("number", "size"), [(G1_MSM, 160), (G2_MSM, 288)])
def test_discounts(number: int, size: int, terms: int) -> None:
    """The price, told by running out of a unit of it."""
    data = bytes(size * terms)
    cost = fast_table(PragueVM)[address(number)].arithmetic.price(data)
    assert f"Needed {cost} " in str(hold(number, data, cost - 1).error)


@pytest.mark.parametrize(
    ("pairs", "truth"),
    [
        (g1(1) + bytes(256), 1),
        (bytes(128) + g2(1), 1),
        pytest.param(g1(6) + g2(1) + g1(R - 2) + g2(3), 1, marks=pytest.mark.slow),
        (g1(1) + g2(1), 0),
    ],
    ids=["no second", "no first", "true", "false"],
)
def test_pairings(pairs: bytes, truth: int) -> None:
    assert hold_at_cost(PAIRING, pairs).output == word(truth)


def test_irregular_pairings() -> None:
    rng = random.Random(3)
    for data in (
        b"",
        g1(1),
        g1(1) + g2(1) + b"\0",
        outside1(rng) + g2(1),
        g1(1) + outside2(rng),
        bytes(128) + outside2(rng),
        g1(1)[:127] + bytes([g1(1)[127] ^ 1]) + g2(1),
        g1(1) + g2(1)[:255] + bytes([g2(1)[255] ^ 1]),
        g1(1) + word(P, 64) + g2(1)[64:],
        b"\x80" + bytes(127) + g2(1),
        bytes(16) + b"\x40" + bytes(111) + g2(1),
    ):
        assert hold(PAIRING, data).error is not None
        assert hold(PAIRING, data, gas=0).error is not None
    for _ in range(50):
        hold(PAIRING, rng.randbytes(384))


@pytest.mark.parametrize(("number", "elements"), [(MAP_FP, 1), (MAP_FP2, 2)])
def test_maps(number: int, elements: int) -> None:
    rng = random.Random(4)
    for value in (0, P - 1, rng.randrange(P)):
        hold_at_cost(number, bytes(64) * (elements - 1) + word(value, 64))
    hold_at_cost(number, word(1, 64) * elements)
    for data in (word(P, 64), word(2**384, 64), b"\xff" * 64, b"", bytes(63), bytes(65)):
        assert hold(number, data * elements + bytes(elements - 1)).error is not None
        assert hold(number, bytes(64) * (elements - 1) + data, gas=0).error is not None


@pytest.mark.slow
def test_many() -> None:
    rng = random.Random(5)
    for _ in range(200):
        data = outside1(rng) + rng.choice((g1(rng.randrange(1, 9)), outside1(rng)))
        hold_at_cost(G1_ADD, data)
        hold(G1_ADD, spoilt(rng, data))
        data = outside2(rng) + rng.choice((g2(rng.randrange(1, 9)), outside2(rng)))
        hold_at_cost(G2_ADD, data)
        hold(G2_ADD, spoilt(rng, data))
    for _ in range(20):
        hold_at_cost(MAP_FP, word(rng.randrange(P), 64))
        hold_at_cost(MAP_FP2, word(rng.randrange(P), 64) + word(rng.randrange(P), 64))
        for number, point in ((G1_MSM, bls_g1), (G2_MSM, bls_g2)):
            encoded: Any = bls_encoded if number == G1_MSM else bls_encoded2
            data = b"".join(
                encoded(point(rng.randrange(R))) + word(rng.randrange(2**256))
                for _ in range(rng.randrange(1, 4))
            )
            hold_at_cost(number, data)
            hold(number, spoilt(rng, data))
    for _ in range(10):
        terms = [(rng.randrange(R), rng.randrange(R)) for _ in range(rng.randrange(1, 3))]
        terms.append(((-sum(a * b for a, b in terms) + rng.randrange(2)) % R, 1))
        data = b"".join(bls_encoded(bls_g1(a)) + bls_encoded2(bls_g2(b)) for a, b in terms)
        hold_at_cost(PAIRING, data)
        hold(PAIRING, spoilt(rng, data))
