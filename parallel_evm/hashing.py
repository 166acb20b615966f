"""Keccak-256, by the fast library, without anybody having to ask for it.

Responsible for: the one hash function of this package, and for giving py-evm the same one.
Talks to: safe-pysha3 (imported as `sha3`) and `eth_hash`.
Never: overrules the backend that a user chose with `ETH_HASH_BACKEND`.

`eth_hash` tries pycryptodome before pysha3, so where both are installed (they always are: py-evm
needs the first, this package the second) it settles for the one that takes four to six times as
long for the 64 bytes of a mapping slot.
"""

from functools import lru_cache

from eth_hash.auto import keccak as eth_hash_keccak
from eth_hash.utils import get_backend_in_environment, load_backend
from sha3 import keccak_256


def keccak(data: bytes) -> bytes:
    """Return the Keccak-256 of `data`, 32 bytes (as Ethereum has it, which is not SHA3-256)."""
    digest: bytes = keccak_256(data).digest()
    return digest


@lru_cache(maxsize=1 << 15)
def trie_key(key: bytes) -> bytes:
    """The same of an address or a slot, which come again and again."""
    return keccak(key)


def use_fast_keccak() -> None:
    """Let py-evm, trie, eth-keys and web3 hash with the library that this package uses.

    All of them hold one object, the `keccak` of `eth_hash.auto`, imported by name: replacing the
    module's attribute would reach nobody. The object itself binds its backend on the first call,
    by assigning its attributes `hasher` and `preimage`; this does the same assignment, so it
    works before and after that first call, for every holder. Calling it again changes nothing.

    With `ETH_HASH_BACKEND` set, the user's choice (and eth_hash's own complaint, if the name is
    wrong) stands and nothing is done.
    """
    if get_backend_in_environment():
        return
    backend = load_backend("pysha3")
    eth_hash_keccak.hasher = backend.keccak256
    eth_hash_keccak.preimage = backend.preimage
