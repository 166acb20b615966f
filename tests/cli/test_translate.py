"""`translate` reads what the tools of the field write, and answers bad input in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from parallel_evm.cli import app

runner = CliRunner()

# Returns twice its argument, whichever function is called.
DOUBLE = "600435800160005260206000f3"
ABI = [
    {"type": "constructor", "inputs": []},
    {
        "type": "function",
        "name": "double",
        "inputs": [{"name": "what", "type": "uint256"}],
        "outputs": [{"name": "", "type": "uint256"}],
    },
    {"type": "function", "name": "pair", "inputs": [{"name": "a", "type": "uint8"}]},
    {"type": "function", "name": "pair", "inputs": [{"name": "a", "type": "bool"}]},
]


def solc(code: str) -> Any:
    contract = {"abi": ABI, "evm": {"deployedBytecode": {"object": code}}}
    interface = {"abi": [], "evm": {"deployedBytecode": {"object": ""}}}
    return {"contracts": {"a.sol": {"Double": contract, "IDouble": interface}}}


SHAPES: dict[str, Callable[[str], Any]] = {
    "hardhat": lambda code: {"contractName": "Double", "abi": ABI, "deployedBytecode": "0x" + code},
    "foundry": lambda code: {"abi": ABI, "deployedBytecode": {"object": "0x" + code}},
    "solc": solc,
    "solc-combined": lambda code: {
        "contracts": {"a.sol:Double": {"abi": json.dumps(ABI), "bin-runtime": code}}
    },
}


def translated(*arguments: str, given: str | None = None) -> str:
    result = runner.invoke(app, ["translate", *arguments], input=given)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("shape", SHAPES)
def test_artifacts_of_the_tools(shape: str, tmp_path: Path) -> None:
    file = tmp_path / "Double.json"
    file.write_text(json.dumps(SHAPES[shape](DOUBLE)))
    text = translated(str(file), "--function", "double")
    assert text.startswith("# double(uint256), selector 0xeee97206, under the rules of cancun.")
    compile(text, "double", "exec")
    assert "CALLDATALOAD DUP1 ADD" in text
    assert "9 instructions" in translated(str(file))


def test_a_library_that_is_not_linked_is_at_address_zero(tmp_path: Path) -> None:
    file = tmp_path / "Linked.json"
    code = "73" + "__$" + "ab" * 17 + "$__" + "5000"
    file.write_text(json.dumps({"abi": [], "deployedBytecode": {"object": code}}))
    assert "PUSH20 0x0 POP STOP" in translated(str(file))


def test_one_of_several_contracts(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    content = solc(DOUBLE)
    content["contracts"]["a.sol"]["Stop"] = {
        "abi": [],
        "evm": {"deployedBytecode": {"object": "00"}},
    }
    file.write_text(json.dumps(content))
    assert "STOP" in translated(str(file), "--contract", "Stop")
    assert "CALLDATALOAD" in translated(str(file), "--contract", "a.sol:Double")
    result = runner.invoke(app, ["translate", str(file)])
    assert result.exit_code == 2
    assert "--contract: a.sol:Double, a.sol:IDouble, a.sol:Stop" in result.output


def test_hex_in_all_places(tmp_path: Path) -> None:
    file = tmp_path / "code.hex"
    file.write_text(f"0x{DOUBLE}\n")
    expected = translated("0x" + DOUBLE)
    assert "CALLDATALOAD DUP1 ADD" in expected
    assert translated(DOUBLE) == expected
    assert translated(str(file)) == expected
    assert translated("-", given=DOUBLE + "\n") == expected


@pytest.mark.parametrize("name", ("double(uint256)", "0xeee97206", "0xEEE97206"))
def test_functions_of_hex_by_signature_and_selector(name: str) -> None:
    text = translated("0x" + DOUBLE, "--function", name)
    assert "selector 0xeee97206" in text
    assert "def double(" in text or "def call_eee97206(" in text


def test_an_overloaded_function_by_its_signature(tmp_path: Path) -> None:
    file = tmp_path / "Double.json"
    file.write_text(json.dumps(SHAPES["hardhat"](DOUBLE)))
    assert translated(str(file), "--function", "pair(bool)").startswith("# pair(bool), selector")
    result = runner.invoke(app, ["translate", str(file), "--function", "pair"])
    assert result.exit_code == 2
    assert "ambiguous: pair(uint8), pair(bool)" in result.output


BAD_FILES = {
    "empty": "",
    "text": "hello",
    "broken.json": '{"abi": [',
    "package.json": '{"name": "x"}',
    "list.json": "[1, 2]",
    "interface.json": '{"abi": [], "deployedBytecode": "0x"}',
    "odd.json": '{"abi": [], "deployedBytecode": "0x123"}',
    "abi.json": '{"abi": [1], "deployedBytecode": "0x00"}',
    "types.json": (
        '{"abi": [{"type": "function", "name": "f", "inputs": [{"type": "thing"}]}],'
        ' "deployedBytecode": "0x00"}'
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(BAD_FILES[name])
    arguments = [str(file), "--function", "f"] if name == "types.json" else [str(file)]
    result = runner.invoke(app, ["translate", *arguments])
    assert result.exit_code == 2, result.output
    assert len(result.output.splitlines()) == 1
    assert ("thing" if name == "types.json" else name) in result.output


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["no/such/file.json"], "no/such/file.json"),
        (["0x123"], "0x123"),
        (["."], "."),
        (["0x00", "--fork", "istambul"], "istambul"),
        (["0x00", "--function", "transfer"], "transfer"),
        (["0x00", "--function", "f(uint257)"], "uint257"),
        (["0x00", "--function", "f(uint8"], "f(uint8"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], culprit: str) -> None:
    result = runner.invoke(app, ["translate", *arguments])
    assert result.exit_code == 2
    assert culprit in result.output
    assert len(result.output.splitlines()) == 1


def test_what_no_parser_should_be_given(tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    for content in ("[" * 200_000, '{"deployedBytecode": "00", "abi": ' + "[" * 200_000):
        deep.write_text(content)
        result = runner.invoke(app, ["translate", str(deep)])
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    for function in ("f(uint256[99999999999])", f"f{'(' * 300}{')' * 300}"):
        result = runner.invoke(app, ["translate", "0x6000", "--function", function])
        assert result.exit_code == 2
        assert "too much to make up" in result.stderr
        assert len(result.stderr) < 250


def test_functions_without_arguments_and_long_hex() -> None:
    assert "f(), selector" in translated("0x" + DOUBLE, "--function", "f()")
    assert translated(DOUBLE * 60) == translated("0x" + DOUBLE * 60)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param("f(uint8[200],uint8[200])", marks=pytest.mark.slow),
        f"f({','.join(['(bool)'] * 9)})",
        "f(bytes[][2])",
    ],
)
def test_arguments_that_are_not_too_much(function: str) -> None:
    assert f"{function}, selector" in translated("0x" + DOUBLE, "--function", function)


def test_bytecode_has_no_names() -> None:
    result = runner.invoke(app, ["translate", "0x6000", "--contract", "X"])
    assert (result.exit_code, "no names" in result.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_goes_nowhere() -> None:
    command = [sys.executable, "-m", "parallel_evm", "translate", "0x6000"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "parallel-evm: standard output: No space left on device\n"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
