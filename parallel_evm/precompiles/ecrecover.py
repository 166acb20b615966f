"""ECRECOVER (0x01) through libsecp256k1, without the layers between.

Talks to: `recovery`. A signature from which no key can be recovered is left to py-evm.

Source: yellow paper, appendix E.
"""

from __future__ import annotations

from eth import constants

from parallel_evm.precompiles.drop_in import Arithmetic
from parallel_evm.recovery import signer

_V_BYTES = {27: b"\x00", 28: b"\x01"}


def ecrecover() -> Arithmetic:
    return Arithmetic("ECRecover Precompile", lambda data: constants.GAS_ECRECOVER, _recovered)


def _recovered(data: bytes) -> bytes | None:
    data = data[:128].ljust(128, b"\x00")
    recovery = _V_BYTES.get(int.from_bytes(data[32:64], "big"))
    if recovery is None:
        return None
    try:
        return bytes(12) + signer(data[64:] + recovery, data[:32])
    except ValueError:  # r or s is zero or not below the order, or r is the x of no point
        return None
