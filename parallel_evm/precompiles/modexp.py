"""MODEXP (0x05) through GMP where gmpy2 is installed, else through Python's own integers.

The price is asked of the gas calculator that py-evm's fork gave to its function.

Source: EIP-198, EIP-2565.
"""

from __future__ import annotations

from collections.abc import Callable

from eth.precompiles.modexp import _compute_modexp_gas_fee_eip_198

from parallel_evm.precompiles.drop_in import Arithmetic

try:
    from gmpy2 import powmod  # type: ignore[import-untyped, unused-ignore]
except ImportError:
    powmod = pow


def modexp(
    gas_calculator: Callable[[bytes], int] = _compute_modexp_gas_fee_eip_198,
) -> Arithmetic:
    return Arithmetic("MODEXP Precompile", gas_calculator, _power)


def _power(data: bytes) -> bytes | None:
    head = data[:96].ljust(96, b"\x00")
    base_length = int.from_bytes(head[:32], "big")
    exponent_length = int.from_bytes(head[32:64], "big")
    modulus_length = int.from_bytes(head[64:], "big")
    if base_length == 0 or modulus_length == 0:
        return None
    exponent_start = 96 + base_length
    modulus_start = exponent_start + exponent_length
    # Data that is missing reads as zeros. Without any modulus in the data there is nothing to do,
    # however long the exponent claims to be.
    modulus = _number(data, modulus_start, modulus_length)
    if modulus == 0:
        return None
    base = _number(data, 96, base_length)
    exponent = _number(data, exponent_start, exponent_length)
    return int(powmod(base, exponent, modulus)).to_bytes(modulus_length, "big")


def _number(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(data[start : start + length].ljust(length, b"\x00"), "big")
