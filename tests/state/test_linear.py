"""A linear value does what the number would have done, for every base that its guard allows."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.state.linear import Guard, Linear, Word
from tests.strategies import drawn

MAX = 2**256 - 1
SIGN = 2**255
KEY = (b"\x01" * 20, 7)


def made(seen: int) -> tuple[Guard, Linear]:
    guard = Guard(KEY, seen)
    return guard, Linear(guard)


#
# Any program, at any base
#
Step = tuple[Any, ...]

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: (a + b) & MAX,
    "sub": lambda a, b: (a - b) & MAX,
    "raw add": operator.add,
    "raw sub": operator.sub,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "mul": operator.mul,
    "div": lambda a, b: a // b if b else 0,
    "mod": lambda a, b: a % b if b else 0,
    "rshift": lambda a, b: a >> (b & 7),
}
TESTS: dict[str, Callable[[Any, Any], Any]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
    "bool": lambda a, b: bool(a),
    "signed": lambda a, b: (a ^ SIGN) < (b ^ SIGN),
}
NUMBERS = st.one_of(
    st.integers(0, 40),
    st.integers(0, MAX),
    st.sampled_from([1 << k for k in (1, 8, 64, 128, 160, 224, 255)]),
    st.sampled_from([(1 << k) - 1 for k in (1, 8, 64, 128, 160, 224, 256)]),
    st.sampled_from([MAX + 1 - (1 << k) for k in (1, 8, 64, 128, 255)]),
)
OPERANDS = st.one_of(st.integers(0, 9).map(lambda place: ("word", place)), NUMBERS)
# What keeps values linear comes up most.
NAMES = st.one_of(
    st.sampled_from(["add", "sub", "and"]),
    st.sampled_from(["or", "xor"]),
    st.sampled_from([*BINARY]),
)
STEPS = st.one_of(
    st.tuples(NAMES, OPERANDS, OPERANDS),
    st.tuples(st.sampled_from([*TESTS]), OPERANDS, OPERANDS),
)
BASES = st.one_of(st.integers(0, 40), NUMBERS, st.integers(MAX - 40, MAX))


def run(base: Any, steps: list[Step]) -> tuple[list[Any], list[bool]]:
    """All words that the program computes, and where its branches went."""
    words: list[Any] = [base]
    path: list[bool] = []
    for name, *operands in steps:
        a, b = (
            words[part[1] % len(words)] if isinstance(part, tuple) else part for part in operands
        )
        if name in TESTS:
            path.append(TESTS[name](a, b))
            words.append(a if path[-1] else b)
        else:
            words.append(BINARY[name](a, b))
    return words, path


def number(word: Any) -> int:
    return word.now if isinstance(word, Linear) else word


@drawn(600)
@given(BASES, st.lists(STEPS, min_size=1, max_size=8), st.lists(st.integers(0, MAX), max_size=4))
def test_a_program_does_the_same_for_every_base_that_the_guard_allows(
    seen: int, steps: list[Step], others: list[int]
) -> None:
    guard, value = made(seen)
    words, path = run(value, steps)
    plain_words, plain_path = run(seen, steps)
    assert [number(word) for word in words] == plain_words
    assert path == plain_path
    assert guard.low <= seen <= guard.high
    if guard.exact:
        return
    width = guard.high - guard.low
    bases = {guard.low, guard.high, *(guard.low + other % (width + 1) for other in others)}
    bases |= {base for base in range(seen - 20, seen + 21) if guard.low <= base <= guard.high}
    for base in bases:
        there, way = run(base, steps)
        assert way == path
        for word, at_base in zip(words, there, strict=True):
            if isinstance(word, Linear):
                moved = Guard(KEY, base)
                assert Linear(moved, word._factor, word._offset).now == at_base
            else:
                assert word == at_base


#
# What contracts do
#
def test_an_addition_observes_that_it_fits_and_nothing_else() -> None:
    guard, value = made(100)
    total = (value + 25) & MAX
    assert not value > total  # checked arithmetic asks if it wrapped
    assert (guard.low, guard.high, guard.exact) == (0, MAX - 25, False)
    assert total.increment(KEY) == 25


def test_a_subtraction_observes_that_there_is_enough() -> None:
    guard, value = made(100)
    assert not value < 30
    rest = (value - 30) & MAX
    assert not rest > value
    assert (guard.low, guard.high, guard.exact) == (30, MAX, False)
    assert rest.increment(KEY) == -30


def test_too_little_is_true_of_all_that_is_less() -> None:
    guard, value = made(29)
    assert value < 30
    assert (guard.low, guard.high) == (0, 29)


def test_arithmetic_that_wraps_wraps_for_every_base_of_the_interval() -> None:
    guard, value = made(3)
    wrapped = (value - 5) & MAX
    assert wrapped.now == MAX - 1
    assert (guard.low, guard.high) == (0, 4)
    assert not guard.exact


def test_differences_of_one_base_depend_on_no_base() -> None:
    guard, value = made(9)
    assert (value + 5) - value == 5
    assert isinstance((value + 5) - value, int)
    assert value + 5 > value
    assert value + 5 == value + 5
    assert (guard.low, guard.high, guard.exact) == (0, MAX, False)


def test_a_zero_is_a_boundary() -> None:
    guard, value = made(0)
    assert not value
    assert (guard.low, guard.high) == (0, 0)
    guard, value = made(4)
    assert value
    assert (guard.low, guard.high) == (1, MAX)


def test_a_field_in_the_low_bits_of_a_slot_is_added_to() -> None:
    high, low = 7 << 128, 5
    guard, value = made(high | low)
    field = value & (2**128 - 1)
    changed = (value & (MAX + 1 - 2**128)) | ((field + 10) & (2**128 - 1))
    assert changed.now == high | 15
    assert changed.increment(KEY) == 10
    assert not guard.exact
    assert (guard.low, guard.high) == (high, high + 2**128 - 1 - 10)


def test_what_is_left_of_a_limit() -> None:
    guard, value = made(60)
    assert (100 - value) & MAX >= 30
    assert (guard.low, guard.high, guard.exact) == (0, 70, False)


def test_two_bases_do_not_mix() -> None:
    guard, value = made(10)
    other_guard, other = Guard((KEY[0], 8), 3), None
    other = Linear(other_guard)
    assert (value + other).now == 13
    assert other_guard.exact
    assert not guard.exact
    other_guard.exact = False
    assert value > other
    assert other_guard.exact
    assert (guard.low, guard.exact) == (4, False)


def test_two_multiples_of_one_base_are_compared() -> None:
    guard, value = made(3)
    assert value < 10 - value
    assert value != 10 - value
    assert (guard.low, guard.high, guard.exact) == (0, 4, False)
    guard, value = made(5)
    assert value == 10 - value
    assert (guard.low, guard.high, guard.exact) == (5, 5, False)


#
# What collapses
#
@pytest.mark.parametrize(
    "use",
    [
        int,
        operator.index,
        operator.pos,
        hash,
        str,
        repr,
        "{}".format,
        "{:x}".format,
        lambda value: value * 3,
        lambda value: 3 * value,
        lambda value: value // 3,
        lambda value: 3 // value,
        lambda value: value % 3,
        lambda value: 3 % value,
        lambda value: value << 1,
        lambda value: 1 << value,
        lambda value: value >> 1,
        lambda value: 1 >> value,
        lambda value: value**2,
        lambda value: 2**value,
        lambda value: value & 0b101,
        lambda value: value | 1,
        lambda value: value ^ 5,
        lambda value: value.bit_length(),
        lambda value: value.to_bytes(20, "big"),
        lambda value: b"0123456789"[value],
        lambda value: b"0123456789"[value:],
        lambda value: {1: 2}.get(value),
        lambda value: value == "text",
        lambda value: bytes(value.to_bytes(32, "big")),
        lambda value: value.to_bytes(32, "big") + b"",
        lambda value: b"" + value.to_bytes(32, "big"),
        lambda value: value.to_bytes(32, "big")[12:],
        lambda value: bytes(bytearray(value.to_bytes(32, "big"))),
    ],
)
def test_any_other_use_sees_the_number_and_is_an_observation(use: Callable[[Any], Any]) -> None:
    guard, value = made(6)
    assert use(value) == use(6)
    assert guard.exact


@pytest.mark.parametrize(
    "use",
    [
        lambda value: pickle.dumps(value),
        lambda value: value + "text",
        lambda value: value < None,
        lambda value: value.real,
        lambda value: pow(value, 2, 5),
        lambda value: pow(2, value, 5),
        lambda value: int.from_bytes(value, "big"),
        lambda value: memoryview(value.to_bytes(32, "big")),
        lambda value: pickle.dumps(value.to_bytes(32, "big")),
    ],
)
def test_what_is_not_foreseen_fails(use: Callable[[Any], Any]) -> None:
    _, value = made(6)
    with pytest.raises((TypeError, AttributeError)):
        use(value)


def test_its_bytes_are_an_observation_when_they_are_looked_at() -> None:
    guard, value = made(6)
    word = value.to_bytes(32, "big")
    assert isinstance(word, Word)
    assert not guard.exact
    assert bytes(word) == bytes(31) + b"\x06"
    assert guard.exact


def test_what_was_stored_elsewhere_is_no_increment() -> None:
    guard, value = made(6)
    assert (value + 1).increment((KEY[0], 8)) is None
    assert (value + value).increment(KEY) is None
    assert (10 - value).increment(KEY) is None
    assert (value + 1).increment(KEY) == 1
    int(value)
    assert (value + 1).increment(KEY) is None
    assert guard.exact
