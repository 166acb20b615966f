"""The bloom filter of a receipt, as one number of 2048 bits.

Responsible for: the same filter that `eth_bloom` makes (yellow paper, 4.3.1, M3:2048).
Talks to: `hashing`; `logs`, for what an entry is.
Never: decodes or queries a filter.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from parallel_evm.hashing import keccak
from parallel_evm.speculation.logs import LogEntry

_REMEMBERED = 1 << 14
"""Addresses and topics whose bits are kept: blocks name the same tokens and events again and
again. At some 400 bytes each this stays below 8 MB."""


def bloom_of(logs: Iterable[LogEntry]) -> int:
    """The filter of log entries; 0 for none."""
    bloom = 0
    for _, address, topics, _ in logs:
        bloom |= _bits(address)
        for topic in topics:
            bloom |= _bits(topic.to_bytes(32, "big"))
    return bloom


@lru_cache(_REMEMBERED)
def _bits(value: bytes) -> int:
    """The three bits that stand for ``value``: eleven bits each of its hash's first three pairs."""
    digest = int.from_bytes(keccak(value)[:6], "big")
    return 1 << (digest >> 32 & 2047) | 1 << (digest >> 16 & 2047) | 1 << (digest & 2047)
