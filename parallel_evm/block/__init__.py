"""One block, from its transactions to their receipts.

`flow` is to be read from top to bottom. `senders` and `layout` come before anything runs; then
`whole` takes over lanes that do not meet, or else `order` judges transaction by transaction.
`underway` is what these steps share, `patience` how long they wait for others.

Nothing but the VM's own state object is written, and that only here.
"""

from parallel_evm.block.flow import BlockResult, execute
from parallel_evm.block.underway import Forecasts, Scheduling

__all__ = ["BlockResult", "Forecasts", "Scheduling", "execute"]
