"""What is changed without deep copies is what py-evm's copies are."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import rlp
from eth.vm.forks.berlin.transactions import TypedTransaction
from eth.vm.forks.london.transactions import LondonLegacyTransaction
from eth.vm.forks.spurious_dragon.transactions import SpuriousDragonTransaction
from hypothesis import given

from parallel_evm.forks import FORKS
from parallel_evm.rlp_objects import changed, made_of, remember_hashes
from parallel_evm.workloads import build
from tests.speculation.transactions import transactions


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


@given(transactions())
def test_hashes_that_are_remembered_are_those_that_rlp_makes(transaction: Any) -> None:
    signed = getattr(transaction, "_inner", transaction)
    remember_hashes([transaction])
    try:
        expected = hash(tuple(signed))
    except TypeError:  # of a list that py-evm's builder has left a list
        assert signed._hash_cache is None
        return
    # Before Spurious Dragon, nobody is in a hurry.
    known = isinstance(transaction, TypedTransaction | SpuriousDragonTransaction)
    assert signed._hash_cache == (expected if known else None)
    assert hash(signed) == expected
    copied = transaction.copy()
    assert transaction == copied and hash(transaction) == hash(copied)


def test_a_hash_that_somebody_has_made_or_cannot_make_is_left_alone() -> None:
    class Own(LondonLegacyTransaction):
        def __iter__(self) -> Any:
            return iter([7])

    fields = [1, 2, 3, b"\x01" * 20, 5, b"", 27, 8, 9]
    own, odd = Own(*fields), LondonLegacyTransaction(*fields[:5], {}, *fields[6:])
    remember_hashes([own, odd])
    assert hash(own) == hash((7,))
    with pytest.raises(TypeError, match="unhashable"):
        hash(odd)
