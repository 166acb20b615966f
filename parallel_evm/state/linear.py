"""Linear values: a storage slot that is computed with and not looked at.

A `Linear` stands for ``factor * base + offset``, where ``base`` is what a slot held before the
transaction. It adds, subtracts, masks and compares like the number that it is now, and every
comparison narrows the slot's `Guard` to the bases for which its answer is the same. A transaction
that only does such things with a slot would run the same way for each base in that interval: it
need not know which one it is.

Whatever else is done with a Linear *collapses* it: the guard becomes exact, an ordinary
observation, and the computation goes on with the number. It is not an int on purpose: a use that
is not foreseen here fails loudly, and the transaction is then run with numbers.

This module does arithmetic and nothing else; `state.guarded` decides which slots are linear.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final, NoReturn

from parallel_evm.state.keys import Key

_MAX: Final = 2**256 - 1
_SIGN: Final = 2**255


class Guard:
    """What has been learned of one slot's base: where it must lie for all to be as it was."""

    __slots__ = ("exact", "high", "key", "low", "seen")

    def __init__(self, key: Key, seen: int) -> None:
        self.key = key
        self.seen = seen
        """The base with which the transaction runs."""
        self.low = 0
        self.high = _MAX
        """The transaction does the same for every base from ``low`` to ``high``."""
        self.exact = False
        """Something was done that only this one base allows."""


class Linear:
    """``factor * base + offset``, exactly (not modulo anything), over the bases of a guard."""

    __slots__ = ("_factor", "_guard", "_offset")

    def __init__(self, guard: Guard, factor: int = 1, offset: int = 0) -> None:
        self._guard = guard
        self._factor = factor
        self._offset = offset

    @property
    def now(self) -> int:
        """The number that it is for the base that was seen. Observes nothing."""
        return self._factor * self._guard.seen + self._offset

    def increment(self, key: Key) -> int | None:
        """What was added to the slot ``key``, if this is that slot's own base and a number."""
        guard = self._guard
        return self._offset if guard.key == key and self._factor == 1 and not guard.exact else None

    def __int__(self) -> int:
        self._guard.exact = True
        return self.now

    __index__ = __int__
    __pos__ = __int__

    #
    # What keeps it linear
    #
    # Speed matters here, so what is most common comes first: numbers, one base, factor one.
    #
    def __add__(self, other: Any) -> Linear | int:
        if type(other) is int:
            return Linear(self._guard, self._factor, self._offset + other)
        if type(other) is Linear and other._guard is self._guard:
            factor = self._factor + other._factor
            offset = self._offset + other._offset
            return Linear(self._guard, factor, offset) if factor else offset
        return Linear(self._guard, self._factor, self._offset + operator.index(other))

    __radd__ = __add__

    def __neg__(self) -> Linear:
        return Linear(self._guard, -self._factor, -self._offset)

    def __sub__(self, other: Any) -> Linear | int:
        if type(other) is int:
            return Linear(self._guard, self._factor, self._offset - other)
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> Linear | int:
        return (-self).__add__(other)

    def __and__(self, other: Any) -> Linear | int:
        mask = operator.index(other)
        guard, offset = self._guard, self._offset
        if mask == _MAX and self._factor == 1 and 0 <= guard.seen + offset <= _MAX:
            if guard.low + offset < 0:
                guard.low = -offset
            if guard.high + offset > _MAX:
                guard.high = _MAX - offset
            return self
        if mask >= 0 and mask & (mask + 1) == 0:  # 2**k - 1: the remainder of a division by 2**k
            return self - self._whole(mask + 1)
        gap = mask & -mask  # 2**k where the mask keeps all but the lowest k bits of a word
        if 0 < mask == _MAX + 1 - gap and 0 <= self.now <= _MAX:
            self._within(_MAX + 1)
            return self._whole(gap)
        return int(self) & mask

    __rand__ = __and__

    def __or__(self, other: Any) -> Linear | int:
        number = operator.index(other)
        room = number & -number  # below its lowest bit, or is added
        if number > 0 and 0 <= self.now < room:
            self._within(room)
            return self + number
        return int(self) | number

    __ror__ = __or__

    def __xor__(self, other: Any) -> Linear | int:
        number = operator.index(other)
        if 0 <= self.now <= _MAX and number in (_MAX, _SIGN):
            self._within(_MAX + 1)
            return (self + _SIGN) & _MAX if number == _SIGN else _MAX - self
        return int(self) ^ number

    __rxor__ = __xor__

    def _whole(self, unit: int) -> int:
        """The largest multiple of ``unit`` that is not above, the same one for every base."""
        whole = self.now // unit * unit
        rest = self - whole
        assert isinstance(rest, Linear)
        rest._within(unit)
        return whole

    def _within(self, end: int) -> None:
        """Take note that it is at least 0 and below ``end``, as it is."""
        self._is_below(0)
        self._is_below(end)

    #
    # Comparisons
    #
    def _is_below(self, limit: int) -> bool:
        """Is it less than ``limit``? From now on the guard has the bases with the same answer."""
        guard, factor = self._guard, self._factor
        holds: bool = factor * guard.seen + self._offset < limit
        if factor == 1:
            last = limit - 1 - self._offset
            upwards = not holds
        elif factor > 0:  # exactly where base <= last
            last = (limit - 1 - self._offset) // factor
            upwards = not holds
        else:  # exactly where base > last
            last = (limit - self._offset) // factor
            upwards = holds
        if upwards:
            if guard.low <= last:
                guard.low = last + 1
        elif guard.high > last:
            guard.high = last
        return holds

    def _less(self, other: Any, more: int) -> bool:
        """self < other + more"""
        if type(other) is int:
            return self._is_below(other + more)
        if type(other) is not Linear or other._guard is not self._guard:
            return self._is_below(operator.index(other) + more)
        difference = self - other
        if isinstance(difference, int):
            return difference < more  # the same for every base
        return difference._is_below(more)

    def __lt__(self, other: Any) -> bool:
        return self._less(other, 0)

    def __le__(self, other: Any) -> bool:
        return self._less(other, 1)

    def __gt__(self, other: Any) -> bool:
        return not self._less(other, 1)

    def __ge__(self, other: Any) -> bool:
        return not self._less(other, 0)

    def __eq__(self, other: object) -> bool:
        if type(other) is Linear:
            if other._guard is self._guard and other._factor == self._factor:
                return self._offset == other._offset
        elif not isinstance(other, int):
            return int(self) == other
        # Where they differ, it is enough to know which one is less.
        return not self._less(other, 0) and self._less(other, 1)

    def __bool__(self) -> bool:
        return self != 0

    #
    # What collapses it
    #
    def __hash__(self) -> int:
        return hash(int(self))

    def __str__(self) -> str:
        return str(int(self))

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(int(self), spec)

    def bit_length(self) -> int:
        return int(self).bit_length()

    def to_bytes(self, length: int = 1, byteorder: Any = "big") -> Any:
        """32 bytes, as MSTORE wants them, are a `Word`, which only a `GuardedMemory` takes."""
        if length == 32 and byteorder == "big" and not self._guard.exact:
            return Word(self)
        return int(self).to_bytes(length, byteorder)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a linear value means nothing outside of its transaction")


def _collapsing(operation: Callable[[Any, Any], Any]) -> Any:
    return lambda self, other: operation(int(self), operator.index(other))


def _collapsing_reflected(operation: Callable[[Any, Any], Any]) -> Any:
    return lambda self, other: operation(operator.index(other), int(self))


for _name in ("mul", "floordiv", "mod", "pow", "lshift", "rshift"):
    setattr(Linear, f"__{_name}__", _collapsing(getattr(operator, _name)))
    setattr(Linear, f"__r{_name}__", _collapsing_reflected(getattr(operator, _name)))


class Word:
    """A Linear as 32 bytes, on its way into memory; looking at a byte of it collapses it."""

    __slots__ = ("linear",)

    def __init__(self, linear: Linear) -> None:
        self.linear = linear

    def __bytes__(self) -> bytes:
        return int(self.linear).to_bytes(32, "big")

    def __add__(self, other: bytes) -> bytes:
        return bytes(self) + other

    def __radd__(self, other: bytes) -> bytes:
        return other + bytes(self)

    def __getitem__(self, key: Any) -> Any:
        return bytes(self)[key]
