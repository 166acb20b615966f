"""Constant folding and symbolic values against py-evm's own opcodes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from eth.vm import opcode_values
from eth.vm.forks.cancun.opcodes import CANCUN_OPCODES
from eth.vm.stack import Stack
from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_evm.translator import words
from parallel_evm.translator.machine import NAMESPACE
from parallel_evm.translator.values import Value, apply, constant, local
from parallel_evm.translator.words import FOLD, MAX

EDGES = (0, 1, 2, 31, 32, 255, 256, 2**160 - 1, 2**255 - 1, 2**255, 2**255 + 1, MAX - 1, MAX)
WORDS = (
    st.sampled_from(EDGES)
    | st.integers(0, 300)
    | st.integers(0, MAX)
    | st.integers(0, 255).map(lambda bit: 1 << bit)
    | st.integers(0, 256).map(lambda bits: (1 << bits) - 1)
)


class OnlyStack:
    """As much of a computation as an arithmetic opcode's logic touches: py-evm's own stack."""

    def __init__(self) -> None:
        stack = Stack()
        self.values = stack.values
        self.stack_pop_ints = stack.pop_ints
        self.stack_pop1_int = stack.pop1_int
        self.stack_push_int = stack.push_int


def by_py_evm(name: str, operands: list[int]) -> int:
    computation = OnlyStack()
    computation.values.extend(reversed(operands))
    CANCUN_OPCODES[getattr(opcode_values, name)].logic_fn(computation)
    (result,) = computation.values
    return result


def operands_of(name: str) -> int:
    return len(inspect.signature(FOLD[name]).parameters)


@pytest.mark.parametrize("name", sorted(FOLD))
@settings(max_examples=50)
@given(data=st.data())
def test_folding_is_what_the_opcode_does(name: str, data: Any) -> None:
    operands = data.draw(st.lists(WORDS, min_size=operands_of(name), max_size=operands_of(name)))
    assert FOLD[name](*operands) == by_py_evm(name, operands)


def evaluated(value: Value, locals_: dict[str, int]) -> int:
    """The word that the Python of a value comes to."""
    if value.constant is not None:
        return value.constant
    if value.name is not None:
        return locals_[value.name]
    operands = [f"({evaluated(operand, locals_)})" for operand in value.operands]
    # Operands are written as atoms: a number in parentheses stands for one.
    result = eval(value.template.format(*operands), dict(NAMESPACE))
    if value.negation:
        assert bool(eval(value.negation.format(*operands), dict(NAMESPACE))) is not bool(result)
        return 1 if result else 0
    assert type(result) is int
    return result


@pytest.mark.parametrize("name", sorted(FOLD))
@settings(max_examples=50)
@given(data=st.data())
def test_symbolic_results_and_their_widths(name: str, data: Any) -> None:
    """Some operands are constants, some locals that are declared as narrow as they are."""
    count = operands_of(name)
    operands = data.draw(st.lists(WORDS, min_size=count, max_size=count))
    fixed = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    slack = data.draw(st.lists(st.integers(0, 256), min_size=count, max_size=count))
    values = []
    locals_ = {}
    for position, (operand, is_fixed, extra) in enumerate(zip(operands, fixed, slack, strict=True)):
        width = min(operand.bit_length() + extra, 256)
        values.append(constant(operand) if is_fixed else local(f"v{position}", width))
        locals_[f"v{position}"] = operand
    result = apply(name, *values)
    number = evaluated(result, locals_)
    assert number == by_py_evm(name, operands)
    assert number.bit_length() <= result.width <= 256
    assert evaluated(apply("ISZERO", result), locals_) == (number == 0)


def test_masks_that_cannot_change_anything_are_left_out() -> None:
    address = local("a", 160)
    assert apply("AND", address, constant(2**160 - 1)) is address
    assert apply("AND", constant(MAX), address) is address
    assert "MAX" not in apply("ADD", address, address).template
    assert "MAX" in apply("ADD", local("a"), address).template
    assert apply("SHR", constant(160), address).constant == 0


def test_signed_words() -> None:
    assert words.signed(MAX) == -1
    assert words.signed(2**255 - 1) == 2**255 - 1
