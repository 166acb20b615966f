"""The fast keccak is right, reaches every holder of eth_hash's, and gives way to the user."""

import eth.db.account
import eth_hash.auto
import pytest
from eth_hash.auto import AutoBackend
from eth_hash.backends import pycryptodome
from eth_hash.main import Keccak256
from hexbytes import HexBytes

from parallel_evm import hashing

EMPTY = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@pytest.fixture
def auto_keccak(monkeypatch: pytest.MonkeyPatch) -> Keccak256:
    """A `keccak` like that of eth_hash.auto in a new process, in its place here."""
    monkeypatch.delenv("ETH_HASH_BACKEND", raising=False)
    fresh = Keccak256(AutoBackend())
    monkeypatch.setattr(hashing, "eth_hash_keccak", fresh)
    return fresh


def test_keccak() -> None:
    assert hashing.keccak(b"").hex() == EMPTY
    data = bytes(range(256)) * 3
    for size in (1, 32, 64, 135, 136, 137, 271, 272, 273, 532, len(data)):  # 136 at a time
        assert hashing.keccak(data[:size]) == pycryptodome.keccak256(data[:size])


def test_the_keys_of_tries_are_hashed_alike_again_and_again() -> None:
    for key in (b"\x01" * 20, bytes(32), b""):
        assert hashing.trie_key(key) == hashing.trie_key(key) == hashing.keccak(key)


def test_py_evm_holds_the_object_that_is_changed() -> None:
    assert hashing.eth_hash_keccak is eth_hash.auto.keccak is eth.db.account.keccak


@pytest.mark.parametrize("used_before", [False, True])
def test_fast_keccak_before_and_after_the_first_hash(
    auto_keccak: Keccak256, used_before: bool
) -> None:
    if used_before:
        auto_keccak(b"")
        assert auto_keccak.hasher == pycryptodome.keccak256
    for _ in range(2):
        hashing.use_fast_keccak()
        assert auto_keccak.hasher is hashing._hasher
    assert auto_keccak(b"").hex() == auto_keccak(bytearray()).hex() == EMPTY
    assert auto_keccak(bytearray(b"\x01" * 64)) == pycryptodome.keccak256(b"\x01" * 64)
    assert auto_keccak(HexBytes(EMPTY)) == pycryptodome.keccak256(bytes.fromhex(EMPTY))
    assert auto_keccak.new(b"").digest().hex() == EMPTY
    with pytest.raises(TypeError):
        auto_keccak("text")  # type: ignore[arg-type]


def test_the_users_choice_stands(auto_keccak: Keccak256, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETH_HASH_BACKEND", "pycryptodome")
    hashing.use_fast_keccak()
    assert auto_keccak(b"").hex() == EMPTY
    assert auto_keccak.hasher == pycryptodome.keccak256
