"""The arithmetic of BN254 against the definitions and py_ecc."""

from __future__ import annotations

import random
from math import gcd

import pytest
from py_ecc import optimized_bn128 as bn

from parallel_evm.precompiles import bn254
from parallel_evm.precompiles.bn254 import P, R, U
from tests.precompiles.points import affine, bn_g1, bn_g2, curve_point, twist_point


def some(rng: random.Random) -> bn254.Fp12:
    return tuple(tuple(rng.randrange(P) for _ in range(6)) for _ in range(2))  # type: ignore[return-value]


def power(a: bn254.Fp12, exponent: int) -> bn254.Fp12:
    result = bn254._ONE
    for bit in bin(exponent)[2:]:
        result = bn254._mul12(result, result)
        if bit == "1":
            result = bn254._mul12(result, a)
    return result


def in_py_ecc(a: bn254.Fp12) -> bn.FQ12:
    """The same element in py_ecc's basis: powers of w with w^12 = 18 w^6 - 82."""
    coefficients = [0] * 12
    for half, element in enumerate(a):
        for index in range(3):
            re, im = element[2 * index : 2 * index + 2]
            k = 2 * index + half
            coefficients[k] = (re - 9 * im) % P  # i = w^6 - 9
            coefficients[k + 6] = im % P
    return bn.FQ12(coefficients)


def test_constants() -> None:
    assert bn.field_modulus == P
    assert bn.curve_order == R


def test_tower() -> None:
    rng = random.Random(1)
    for _ in range(20):
        a, b = some(rng), some(rng)
        assert in_py_ecc(bn254._mul12(a, b)) == in_py_ecc(a) * in_py_ecc(b)
        assert bn254._square12(a) == bn254._mul12(a, a)
        assert bn254._mul12(a, bn254._invert12(a)) == bn254._ONE


def test_frobenius_and_the_cyclotomic_subgroup() -> None:
    a = some(random.Random(2))
    assert bn254._frobenius12(a) == power(a, P)
    a = bn254._mul12(bn254._conjugate12(a), bn254._invert12(a))
    a = bn254._mul12(bn254._frobenius12(bn254._frobenius12(a)), a)
    assert bn254._square_cyclotomic(a) == bn254._mul12(a, a)
    assert bn254._power_u(a) == power(a, U)
    exponent, rest = divmod(P**4 - P**2 + 1, R)
    assert rest == 0
    assert bn254._hard_part(a) == power(a, exponent)


def test_the_end_of_the_loop_tells_the_subgroup() -> None:
    """The norm of 6u + 2 + psi - psi^2 + psi^3, with psi^2 = t psi - p, and the twist's order."""
    t = 6 * U * U + 1
    assert P + 1 - t == R
    a = 6 * U + 2 + P - t * P
    b = 1 - t + t * t - P
    norm = a * a + a * b * t + b * b * P
    assert gcd(norm, R * (2 * P - R)) == R


def test_curve() -> None:
    rng = random.Random(3)
    for _ in range(20):
        a, b = curve_point(rng, P, 3), curve_point(rng, P, 3)
        projective = [(bn.FQ(x), bn.FQ(y), bn.FQ(1)) for x, y in (a, b)]
        assert bn254.add(a, b) == affine(bn, bn.add(*projective))
        assert bn254.add(a, a) == affine(bn, bn.double(projective[0]))
        assert bn254.add(a, (a[0], P - a[1])) is None
        assert bn254.add(a, None) == bn254.add(None, a) == a


@pytest.mark.parametrize("base", [1, 2, 3, R - 1])
def test_multiples(base: int) -> None:
    """All small factors and those around the order, where additions meet their own points."""
    point = bn_g1(base)
    expected = None
    for n in range(70):
        assert bn254.multiply(point, n) == expected
        assert bn254.multiply(point, R + n) == expected
        opposite = (expected[0], P - expected[1]) if expected else None
        assert bn254.multiply(point, R - n) == opposite
        expected = bn254.add(expected, point)
    assert bn254.multiply(None, 5) is None


def test_pairings() -> None:
    g1, g2 = (1, 2), bn_g2(1)
    assert bn254.pairing_product_is_one([])
    assert bn254.pairing_product_is_one([(g1, None), (None, g2), (None, None)])
    assert not bn254.pairing_product_is_one([(g1, g2)])
    rng = random.Random(4)
    for _ in range(3):
        a, b = rng.randrange(1, R), rng.randrange(1, R)
        pairs = [(bn254.multiply(g1, a), bn_g2(b)), (bn254.multiply(g1, R - a * b % R), g2)]
        assert bn254.pairing_product_is_one(pairs)
        assert bn254.pairing_product_is_one([*reversed(pairs), (None, g2)])
        wrong = (bn254.multiply(g1, R - a * b % R + 1), g2)
        assert not bn254.pairing_product_is_one([pairs[0], wrong])


def test_many_pairs_at_once() -> None:
    """sum of a b = 0, over points of which several are equal or opposite."""
    rng = random.Random(5)
    factors = [(rng.randrange(1, 30), rng.randrange(1, 5)) for _ in range(9)]
    total = sum(a * b for a, b in factors)
    pairs = [(bn_g1(a), bn_g2(b)) for a, b in factors]
    assert bn254.pairing_product_is_one([*pairs, (bn_g1(R - total), bn_g2(1))])
    assert not bn254.pairing_product_is_one([*pairs, (bn_g1(R - total - 1), bn_g2(1))])


# The order of the twist is R times 2 P - R, which has these small factors.
SMALL_FACTORS = (10069, 5864401)


@pytest.mark.parametrize("order", SMALL_FACTORS)
@pytest.mark.parametrize("plus_subgroup", [False, True])
def test_points_of_small_order_are_not_in_the_subgroup(order: int, plus_subgroup: bool) -> None:
    rng = random.Random(order)
    assert (2 * P - R) % order == 0
    small = bn.Z2
    while bn.is_inf(small):
        x, y = (bn.FQ2(list(part)) for part in twist_point(rng, bn))
        small = bn.multiply((x, y, bn.FQ2.one()), R * (2 * P - R) // order)
    if plus_subgroup:
        small = bn.add(small, bn.G2)
    point = affine(bn, small)
    assert point is not None
    assert bn254.is_on_twist(*point)
    for with_point in ((1, 2), None):
        with pytest.raises(bn254.NotInSubgroup):
            bn254.pairing_product_is_one([((1, 2), bn_g2(1)), (with_point, point)])


def test_points_of_the_twist_outside_of_the_subgroup() -> None:
    rng = random.Random(6)
    for _ in range(10):
        with pytest.raises(bn254.NotInSubgroup):
            bn254.pairing_product_is_one([((1, 2), twist_point(rng, bn))])
