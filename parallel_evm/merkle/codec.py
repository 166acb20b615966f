"""The values of the state and storage tries.

Responsible for: the RLP of accounts and of storage slots, as py-evm writes them.
Talks to: nobody; py-evm's own codec takes over for anything unusual, so its errors are raised.
Never: interprets a value.
"""

from eth.rlp.accounts import Account
from rlp.codec import decode, encode
from rlp.sedes.big_endian_int import big_endian_int

from parallel_evm.merkle.nodes import string_item

_ONE_DIGIT = [b"\x80"] + [bytes((value,)) for value in range(1, 0x80)]

# The smallest number that needs so many bytes after a header. Less is not canonical.
_LEAST = [0, 0x80] + [256**size for size in range(1, 32)]
_NOT_CANONICAL = -1


def encode_account(nonce: int, balance: int, storage_root: bytes, code_hash: bytes) -> bytes:
    """Return the RLP of an account, equal to that of `eth.rlp.accounts.Account`.

    Raises what `Account` raises (rlp.SerializationError) for a negative number or a hash that is
    not 32 bytes.
    """
    if not (
        0 <= nonce < 2**64
        and 0 <= balance < 2**256
        and len(storage_root) == 32
        and len(code_hash) == 32
    ):
        unusual = Account(nonce, balance, storage_root, code_hash)
        return bytes(encode(unusual))  # type: ignore[no-untyped-call]
    payload = b"%b%b\xa0%b\xa0%b" % (_encode(nonce), _encode(balance), storage_root, code_hash)
    return b"\xf8%c%b" % (len(payload), payload)


def decode_account(encoded: bytes) -> tuple[int, int, bytes, bytes]:
    """Return nonce, balance, storage root and code hash: the inverse of `encode_account`.

    Raises what decoding an `Account` raises (rlp.DecodingError, rlp.DeserializationError).
    """
    size = len(encoded)
    # Two hashes of 33 bytes end an account, whatever the numbers before them.
    if (
        70 <= size <= 110
        and encoded[0] == 0xF8
        and encoded[1] == size - 2
        and encoded[-66] == encoded[-33] == 0xA0
    ):
        nonce, position = _decode(encoded, 2)
        balance, position = _decode(encoded, position)
        if position == size - 66 and nonce != _NOT_CANONICAL and balance != _NOT_CANONICAL:
            return nonce, balance, encoded[-65:-33], encoded[-32:]
    account = decode(encoded, Account)  # type: ignore[no-untyped-call]
    return account.nonce, account.balance, account.storage_root, account.code_hash


def encode_slot(value: int) -> bytes:
    """Return the RLP of a storage slot's value; b"" for zero, which deletes the slot's key."""
    return _encode(value) if value else b""


def decode_slot(encoded: bytes) -> int:
    """Return the value of a storage slot, 0 where the trie holds nothing (b"").

    Raises rlp.DecodingError or rlp.DeserializationError for what is no RLP of a number.
    """
    if not encoded:
        return 0
    value, position = _decode(encoded, 0)
    if value == _NOT_CANONICAL or position != len(encoded):
        return int(decode(encoded, big_endian_int))  # type: ignore[no-untyped-call]
    return value


def _encode(value: int) -> bytes:
    if 0 <= value < 0x80:
        return _ONE_DIGIT[value]
    return string_item(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _decode(encoded: bytes, position: int) -> tuple[int, int]:
    """Return the number at this position and the position after it."""
    first = encoded[position]
    position += 1
    if first <= 0x80:
        return (first & 0x7F if first else _NOT_CANONICAL), position
    size = first - 0x80
    if size > 32:
        return _NOT_CANONICAL, position
    after = position + size
    value = int.from_bytes(encoded[position:after], "big")
    return (value if value >= _LEAST[size] else _NOT_CANONICAL), after
