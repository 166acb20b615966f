"""ECADD (0x06), ECMUL (0x07) and ECPAIRING (0x08): the inputs of `bn254`, read and judged.

Coordinates not below the modulus, points off their curve, and points of the twist outside of the
subgroup are left to py-evm.

Source: EIP-196, EIP-197; prices EIP-1108.
"""

from __future__ import annotations

from eth import constants

from parallel_evm.precompiles import bn254
from parallel_evm.precompiles.drop_in import Arithmetic

_PAIR_SIZE = 192
_TRUE = (1).to_bytes(32, "big")
_FALSE = bytes(32)


class _Irregular(ValueError):
    """An input that does not name points of the curve."""


def ecadd(gas_cost: int = constants.GAS_ECADD) -> Arithmetic:
    return Arithmetic("ECADD Precompile", lambda data: gas_cost, _sum)


def ecmul(gas_cost: int = constants.GAS_ECMUL) -> Arithmetic:
    return Arithmetic("ECMUL Precompile", lambda data: gas_cost, _multiple)


def ecpairing(
    gas_cost_base: int = constants.GAS_ECPAIRING_BASE,
    gas_cost_per_point: int = constants.GAS_ECPAIRING_PER_POINT,
) -> Arithmetic:
    def price(data: bytes) -> int | None:
        pairs, rest = divmod(len(data), _PAIR_SIZE)
        return None if rest else gas_cost_base + pairs * gas_cost_per_point

    return Arithmetic("ECPAIRING Precompile", price, _pairing)


def _sum(data: bytes) -> bytes | None:
    data = data[:128].ljust(128, b"\x00")
    try:
        return _encoded(bn254.add(_point(data, 0), _point(data, 64)))
    except _Irregular:
        return None


def _multiple(data: bytes) -> bytes | None:
    data = data[:96].ljust(96, b"\x00")
    try:
        return _encoded(bn254.multiply(_point(data, 0), _word(data, 64)))
    except _Irregular:
        return None


def _pairing(data: bytes) -> bytes | None:
    try:
        pairs = [
            (_point(data, start), _twist_point(data, start + 64))
            for start in range(0, len(data), _PAIR_SIZE)
        ]
        return _TRUE if bn254.pairing_product_is_one(pairs) else _FALSE
    except (_Irregular, bn254.NotInSubgroup):
        return None


def _word(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 32], "big")


def _coordinate(data: bytes, start: int) -> int:
    value = _word(data, start)
    if value >= bn254.P:
        raise _Irregular
    return value


def _point(data: bytes, start: int) -> bn254.Point:
    x, y = _coordinate(data, start), _coordinate(data, start + 32)
    if x == 0 and y == 0:
        return None
    if not bn254.is_on_curve(x, y):
        raise _Irregular
    return x, y


def _twist_point(data: bytes, start: int) -> bn254.TwistPoint:
    # The imaginary part comes first.
    x1, x0, y1, y0 = (_coordinate(data, start + offset) for offset in (0, 32, 64, 96))
    if x0 == x1 == y0 == y1 == 0:
        return None
    x, y = (x0, x1), (y0, y1)
    if not bn254.is_on_twist(x, y):
        raise _Irregular
    return x, y


def _encoded(point: bn254.Point) -> bytes:
    if point is None:
        return bytes(64)
    return point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")
