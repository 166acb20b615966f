"""What is changed without deep copies is what py-evm's copies are."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import rlp

from parallel_evm.forks import FORKS
from parallel_evm.rlp_objects import changed, made_of
from parallel_evm.workloads import build


@pytest.mark.parametrize("fork", FORKS)
def test_headers_and_blocks_of_every_fork(fork: str) -> None:
    chain = build("transfers", transactions=3, accounts=3, fork=fork).open()
    block = chain.get_vm().get_block()
    assert block.header.hash  # it is remembered, and must not be the changed one's
    for fields in ({}, {"gas_used": 7}, {"state_root": b"\x01" * 32, "extra_data": b"x"}):
        header = changed(block.header, **fields)
        assert header == block.header.copy(**fields)
        assert header.hash == block.header.copy(**fields).hash
        assert header is not block.header
        assert type(header) is type(block.header)
        again = changed(block, header=header)
        assert rlp.encode(again) == rlp.encode(block.copy(header=header))
        assert type(again) is type(block)
        assert again.header is header
    made: Any = made_of(type(block.header), *block.header)
    assert made == block.header and made.hash == block.header.hash


def test_an_unknown_field_is_refused() -> None:
    header = build("transfers", transactions=1).open().header
    with pytest.raises(TypeError, match="color"):
        changed(header, color=3)


def test_a_header_without_a_timestamp_is_refused() -> None:
    header = build("transfers", transactions=1).open().header
    for change in (header.copy, partial(changed, header)):
        with pytest.raises(ValueError, match="timestamp"):
            change(timestamp=None)


def test_who_copies_in_another_way_is_asked() -> None:
    header = build("transfers", transactions=1).open().header

    class Own(type(header)):  # type: ignore[misc]
        def copy(self, *args: Any, **kwargs: Any) -> Any:
            return super().copy(*args, **{"extra_data": b"own", **kwargs})

    assert changed(Own(**header.as_dict()), gas_used=7).extra_data == b"own"
