"""Reading JSON: every mistake is named by file and field."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from parallel_evm.inputs import InputError, Node, read_json


def node(value: object) -> Node:
    return Node("case.json", "blocks[2]", value)


@pytest.mark.parametrize(
    ("text", "number"), [("0x", 0), ("0x0", 0), ("0x0a", 10), ("12", 12), (12, 12), ("0X1f", 31)]
)
def test_numbers_in_every_spelling_of_the_corpora(text: object, number: int) -> None:
    assert node(text).integer() == number


@pytest.mark.parametrize(
    "text", ["", "0x-1", "0x_1", "-1", " 1", "1.0", -1, 1.0, True, None, [], "0xzz", "٣"]
)
def test_what_is_not_a_number(text: object) -> None:
    with pytest.raises(InputError, match=r"^case\.json: blocks\[2\]: expected a number"):
        node(text).integer()


@pytest.mark.parametrize(("value", "bits"), [(2**256, 256), (hex(2**64), 64), ("9" * 5_000, 256)])
def test_numbers_that_are_too_large(value: object, bits: int) -> None:
    with pytest.raises(InputError, match=r"^case\.json: blocks\[2\]: expected a number"):
        node(value).integer(bits)
    assert node(2**bits - 1).integer(bits) == 2**bits - 1


def test_bytes() -> None:
    assert node("0x").data() == b""
    assert node("0x00ff").data(2) == b"\x00\xff"


@pytest.mark.parametrize("text", ["", "00", "0x0", "0xgg", 7, None, {}])
def test_what_is_not_bytes(text: object) -> None:
    with pytest.raises(InputError, match="expected bytes as 0x"):
        node(text).data()


def test_bytes_of_the_wrong_size() -> None:
    with pytest.raises(InputError, match="expected 20 bytes, found 2"):
        node("0x00ff").data(20)


def test_a_missing_member_is_named_by_its_path() -> None:
    with pytest.raises(InputError, match=r"^case\.json: blocks\[2\]\.rlp: missing$"):
        node({}).member("rlp")


def test_null_counts_as_missing() -> None:
    assert not node({"to": None}).has("to")
    with pytest.raises(InputError, match="missing"):
        node({"to": None}).member("to")


@pytest.mark.parametrize(
    ("value", "found"),
    [([], "a list"), (1, "a number"), ("x", "a text"), (None, "null"), (True, "true or false")],
)
def test_not_an_object(value: object, found: str) -> None:
    with pytest.raises(InputError, match=f"expected an object, found {found}$"):
        node(value).member("x")


def test_elements_know_their_position() -> None:
    elements = list(node(["a", "b"]).items())
    assert [element.field for element in elements] == ["blocks[2][0]", "blocks[2][1]"]


def test_a_file_that_is_not_json(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"a": [1, 2')
    with pytest.raises(InputError, match=r"broken\.json: not valid JSON \(.*line 1 column 12"):
        read_json(broken)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match=r"broken\.json: not valid JSON"):
        read_json(broken)


def test_a_number_without_end(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("9" * 5_000)
    with pytest.raises(InputError, match=r"broken\.json: not valid JSON"):
        read_json(broken)


def test_a_file_that_nests_too_deep(tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"deep\.json: not valid JSON"):
        read_json(deep)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_json(tmp_path / "nothing.json")


def test_an_error_survives_the_way_between_processes() -> None:
    error = InputError("a.json", "b.c", "missing")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "a.json: b.c: missing"
    assert (again.file, again.field, again.reason) == ("a.json", "b.c", "missing")
