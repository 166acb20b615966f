"""Functions are called in a made-up world until they are hot, and succeed where they can."""

from __future__ import annotations

import json

import pytest
from eth.vm.forks import CancunVM

from parallel_evm.translator.rehearsal import Rehearsal, rehearse
from parallel_evm.workloads.artifacts import ARTIFACTS, load

STATE = CancunVM.get_state_class()


def rehearsed(contract: str, name: str, known: bool = True) -> Rehearsal:
    content = json.loads((ARTIFACTS / f"{contract}.json").read_text())
    code = bytes.fromhex(content["deployedBytecode"].removeprefix("0x"))
    function = load(contract).functions[name]
    return rehearse(code, STATE, function.selector, function.inputs if known else None)


@pytest.mark.parametrize(
    ("contract", "name"),
    [
        ("Stablecoin", "transfer"),  # needs a balance
        ("Stablecoin", "transferFrom"),  # and an allowance
        ("Stablecoin", "transferOwnership"),  # needs to be the owner
        ("WrappedEther", "deposit"),  # with value
        ("AssetToken", "issue"),  # arrays
        ("Pair", "swap"),  # other contracts, packed reserves, a lock
    ],
)
def test_a_function_is_brought_to_succeed(contract: str, name: str) -> None:
    found = rehearsed(contract, name)
    assert found.error == ""
    assert found.recording is not None
    assert found.recording.path[0] == 0


def test_the_same_function_gives_the_same_call() -> None:
    first, second = (rehearsed("Stablecoin", "transferFrom") for _ in range(2))
    assert first.recording is not None
    assert first.recording == second.recording


def test_words_do_for_arguments_of_unknown_types() -> None:
    assert rehearsed("Stablecoin", "transfer", known=False).error == ""


def test_what_cannot_succeed_says_what_it_ends_with() -> None:
    assert rehearse(bytes.fromhex("60006000fd"), STATE, b"\1\2\3\4", ()).error == "Revert"
    assert rehearse(bytes.fromhex("fe"), STATE, b"\1\2\3\4", ()).error == "InvalidInstruction"


@pytest.mark.parametrize("text", ("uint257", "Library.Thing", "fixed128x18", "uint256)"))
def test_types_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="type"):
        rehearse(b"\0", STATE, b"\1\2\3\4", ("uint8", text))


@pytest.mark.parametrize(
    "text", ("(uint256,address[])[2]", "bytes4", "bytes", "string", "int8", "bool[]", "function")
)
def test_every_kind_of_type_can_be_drawn(text: str) -> None:
    assert rehearse(b"\0", STATE, b"\1\2\3\4", (text,)).error == ""
