"""web3.py and eth-tester on a chain that executes its blocks in parallel."""

from parallel_evm.web3.backend import ParallelEVMBackend
from parallel_evm.web3.provider import ParallelTesterProvider
from parallel_evm.web3.tester import BlockIncomplete, ParallelTester

__all__ = ["BlockIncomplete", "ParallelEVMBackend", "ParallelTester", "ParallelTesterProvider"]
