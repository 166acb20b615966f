"""The precompiles of BLS12-381 (0x0b to 0x11) through arkworks.

Talks to: py_arkworks_bls12381. Field elements not below the modulus, points off their curve and
points outside of the subgroup, where it matters, are left to py-evm.

Source: EIP-2537.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eth.precompiles.bls12_381.constants import (
    BLS12_G1_ADD_GAS,
    BLS12_G1_MSM_GAS,
    BLS12_G2_ADD_GAS,
    BLS12_G2_MSM_GAS,
    BLS12_MAP_FP2_G2_GAS,
    BLS12_MAP_FP_G1_GAS,
    G1_MSM_DISCOUNTS,
    G1_MSM_MAX_DISCOUNT,
    G2_MSM_DISCOUNTS,
    G2_MSM_MAX_DISCOUNT,
    MSM_MULTIPLIER,
)
from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from parallel_evm.precompiles.drop_in import Arithmetic

# A field element is 48 bytes, in the EVM preceded by 16 zeros.
_PADDING = bytes(16)
_FP_SIZE = 64
_G1_SIZE = 2 * _FP_SIZE
_G2_SIZE = 4 * _FP_SIZE
_PAIR_SIZE = _G1_SIZE + _G2_SIZE
_SCALAR_SIZE = 32

# py-evm has these two prices in the body of its function.
_PAIRING_BASE_GAS = 37_700
_PAIRING_GAS = 32_600

_TRUE = (1).to_bytes(32, "big")
_FALSE = bytes(32)


def g1_add() -> Arithmetic:
    def total(data: bytes) -> bytes:
        a, b = data[:_G1_SIZE], data[_G1_SIZE:]
        read = G1Point.from_xy_bytes_unchecked_be
        return _padded((read(_stripped(a)) + read(_stripped(b))).to_xy_bytes_be())

    return _of_size(2 * _G1_SIZE, BLS12_G1_ADD_GAS, "BLS12_G1ADD gas", total)


def g2_add() -> Arithmetic:
    def total(data: bytes) -> bytes:
        a, b = data[:_G2_SIZE], data[_G2_SIZE:]
        read = G2Point.from_xy_bytes_unchecked_be
        return _padded((read(_stripped(a)) + read(_stripped(b))).to_xy_bytes_be())

    return _of_size(2 * _G2_SIZE, BLS12_G2_ADD_GAS, "BLS12_G2ADD gas", total)


def g1_msm() -> Arithmetic:
    size = _G1_SIZE + _SCALAR_SIZE

    def total(data: bytes) -> bytes:
        terms = _split(data, size)
        points = [G1Point.from_xy_bytes_be(_stripped(term[:_G1_SIZE])) for term in terms]
        return _padded(G1Point.multiexp_unchecked(points, _scalars(terms)).to_xy_bytes_be())

    price = _msm_price(size, BLS12_G1_MSM_GAS, G1_MSM_DISCOUNTS, G1_MSM_MAX_DISCOUNT)
    return Arithmetic("BLS12_G1MSM gas", price, _unless_irregular(total))


def g2_msm() -> Arithmetic:
    size = _G2_SIZE + _SCALAR_SIZE

    def total(data: bytes) -> bytes:
        terms = _split(data, size)
        points = [G2Point.from_xy_bytes_be(_stripped(term[:_G2_SIZE])) for term in terms]
        return _padded(G2Point.multiexp_unchecked(points, _scalars(terms)).to_xy_bytes_be())

    price = _msm_price(size, BLS12_G2_MSM_GAS, G2_MSM_DISCOUNTS, G2_MSM_MAX_DISCOUNT)
    return Arithmetic("BLS12_G2MSM gas", price, _unless_irregular(total))


def pairing_check() -> Arithmetic:
    def price(data: bytes) -> int | None:
        pairs, rest = divmod(len(data), _PAIR_SIZE)
        return None if rest or not pairs else _PAIRING_GAS * pairs + _PAIRING_BASE_GAS

    def check(data: bytes) -> bytes:
        pairs = _split(data, _PAIR_SIZE)
        g1s = [G1Point.from_xy_bytes_be(_stripped(pair[:_G1_SIZE])) for pair in pairs]
        g2s = [G2Point.from_xy_bytes_be(_stripped(pair[_G1_SIZE:])) for pair in pairs]
        return _TRUE if GT.pairing_check(g1s, g2s) else _FALSE

    return Arithmetic("BLS12_PAIRING_CHECK gas", price, _unless_irregular(check))


def map_fp_to_g1() -> Arithmetic:
    def mapped(data: bytes) -> bytes:
        return _padded(G1Point.map_from_fp_be(_stripped(data)).to_xy_bytes_be())

    return _of_size(_FP_SIZE, BLS12_MAP_FP_G1_GAS, "BLS12_MAP_FP_TO_G1 gas", mapped)


def map_fp2_to_g2() -> Arithmetic:
    def mapped(data: bytes) -> bytes:
        return _padded(G2Point.map_from_fp2_be(_stripped(data)).to_xy_bytes_be())

    return _of_size(2 * _FP_SIZE, BLS12_MAP_FP2_G2_GAS, "BLS12_MAP_FP2_TO_G2 gas", mapped)


def _of_size(size: int, cost: int, reason: str, answer: Callable[[bytes], bytes]) -> Arithmetic:
    def price(data: bytes) -> int | None:
        return cost if len(data) == size else None

    return Arithmetic(reason, price, _unless_irregular(answer))


def _msm_price(
    size: int, gas: int, discounts: Sequence[int], last_discount: int
) -> Callable[[bytes], int | None]:
    def price(data: bytes) -> int | None:
        terms, rest = divmod(len(data), size)
        if rest or not terms:
            return None
        discount = discounts[terms - 1] if terms <= len(discounts) else last_discount
        return terms * gas * discount // MSM_MULTIPLIER

    return price


def _unless_irregular(answer: Callable[[bytes], bytes]) -> Callable[[bytes], bytes | None]:
    """``answer``, with None where it raises ValueError, as arkworks does at a bad point."""

    def guarded(data: bytes) -> bytes | None:
        try:
            return answer(data)
        except ValueError:
            return None

    return guarded


def _split(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _stripped(data: bytes) -> bytes:
    """Field elements without their padding. Raises ValueError where one exceeds 48 bytes."""
    elements = _split(data, _FP_SIZE)
    if any(element[:16] != _PADDING for element in elements):
        raise ValueError("a field element exceeds 48 bytes")
    return b"".join(element[16:] for element in elements)


def _padded(data: bytes) -> bytes:
    return b"".join(_PADDING + element for element in _split(data, _FP_SIZE - 16))


def _scalars(terms: Sequence[bytes]) -> list[Scalar]:
    """The factors of multi-scalar terms. Points are of the order that they are reduced by."""
    return [Scalar.from_be_bytes_mod_order(term[-_SCALAR_SIZE:]) for term in terms]
