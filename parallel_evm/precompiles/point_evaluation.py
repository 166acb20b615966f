"""Point evaluation (0x0a) without the trusted setup, and with one that is loaded once.

py-evm loads the setup of the KZG ceremony anew for every call, which takes seconds. Here its own
function runs, with two functions under it replaced: proofs that hold are verified without the
setup (`kzg`). For all others it is loaded, once, and c-kzg decides. So outputs, gas and errors are
py-evm's. Nothing is loaded before the first call.

Source: EIP-4844.
"""

from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import Final

from ckzg import (  # type: ignore[import-not-found, unused-ignore]
    load_trusted_setup,
    verify_kzg_proof,
)
from eth.precompiles.point_evaluation import point_evaluation_precompile

from parallel_evm.precompiles.drop_in import Precompile
from parallel_evm.precompiles.kzg import holds

loaded_once: Final = cache(load_trusted_setup)
"""The setup by the arguments that it is loaded with, once per process."""

_Setup = tuple[str, int]
"""What it would be loaded with."""


def _not_loaded_yet(path: str, precompute: int) -> _Setup:
    return path, precompute


def _verified(commitment: bytes, z: bytes, y: bytes, proof: bytes, setup: _Setup) -> bool:
    if holds(commitment, z, y, proof, setup[0]):
        return True
    return bool(verify_kzg_proof(commitment, z, y, proof, loaded_once(*setup)))


point_evaluation: Final[Precompile] = FunctionType(
    point_evaluation_precompile.__code__,
    {
        **point_evaluation_precompile.__globals__,
        "load_trusted_setup": _not_loaded_yet,
        "verify_kzg_proof": _verified,
    },
    point_evaluation_precompile.__name__,
)
