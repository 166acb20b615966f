"""The bloom filter of a receipt, as one number of 2048 bits.

Responsible for: the same filter that `eth_bloom` makes (yellow paper, 4.3.1, M3:2048).
Talks to: `hashing`. Never: knows where the values come from (`logs`), or queries a filter.
"""

from __future__ import annotations

from parallel_evm.hashing import keccak


def bits_of(value: bytes) -> int:
    """The three bits that stand for ``value``: eleven bits each of its hash's first three pairs.

    The filter of several values is the union of theirs.
    """
    digest = int.from_bytes(keccak(value)[:6], "big")
    return 1 << (digest >> 32 & 2047) | 1 << (digest >> 16 & 2047) | 1 << (digest & 2047)
