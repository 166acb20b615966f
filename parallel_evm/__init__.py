"""parallel-evm: py-evm chains that execute blocks in parallel, with identical results.

>>> from eth.chains.base import MiningChain
>>> from parallel_evm import parallelize
>>> Chain = parallelize(MyChain, workers=2)  # doctest: +SKIP
"""

from parallel_evm.config import ParallelConfig
from parallel_evm.errors import (
    ConfigurationError,
    ParallelEVMError,
    PoolClosedError,
)
from parallel_evm.experience import load_forecasts, save_forecasts
from parallel_evm.inputs import InputError
from parallel_evm.report import BlockReport, Conflict, Phases, TransactionReport
from parallel_evm.state.keys import StateKey
from parallel_evm.stream import import_blocks
from parallel_evm.vm import parallelize
from parallel_evm.workers.shared import close, pool

__all__ = [
    "BlockReport",
    "ConfigurationError",
    "Conflict",
    "InputError",
    "ParallelConfig",
    "ParallelEVMError",
    "Phases",
    "PoolClosedError",
    "StateKey",
    "TransactionReport",
    "close",
    "import_blocks",
    "load_forecasts",
    "parallelize",
    "pool",
    "save_forecasts",
]
