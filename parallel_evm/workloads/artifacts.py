"""Compiled contracts, as `solidity/compile.mjs` leaves them in `fixtures/artifacts`.

Responsible for: finding and reading an artifact, and encoding calls by its ABI.
Talks to: eth-abi and eth-utils.
Never: knows an address, a chain or a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.abi import (
    function_abi_to_4byte_selector,
    get_abi_input_types,
    get_abi_output_types,
)
from eth_utils.hexadecimal import decode_hex

# The artifacts lie beside the package, both in a checkout and where it was installed from one.
ARTIFACTS = Path(__file__).resolve().parents[2] / "fixtures" / "artifacts"


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a contract: how its calls and its results are encoded."""

    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def encode(self, arguments: tuple[Any, ...]) -> bytes:
        return self.selector + encode(self.inputs, arguments)

    def decode(self, output: bytes) -> tuple[Any, ...]:
        return decode(self.outputs, output)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract.

    `storage` is the compiler's `storageLayout` (Solidity documentation, "Layout of State
    Variables in Storage"): which variable has which slot.
    """

    name: str
    creation_code: bytes
    code: bytes
    """As it is deployed; what the constructor fills in is zero."""
    constructor_inputs: tuple[str, ...]
    functions: Mapping[str, Function]
    storage: Mapping[str, Any]

    def creation_data(self, arguments: tuple[Any, ...]) -> bytes:
        """Return the data of the transaction that deploys this contract."""
        return self.creation_code + encode(self.constructor_inputs, arguments)

    def variable(self, label: str) -> int:
        """Return the slot number of the state variable `label`.

        Raises `KeyError` if the contract has no such variable.
        """
        for variable in self.storage["storage"]:
            if variable["label"] == label:
                return int(variable["slot"])
        raise KeyError(f"{self.name} has no state variable {label!r}")


def names() -> tuple[str, ...]:
    """Return the names of all compiled contracts: none where they were not installed."""
    return tuple(path.stem for path in sorted(ARTIFACTS.glob("*.json")))


@cache
def load(name: str) -> Artifact:
    """Read the artifact of the contract `name`.

    Raises `FileNotFoundError`, which names the file, if it was not compiled or not installed.
    """
    path = ARTIFACTS / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no compiled contract {name!r} here; the workloads of parallel_evm run from a "
            "checkout (or an editable install), where `node solidity/compile.mjs` makes it"
        )
    content = json.loads(path.read_text())
    constructor = next((e for e in content["abi"] if e["type"] == "constructor"), None)
    return Artifact(
        name=name,
        creation_code=decode_hex(content["bytecode"]),
        code=decode_hex(content["deployedBytecode"]),
        constructor_inputs=tuple(get_abi_input_types(constructor)) if constructor else (),
        functions={
            entry["name"]: Function(
                function_abi_to_4byte_selector(entry),
                tuple(get_abi_input_types(entry)),
                tuple(get_abi_output_types(entry)),
            )
            for entry in content["abi"]
            if entry["type"] == "function"
        },
        storage=content["storageLayout"],
    )
