"""What a `Forecaster` has learned, as JSON, for another process to begin with.

Responsible for: the form of that file, and for telling what is wrong with one that has another.
Talks to: `scheduling.forecast` and `scheduling.templates`, whose content it reads and builds anew.
Never: trusts a file. Whatever passes can be evaluated without an error; what it then says are hints
as all forecasts are, and a wrong one costs time, not correctness.

    {"forecasts": 1,
     "contracts": [{"address": "0x...", "functions": [{"selector": "0x...", "gas": 30000,
       "surprises": 2, "code_hash": "0x...", "accesses": [{"address": "callee",
         "slot": {"keccak": ["caller", {"constant": "0x4"}], "offset": 0},
         "reads": true, "writes": true, "counts": false, "confirmed": true, "context": []},
        {"address": "callee",
         "slot": {"element": {"constant": "0x5"}, "offset": 0, "length": null, "last": false,
                  "size": 1}, ...}]}]}]}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eth_utils.hexadecimal import encode_hex

from parallel_evm.inputs import Node
from parallel_evm.scheduling.expressions import (
    Access,
    Argument,
    Callee,
    Caller,
    Constant,
    Element,
    Hashed,
    Stored,
    Word,
    call_of,
)
from parallel_evm.scheduling.forecast import Forecaster
from parallel_evm.scheduling.templates import Known, Template
from parallel_evm.state.keys import FIELD_NAMES

FORMAT: Final = 1

_PARTS: Final = {name: field for field, name in FIELD_NAMES.items()}
_MAX_DEPTH: Final = 80


#
# To JSON
#
def to_json(forecaster: Forecaster) -> dict[str, Any]:
    """Everything that ``forecaster`` knows of functions, least recently called contracts first."""
    code_of = {(to, selector): code for (code, selector), to in forecaster.kin()}
    contracts: list[dict[str, Any]] = []
    for address, functions in forecaster.templates():
        said = []
        for selector, template in functions.items():
            code_hash = code_of.get((address, selector))
            said.append(
                {
                    "selector": encode_hex(selector),
                    "gas": template.gas,
                    "surprises": template.surprises,
                    "code_hash": None if code_hash is None else encode_hex(code_hash),
                    "accesses": [_known(known) for known in template.known()],
                }
            )
        contracts.append({"address": encode_hex(address), "functions": said})
    return {"forecasts": FORMAT, "contracts": contracts}


def _known(known: Known) -> dict[str, Any]:
    return {
        **_access(known.access),
        "reads": known.reads,
        "writes": known.writes,
        "counts": known.counts,
        "confirmed": known.confirmed,
        "context": [encode_hex(word) for word in sorted(known.context)],
    }


def _access(access: Access) -> dict[str, Any]:
    address, field = _word(access.address), access.field
    if isinstance(field, int):
        return {"address": address, "part": FIELD_NAMES[field]}
    return {"address": address, "slot": _word(field)}


def _word(word: Word) -> Any:
    match word:
        case Caller():
            return "caller"
        case Callee():
            return "callee"
        case Constant(constant):
            return {"constant": hex(int.from_bytes(constant, "big"))}
        case Argument(index, address):
            return {"argument": index, "address": address}
        case Hashed(left, right, offset):
            return {"keccak": [_word(left), _word(right)], "offset": offset}
        case Element(array, offset, length, last, size):
            return {
                "element": _word(array),
                "offset": offset,
                "length": None if length is None else _access(length),
                "last": last,
                "size": size,
            }
        case Stored(access, shift, bits, ahead, counter):
            return {
                "stored": _access(access),
                "shift": shift,
                "bits": bits,
                "ahead": ahead,
                "counter": counter,
            }
    raise TypeError(f"no word: {word!r}")


#
# From JSON
#
def from_json(file: Node) -> Forecaster:
    """A forecaster that knows what `to_json` said. Raises `InputError`."""
    version = file.optional("forecasts")
    if version is None or version.value != FORMAT:
        raise file.error(f'not a file of forecasts: expected {{"forecasts": {FORMAT}, ...}}')
    forecaster = Forecaster()
    for contract in file.member("contracts").items():
        address = contract.member("address").data(20)
        for function in contract.member("functions").items():
            selector = function.member("selector").data()
            if len(selector) > 4:
                raise function.member("selector").error(f"has {len(selector)} bytes, not 4")
            code_hash = function.optional("code_hash")
            template = Template.of(
                gas=function.member("gas").integer(63),
                surprises=function.member("surprises").integer(2),
                known=[_read_known(known) for known in function.member("accesses").items()],
                call=call_of(bytes(20), address, selector, {}),
            )
            forecaster.adopt(
                address, selector, template, None if code_hash is None else code_hash.data(32)
            )
    return forecaster


def _read_known(node: Node) -> Known:
    counts = node.member("counts")
    return Known(
        access=_read_slot(node, 0) if counts.flag() else _read_access(node, 0),
        context=frozenset(word.data(32) for word in node.member("context").items()),
        reads=node.member("reads").flag(),
        writes=node.member("writes").flag(),
        counts=counts.flag(),
        confirmed=node.member("confirmed").flag(),
    )


def _read_slot(node: Node, depth: int) -> Access:
    """Of what is looked up: only slots hold numbers."""
    part = node.optional("part")
    if part is not None:
        raise part.error("expected a slot")
    return _read_access(node, depth)


def _read_access(node: Node, depth: int) -> Access:
    address = _read_word(node.member("address"), depth)
    part = node.optional("part")
    if part is None:
        return Access(address, _read_word(node.member("slot"), depth))
    if part.text() not in _PARTS:
        raise part.error(f"expected {', '.join(_PARTS)}, found {part.value!r}")
    return Access(address, _PARTS[part.value])


def _read_word(node: Node, depth: int) -> Word:
    if depth > _MAX_DEPTH:
        raise node.error("is nested too deeply")
    if node.value == "caller":
        return Caller()
    if node.value == "callee":
        return Callee()
    for name, read in _EXPRESSIONS.items():
        found = node.optional(name)
        if found is not None:
            return read(found, node, depth + 1)
    raise node.error(f"expected caller, callee or one of {', '.join(_EXPRESSIONS)}")


def _read_constant(found: Node, node: Node, depth: int) -> Word:
    return Constant(found.integer().to_bytes(32, "big"))


def _read_argument(found: Node, node: Node, depth: int) -> Word:
    return Argument(found.integer(16), node.member("address").flag())


def _read_hashed(found: Node, node: Node, depth: int) -> Word:
    parts = [_read_word(part, depth) for part in found.items()]
    if len(parts) != 2:
        raise found.error(f"has {len(parts)} parts, not 2")
    return Hashed(parts[0], parts[1], node.member("offset").integer(32))


def _read_element(found: Node, node: Node, depth: int) -> Word:
    length = node.optional("length")
    return Element(
        array=_read_word(found, depth),
        offset=node.member("offset").integer(32),
        length=None if length is None else _read_slot(length, depth),
        last=node.member("last").flag(),
        size=node.member("size").integer(32),
    )


def _read_stored(found: Node, node: Node, depth: int) -> Word:
    return Stored(
        access=_read_slot(found, depth),
        shift=node.member("shift").integer(8),
        bits=node.member("bits").integer(9),
        ahead=node.member("ahead").integer(1),
        counter=node.member("counter").flag(),
    )


_EXPRESSIONS: Final[dict[str, Callable[[Node, Node, int], Word]]] = {
    "constant": _read_constant,
    "argument": _read_argument,
    "keccak": _read_hashed,
    "element": _read_element,
    "stored": _read_stored,
}
