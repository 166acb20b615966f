"""Proofs about KZG commitments, verified by arkworks with the one point of the setup that it takes.

Responsible for: `holds`, which says so of a proof that holds.
Talks to: py_arkworks_bls12381; py-evm's file with the setup, of which it reads one point.
Never: has the last word: False may mean that an encoding is unusual.

Loading the whole setup takes seconds, mostly for checking thousands of points that only making
commitments needs. Source: EIP-4844 (`verify_kzg_proof`).
"""

from __future__ import annotations

from functools import cache
from itertools import islice
from pathlib import Path

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar


def holds(commitment: bytes, z: bytes, y: bytes, proof: bytes, setup: str) -> bool:
    """Is p(z) = y, where ``commitment`` is to p? ``setup``: py-evm's file.

    Points are compressed, field elements 32 bytes, big endian.
    """
    try:
        quotient, value = _point(proof), _point(commitment) - G1Point() * Scalar.from_be_bytes(y)
        divisor = _tau(setup) - G2Point() * Scalar.from_be_bytes(z)
    except (OSError, ValueError):
        return False
    # e(p - y, 1) = e(quotient, tau - z)
    return bool(GT.pairing_check([value, -quotient], [G2Point(), divisor]))


def _point(encoded: bytes) -> G1Point:
    """A point of the subgroup, in the one encoding that it has: arkworks accepts others, too."""
    point = G1Point.from_compressed_bytes(encoded)
    if bytes(point.to_compressed_bytes()) != encoded:
        raise ValueError("not the encoding of a point")
    return point


@cache
def _tau(setup: str) -> G2Point:
    """[tau] G2: after the points of G1 in Lagrange form, the second of those of G2."""
    with Path(setup).open() as file:
        in_lagrange_form, _ = map(int, islice(file, 2))
        first, second = islice(file, in_lagrange_form, in_lagrange_form + 2)
    if G2Point.from_compressed_bytes(bytes.fromhex(first)) != G2Point():
        raise ValueError("not the setup that py-evm has")
    return G2Point.from_compressed_bytes(bytes.fromhex(second))
