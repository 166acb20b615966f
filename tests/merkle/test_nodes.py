"""Nodes are put together as rlp does it, whatever their size."""

from __future__ import annotations

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.merkle.nodes import leaf_path, leaf_path_of_key, node_of, string_item

SIZES = (0, 1, 2, 55, 56, 255, 256, 532, 65535, 65536, 70000)


@pytest.mark.parametrize("size", SIZES)
def test_strings_and_lists_of_any_size(size: int) -> None:
    assert string_item(b"\x01" * size) == rlp.encode(b"\x01" * size)
    assert string_item(b"\x80" * size) == rlp.encode(b"\x80" * size)
    assert node_of(b"\x01" * size) == rlp.encode([b"\x01"] * size)


@given(st.binary(max_size=70), st.data())
def test_the_end_of_a_key_is_a_leafs_path(key: bytes, data: st.DataObject) -> None:
    depth = data.draw(st.integers(0, 2 * len(key)))
    assert leaf_path_of_key(key, depth) == leaf_path(key.hex()[depth:])
