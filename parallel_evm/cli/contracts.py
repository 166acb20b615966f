"""Contracts as they are given on the command line: hex, or what a compiler or framework wrote.

Reads the JSON of solc (standard-json output and combined-json), Hardhat, Truffle, Foundry and
``solidity/compile.mjs``. Raises ValueError, in one line that names the culprit, for all else. Runs
nothing.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

from eth_abi.exceptions import ParseError
from eth_abi.grammar import parse
from eth_utils.abi import (
    abi_to_signature,
    function_abi_to_4byte_selector,
    function_signature_to_4byte_selector,
    get_abi_input_types,
)

from parallel_evm.inputs import parsed_json
from parallel_evm.translator.show import Function

_HEX = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})+)")
_SELECTOR = re.compile(r"0x[0-9a-fA-F]{8}")
_SIGNATURE = re.compile(r"(\w+)(\(.*\))")
_MAX_VALUES = 1_000
_MAX_DEPTH = 8
_DEEPER = {"(": 1, ")": -1}
# What compilers leave for the address of a library that is not linked yet; 40 digits in all.
_UNLINKED = re.compile(r"__.{36}__")


@dataclass(frozen=True, slots=True)
class Contract:
    """Runtime bytecode, and what is known of its functions."""

    name: str
    code: bytes
    functions: tuple[Function, ...]
    """Empty if there was no ABI."""

    def function(self, text: str) -> Function:
        """The function called ``text``: a name, a full signature or a selector.

        Raises ValueError if there is none, or more than one.
        """
        if _SELECTOR.fullmatch(text):
            selector = bytes.fromhex(text[2:])
            known = [known for known in self.functions if known.selector == selector]
            if known:
                _check_size(text, known[0].inputs or ())
            return known[0] if known else Function(selector, text.lower(), None)
        fitting = [
            function
            for function in self.functions
            if text in (function.signature, function.signature.partition("(")[0])
        ]
        if len(fitting) == 1:
            _check_size(text, fitting[0].inputs or ())
            return fitting[0]
        if fitting:
            raise ValueError(f"{text!r} is ambiguous: {_list(fitting)}")
        if self.functions:
            raise ValueError(
                f"{self.name} has no function {text!r}; there are {_list(self.functions)}"
            )
        return _declared(text)


def read_contract(source: str, wanted: str | None = None) -> Contract:
    """The contract in ``source``: a file of JSON or hex, ``-`` for standard input, or hex itself.

    ``wanted``: its name, where a file holds several. Raises ValueError.
    """
    if not source:
        raise ValueError("the name of the contract's file is empty")
    if source == "-":
        if sys.stdin is None:  # closed by whoever started us
            raise ValueError("standard input: closed")
        return _parsed("standard input", sys.stdin.read(), wanted)
    # Of `os.path`, which takes hex that is longer than a name may be for the name of no file.
    if not source.startswith("0x") and os.path.exists(source):
        try:
            return _parsed(source, Path(source).read_text(), wanted)
        except OSError as problem:
            raise ValueError(f"{source}: {problem.strerror}") from problem
        except UnicodeDecodeError as problem:
            raise ValueError(f"{source}: neither JSON nor hex") from problem
    if not _HEX.fullmatch(source):
        what = "not hex" if source.startswith("0x") else "no such file, and not hex"
        raise ValueError(f"{_cut(source)}: {what}")
    return _alone("the command line", source, wanted)


def _alone(source: str, text: str, wanted: str | None) -> Contract:
    """A contract of which there is nothing but its code."""
    code = _code(source, text)
    if wanted is not None:
        raise ValueError(f"{source}: bytecode has no names to choose by --contract {wanted!r}")
    return Contract("the contract", code, ())


def _declared(text: str) -> Function:
    """A function known by its signature alone."""
    match = _SIGNATURE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r}: without an ABI a function is called by its signature, like "
            "transfer(address,uint256), or its selector, like 0xa9059cbb"
        )
    if match[2] == "()":  # eth_abi knows no empty lists
        return Function(function_signature_to_4byte_selector(text), text, ())
    _check_size(text, (match[2],))
    try:
        arguments: Any = parse(match[2])
        arguments.validate()
    except Exception as problem:
        raise ValueError(f"{_cut(text)!r}: {_cut(match[2])} are no types of the ABI") from problem
    types = tuple(part.to_type_str() for part in arguments.components)
    return Function(function_signature_to_4byte_selector(text), text, types)


def _parsed(source: str, text: str, wanted: str | None) -> Contract:
    text = text.strip()
    if not text.startswith(("{", "[")):
        if not text:
            raise ValueError(f"{source}: empty")
        return _alone(source, text, wanted)
    try:
        content = parsed_json(text)
    except ValueError as problem:
        raise ValueError(f"{source}: neither JSON nor hex: {problem}") from problem
    found = dict(_contracts(content, Path(source).stem))
    if not found:
        raise ValueError(
            f"{source}: no deployedBytecode in it (what is shown is the deployed code)"
        )
    if wanted is not None:
        chosen = [name for name in found if wanted in (name, name.rpartition(":")[2])]
    else:
        # Interfaces and abstract contracts have an artifact, too, but no code.
        chosen = [name for name, (code, _) in found.items() if code not in ("", "0x")] or [*found]
    if len(chosen) != 1:
        problem_is = "several contracts" if wanted is None else f"not one contract {wanted!r}"
        raise ValueError(f"{source}: {problem_is}; choose by --contract: {', '.join(found)}")
    code, abi = found[chosen[0]]
    name = chosen[0].rpartition(":")[2]
    return Contract(name, _code(f"{source}: {name}", code), _functions(source, abi))


def _contracts(content: Any, stem: str) -> Iterator[tuple[str, tuple[str, Any]]]:
    """(name, (runtime code in hex, ABI)) of each contract in an artifact."""
    if not isinstance(content, dict):
        return
    code = _runtime_code(content)
    if code is not None:
        yield str(content.get("contractName") or stem), (code, content.get("abi") or ())
        return
    contracts = content.get("contracts")
    for file, held in contracts.items() if isinstance(contracts, dict) else ():
        if not isinstance(held, dict):
            continue
        code = _runtime_code(held)
        if code is not None:  # combined-json: the name is file:contract
            yield file, (code, held.get("abi") or ())
            continue
        for name, contract in held.items():
            code = _runtime_code(contract) if isinstance(contract, dict) else None
            if code is not None:
                yield f"{file}:{name}", (code, contract.get("abi") or ())


def _runtime_code(contract: dict[str, Any]) -> str | None:
    """Where the tools keep it."""
    inner = contract.get("evm")
    holder = inner if isinstance(inner, dict) else contract
    code = holder.get("deployedBytecode", holder.get("bin-runtime"))
    if isinstance(code, dict):
        code = code.get("object")
    return code if isinstance(code, str) else None


def _code(source: str, text: str) -> bytes:
    text = _UNLINKED.sub("0" * 40, "".join(text.split()))
    if text in ("", "0x"):
        raise ValueError(f"{source}: no code (an interface, or an abstract contract?)")
    match = _HEX.fullmatch(text)
    if match is None:
        raise ValueError(f"{source}: the bytecode is not hex")
    return bytes.fromhex(match[1])


def _functions(source: str, abi: Any) -> tuple[Function, ...]:
    try:
        if isinstance(abi, str):  # combined-json of older compilers
            abi = parsed_json(abi)
        return tuple(
            Function(
                function_abi_to_4byte_selector(entry),
                abi_to_signature(entry),
                tuple(get_abi_input_types(entry)),
            )
            for entry in abi
            if entry.get("type") == "function"
        )
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as problem:
        raise ValueError(f"{source}: the abi is not one ({problem})") from problem


def _check_size(name: str, types: Sequence[str]) -> None:
    """Arguments are made up, and types parsed by trial and error. Raises ValueError where that
    takes too long."""
    written = ",".join(types)
    depth = max(accumulate((_DEEPER.get(letter, 0) for letter in written), initial=0))
    try:
        is_large = depth > _MAX_DEPTH or sum(map(_values_of, map(parse, types))) > _MAX_VALUES
    except ParseError as problem:
        raise ValueError(f"{_cut(name)!r}: {_cut(written)} are no types of the ABI") from problem
    if is_large:
        raise ValueError(f"{_cut(name)}: {_cut(written)}: too much to make up values of it")


def _values_of(part: Any) -> int:
    """How many words a type takes at least, parsed."""
    each = sum(map(_values_of, part.components)) if hasattr(part, "components") else 1
    dimensions: list[int] = [(size or (1,))[0] for size in part.arrlist or ()]
    return prod(dimensions) * each


def _cut(text: str) -> str:
    return text if len(text) < 60 else text[:57] + "..."


def _list(functions: Sequence[Function]) -> str:
    return ", ".join(function.signature for function in functions)
