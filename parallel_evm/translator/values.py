"""Symbolic values: what the translator knows of a word before the code runs.

A `Value` is a constant, a Python local, a word that still lies on the real stack, or an
expression that nobody needed yet (one that is never needed is never written). Every value has a
width: the number of bits that it has at most. Where the widths show that a result fits, the
`& MAX` of the EVM's arithmetic is left out; where a mask cannot change a value, so is the mask.

Here is only what pure opcodes do to values; `draft` writes them down as Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from parallel_evm.translator.words import FOLD, SIGN


class Value:
    """One 256-bit word, as far as it is known. Mutable only in that it gets a name once."""

    __slots__ = ("constant", "linear", "name", "negation", "operands", "template", "width")

    def __init__(
        self,
        template: str = "",
        operands: tuple[Value, ...] = (),
        width: int = 256,
        *,
        constant: int | None = None,
        name: str | None = None,
        negation: str = "",
        linear: bool = False,
    ) -> None:
        self.template = template
        """Python with ``{0}``, ``{1}``.. for the operands; empty: the word is on the real stack."""
        self.operands = operands
        self.width = width
        self.constant = constant
        self.name = name
        """The local that holds it, as soon as there is one."""
        self.negation = negation
        """Set for conditions: `template` is then a Python condition and this is its opposite."""
        self.linear: bool = linear or any(operand.linear for operand in operands)
        """Can it be a `state.linear.Linear` at run time?"""


def constant(number: int) -> Value:
    return Value(width=number.bit_length(), constant=number)


def local(name: str, width: int = 256) -> Value:
    return Value(width=width, name=name)


def apply(opcode: str, *operands: Value) -> Value:
    """The result of a pure opcode (a key of `FOLD`); ``operands[0]`` was on top of the stack."""
    numbers = [operand.constant for operand in operands]
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers):
        return constant(FOLD[opcode](*known))
    return _SHAPES[opcode](*operands)


def _add(a: Value, b: Value) -> Value:
    if a.constant == 0:
        return b
    if b.constant == 0:
        return a
    width = max(a.width, b.width) + 1
    return Value("{0} + {1}", (a, b), width) if width <= 256 else Value("({0} + {1}) & MAX", (a, b))


def _mul(a: Value, b: Value) -> Value:
    if a.constant == 1:
        return b
    if b.constant == 1:
        return a
    width = a.width + b.width
    return Value("{0} * {1}", (a, b), width) if width <= 256 else Value("({0} * {1}) & MAX", (a, b))


def _sub(a: Value, b: Value) -> Value:
    return a if b.constant == 0 else Value("({0} - {1}) & MAX", (a, b))


def _div(a: Value, b: Value) -> Value:
    if b.constant is None:
        return Value("{0} // {1} if {1} else 0", (a, b), a.width)
    if b.constant < 2:
        return a if b.constant else constant(0)
    width = max(a.width - b.width + 1, 0)
    if b.constant & (b.constant - 1) == 0:
        return Value(f"{{0}} >> {b.width - 1}", (a,), width)
    return Value("{0} // {1}", (a, b), width)


def _mod(a: Value, b: Value) -> Value:
    if b.constant is None:
        return Value("{0} % {1} if {1} else 0", (a, b), min(a.width, b.width))
    if b.constant < 2:
        return constant(0)
    return Value("{0} % {1}", (a, b), min(a.width, b.width))


def _addmod(a: Value, b: Value, n: Value) -> Value:
    return Value("({0} + {1}) % {2} if {2} else 0", (a, b, n), n.width)


def _mulmod(a: Value, b: Value, n: Value) -> Value:
    return Value("{0} * {1} % {2} if {2} else 0", (a, b, n), n.width)


def _and(a: Value, b: Value) -> Value:
    for mask, other in ((a, b), (b, a)):
        if mask.constant == 0:
            return mask
        if mask.constant == (1 << mask.width) - 1 and other.width <= mask.width:
            return other
    return Value("{0} & {1}", (a, b), min(a.width, b.width))


def _or(a: Value, b: Value) -> Value:
    if a.constant == 0:
        return b
    if b.constant == 0:
        return a
    return Value("{0} | {1}", (a, b), max(a.width, b.width))


def _xor(a: Value, b: Value) -> Value:
    return Value("{0} ^ {1}", (a, b), max(a.width, b.width))


def _not(a: Value) -> Value:
    return Value("{0} ^ MAX", (a,))


def _byte(position: Value, word: Value) -> Value:
    if position.constant is None:
        return Value("({1} >> 248 - 8 * {0}) & 255 if {0} < 32 else 0", (position, word), 8)
    if position.constant > 31:
        return constant(0)
    return Value(f"{{0}} >> {248 - 8 * position.constant} & 255", (word,), 8)


def _shl(shift: Value, word: Value) -> Value:
    if shift.constant is None:
        return Value("({1} << {0}) & MAX if {0} < 256 else 0", (shift, word))
    if shift.constant > 255:
        return constant(0)
    width = word.width + shift.constant
    text = f"{{0}} << {shift.constant}"
    return Value(text, (word,), width) if width <= 256 else Value(f"({text}) & MAX", (word,))


def _shr(shift: Value, word: Value) -> Value:
    if shift.constant is None:
        return Value("{1} >> {0} if {0} < 256 else 0", (shift, word), word.width)
    if shift.constant >= word.width:
        return constant(0)
    return Value(f"{{0}} >> {shift.constant}", (word,), word.width - shift.constant)


def _condition(template: str, negation: str, *operands: Value) -> Value:
    return Value(template, operands, 1, negation=negation)


def _iszero(a: Value) -> Value:
    if a.negation:
        return _condition(a.negation, a.template, *a.operands)
    return _condition("{0} == 0", "{0} != 0", a)


def _unsigned(sign: str, opposite: str) -> Callable[[Value, Value], Value]:
    return lambda a, b: _condition(f"{{0}} {sign} {{1}}", f"{{0}} {opposite} {{1}}", a, b)


def _flipped(a: Value) -> Value:
    """Flipping the highest bit turns the order of signed words into that of unsigned ones."""
    return Value("{0} ^ SIGN", (a,)) if a.constant is None else constant(a.constant ^ SIGN)


def _signed(sign: str, opposite: str) -> Callable[[Value, Value], Value]:
    compare = _unsigned(sign, opposite)
    return lambda a, b: compare(_flipped(a), _flipped(b))


_SHAPES: Final[dict[str, Callable[..., Value]]] = {
    "ADD": _add,
    "MUL": _mul,
    "SUB": _sub,
    "DIV": _div,
    "SDIV": lambda a, b: Value("sdiv({0}, {1})", (a, b)),
    "MOD": _mod,
    "SMOD": lambda a, b: Value("smod({0}, {1})", (a, b)),
    "ADDMOD": _addmod,
    "MULMOD": _mulmod,
    "SIGNEXTEND": lambda a, b: Value("signextend({0}, {1})", (a, b)),
    "LT": _unsigned("<", ">="),
    "GT": _unsigned(">", "<="),
    "SLT": _signed("<", ">="),
    "SGT": _signed(">", "<="),
    "EQ": _unsigned("==", "!="),
    "ISZERO": _iszero,
    "AND": _and,
    "OR": _or,
    "XOR": _xor,
    "NOT": _not,
    "BYTE": _byte,
    "SHL": _shl,
    "SHR": _shr,
    "SAR": lambda shift, a: Value("sar({0}, {1})", (shift, a)),
}
