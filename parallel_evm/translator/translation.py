"""One thing to be translated and the code that it becomes: a function of plain data.

Responsible for: from what is `Wanted` to what is `Made`. Whoever has the same bytecode, the same
meanings of opcodes and the same directions of branches makes the same, in whatever process.
Talks to: `trace`, which writes the functions. Never: decides what is worth translating (`program`
does), or runs what was made.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from types import CodeType
from typing import Any, NamedTuple

from parallel_evm.translator.cache import Key
from parallel_evm.translator.code import Code
from parallel_evm.translator.recording import Recording
from parallel_evm.translator.trace import MAX_REPEATS, Trace
from parallel_evm.translator.writer import Onward

Trail = tuple[Any, ...]
"""What was recorded on the way: of a call, then (way out, rest, recording) each; packed."""


class Wanted(NamedTuple):
    """A block, by its position, or what follows a recorded trail."""

    key: Key
    trail: Trail = ()
    """Empty: a block. It alone determines what such a trace becomes: others replay it, and must
    find the same ways out."""
    repeats: int = MAX_REPEATS
    """How often one block may come up; 0 makes a trace of one block."""


class Made(NamedTuple):
    """A module whose execution defines the function `name_of` the key."""

    operations: tuple[str, ...]
    """The names of the opcodes that it calls."""
    code: CodeType


def translate(code: Code, seen: Mapping[int, int], notes_sha3: bool, wanted: Wanted) -> Made:
    """``seen``: where the block at a position went when it was last interpreted. ``notes_sha3``:
    of the opcode table. Raises `NoWayOn` where a trail cannot be followed."""
    trace = trace_of(code, seen, notes_sha3, wanted)
    name = name_of(wanted.key)
    sources = trace.functions(name)
    text = sources.pop(name)
    if wanted.trail:
        # As bytes, because parsing thousands of numbers takes longer than all the rest.
        packed = marshal.dumps(wanted.trail)
        text += f"key, trail = {wanted.key!r}, unpacked({packed!r})\n"
    for number, (way, source) in enumerate(sources.items()):
        rest = trace.rest(number)
        text += f"{way} = way_out({way!r}, {source!r}"
        text += ")\n" if rest is None else f", (*key, {number}), {rest}, trail)\n"
    return Made(tuple(trace.operations), compile(text, f"<EVM code, {name}>", "exec"))


def trace_of(code: Code, seen: Mapping[int, int], notes_sha3: bool, wanted: Wanted) -> Trace:
    """The same, not yet written down."""
    if not wanted.trail:
        assert isinstance(wanted.key, int)
        return Trace(code, wanted.key, seen, notes_sha3, repeats=wanted.repeats)
    recording = Recording.unpacked(wanted.trail[0])
    onward = [Onward(way, rest, Recording.unpacked(then)) for way, rest, then in wanted.trail[1:]]
    return Trace(code, 0, seen, notes_sha3, recording, onward)


def name_of(key: Key) -> str:
    """The name of the function that is made for ``key``."""
    if isinstance(key, int):
        return f"at_{key}"
    size, selector, *ways = key
    return "_".join(["call", selector.hex(), str(size), *map(str, ways)])
