"""Opcodes that only compute, push or move words, each as a small function on the real stack.

Responsible for: `simple`, which says of an opcode what it does, costs, takes and leaves;
`WITH_CONSTANT` and `drop_second`, two of them in one; `push`, `dup`, `swap` and `pop` by name, for
whoever puts them together.
Talks to: `words`, the arithmetic. Never: looks whether the stack has the words, or gas suffices;
that is `steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from parallel_evm.translator.words import FOLD, MAX

Work = Callable[[Any, list[int], int], None]
"""Of a computation, its stack, and a number that comes with the instruction."""

Step = tuple[Work, int]
"""What is done, and the number that comes with it. For DUP and SWAP: where on the stack."""


class Simple(NamedTuple):
    """An opcode that only computes, pushes or moves words."""

    step: Step | None
    """One object for all places: code that seldom runs has to be fetched into the processor's
    caches. What the number of a PUSH, PC or CODESIZE is, its place says. None: nothing is done."""
    gas: int
    taken: int
    left: int
    fold: Callable[..., int] | None = None
    """What it makes of constants; of three, which hardly come, nothing."""


def push(c: Any, S: list[int], n: int) -> None:
    S.append(n)


def dup(c: Any, S: list[int], n: int) -> None:
    S.append(S[n])


def swap(c: Any, S: list[int], n: int) -> None:
    S[-1], S[n] = S[n], S[-1]


def pop(c: Any, S: list[int], n: int) -> None:
    del S[-1]


def _add(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = (top + S[-1]) & MAX


def _sub(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = (top - S[-1]) & MAX


def _mul(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = (top * S[-1]) & MAX


def _div(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = top // S[-1] if S[-1] else 0


def _and(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] &= top


def _or(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] |= top


def _lt(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = 1 if top < S[-1] else 0


def _gt(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = 1 if top > S[-1] else 0


def _eq(c: Any, S: list[int], n: int) -> None:
    top = S.pop()
    S[-1] = 1 if top == S[-1] else 0


def _iszero(c: Any, S: list[int], n: int) -> None:
    S[-1] = 0 if S[-1] else 1


def _not(c: Any, S: list[int], n: int) -> None:
    S[-1] ^= MAX


def _shr(c: Any, S: list[int], n: int) -> None:
    shift = S.pop()
    S[-1] = S[-1] >> shift if shift < 256 else 0


def _shl(c: Any, S: list[int], n: int) -> None:
    shift = S.pop()
    S[-1] = (S[-1] << shift) & MAX if shift < 256 else 0


# Two instructions in one step: a PUSH and what uses it, SWAP1 and POP.


def _add_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] = (n + S[-1]) & MAX


def _subtract_from_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] = (n - S[-1]) & MAX


def _and_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] &= n


def _equals_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] = 1 if n == S[-1] else 0


def _constant_is_less(c: Any, S: list[int], n: int) -> None:
    S[-1] = 1 if n < S[-1] else 0


def _constant_is_greater(c: Any, S: list[int], n: int) -> None:
    S[-1] = 1 if n > S[-1] else 0


def _shift_right_by_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] = S[-1] >> n if n < 256 else 0


def _shift_left_by_constant(c: Any, S: list[int], n: int) -> None:
    S[-1] = (S[-1] << n) & MAX if n < 256 else 0


def drop_second(c: Any, S: list[int], n: int) -> None:
    del S[-2]


WITH_CONSTANT: Final = {
    _add: _add_constant,
    _sub: _subtract_from_constant,
    _and: _and_constant,
    _eq: _equals_constant,
    _lt: _constant_is_less,
    _gt: _constant_is_greater,
    _shr: _shift_right_by_constant,
    _shl: _shift_left_by_constant,
}

_COMMON: Final[Mapping[str, Work]] = {
    "ADD": _add,
    "SUB": _sub,
    "MUL": _mul,
    "DIV": _div,
    "AND": _and,
    "OR": _or,
    "LT": _lt,
    "GT": _gt,
    "EQ": _eq,
    "ISZERO": _iszero,
    "NOT": _not,
    "SHR": _shr,
    "SHL": _shl,
}


def _folding(name: str, count: int) -> Work:
    fold = FOLD[name]

    def run(c: Any, S: list[int], n: int) -> None:
        S[-count:] = (fold(*S[: -count - 1 : -1]),)

    return run


def _calldataload(c: Any, S: list[int], n: int) -> None:
    start = S[-1]
    S[-1] = int.from_bytes(c.msg.data_as_bytes[start : start + 32].ljust(32, b"\0"), "big")


def _address(c: Any, S: list[int], n: int) -> None:
    S.append(int.from_bytes(c.msg.storage_address, "big"))


def _origin(c: Any, S: list[int], n: int) -> None:
    S.append(int.from_bytes(c.transaction_context.origin, "big"))


def _caller(c: Any, S: list[int], n: int) -> None:
    S.append(int.from_bytes(c.msg.sender, "big"))


def _callvalue(c: Any, S: list[int], n: int) -> None:
    S.append(c.msg.value)


def _calldatasize(c: Any, S: list[int], n: int) -> None:
    S.append(len(c.msg.data))


def _gasprice(c: Any, S: list[int], n: int) -> None:
    S.append(c.transaction_context.gas_price)


def _timestamp(c: Any, S: list[int], n: int) -> None:
    S.append(c.state.timestamp)


def _block_number(c: Any, S: list[int], n: int) -> None:
    S.append(c.state.block_number)


def _returndatasize(c: Any, S: list[int], n: int) -> None:
    S.append(len(c.return_data))


_PUSHING: Final[Mapping[str, Work]] = {
    "ADDRESS": _address,
    "ORIGIN": _origin,
    "CALLER": _caller,
    "CALLVALUE": _callvalue,
    "CALLDATASIZE": _calldatasize,
    "GASPRICE": _gasprice,
    "TIMESTAMP": _timestamp,
    "NUMBER": _block_number,
    "RETURNDATASIZE": _returndatasize,
    "CODESIZE": push,
    "PC": push,
}


def simple(value: int, name: str, gas: int) -> Simple | None:
    """The opcode ``value``, which has that stock name; None if it does more than this."""
    if 0x5F <= value <= 0x7F:
        return Simple((push, 0), gas, 0, 1)
    if 0x80 <= value <= 0x8F:
        return Simple((dup, 0x7F - value), gas, value - 0x7F, value - 0x7E)
    if 0x90 <= value <= 0x9F:
        return Simple((swap, 0x8E - value), gas, value - 0x8E, value - 0x8E)
    if name == "JUMPDEST":
        return Simple(None, gas, 0, 0)
    if name == "POP":
        return Simple((pop, 0), gas, 1, 0)
    if name == "CALLDATALOAD":
        return Simple((_calldataload, 0), gas, 1, 1)
    if name in _PUSHING:
        return Simple((_PUSHING[name], 0), gas, 0, 1)
    if name in FOLD:
        taken = FOLD[name].__code__.co_argcount
        fold = FOLD[name] if taken <= 2 else None
        return Simple((_COMMON.get(name) or _folding(name, taken), 0), gas, taken, 1, fold)
    return None
