"""The Python that a contract becomes, for people to read."""

from __future__ import annotations

from typing import Any

from eth.vm import forks

from parallel_evm.translator.program import Dialect, Program


def python_of(code: bytes, fork: str) -> str:
    """All blocks of ``code`` (runtime bytecode) as they are translated under ``fork``.

    ``fork`` is written like ``cancun`` or ``spurious-dragon``. At run time a function also goes
    on through branches in the direction that was seen; here nothing has run, so a function ends
    at the first branch whose direction the code does not tell.

    Raises ValueError if py-evm has no fork of that name.
    """
    vm: Any = getattr(forks, fork.title().replace("-", "") + "VM", None)
    if vm is None:
        raise ValueError(f"py-evm knows no fork {fork!r}")
    program = Program(code, Dialect(vm.get_state_class().computation_class.opcodes))
    return "\n\n".join(program.python(pc) for pc in program.entries())
