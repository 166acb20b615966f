"""Calls that leave the recorded path, and traces that go on from there: what once went wrong."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.translator.guarded import Guarded


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def check(
    lab: Any, code: bytes, inputs: list[bytes], rounds: int = 8, threshold: int = 2, **options: Any
) -> Any:
    """The same program again and again, with each of the inputs in turn."""
    twins = lab.Twins("cancun", threshold)
    world = lab.World({lab.ADDRESSES[0]: code}, {})
    for _ in range(rounds):
        for data in inputs:
            found = twins.differences(world, data=data, **options)
            assert not found, (data.hex(), found)
    assert twins.translated > 0
    return twins


def test_call_data_read_from_a_place_that_has_become_known_since(lab: Any) -> None:
    """x := call data at 4; y := call data at x; memory at x; memory at y."""
    code = bytes.fromhex("600435 80 35 90 51 50 51 60005260206000f3")
    check(lab, code, [bytes(4) + word(36) + word(64), bytes(4) + word(36) + word(3)])


def test_a_place_computed_in_many_ways_takes_no_longer_to_find(lab: Any) -> None:
    """A number doubled 64 times: 2**64 ways lead back to where it comes from."""
    start = time.process_time()
    code = bytes.fromhex("600435" + "8001" * 64 + "51" + "600435" + "8001" * 64 + "35 600057 00")
    check(lab, code, [bytes(36), bytes(35) + b"\x01"], gas=100_000)
    assert time.process_time() - start < 20


def test_a_stack_that_overflows_behind_the_end_of_what_was_recorded(lab: Any) -> None:
    code = bytes.fromhex("5b" * 2001 + "6001" * 1100 + "00")
    check(lab, code + b"\x00", [b""], rounds=20, threshold=16)


def test_a_stack_that_is_empty_behind_the_end_of_what_was_recorded(lab: Any) -> None:
    """The call must fail there; going back to its start, it would find slot 1 set, and stop."""
    start = bytes.fromhex("6001541560085700" + "5b6001600155")
    far = len(start) + 8
    code = start + bytes.fromhex("60003561") + far.to_bytes(2, "big") + bytes.fromhex("5700")
    code += b"\x5b" * 2100 + b"\x50\x00"
    check(lab, code, [word(0)] * 3 + [word(1)] * 8, rounds=4)


def test_a_function_that_still_runs_keeps_its_ways_out(lab: Any) -> None:
    """It calls its own code, which is translated anew in the meantime, along the other branch."""
    code = bytes.fromhex(
        "6000600060006000600030366103e802f150"  # call oneself, with gas for one more level
        "600035601e57600160015500" + "5b600260015500"
    )
    for threshold in range(2, 12):
        twins = lab.Twins("cancun", threshold, paths=False)
        state = {"account_db_class": Guarded, "computation_class": twins.fast.computation_class}
        guarded = type("Guarded", (lab.state_class_of("cancun"),), state)
        world = lab.World({lab.ADDRESSES[0]: code}, {})
        plain = twins.run(twins.plain, world, data=word(1)).facts
        for _ in range(8):
            facts = twins.run(guarded, world, data=word(1)).facts
            assert facts["gas used"] == plain["gas used"], threshold
            assert facts["effects"].slots == plain["effects"].slots, threshold


def test_many_values_and_many_ways_out_do_not_take_long_to_translate(lab: Any) -> None:
    """A thousand words on the stack, and six hundred places where they would be put there."""
    load = b"".join(b"\x61" + (32 * i + 1).to_bytes(2, "big") + b"\x35" for i in range(1000))
    code = b"\x5b" + load + bytes.fromhex("5f35 610000 57") * 600 + b"\x00"
    (program,) = check(lab, code, [word(0)], rounds=20, threshold=16).programs
    assert program.calls


# Reads memory at a place, adds up as many words as it is told, branches on three words, calls
# itself with less data, and returns memory of a size that depends on the call data.
BRANCHING = bytes.fromhex(
    "60043560ff16 80 51 90 60243590 52"  # mem[d0 & 255] := d1, having read what was there
    "6044 35 6003 16 5b 80 15 6027 57 6001 90 03 80 6020 02 51 50 6014 56 5b 50"
    "6064 35 6034 57 6001 6000 55 5b"
    "6064 35 6001 16 6043 57 6007 6011 52 5b"
    "6084 35 607f 16 6000 20 6001 55"
    "59 6000 f3"
)


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_hot_ways_out_at_every_gas_limit(lab: Any, threshold: int) -> None:
    head = b"\xaa\xbb\xcc\xdd"
    inputs = [
        head + word(place) + word(7) + word(count) + word(flag) + word(size)
        for place, count, flag, size in (
            (0, 0, 0, 0),
            (0, 2, 0, 0),
            (5, 2, 1, 33),
            (0, 3, 2, 64),
            (31, 1, 1, 96),
            (200, 3, 3, 127),
        )
    ]
    twins = check(lab, BRANCHING, inputs, threshold=threshold)
    world = lab.World({lab.ADDRESSES[0]: BRANCHING}, {})
    for data in inputs:
        used = twins.run(twins.plain, world, data=data).gas_used
        for gas in (*range(min(used, 600)), *range(max(used - 300, 0), used + 2)):
            found = twins.differences(world, data=data, gas=gas)
            assert not found, (data.hex(), gas, found)


def test_threads_share_programs(lab: Any) -> None:
    inputs = [
        b"\xaa\xbb\xcc\xdd" + word(n % 7) + word(n) + word(n % 4) + word(n % 3) + word(n % 50)
        for n in range(40)
    ]
    world = lab.World({lab.ADDRESSES[0]: BRANCHING}, {})
    failed: list[Any] = []
    for _ in range(4):
        twins = lab.Twins("cancun", 2)
        expected = [twins.run(twins.plain, world, data=data).facts for data in inputs]

        def work(twins: Any = twins, expected: Any = expected) -> None:
            for _ in range(3):
                for data, facts in zip(inputs, expected, strict=True):
                    try:
                        found = twins.run(twins.fast, world, data=data).facts
                        if found != facts:
                            failed.append(data.hex())
                    except Exception as error:
                        failed.append(repr(error))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed, failed[:3]
