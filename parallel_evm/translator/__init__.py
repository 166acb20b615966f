"""EVM bytecode as Python functions: the fast interpreter.

Hot code becomes Python, cold code and everything irregular runs by py-evm's own opcodes; results
are the same to the last gas and error text. From bottom to top:

- `words` and `values`: arithmetic, exact and symbolic; `operations`: what an opcode object means;
  `code`: instructions.
- `trace`: one function, with `instructions` (each opcode), `writer` (what is written and known so
  far), `draft` (the text) and `memory` (bytes that are known);
  `translation`: from what is wanted to code; `recording`: the path of a call.
- `machine`, `calls` and `guarded_memory`: what functions use at run time; `steps`: cold code, with
  `simple` and `direct` (each opcode).
- `cache`, `store` and `visits`: what outlives the process; `orders`: who translates meanwhile.
- `dialect`: an opcode table; `program`: one contract; `computation`: the seam.
- `rehearsal` and `show`: translations for people to read.
"""

from parallel_evm.translator.computation import has_stock_loop, translating
from parallel_evm.translator.program import NotRecorded

__all__ = ["NotRecorded", "has_stock_loop", "translating"]
