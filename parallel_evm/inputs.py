"""JSON from outside, read so that a mistake in it is named by file and field.

A `Node` is a JSON value that remembers where it stands. Every reader of such a file takes nodes,
so that bad input surfaces as one `InputError` ("case.json: blocks[2].rlp: missing") and not as a
KeyError from the depths. It knows nothing about what the values mean.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import hexdigits
from typing import Any

from parallel_evm.errors import ParallelEVMError

BLOOM_BITS = 2048


class InputError(ParallelEVMError):
    """Input from outside that cannot be used: which file, which field, and why."""

    def __init__(self, file: str | Path, field: str, reason: str) -> None:
        self.file = str(file)
        self.field = field
        self.reason = reason
        super().__init__(": ".join(part for part in (self.file, field, reason) if part))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        # Exception pickles its args (one text); this one travels between processes by its parts.
        return type(self), (self.file, self.field, self.reason)


@dataclass(frozen=True)
class Node:
    """A JSON value and where it was found: `field` is its path inside `file`."""

    file: str
    field: str
    value: Any

    def error(self, reason: str) -> InputError:
        return InputError(self.file, self.field, reason)

    def member(self, name: str) -> Node:
        """The member `name` of this object. Raises InputError if it is missing."""
        found = self.optional(name)
        if found is None:
            raise InputError(self.file, self._path_to(name), "missing")
        return found

    def optional(self, name: str) -> Node | None:
        """The member `name` of this object, None if it is missing or null."""
        if not isinstance(self.value, dict):
            raise self.error(f"expected an object, found {_kind(self.value)}")
        value = self.value.get(name)
        return None if value is None else Node(self.file, self._path_to(name), value)

    def has(self, name: str) -> bool:
        return self.optional(name) is not None

    def members(self) -> Iterator[tuple[str, Node]]:
        """Name and value of every member of this object."""
        if not isinstance(self.value, dict):
            raise self.error(f"expected an object, found {_kind(self.value)}")
        for name, value in self.value.items():
            yield name, Node(self.file, self._path_to(name), value)

    def items(self) -> Iterator[Node]:
        """The elements of this list."""
        if not isinstance(self.value, list):
            raise self.error(f"expected a list, found {_kind(self.value)}")
        for position, value in enumerate(self.value):
            yield Node(self.file, f"{self.field}[{position}]", value)

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.error(f"expected a text, found {_kind(self.value)}")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.error(f"expected true or false, found {_kind(self.value)}")
        return self.value

    def integer(self, bits: int = 256) -> int:
        """A number that is not negative: `7`, `"7"`, `"0x07"`, and `"0x"` for zero."""
        number = _integer(self.value)
        if number is None:
            raise self.error(f"expected a number that is not negative, found {_shown(self.value)}")
        if number.bit_length() > bits:
            raise self.error(f"expected a number of {bits} bits, found {_shown(self.value)}")
        return number

    def data(self, size: int | None = None) -> bytes:
        """Bytes in hexadecimal with 0x; exactly `size` of them where a size is given."""
        found = self.value
        if not isinstance(found, str) or not found.startswith(("0x", "0X")):
            raise self.error(f"expected bytes as 0x.., found {_shown(found)}")
        try:
            decoded = bytes.fromhex(found[2:])
        except ValueError:
            raise self.error(f"expected bytes as 0x.., found {_shown(found)}") from None
        if size is not None and len(decoded) != size:
            raise self.error(f"expected {size} bytes, found {len(decoded)}")
        return decoded

    def _path_to(self, name: str) -> str:
        return f"{self.field}.{name}" if self.field else name


def read_json(path: Path) -> Node:
    """The content of a JSON file as a node. Raises InputError if it cannot be read or parsed."""
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise InputError(path, "", problem.strerror or str(problem)) from None
    try:
        return Node(str(path), "", parsed_json(content))
    except ValueError as problem:
        raise InputError(path, "", f"not valid JSON ({problem})") from None


def parsed_json(content: str | bytes) -> Any:
    """What JSON says. Raises ValueError for anything else, nesting that is too deep included."""
    try:
        with _shallow_recursion():
            return json.loads(content)
    except RecursionError as problem:
        raise ValueError(str(problem)) from None


@contextmanager
def _shallow_recursion() -> Iterator[None]:
    """Let json give up on deep nesting in time: py-evm raises Python's limit past what C's stack
    holds, and the parser would take the process down."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(min(limit, len(inspect.stack(0)) + 1_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    if isinstance(value, str):
        if value[:2] in ("0x", "0X"):
            digits = value[2:]
            return int(digits or "0", 16) if all(d in hexdigits for d in digits) else None
        short = len(value) <= 1_000  # Python refuses to read some thousands of decimal digits
        return int(value) if short and value.isascii() and value.isdecimal() else None
    return None


def _kind(value: Any) -> str:
    names: dict[type, str] = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."
