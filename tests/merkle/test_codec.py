"""The codecs hold against those of py-evm and rlp, for good bytes and for bad ones."""

from collections.abc import Callable

import pytest
from eth.rlp.accounts import Account
from hypothesis import example, given
from hypothesis import strategies as st
from rlp.codec import decode, encode
from rlp.exceptions import RLPException
from rlp.sedes.big_endian_int import big_endian_int

from parallel_evm.merkle.codec import decode_account, decode_slot, encode_account, encode_slot


def numbers(bits: int) -> st.SearchStrategy[int]:
    """Numbers of every length, and those where the length changes."""
    edges = [0, 1, 0x7F, 0x80, 0xFF, 0x100, 2**bits - 1]
    by_length = st.integers(0, bits).flatmap(lambda size: st.integers(0, 2**size - 1))
    return st.sampled_from(edges) | by_length


hashes = st.binary(min_size=32, max_size=32)


def outcome(action: Callable[[], object]) -> object:
    """What comes of an action: its result, or the kind and text of what it raises."""
    try:
        return action()
    except (RLPException, TypeError, AttributeError) as error:
        return type(error), str(error)


def stock_account(encoded: bytes) -> tuple[int, int, bytes, bytes]:
    account = decode(encoded, Account)
    return account.nonce, account.balance, account.storage_root, account.code_hash


@given(numbers(64), numbers(256), hashes, hashes)
def test_accounts(nonce: int, balance: int, storage_root: bytes, code_hash: bytes) -> None:
    encoded = encode_account(nonce, balance, storage_root, code_hash)
    assert encoded == encode(Account(nonce, balance, storage_root, code_hash))
    assert decode_account(encoded) == (nonce, balance, storage_root, code_hash)


@given(numbers(300), numbers(3000), hashes, hashes)
def test_accounts_beyond_the_protocol(
    nonce: int, balance: int, storage_root: bytes, code_hash: bytes
) -> None:
    encoded = encode_account(nonce, balance, storage_root, code_hash)
    assert encoded == encode(Account(nonce, balance, storage_root, code_hash))
    assert decode_account(encoded) == (nonce, balance, storage_root, code_hash)


@pytest.mark.parametrize(
    ("nonce", "balance", "storage_root", "code_hash"),
    [
        (-1, 0, b"\x01" * 32, b"\x02" * 32),
        (0, -1, b"\x01" * 32, b"\x02" * 32),
        (0, 0, b"\x01" * 31, b"\x02" * 32),
        (0, 0, b"", b"\x02" * 32),
        (0, 0, b"\x01" * 32, b"\x02" * 33),
    ],
)
def test_bad_accounts_are_refused_like_py_evm(
    nonce: int, balance: int, storage_root: bytes, code_hash: bytes
) -> None:
    assert outcome(lambda: encode_account(nonce, balance, storage_root, code_hash)) == outcome(
        lambda: encode(Account(nonce, balance, storage_root, code_hash))
    )


@given(numbers(64), numbers(256), st.data())
def test_damaged_accounts_are_refused_like_py_evm(
    nonce: int, balance: int, data: st.DataObject
) -> None:
    encoded = bytearray(encode_account(nonce, balance, b"\x01" * 32, b"\x02" * 32))
    ends = len(encoded) - 66
    places = st.integers(0, ends) | st.sampled_from([ends, len(encoded) - 33])
    for place in data.draw(st.lists(places, min_size=1, max_size=3)):
        encoded[place] = data.draw(
            st.sampled_from([0x00, 0x01, 0x7F, 0x80, 0x81, 0x82, 0xA0, 0xC0])
        )
    damaged = bytes(encoded[: data.draw(st.integers(0, len(encoded)) | st.just(len(encoded)))])
    assert outcome(lambda: decode_account(damaged)) == outcome(lambda: stock_account(damaged))


@given(numbers(256))
def test_slots(value: int) -> None:
    encoded = encode_slot(value)
    assert encoded == (encode(value) if value else b"")
    assert decode_slot(encoded) == value


@given(st.binary(min_size=1, max_size=40))
@example(b"\x00")
@example(b"\x81\x7f")
@example(b"\x82\x00\xff")
@example(b"\xa0" + bytes(32))
@example(b"\x82\x01\x00\x00")
def test_damaged_slots_are_refused_like_py_evm(damaged: bytes) -> None:
    assert outcome(lambda: decode_slot(damaged)) == outcome(lambda: decode(damaged, big_endian_int))


@pytest.mark.parametrize("nonce", [b"\x00", b"\x81\x7f", b"\x82\x00\xff", b"\xc0", b"\xa1"])
def test_other_forms_of_numbers_are_taken_like_py_evm(nonce: bytes) -> None:
    payload = nonce + b"\x80\xa0" + b"\x01" * 32 + b"\xa0" + b"\x02" * 32
    encoded = bytes((0xF8, len(payload))) + payload
    assert outcome(lambda: decode_account(encoded)) == outcome(lambda: stock_account(encoded))
