"""The Python that a contract becomes, for people to read.

Either the whole contract block by block, or what a hot call of one function runs (`rehearsal`).
Makes text and nothing else: where the contract comes from and how it is shown, the command line
knows.
"""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from parallel_evm.forks import VM_CLASSES
from parallel_evm.translator.code import Code, Instruction
from parallel_evm.translator.dialect import Dialect
from parallel_evm.translator.program import Program
from parallel_evm.translator.rehearsal import rehearse
from parallel_evm.translator.trace import Trace

_WIDTH: Final = 100

_LEGEND: Final = """\
# Each function runs the EVM code from its position on. The stack has become locals; gas is taken
# once for many opcodes.
#   c  py-evm's computation      S  the stack, numbers only    G  the gas meter; g: gas left
#   M  memory; m: its bytes      D  call data and 32 zeros     A  the address whose storage it uses
# It returns the position to go on at, or -1 at the end. leave(c, pc) hands the opcode at pc to
# py-evm, with gas, stack and memory as they are before it: failures are py-evm's own."""

_WAYS_OUT: Final = """\
# {0}_x0, {0}_x1 .. are the ways out, to where this call did not go: each brings
# stack, memory and gas up to date and returns the position to go on at."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the contract's ABI."""

    selector: bytes
    signature: str
    """``transfer(address,uint256)``; the selector again where nobody knows."""
    inputs: tuple[str, ...] | None


def python_of(code: bytes, fork: str, functions: Iterable[Function] = ()) -> str:
    """All blocks of ``code`` (runtime bytecode) as they are translated under ``fork``.

    ``fork`` is written like ``cancun`` or ``spurious-dragon``. At run time a function also goes
    on through branches in the direction that was seen; here nothing has run, so a function ends
    at the first branch whose direction the code does not tell. ``functions``: for the comments.

    Raises ValueError if py-evm has no fork of that name.
    """
    opcodes = _state_class(fork).computation_class.opcodes
    program = Program(code, Dialect(opcodes))
    title = (
        f"# {len(code)} bytes of code under the rules of {fork}, block by block. Nothing has run: "
        "each function\n# ends at the first branch whose direction the code does not tell."
    )
    entries = _named(function_entries(code, opcodes), functions)
    return "\n\n".join([f"{title}\n#\n{_LEGEND}", *_pieces(program, program.entries(), entries)])


def python_of_function(
    code: bytes, fork: str, function: Function, functions: Iterable[Function] = ()
) -> str:
    """What a call of ``function`` becomes once it is hot: one function, along the path it took.

    Raises ValueError for unknown forks and for types of arguments that are none.
    """
    state_class = _state_class(fork)
    found = rehearse(code, state_class, function.selector, function.inputs)
    title = (
        f"# {function.signature}, selector 0x{function.selector.hex()}, under the rules of {fork}."
        "\n# This runs when a call of it is hot, as long as it does what it did here."
    )
    if found.error:
        title += (
            f"\n# No call was found that succeeds. The one that came furthest, to a {found.error}:"
        )
    entries = function_entries(code, state_class.computation_class.opcodes)
    named = _named(entries, [*functions, function])
    program = found.program
    if found.recording is None:
        return "\n\n".join([f"{title}\n#\n{_LEGEND}", *_pieces(program, [0], named)])
    name = function.signature.partition("(")[0]
    if not name.isidentifier() or keyword.iskeyword(name):
        name = f"call_{function.selector.hex()}"
    notes_sha3 = program.dialect.notes_sha3
    trace = _Watched(program.code, 0, program.seen, notes_sha3, found.recording)
    source = trace.functions(name)[name]
    legend = f"{_LEGEND}\n{_WAYS_OUT.format(name)}"
    return "\n\n".join([f"{title}\n#\n{legend}", _explained(0, trace, source, named)])


def function_entries(code: bytes, opcodes: Mapping[int, Any]) -> dict[bytes, int]:
    """Where the functions of a contract start, by selector, as far as its dispatcher tells.

    Solidity's compares and jumps: PUSH4 selector, EQ, PUSH position, JUMPI, with stack shuffling
    in between. What is written in another way is not found.
    """
    read = Code(code, opcodes)
    entries: dict[bytes, int] = {}
    instructions: list[Instruction] = []
    pc = 0
    while pc < len(code):
        instructions.append(read.at(pc))
        pc = instructions[-1].following
        tail = [instruction for instruction in instructions[-5:] if instruction.name != "DUP"][-4:]
        if [instruction.name for instruction in tail] != ["PUSH", "EQ", "PUSH", "JUMPI"]:
            continue
        selector, _, target, _ = tail
        # A selector that starts with zeros is pushed in fewer bytes.
        if 2 < selector.number <= 4 and target.argument in read.jumpdests:
            entries.setdefault(selector.argument.to_bytes(4, "big"), target.argument)
    return entries


def _state_class(fork: str) -> Any:
    vm = VM_CLASSES.get(fork.lower())
    if vm is None:
        raise ValueError(f"py-evm knows no fork {fork!r}")
    return vm.get_state_class()


def _named(entries: Mapping[bytes, int], functions: Iterable[Function]) -> dict[int, str]:
    """What starts at a position."""
    signatures = {function.selector: function.signature for function in functions}
    named = {}
    for selector, pc in entries.items():
        number = f"0x{selector.hex()}"
        signature = signatures.get(selector, number)
        named[pc] = signature if signature == number else f"{signature}, {number}"
    return named


def _pieces(program: Program, positions: Sequence[int], entries: Mapping[int, str]) -> list[str]:
    return [_piece(program, pc, entries) for pc in positions]


class _Watched(Trace):
    """A trace that remembers what it was made of."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.instructions: list[Instruction] = []

    def _translate(self, instruction: Instruction) -> int | None:
        self.instructions.append(instruction)
        return super()._translate(instruction)


def _piece(program: Program, pc: int, entries: Mapping[int, str]) -> str:
    """The block at ``pc`` and what it goes on with, under a comment that says what it was."""
    trace = _Watched(program.code, pc, program.seen, program.dialect.notes_sha3)
    return _explained(pc, trace, trace.python(f"at_{pc}"), entries)


def _explained(pc: int, trace: _Watched, source: str, entries: Mapping[int, str]) -> str:
    """One function, under a comment that says what it was."""
    instructions = trace.instructions
    gas = sum(getattr(instruction.operation, "gas_cost", 0) for instruction in instructions)
    comment = [
        f"# -- {pc} (0x{pc:x}): {_count(len(instructions), 'instruction')}, "
        f"static gas {gas} ".ljust(_WIDTH, "-")
    ]
    comment += [
        f"# {instruction.pc} is the entry of {entries[instruction.pc]}"
        for instruction in instructions
        if instruction.pc in entries
    ]
    opcodes = " ".join(map(_written, instructions))
    comment += textwrap.wrap(
        opcodes,
        _WIDTH,
        initial_indent="#   ",
        subsequent_indent="#   ",
        break_on_hyphens=False,
    )
    return "\n".join([*comment, source.rstrip("\n")])


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def _written(instruction: Instruction) -> str:
    mnemonic = getattr(instruction.operation, "mnemonic", f"0x{instruction.value:02x}?")
    if instruction.name == "PUSH" and instruction.number:
        return f"{mnemonic} 0x{instruction.argument:x}"
    return str(mnemonic)
