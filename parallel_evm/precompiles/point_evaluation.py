"""Point evaluation (0x0a) with the trusted setup loaded once.

py-evm loads the setup of the KZG ceremony anew for every call, which takes a hundred times longer
than the verification itself. Here its own function runs, with the loading function under it
replaced by one that remembers: outputs, gas and errors are py-evm's, and a proof that does not hold
costs no more than one that does. Nothing is loaded before the first call.

Source: EIP-4844.
"""

from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import Final

from ckzg import load_trusted_setup  # type: ignore[import-not-found, unused-ignore]
from eth.precompiles.point_evaluation import point_evaluation_precompile

from parallel_evm.precompiles.drop_in import Precompile

loaded_once: Final = cache(load_trusted_setup)
"""The setup by the arguments that it is loaded with, once per process."""

point_evaluation: Final[Precompile] = FunctionType(
    point_evaluation_precompile.__code__,
    {**point_evaluation_precompile.__globals__, "load_trusted_setup": loaded_once},
    point_evaluation_precompile.__name__,
)
