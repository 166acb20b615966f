"""Cold and hot code, what is left to py-evm, foreign opcodes, and what the seam keeps."""

from __future__ import annotations

import hashlib
import inspect
import logging
import sys
from typing import Any

import pytest
from eth.vm import opcode_values
from eth.vm.computation import BaseComputation
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.logic import arithmetic
from eth.vm.opcode import as_opcode

from parallel_evm.translator import has_stock_loop, translating
from parallel_evm.translator.dialect import Dialect
from parallel_evm.translator.program import (
    FREE_TRACES,
    MAX_PROGRAMS,
    VISITS_PER_TRACE,
    Programs,
)

# Counts slot 0 up, three times.
COUNTER = bytes.fromhex("6003 5b 60005460010160005560019003 80600257 00")
RETURN_TOP = "60005260206000f3"


def world_of(lab: Any, code: bytes) -> Any:
    return lab.World({lab.ADDRESSES[0]: code}, {})


def test_a_block_is_translated_after_as_many_visits_as_asked_for(lab: Any) -> None:
    twins = lab.Twins("cancun", 16, paths=False)
    world = world_of(lab, COUNTER)
    for visits in range(1, 16):
        twins.run(twins.fast, world)
        if visits < 6:  # the loop's body comes by three times a run
            assert twins.translated == 0
    assert twins.translated == 1
    assert not twins.differences(world)


def test_hot_code_goes_on_along_the_branch_that_was_seen(lab: Any) -> None:
    """JUMPI's usual direction is part of the same function; the other one leaves it."""
    twins = lab.Twins("cancun", 3)
    code = bytes.fromhex("600035600757fe5b600180600d57fe5b" + RETURN_TOP)
    world = world_of(lab, code)
    usual = bytes(31) + b"\x01"
    for _ in range(4):
        assert not twins.differences(world, data=usual)
    (program,) = twins.programs
    assert set(program.functions) == {0}
    assert not twins.differences(world, data=bytes(32))
    assert not twins.differences(world, data=usual)


def test_translating_never_takes_much_longer_than_running(lab: Any) -> None:
    """Three hundred blocks that come by as often as it takes to become hot, and no more."""
    threshold, blocks = 4, 300
    twins = lab.Twins("cancun", threshold)
    world = world_of(lab, bytes.fromhex("60003556") + b"\x5b\x00" * blocks)
    for _ in range(threshold):
        for block in range(blocks):
            twins.run(twins.fast, world, data=(4 + 2 * block).to_bytes(32, "big"))
    earned = (blocks * threshold + threshold) // (VISITS_PER_TRACE * threshold)
    assert FREE_TRACES < twins.translated <= FREE_TRACES + earned < blocks


def test_every_stack_depth_up_to_the_limit(lab: Any) -> None:
    """A loop that pushes until the stack is full, then fails as py-evm does."""
    twins = lab.Twins("cancun", 1)
    for code in ("5b6001600056", "5b365836600056", "5b80600056", "5b6001810103600056"):
        world = world_of(lab, bytes.fromhex(code))
        assert not twins.differences(world)
        plain = twins.run(twins.plain, world).facts
        assert plain["error"][0].__name__ in ("FullStack", "InsufficientStack")


def test_an_opcode_that_is_not_py_evms_is_called(lab: Any) -> None:
    """ADD that adds one more, dearer, and an opcode that py-evm does not have and that jumps."""

    def generous_add(computation: Any) -> None:
        left, right = computation.stack_pop_ints(2)
        computation.stack_push_bytes(bytes([left + right + 1]))

    def skip(computation: Any) -> None:
        computation.code.program_counter += 1

    opcodes = {
        **CancunComputation.opcodes,
        opcode_values.ADD: as_opcode(generous_add, "ADD", 77),
        0x0C: as_opcode(skip, "SKIP", 5),
        # py-evm's own logic for a price of one's own is foreign too
        opcode_values.MUL: as_opcode(arithmetic.mul, "MUL", 1234),
    }
    custom = type("Custom", (CancunComputation,), {"opcodes": opcodes})
    twins = lab.Twins("cancun", 1)
    twins.plain = type("Plain", (twins.plain,), {"computation_class": custom})
    fast = translating(custom, threshold=1)
    twins.fast = type("Fast", (twins.fast,), {"computation_class": fast})
    world = world_of(lab, bytes.fromhex("600160020160050c0102600702" + RETURN_TOP))
    used = twins.run(twins.plain, world).gas_used
    assert used > 77 + 2 * 1234
    for gas in [100_000, *range(0, used + 1, 7)]:
        assert not twins.differences(world, gas=gas)
    assert sum(len(program.functions) for program in fast.programs) >= 3


def test_a_class_with_a_loop_of_its_own_is_refused() -> None:
    class Own(CancunComputation):
        @classmethod
        def apply_computation(cls, *arguments: Any, **options: Any) -> Any:
            return super().apply_computation(*arguments, **options)

    class OwnWay(CancunComputation):
        """It has a say in what becomes of errors, around the loop."""

        def __exit__(self, *error: Any) -> Any:
            return super().__exit__(*error)

    assert has_stock_loop(CancunComputation)
    for custom in (Own, OwnWay):
        assert not has_stock_loop(custom)
        with pytest.raises(ValueError, match=custom.__name__):
            translating(custom)


def test_nobody_translates_while_somebody_watches_every_opcode(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = lab.Twins("cancun", 1)
    logger = BaseComputation.logger
    monkeypatch.setitem(logger.__dict__, "show_debug2", True)
    monkeypatch.setattr(logging.Logger, "_log", lambda *arguments, **options: None)
    assert not twins.differences(world_of(lab, COUNTER))
    assert twins.translated == 0


def test_the_loop_that_is_replaced_is_the_one_that_we_know() -> None:
    """If py-evm changes `apply_computation`, `translator.computation` must follow."""
    source = inspect.getsource(BaseComputation.apply_computation)
    assert (
        hashlib.sha256(source.encode()).hexdigest()
        == "d2f86d6b1ebc80701ad7fd8a6204b3c152ddfadd730b68d1fab633ac9643848d"
    )


def test_the_number_of_programs_is_bounded() -> None:
    programs = Programs(Dialect(CancunComputation.opcodes))
    first = programs[b"\x00"]
    assert programs[b"\x00"] is first
    for number in range(MAX_PROGRAMS):
        programs[number.to_bytes(3, "big")]
    assert len(list(programs)) == MAX_PROGRAMS
    assert programs[b"\x00"] is not first


CALLS = {
    "CALL": "6000600060006000600073" + "a2" * 20 + "5af1",
    "CALLCODE": "6000600060006000600073" + "a2" * 20 + "5af2",
    "DELEGATECALL": "600060006000600073" + "a3" * 20 + "5af4",
    "STATICCALL": "600060006000600073" + "a3" * 20 + "5afa",
    "CALL with value": "6000600060006000600173" + "a2" * 20 + "5af1",
    "nothing, far away": "60007f"
    + "ff" * 32
    + "60007f"
    + "ff" * 32
    + "600073"
    + "a2" * 20
    + "5af1",
    "output far away": "60206301000000600060006000" + "73" + "a2" * 20 + "5af1",
    "to a word": "6000600060006000600060ff19620fffff16" + "5af1",
    "little gas": "6000600060006000600073" + "a2" * 20 + "6064f1",
    "identity": "602060206020600060006004" + "5af1",
}


@pytest.mark.parametrize("fork", ("berlin", "prague"))
@pytest.mark.parametrize("name", CALLS)
def test_calls_at_every_depth_and_gas(lab: Any, fork: str, name: str) -> None:
    code = bytes.fromhex("60aa600052" + CALLS[name] + "3d60005260205160405260606000f3")
    # The callee returns who called it and with what value.
    callee = bytes.fromhex("3360005234602052" + "60406000f3")
    twins = lab.Twins(fork, 1)
    world = lab.World(dict(zip(lab.ADDRESSES, (code, callee, callee), strict=False)), {})
    used = twins.run(twins.plain, world, gas=100_000).gas_used
    for depth in (0, 0, 1023, 1024):
        assert not twins.differences(world, depth=depth, gas=100_000, value=5)
        assert not twins.differences(world, depth=depth, gas=100_000, static=True)
    for gas in {*range(0, min(used, 6_000), 41), *range(max(used - 12, 0), used + 2)}:
        found = twins.differences(world, gas=gas)
        assert not found, (gas, found)


@pytest.mark.parametrize("fork", ("frontier", "homestead"))
@pytest.mark.parametrize(
    "code",
    ("6000600060006000600030" + "6101905a03f1" + "00", "3860006000393860006000f000"),
    ids=("calls", "creations"),
)
def test_a_thousand_and_twenty_four_frames(lab: Any, fork: str, code: str) -> None:
    """Python's recursion limit, which py-evm raises, still suffices."""
    twins = lab.Twins(fork, 1)
    world = world_of(lab, bytes.fromhex(code))
    plain = lab.outcome(twins.run, twins.plain, world, gas=10**9)
    if sys.version_info[:2] == (3, 12) and plain.facts.get("raised", [None])[0] is RecursionError:
        pytest.skip("stock py-evm does not get that deep with the limit that Python 3.12 has for C")
    fast = lab.outcome(twins.run, twins.fast, world, gas=10**9)
    assert "raised" not in plain.facts
    assert plain.facts == fast.facts
