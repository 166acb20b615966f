"""Points for the tests: made from the curves' equations and py_ecc, never from what is tested."""

from __future__ import annotations

import random
from typing import Any

from py_ecc import optimized_bls12_381 as bls
from py_ecc import optimized_bn128 as bn


def word(number: int, size: int = 32) -> bytes:
    return number.to_bytes(size, "big")


def _root(square: int, p: int) -> int | None:
    """Square roots modulo a prime that is 3 modulo 4."""
    root = pow(square, (p + 1) // 4, p)
    return root if root * root % p == square % p else None


def _root2(a: int, b: int, p: int) -> tuple[int, int] | None:
    """Square roots of a + b i, with i^2 = -1."""
    norm = _root(a * a + b * b, p)
    if norm is None:
        return None
    for candidate in (norm, -norm):
        x = _root((a + candidate) * pow(2, -1, p) % p, p)
        if x:
            return x, b * pow(2 * x, -1, p) % p
    return None


def curve_point(rng: random.Random, p: int, b: int) -> tuple[int, int]:
    """Any point of y^2 = x^3 + b."""
    while True:
        x = rng.randrange(p)
        y = _root((x**3 + b) % p, p)
        if y is not None:
            return x, rng.choice((y, p - y))


def twist_point(rng: random.Random, curve: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Any point of the twist: nearly never one of the subgroup."""
    p = curve.field_modulus
    while True:
        x = curve.FQ2([rng.randrange(p), rng.randrange(p)])
        square = x * x * x + curve.b2
        y = _root2(*(int(part) for part in square.coeffs), p)
        if y is not None:
            assert curve.is_on_curve((x, curve.FQ2(list(y)), curve.FQ2.one()), curve.b2)
            return tuple(int(part) for part in x.coeffs), y  # type: ignore[return-value]


def affine(curve: Any, point: Any) -> tuple[Any, Any] | None:
    """A point of py_ecc as integers, or pairs of them; None is infinity."""
    if curve.is_inf(point):
        return None
    return tuple(
        tuple(int(part) for part in element.coeffs) if hasattr(element, "coeffs") else int(element)
        for element in curve.normalize(point)
    )  # type: ignore[return-value]


def bn_g1(n: int) -> tuple[int, int] | None:
    return affine(bn, bn.multiply(bn.G1, n % bn.curve_order))


def bn_g2(n: int) -> tuple[Any, Any] | None:
    return affine(bn, bn.multiply(bn.G2, n % bn.curve_order))


def bn_encoded(point: tuple[int, int] | None) -> bytes:
    return word(point[0]) + word(point[1]) if point else bytes(64)


def bn_encoded2(point: tuple[Any, Any] | None) -> bytes:
    """The imaginary part comes first."""
    if point is None:
        return bytes(128)
    (x0, x1), (y0, y1) = point
    return word(x1) + word(x0) + word(y1) + word(y0)


def bls_g1(n: int) -> tuple[int, int] | None:
    return affine(bls, bls.multiply(bls.G1, n % bls.curve_order))


def bls_g2(n: int) -> tuple[Any, Any] | None:
    return affine(bls, bls.multiply(bls.G2, n % bls.curve_order))


def bls_encoded(point: tuple[int, int] | None) -> bytes:
    return word(point[0], 64) + word(point[1], 64) if point else bytes(128)


def bls_encoded2(point: tuple[Any, Any] | None) -> bytes:
    if point is None:
        return bytes(256)
    return b"".join(word(part, 64) for element in point for part in element)
