"""EVM bytecode as Python functions: the fast interpreter.

Hot code becomes Python, cold code and everything irregular runs by py-evm's own opcodes; results
are the same to the last gas and error text. From bottom to top: `words` and `values` (arithmetic,
exact and symbolic), `operations` (what an opcode object means), `code` (instructions), `trace`
(one function), `machine` (what functions call), `program` (one contract), `computation` (the seam).
"""

from parallel_evm.translator.computation import has_stock_loop, translating
from parallel_evm.translator.program import NotRecorded

__all__ = ["NotRecorded", "has_stock_loop", "translating"]
