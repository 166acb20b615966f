"""Accounts that sign.

Responsible for: private keys that follow from a seed, and what they sign.
Talks to: coincurve, through eth-keys.
Never: keeps a nonce or a balance.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from eth_keys.backends.coincurve import CoinCurveECCBackend
from eth_keys.datatypes import PrivateKey
from eth_keys.main import KeyAPI
from eth_typing import Address

from parallel_evm.hashing import keccak


@dataclass(frozen=True, slots=True)
class Account:
    """An account with a key."""

    address: Address
    key: PrivateKey = field(repr=False)


def account(seed: int, role: str) -> Account:
    """Return the account that plays `role` in the world grown from `seed`."""
    # keccak is below the order of secp256k1, and not zero, but for one digest in 2**128.
    secret = keccak(f"parallel-evm workload {seed}: {role}".encode())
    key = KeyAPI(CoinCurveECCBackend()).PrivateKey(secret)
    return Account(Address(key.public_key.to_canonical_address()), key)


def nobody(seed: int, role: str) -> Address:
    """Return an address that nobody has the key of and nobody has used."""
    return Address(keccak(f"parallel-evm workload {seed}: address {role}".encode())[12:])
