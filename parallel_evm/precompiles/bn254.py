"""The curve alt_bn128 (BN254) on plain integers: addition, multiplication, and pairing checks.

Written here because no well-kept native library of this curve is on PyPI. Points are affine pairs
of coordinates, None is the point at infinity; points of the twist have coordinates in Fp2. Whether
a point lies on its curve is for the caller to ask (`is_on_curve`, `is_on_twist`).

Responsible for the mathematics alone: it knows neither bytes nor gas, and it never decides what
the EVM does with a bad point.

Sources: EIP-196 and EIP-197 for the curve; Vercauteren, "Optimal pairings" (2008); Scott et al.,
"On the final exponentiation for calculating pairings on ordinary elliptic curves" (2009), whose
chain `_hard_part` follows; Granger and Scott, "Faster squaring in the cyclotomic subgroup" (2010).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

U: Final = 4965661367192848881
P: Final = 36 * U**4 + 36 * U**3 + 24 * U**2 + 6 * U + 1
R: Final = 36 * U**4 + 36 * U**3 + 18 * U**2 + 6 * U + 1

# Fp2 = Fp[i] / (i^2 + 1), Fp6 = Fp2[v] / (v^3 - xi) with xi = 9 + i, Fp12 = Fp6[w] / (w^2 - v).
# Elements of Fp6 are six integers in a row. Sums of products are reduced once, at the end.
Fp2: TypeAlias = tuple[int, int]
Fp6: TypeAlias = tuple[int, int, int, int, int, int]
Fp12: TypeAlias = tuple[Fp6, Fp6]

Point: TypeAlias = tuple[int, int] | None
TwistPoint: TypeAlias = tuple[Fp2, Fp2] | None


class NotInSubgroup(ValueError):
    """A point of the twist whose order is not `R`."""


# --- Fp2 ---


def _mul2(a: Fp2, b: Fp2) -> Fp2:
    a0, a1 = a
    b0, b1 = b
    return (a0 * b0 - a1 * b1) % P, (a0 * b1 + a1 * b0) % P


def _pow2(a: Fp2, exponent: int) -> Fp2:
    result = (1, 0)
    for bit in bin(exponent)[2:]:
        result = _mul2(result, result)
        if bit == "1":
            result = _mul2(result, a)
    return result


def _invert_all(values: Sequence[Fp2]) -> list[Fp2]:
    """The inverses of several elements for the price of one (Montgomery's trick).

    Raises ValueError where one of them is zero.
    """
    products = [1]
    norms = [(a * a + b * b) % P for a, b in values]
    for norm in norms:
        products.append(products[-1] * norm % P)
    inverse = pow(products[-1], -1, P)
    inverses: list[Fp2] = []
    for (a, b), norm, product in zip(
        reversed(values), reversed(norms), products[-2::-1], strict=True
    ):
        one = inverse * product % P
        inverse = inverse * norm % P
        inverses.append((a * one % P, -b * one % P))
    inverses.reverse()
    return inverses


# --- Fp6 ---


def _add6(a: Fp6, b: Fp6) -> Fp6:
    a0, a1, a2, a3, a4, a5 = a
    b0, b1, b2, b3, b4, b5 = b
    return a0 + b0, a1 + b1, a2 + b2, a3 + b3, a4 + b4, a5 + b5


def _sub6(a: Fp6, b: Fp6) -> Fp6:
    a0, a1, a2, a3, a4, a5 = a
    b0, b1, b2, b3, b4, b5 = b
    return a0 - b0, a1 - b1, a2 - b2, a3 - b3, a4 - b4, a5 - b5


def _neg6(a: Fp6) -> Fp6:
    a0, a1, a2, a3, a4, a5 = a
    return -a0, -a1, -a2, -a3, -a4, -a5


def _mod6(a: Fp6) -> Fp6:
    a0, a1, a2, a3, a4, a5 = a
    return a0 % P, a1 % P, a2 % P, a3 % P, a4 % P, a5 % P


def _times_v(a: Fp6) -> Fp6:
    a0, a1, a2, a3, a4, a5 = a
    return 9 * a4 - a5, a4 + 9 * a5, a0, a1, a2, a3


def _mul6(a: Fp6, b: Fp6) -> Fp6:
    a0, a1, a2, a3, a4, a5 = a
    b0, b1, b2, b3, b4, b5 = b
    # The parts that xi multiplies: a1 b2 + a2 b1, and a2 b2 (over Fp2).
    x0 = a2 * b4 - a3 * b5 + a4 * b2 - a5 * b3
    x1 = a2 * b5 + a3 * b4 + a4 * b3 + a5 * b2
    y0 = a4 * b4 - a5 * b5
    y1 = a4 * b5 + a5 * b4
    return (
        (a0 * b0 - a1 * b1 + 9 * x0 - x1) % P,
        (a0 * b1 + a1 * b0 + x0 + 9 * x1) % P,
        (a0 * b2 - a1 * b3 + a2 * b0 - a3 * b1 + 9 * y0 - y1) % P,
        (a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + y0 + 9 * y1) % P,
        (a0 * b4 - a1 * b5 + a2 * b2 - a3 * b3 + a4 * b0 - a5 * b1) % P,
        (a0 * b5 + a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1 + a5 * b0) % P,
    )


def _mul6_by_two(a: Fp6, b: Fp2, c: Fp2) -> Fp6:
    """``a`` times b + c v."""
    a0, a1, a2, a3, a4, a5 = a
    b0, b1 = b
    c0, c1 = c
    x0 = a4 * c0 - a5 * c1
    x1 = a4 * c1 + a5 * c0
    return (
        (a0 * b0 - a1 * b1 + 9 * x0 - x1) % P,
        (a0 * b1 + a1 * b0 + x0 + 9 * x1) % P,
        (a2 * b0 - a3 * b1 + a0 * c0 - a1 * c1) % P,
        (a2 * b1 + a3 * b0 + a0 * c1 + a1 * c0) % P,
        (a4 * b0 - a5 * b1 + a2 * c0 - a3 * c1) % P,
        (a4 * b1 + a5 * b0 + a2 * c1 + a3 * c0) % P,
    )


def _invert6(a: Fp6) -> Fp6:
    a0, a1, a2 = a[0:2], a[2:4], a[4:6]
    s0, s1, s2 = _mul2(a0, a0), _mul2(a1, a1), _mul2(a2, a2)
    m01, m02, m12 = _mul2(a0, a1), _mul2(a0, a2), _mul2(a1, a2)
    b0 = (s0[0] - 9 * m12[0] + m12[1], s0[1] - m12[0] - 9 * m12[1])
    b1 = (9 * s2[0] - s2[1] - m01[0], s2[0] + 9 * s2[1] - m01[1])
    b2 = (s1[0] - m02[0], s1[1] - m02[1])
    b = (*b0, *b1, *b2)
    norm = _mul6(a, b)
    (inverse,) = _invert_all([norm[0:2]])
    return _mul6_by_two(b, inverse, (0, 0))


# --- Fp12 ---

_ONE: Final[Fp12] = ((1, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0))


def _mul12(a: Fp12, b: Fp12) -> Fp12:
    a0, a1 = a
    b0, b1 = b
    low, high = _mul6(a0, b0), _mul6(a1, b1)
    cross = _mul6(_add6(a0, a1), _add6(b0, b1))
    return _mod6(_add6(low, _times_v(high))), _mod6(_sub6(cross, _add6(low, high)))


def _square12(a: Fp12) -> Fp12:
    a0, a1 = a
    cross = _mul6(a0, a1)
    whole = _mul6(_add6(a0, a1), _add6(a0, _times_v(a1)))
    return _mod6(_sub6(whole, _add6(cross, _times_v(cross)))), _mod6(_add6(cross, cross))


def _conjugate12(a: Fp12) -> Fp12:
    """a^(p^6): the inverse, for elements of the cyclotomic subgroup."""
    return a[0], _neg6(a[1])


def _invert12(a: Fp12) -> Fp12:
    a0, a1 = a
    norm = _sub6(_mul6(a0, a0), _times_v(_mul6(a1, a1)))
    inverse = _invert6(_mod6(norm))
    return _mul6(a0, inverse), _mul6(_neg6(a1), inverse)


# xi^(k (p - 1) / 6): what the Frobenius endomorphism does to w^k.
_TWISTS: Final[tuple[Fp2, ...]] = tuple(_pow2((9, 1), k * (P - 1) // 6) for k in range(6))


def _conjugate_times(a: Sequence[int], factor: Fp2) -> Fp2:
    return _mul2((a[0], -a[1]), factor)


def _frobenius12(a: Fp12) -> Fp12:
    """a^p."""
    a0, a1 = a
    return (
        (
            *_conjugate_times(a0[0:2], _TWISTS[0]),
            *_conjugate_times(a0[2:4], _TWISTS[2]),
            *_conjugate_times(a0[4:6], _TWISTS[4]),
        ),
        (
            *_conjugate_times(a1[0:2], _TWISTS[1]),
            *_conjugate_times(a1[2:4], _TWISTS[3]),
            *_conjugate_times(a1[4:6], _TWISTS[5]),
        ),
    )


def _signed_digits(n: int, width: int) -> list[int]:
    """``n`` in width-``width`` non-adjacent form, lowest digit first: digits are odd or zero."""
    digits = []
    while n:
        digit = 0
        if n & 1:
            digit = n % (1 << width)
            if digit >> (width - 1):
                digit -= 1 << width
        digits.append(digit)
        n = (n - digit) >> 1
    return digits


# --- the curve ---


def is_on_curve(x: int, y: int) -> bool:
    """Is (x, y), both below `P`, a point of y^2 = x^3 + 3?"""
    return (y * y - x * x * x - 3) % P == 0


def add(a: Point, b: Point) -> Point:
    """The sum of two points of the curve."""
    if a is None or b is None:
        return b if a is None else a
    (x1, y1), (x2, y2) = a, b
    if x1 != x2:
        slope = (y2 - y1) * pow(x2 - x1, -1, P) % P
    elif y1 == y2:
        slope = 3 * x1 * x1 * pow(2 * y1, -1, P) % P
    else:
        return None
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def multiply(point: Point, n: int) -> Point:
    """``n`` times a point of the curve, ``n`` not negative."""
    n %= R
    if point is None or n == 0:
        return None
    twice = add(point, point)
    multiples = {1: point}
    for odd in (3, 5, 7):
        # The order of every point is the prime R, so no small multiple of one is infinity.
        multiples[odd] = add(multiples[odd - 2], twice)  # type: ignore[assignment]
    x, y, z = 0, 1, 0  # Jacobian: (x / z^2, y / z^3); z = 0 is infinity
    for digit in reversed(_signed_digits(n, 4)):
        x, y, z = _double_jacobian(x, y, z)
        if digit:
            x2, y2 = multiples[abs(digit)]
            x, y, z = _add_affine(x, y, z, x2, y2 if digit > 0 else P - y2)
    if z == 0:
        return None
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def _double_jacobian(x: int, y: int, z: int) -> tuple[int, int, int]:
    yy = y * y % P
    s = 4 * x * yy % P
    m = 3 * x * x % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add_affine(x: int, y: int, z: int, x2: int, y2: int) -> tuple[int, int, int]:
    if z == 0:
        return x2, y2, 1
    zz = z * z % P
    h = (x2 * zz - x) % P
    r = (y2 * z * zz - y) % P
    if h == 0:
        return _double_jacobian(x, y, z) if r == 0 else (0, 1, 0)
    hh = h * h % P
    hhh = h * hh % P
    v = x * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y * hhh) % P, z * h % P


# --- the twist and the pairing ---

_TWIST_B: Final = _mul2((3, 0), _invert_all([(9, 1)])[0])

# The loop of the optimal ate pairing runs over 6u + 2; the top digit is where it starts.
_LOOP: Final = tuple(reversed(_signed_digits(6 * U + 2, 2)))[1:]
_U_DIGITS: Final = tuple(reversed(_signed_digits(U, 2)))


def is_on_twist(x: Fp2, y: Fp2) -> bool:
    """Is (x, y), all coordinates below `P`, a point of y^2 = x^3 + 3 / (9 + i)?"""
    left, right = _mul2(y, y), _mul2(_mul2(x, x), x)
    return (left[0] - right[0] - _TWIST_B[0]) % P == 0 and (
        left[1] - right[1] - _TWIST_B[1]
    ) % P == 0


def _psi(point: tuple[Fp2, Fp2]) -> tuple[Fp2, Fp2]:
    """The Frobenius endomorphism, carried over to the twist."""
    x, y = point
    return _conjugate_times(x, _TWISTS[2]), _conjugate_times(y, _TWISTS[3])


def _negated(point: tuple[Fp2, Fp2]) -> tuple[Fp2, Fp2]:
    (x, (y0, y1)) = point
    return x, (-y0 % P, -y1 % P)


def _move(
    value: Fp12,
    scales: Sequence[Fp2 | None],
    places: Sequence[tuple[Fp2, Fp2]],
    steps: Sequence[tuple[Fp2, Fp2]] | None,
) -> tuple[Fp12, list[tuple[Fp2, Fp2]]]:
    """Every place on the twist plus its step (itself if there are no steps).

    ``value`` is multiplied by the line through each pair of them, at the point behind ``scales``.

    Raises ValueError where a place and its step have no line but the vertical one.
    """
    if steps is None:
        rises = [_mul2((3 * x[0], 3 * x[1]), x) for x, _ in places]
        runs = [(2 * y[0], 2 * y[1]) for _, y in places]
        steps = places
    else:
        rises = []
        runs = []
        for (x1, y1), (x2, y2) in zip(places, steps, strict=True):
            rises.append((y2[0] - y1[0], y2[1] - y1[1]))
            runs.append((x2[0] - x1[0], x2[1] - x1[1]))
    moved = []
    for scale, (x1, y1), (x2, _), rise, inverse in zip(
        scales, places, steps, rises, _invert_all(runs), strict=True
    ):
        slope = _mul2(rise, inverse)
        square = _mul2(slope, slope)
        x = ((square[0] - x1[0] - x2[0]) % P, (square[1] - x1[1] - x2[1]) % P)
        turn = _mul2(slope, (x1[0] - x[0], x1[1] - x[1]))
        moved.append((x, ((turn[0] - y1[0]) % P, (turn[1] - y1[1]) % P)))
        if scale is not None:
            # The line is 1 - slope (xP / yP) w + ((slope x1 - y1) / yP) w^3.
            ratio, inverse_y = scale
            offset = _mul2(slope, x1)
            b = (slope[0] * ratio % P, slope[1] * ratio % P)
            c = ((offset[0] - y1[0]) * inverse_y % P, (offset[1] - y1[1]) * inverse_y % P)
            low, high = value
            value = (
                _mod6(_add6(low, _times_v(_mul6_by_two(high, b, c)))),
                _mod6(_add6(high, _mul6_by_two(low, b, c))),
            )
    return value, moved


def _miller_product(pairs: Sequence[tuple[Point, tuple[Fp2, Fp2]]]) -> Fp12:
    """The product of the optimal ate Miller loops of ``pairs``, in step: they share their squarings
    and inverses.

    Raises NotInSubgroup. The loop ends at (6u + 2) Q + psi(Q) - psi^2(Q), and that this is
    -psi^3(Q) says that the order of Q is R: with psi^2 - t psi + p = 0 it makes Q vanish under the
    norm of 6u + 2 + psi - psi^2 + psi^3, which has only R in common with the order of the twist.
    A point of order R is never on a vertical line on the way.
    """
    # Lines are divided by the y of the curve's point: a factor in Fp, of which the final
    # exponentiation leaves nothing. A point at infinity has no lines.
    scales: list[Fp2 | None] = []
    for point, _ in pairs:
        inverse = pow(point[1], -1, P) if point else 0
        scales.append((-point[0] * inverse % P, inverse) if point else None)
    starts = [twisted for _, twisted in pairs]
    back = [_negated(twisted) for twisted in starts]
    value, places = _ONE, starts
    try:
        for digit in _LOOP:
            value, places = _move(_square12(value), scales, places, None)
            if digit:
                value, places = _move(value, scales, places, starts if digit > 0 else back)
        once = [_psi(twisted) for twisted in starts]
        twice = [_psi(twisted) for twisted in once]
        value, places = _move(value, scales, places, once)
        value, places = _move(value, scales, places, [_negated(twisted) for twisted in twice])
    except ValueError:
        raise NotInSubgroup from None
    if any(place != _negated(_psi(point)) for place, point in zip(places, twice, strict=True)):
        raise NotInSubgroup
    return value


def _square_cyclotomic(a: Fp12) -> Fp12:
    (a0, a1, a2, a3, a4, a5), (b0, b1, b2, b3, b4, b5) = a
    # Squares in three quadratic extensions of Fp2: of (z0, z1), (z2, z3) and (z4, z5).
    p0, p1, q0, q1 = _square_quadratic(a0, a1, b2, b3)
    r0, r1, s0, s1 = _square_quadratic(b0, b1, a4, a5)
    t0, t1, u0, u1 = _square_quadratic(a2, a3, b4, b5)
    return (
        (
            (3 * p0 - 2 * a0) % P,
            (3 * p1 - 2 * a1) % P,
            (3 * r0 - 2 * a2) % P,
            (3 * r1 - 2 * a3) % P,
            (3 * t0 - 2 * a4) % P,
            (3 * t1 - 2 * a5) % P,
        ),
        (
            (3 * (9 * u0 - u1) + 2 * b0) % P,
            (3 * (u0 + 9 * u1) + 2 * b1) % P,
            (3 * q0 + 2 * b2) % P,
            (3 * q1 + 2 * b3) % P,
            (3 * s0 + 2 * b4) % P,
            (3 * s1 + 2 * b5) % P,
        ),
    )


def _square_quadratic(a0: int, a1: int, b0: int, b1: int) -> tuple[int, int, int, int]:
    """(a + b s)^2 with s^2 = xi, over Fp2: a^2 + xi b^2, and 2 a b. Not reduced."""
    s0, s1 = b0 * b0 - b1 * b1, 2 * b0 * b1
    return (
        a0 * a0 - a1 * a1 + 9 * s0 - s1,
        2 * a0 * a1 + s0 + 9 * s1,
        2 * (a0 * b0 - a1 * b1),
        2 * (a0 * b1 + a1 * b0),
    )


def _power_u(a: Fp12) -> Fp12:
    """a^u in the cyclotomic subgroup."""
    inverse = _conjugate12(a)
    result = a
    for digit in _U_DIGITS[1:]:
        result = _square_cyclotomic(result)
        if digit:
            result = _mul12(result, a if digit > 0 else inverse)
    return result


def _final_exponentiation(a: Fp12) -> Fp12:
    """a^((p^12 - 1) / r)."""
    a = _mul12(_conjugate12(a), _invert12(a))
    return _hard_part(_mul12(_frobenius12(_frobenius12(a)), a))


def _hard_part(a: Fp12) -> Fp12:
    """a^((p^4 - p^2 + 1) / r) in the cyclotomic subgroup."""
    a_u = _power_u(a)
    a_uu = _power_u(a_u)
    a_uuu = _power_u(a_uu)
    a_p = _frobenius12(a)
    a_pp = _frobenius12(a_p)
    y0 = _mul12(_mul12(a_p, a_pp), _frobenius12(a_pp))
    y1 = _conjugate12(a)
    y2 = _frobenius12(_frobenius12(a_uu))
    y3 = _conjugate12(_frobenius12(a_u))
    y4 = _conjugate12(_mul12(a_u, _frobenius12(a_uu)))
    y5 = _conjugate12(a_uu)
    y6 = _conjugate12(_mul12(a_uuu, _frobenius12(a_uuu)))
    # y0 y1^2 y2^6 y3^12 y4^18 y5^30 y6^36
    t0 = _mul12(_mul12(_square_cyclotomic(y6), y4), y5)
    t1 = _mul12(_mul12(y3, y5), t0)
    t0 = _mul12(t0, y2)
    t1 = _square_cyclotomic(_mul12(_square_cyclotomic(t1), t0))
    t0 = _square_cyclotomic(_mul12(t1, y1))
    return _mul12(t0, _mul12(t1, y0))


def pairing_product_is_one(pairs: Iterable[tuple[Point, TwistPoint]]) -> bool:
    """Is the product of the pairings of ``pairs`` the neutral element?

    Raises NotInSubgroup where a point of the twist is not in the subgroup of order `R`.
    """
    finite = [(point, twisted) for point, twisted in pairs if twisted is not None]
    return _final_exponentiation(_miller_product(finite)) == _ONE
