"""Instructions and jump destinations against py-evm's code stream."""

from __future__ import annotations

from eth.vm.code_stream import CodeStream
from eth.vm.forks.cancun.opcodes import CANCUN_OPCODES
from eth.vm.forks.frontier.opcodes import FRONTIER_OPCODES
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.translator.code import Code

BYTES = st.binary(max_size=200) | st.lists(
    st.sampled_from([0x5B, 0x60, 0x61, 0x7F, 0x5F, 0x7B, 0x00, 0x0A]), max_size=200
).map(bytes)


@given(BYTES)
def test_jump_destinations(content: bytes) -> None:
    stream = CodeStream(content)
    expected = {
        pc for pc, byte in enumerate(content) if byte == 0x5B and stream.is_valid_opcode(pc)
    }
    assert Code(content, CANCUN_OPCODES).jumpdests == expected


@given(BYTES)
def test_instructions_follow_each_other_as_in_the_code_stream(content: bytes) -> None:
    code = Code(content, CANCUN_OPCODES)
    stream = CodeStream(content)
    pc = 0
    while pc < len(content):
        assert stream.is_valid_opcode(pc)
        pc = code.at(pc).following
    assert code.at(pc).name == "STOP"


def test_a_push_that_the_code_cuts_short_is_filled_with_zeros() -> None:
    instruction = Code(b"\x62\x01", CANCUN_OPCODES).at(0)
    assert (instruction.name, instruction.argument, instruction.following) == ("PUSH", 0x010000, 4)


def test_an_opcode_of_a_later_fork_means_nothing() -> None:
    assert Code(b"\x5f", CANCUN_OPCODES).at(0).name == "PUSH"
    missing = Code(b"\x5f", FRONTIER_OPCODES).at(0)
    assert missing.operation is None and missing.name is None


def test_only_the_very_objects_of_py_evm_are_stock() -> None:
    table = {**CANCUN_OPCODES, 0x01: CANCUN_OPCODES[0x02]}
    assert Code(b"\x01", table).at(0).name is None
    assert Code(b"\x02", table).at(0).name == "MUL"
