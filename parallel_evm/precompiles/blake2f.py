"""BLAKE2F (0x09) through blake2b-py, py-evm's optional native library, without the decoding before.

Where the library is not installed, importing this module raises ImportError and py-evm's own
function stays.

Source: EIP-152.
"""

from __future__ import annotations

from blake2b import decode_and_compress  # type: ignore[import-untyped, unused-ignore]
from eth.precompiles.blake2 import GAS_COST_PER_ROUND

from parallel_evm.precompiles.drop_in import Arithmetic

_SIZE = 213


def blake2f() -> Arithmetic:
    return Arithmetic("Blake2b Compress Precompile", _price, _compressed)


def _price(data: bytes) -> int | None:
    # The length and the final block flag come before the gas.
    if len(data) != _SIZE or data[-1] > 1:
        return None
    return GAS_COST_PER_ROUND * int.from_bytes(data[:4], "big")


def _compressed(data: bytes) -> bytes:
    return bytes(decode_and_compress(data))
