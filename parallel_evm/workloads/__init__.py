"""Named blocks of real DeFi transactions, and the states that they start from."""

from parallel_evm.workloads.catalogue import build, names
from parallel_evm.workloads.workload import Workload

__all__ = ["Workload", "build", "names"]
