"""Keccak-256, by the fast library, without anybody having to ask for it.

Responsible for: the one hash function of this package, and for giving py-evm the same one.
Talks to: tiny-keccak and `eth_hash`.
Never: overrules the backend that a user chose with `ETH_HASH_BACKEND`.

`eth_hash` knows two libraries, pycryptodome and pysha3. For the 64 bytes of a mapping slot the
first takes ten times as long as tiny-keccak, and the second twice: it makes an object for a hash.
"""

from functools import lru_cache

from eth_hash.auto import keccak as eth_hash_keccak
from eth_hash.utils import get_backend_in_environment
from tiny_keccak import keccak256 as keccak

__all__ = ["keccak", "trie_key", "use_fast_keccak"]


@lru_cache(maxsize=1 << 15)
def trie_key(key: bytes) -> bytes:
    """The same of an address or a slot, which come again and again."""
    return keccak(key)


def use_fast_keccak() -> None:
    """Let py-evm, trie, eth-keys and web3 hash with the library that this package uses.

    All of them hold one object, the `keccak` of `eth_hash.auto`, imported by name: replacing the
    module's attribute would reach nobody. The object itself binds its backend on the first call,
    by assigning its attribute `hasher`; this does the same assignment, so it works before and
    after that first call, for every holder. Calling it again changes nothing. Hashes that are
    taken piece by piece (`keccak.new`) stay with eth_hash's own backend.

    With `ETH_HASH_BACKEND` set, the user's choice (and eth_hash's own complaint, if the name is
    wrong) stands and nothing is done.
    """
    if get_backend_in_environment():
        return
    eth_hash_keccak.hasher = _hasher


def _hasher(in_data: bytearray | bytes) -> bytes:
    """As `eth_hash` has it, which hashes bytearrays as well."""
    return keccak(in_data if isinstance(in_data, bytes) else bytes(in_data))
