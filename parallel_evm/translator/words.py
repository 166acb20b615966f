"""256-bit words: the arithmetic of the EVM on constants, and the signed operations at run time.

`FOLD` holds, for every opcode that only computes, its exact result on Python integers from 0 to
2**256 - 1 (yellow paper, appendix H.2), first operand = top of the stack. The translator folds
constants with it; translated code calls the few functions that have no short form in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MAX: Final = 2**256 - 1
CEILING: Final = 2**256
SIGN: Final = 2**255


def signed(word: int) -> int:
    return word - CEILING if word & SIGN else word


def sdiv(left: int, right: int) -> int:
    if right == 0:
        return 0
    left, right = signed(left), signed(right)
    quotient = abs(left) // abs(right)
    return (-quotient if (left < 0) != (right < 0) else quotient) & MAX


def smod(left: int, right: int) -> int:
    if right == 0:
        return 0
    left, right = signed(left), signed(right)
    remainder = abs(left) % abs(right)
    return (-remainder if left < 0 else remainder) & MAX


def signextend(position: int, word: int) -> int:
    if position > 31:
        return word
    sign = 1 << (position * 8 + 7)
    return word | (CEILING - sign) if word & sign else word & (sign - 1)


def sar(shift: int, word: int) -> int:
    return (signed(word) >> min(shift, 256)) & MAX


def power(base: int, exponent: int) -> int:
    return pow(base, exponent, CEILING)


def _byte(position: int, word: int) -> int:
    return (word >> (248 - 8 * position)) & 255 if position < 32 else 0


FOLD: Final[dict[str, Callable[..., int]]] = {
    "ADD": lambda a, b: (a + b) & MAX,
    "MUL": lambda a, b: (a * b) & MAX,
    "SUB": lambda a, b: (a - b) & MAX,
    "DIV": lambda a, b: a // b if b else 0,
    "SDIV": sdiv,
    "MOD": lambda a, b: a % b if b else 0,
    "SMOD": smod,
    "ADDMOD": lambda a, b, n: (a + b) % n if n else 0,
    "MULMOD": lambda a, b, n: (a * b) % n if n else 0,
    "SIGNEXTEND": signextend,
    "LT": lambda a, b: int(a < b),
    "GT": lambda a, b: int(a > b),
    "SLT": lambda a, b: int(signed(a) < signed(b)),
    "SGT": lambda a, b: int(signed(a) > signed(b)),
    "EQ": lambda a, b: int(a == b),
    "ISZERO": lambda a: int(a == 0),
    "AND": lambda a, b: a & b,
    "OR": lambda a, b: a | b,
    "XOR": lambda a, b: a ^ b,
    "NOT": lambda a: MAX - a,
    "BYTE": _byte,
    "SHL": lambda shift, a: (a << shift) & MAX if shift < 256 else 0,
    "SHR": lambda shift, a: a >> shift if shift < 256 else 0,
    "SAR": sar,
}
