"""Which of py-evm's precompiles have a faster drop-in.

SHA256, RIPEMD160 and IDENTITY have none: what py-evm does there is what there is to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from eth.abc import ComputationAPI
from eth.precompiles.blake2 import blake2b_fcompress
from eth.precompiles.bls12_381.bls12_381_g1 import (
    bls12_g1_add,
    bls12_g1_msm,
    bls12_map_fp_to_g1,
)
from eth.precompiles.bls12_381.bls12_381_g2 import (
    bls12_g2_add,
    bls12_g2_msm,
    bls12_map_fp2_to_g2,
)
from eth.precompiles.bls12_381.bls12_381_pairing import bls12_pairing_check
from eth.precompiles.ecadd import ecadd
from eth.precompiles.ecmul import ecmul
from eth.precompiles.ecpairing import ecpairing
from eth.precompiles.ecrecover import ecrecover as stock_ecrecover
from eth.precompiles.modexp import modexp as stock_modexp
from eth.precompiles.point_evaluation import point_evaluation_precompile
from eth_typing import Address

from parallel_evm.precompiles import alt_bn128, bls12_381, ecrecover, modexp, point_evaluation
from parallel_evm.precompiles.drop_in import Arithmetic, DropIn, Precompile


def fast_precompiles(computation_class: type[ComputationAPI]) -> dict[Address, Precompile]:
    """The precompiles of ``computation_class`` by address, py-evm's own ones as faster drop-ins.

    A function that is not py-evm's stays as it is, and BLAKE2F where its library is missing.
    """
    return {
        address: _drop_in(operation)
        for address, operation in computation_class.get_precompiles().items()
    }


def _drop_in(operation: Precompile) -> Precompile:
    if operation is point_evaluation_precompile:
        return point_evaluation.point_evaluation
    # Forks set prices by currying: the function inside is what is known, the prices are kept.
    function = getattr(operation, "func", operation)
    make = _makers().get(function) if getattr(operation, "args", ()) == () else None
    if make is None:
        return operation
    try:
        arithmetic = make(**getattr(operation, "keywords", {}))
    except TypeError:  # curried with something that is not known here
        return operation
    return DropIn(operation, arithmetic)


@cache
def _makers() -> Mapping[Any, Callable[..., Arithmetic]]:
    known = {
        stock_ecrecover: ecrecover.ecrecover,
        stock_modexp.func: modexp.modexp,
        ecadd.func: alt_bn128.ecadd,
        ecmul.func: alt_bn128.ecmul,
        ecpairing.func: alt_bn128.ecpairing,
        bls12_g1_add: bls12_381.g1_add,
        bls12_g1_msm: bls12_381.g1_msm,
        bls12_g2_add: bls12_381.g2_add,
        bls12_g2_msm: bls12_381.g2_msm,
        bls12_pairing_check: bls12_381.pairing_check,
        bls12_map_fp_to_g1: bls12_381.map_fp_to_g1,
        bls12_map_fp2_to_g2: bls12_381.map_fp2_to_g2,
    }
    try:  # the one library that not every platform has
        from parallel_evm.precompiles.blake2f import blake2f
    except ImportError:
        return known
    return {**known, blake2b_fcompress: blake2f}
