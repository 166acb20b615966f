"""Which of py-evm's precompiles have a faster drop-in.

SHA256, RIPEMD160 and IDENTITY have none: what py-evm does there is what there is to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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

from parallel_evm.precompiles import alt_bn128, ecrecover, modexp, point_evaluation
from parallel_evm.precompiles.drop_in import Arithmetic, DropIn, Precompile


def fast_precompiles(computation_class: type[ComputationAPI]) -> dict[Address, Precompile]:
    """The precompiles of ``computation_class`` by address, py-evm's own ones as faster drop-ins.

    A function that is not py-evm's, and one whose library is not installed, stays as it is.
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
    return dict(_known())


def _known() -> Iterator[tuple[Any, Callable[..., Arithmetic]]]:
    yield stock_ecrecover, ecrecover.ecrecover
    yield stock_modexp.func, modexp.modexp
    yield ecadd.func, alt_bn128.ecadd
    yield ecmul.func, alt_bn128.ecmul
    yield ecpairing.func, alt_bn128.ecpairing
    try:
        from parallel_evm.precompiles import blake2f
    except ImportError:
        pass
    else:
        yield blake2b_fcompress, blake2f.blake2f
    try:
        from parallel_evm.precompiles import bls12_381
    except ImportError:
        pass
    else:
        yield bls12_g1_add, bls12_381.g1_add
        yield bls12_g1_msm, bls12_381.g1_msm
        yield bls12_g2_add, bls12_381.g2_add
        yield bls12_g2_msm, bls12_381.g2_msm
        yield bls12_pairing_check, bls12_381.pairing_check
        yield bls12_map_fp_to_g1, bls12_381.map_fp_to_g1
        yield bls12_map_fp2_to_g2, bls12_381.map_fp2_to_g2
