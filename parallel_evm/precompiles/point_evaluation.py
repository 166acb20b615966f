"""Point evaluation (0x0a) with the trusted setup loaded once.

py-evm loads the setup of the KZG ceremony anew for every call, which takes a hundred times longer
than the verification itself. The first call of a process loads it here; all others find it there.

Talks to: ckzg. A proof that does not hold is left to py-evm.

Source: EIP-4844.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ckzg import (  # type: ignore[import-not-found, unused-ignore]
    load_trusted_setup,
    verify_kzg_proof,
)
from eth.precompiles.point_evaluation import TRUSTED_SETUP_PATH, kzg_to_versioned_hash
from eth.vm.forks.cancun.constants import (
    BLS_MODULUS,
    FIELD_ELEMENTS_PER_BLOB,
    POINT_EVALUATION_PRECOMPILE_GAS,
)

from parallel_evm.precompiles.drop_in import Arithmetic

_SIZE = 192
_VERIFIED = FIELD_ELEMENTS_PER_BLOB.to_bytes(32, "big") + BLS_MODULUS.to_bytes(32, "big")


def point_evaluation() -> Arithmetic:
    return Arithmetic(
        "Point Evaluation Precompile", lambda data: POINT_EVALUATION_PRECOMPILE_GAS, _evaluated
    )


@cache
def _trusted_setup() -> Any:
    return load_trusted_setup(TRUSTED_SETUP_PATH, 0)


def _evaluated(data: bytes) -> bytes | None:
    if len(data) != _SIZE:
        return None
    versioned_hash, z, y = data[:32], data[32:64], data[64:96]
    commitment, proof = data[96:144], data[144:]
    if kzg_to_versioned_hash(commitment) != versioned_hash:
        return None
    try:
        verified = verify_kzg_proof(commitment, z, y, proof, _trusted_setup())
    except RuntimeError:  # not points of the curve, or not field elements
        return None
    return _VERIFIED if verified else None
