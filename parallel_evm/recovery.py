"""Public-key recovery: whose key signed?

Responsible for: `signer`, the one place where a signature becomes an address.
Source: yellow paper, appendix F.
Talks to: libsecp256k1, through coincurve.
Never: knows what was signed, or which signatures a fork accepts.
"""

from __future__ import annotations

from coincurve import PublicKey

from parallel_evm.hashing import keccak


def signer(signature: bytes, digest: bytes) -> bytes:
    """The address, 20 bytes, whose key made ``signature`` of ``digest``.

    ``signature``: r and s, 32 bytes each, and 0 or 1 for the parity of y. Raises ValueError where
    no key can be recovered.
    """
    key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    return keccak(key.format(compressed=False)[1:])[12:]


def signature_of(r: int, s: int, parity: int) -> bytes:
    """A signature as `signer` takes it. Raises OverflowError or ValueError for what is none."""
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,))
