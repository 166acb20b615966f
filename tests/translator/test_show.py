"""The Python of a contract, as people read it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from eth.vm.forks import CancunVM

from parallel_evm.translator.show import (
    Function,
    function_entries,
    python_of,
    python_of_function,
)
from parallel_evm.workloads.artifacts import ARTIFACTS, load

CONTRACTS = sorted(path.stem for path in ARTIFACTS.glob("*.json"))
OPCODES = CancunVM.get_state_class().computation_class.opcodes
ADD_ONE = bytes.fromhex("60003560010160005260206000f3")


def runtime(name: str) -> bytes:
    content = json.loads((ARTIFACTS / f"{name}.json").read_text())
    return bytes.fromhex(content["deployedBytecode"].removeprefix("0x"))


def functions_of(name: str) -> dict[str, Function]:
    return {
        label: Function(known.selector, f"{label}({','.join(known.inputs)})", known.inputs)
        for label, known in load(name).functions.items()
    }


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_dispatcher_tells_where_functions_start(name: str) -> None:
    found = function_entries(runtime(name), OPCODES)
    assert found.keys() == {function.selector for function in load(name).functions.values()}


def test_a_whole_contract_is_python_with_every_block_in_it() -> None:
    code = runtime("Pair")
    names: dict[str, Any] = {}
    text = python_of(code, "cancun")
    exec(compile(text, "Pair", "exec"), names)
    assert "accounts.load(A, " in text
    assert {f"at_{pc}" for pc in function_entries(code, OPCODES).values()} <= names.keys()


def test_a_comment_says_what_a_function_was() -> None:
    text = python_of(ADD_ONE, "cancun")
    assert "# -- 0 (0x0): 9 instructions, static gas 24 -" in text
    assert "#   PUSH1 0x0 CALLDATALOAD PUSH1 0x1 ADD PUSH1 0x0 MSTORE PUSH1 0x20" in text
    assert "from_bytes(D[0:32]" in text


def test_entries_have_the_names_of_their_functions() -> None:
    functions = functions_of("Stablecoin")
    code = runtime("Stablecoin")
    entry = function_entries(code, OPCODES)[functions["transfer"].selector]
    named = python_of(code, "cancun", functions.values())
    assert f"# {entry} is the entry of transfer(address,uint256), 0xa9059cbb" in named
    assert f"# {entry} is the entry of 0xa9059cbb" in python_of(code, "cancun")


def test_a_function_is_shown_across_jumps_and_no_other_function_is() -> None:
    functions = functions_of("Stablecoin")
    text = python_of_function(
        runtime("Stablecoin"), "cancun", functions["transfer"], functions.values()
    )
    compile(text, "transfer", "exec")
    assert text.startswith("# transfer(address,uint256), selector 0xa9059cbb, under the rules of")
    assert "is the entry of transfer(" in text
    assert text.count("is the entry of") == 1
    assert text.count("= sstore(") == 2
    assert "log(" in text
    assert "No call was found" not in text
    # One function from the selector to the return, and no dispatcher in it.
    assert re.findall(r"^def (\w+)\(", text, re.MULTILINE) == ["transfer"]
    assert "0xa9059cbb" not in text[text.index("def transfer(") :]
    assert text.endswith("return -1")


def test_a_function_that_never_succeeds_is_shown_to_where_it_fails() -> None:
    always = Function(b"\1\2\3\4", "never()", ())
    text = python_of_function(bytes.fromhex("60006000fd"), "cancun", always)
    assert "No call was found that succeeds. The one that came furthest, to a Revert" in text
    assert "def never(" in text
    assert "raise Revert(c._output)" in text


def test_a_function_that_ends_without_gas_is_shown_block_by_block() -> None:
    text = python_of_function(bytes.fromhex("fe"), "cancun", Function(b"\1\2\3\4", "odd()", ()))
    assert "to a InvalidInstruction" in text
    assert "def at_0(" in text


def test_the_rules_are_those_of_the_fork() -> None:
    code = bytes.fromhex("5f5f5500")  # PUSH0 came with Shanghai
    assert "PUSH0 PUSH0 SSTORE STOP" in python_of(code, "shanghai")
    assert "0x5f?" in python_of(code, "london")


def test_a_fork_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="'istambul'"):
        python_of(b"", "istambul")
    with pytest.raises(ValueError, match="'istambul'"):
        python_of_function(b"", "istambul", Function(b"\1\2\3\4", "f()", ()))
