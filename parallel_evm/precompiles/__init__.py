"""Faster precompiles, equal to py-evm's in output, gas and error.

`fast_precompiles` is the table of a fork with py-evm's own functions replaced where there is
something to gain. Talks to the libraries that do the arithmetic. Decides nothing about which VM
may use the table: that is for `speculation`.
"""

from parallel_evm.precompiles.table import fast_precompiles

__all__ = ["fast_precompiles"]
