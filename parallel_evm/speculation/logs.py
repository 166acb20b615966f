"""Logs in the form in which receipts hold them.

Responsible for: the RLP and the bloom filter of a transaction's log entries, made where the
transaction ran.
Talks to: `merkle.nodes`, for RLP; `bloom`.
Never: reads a receipt, or knows what the logs mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from parallel_evm.merkle.nodes import node_of, string_item
from parallel_evm.speculation.bloom import bits_of

LogEntry = tuple[int, bytes, tuple[int, ...], bytes]
"""(position in the transaction, address, topics, data), as py-evm's computations keep them."""

NO_LOGS: Final = b"\xc0"

_REMEMBERED: Final = 1 << 13
"""Addresses, and topics, of which bits and RLP are kept: blocks name the same tokens and events
again and again. At some 500 bytes each that stays below 8 MB."""


def bloom_and_rlp(logs: Iterable[LogEntry]) -> tuple[int, bytes]:
    """The filter of log entries, 0 for none, and their RLP, equal to what `Log` makes of it."""
    bloom, encoded = 0, []
    for _, address, topics, data in logs:
        bits, item = _address(address)
        bloom |= bits
        words = b""
        for topic in topics:
            bits, word = _topic(topic)
            bloom |= bits
            words += word
        encoded.append(node_of(item + node_of(words) + string_item(data)))
    return bloom, node_of(b"".join(encoded))


@lru_cache(_REMEMBERED)
def _address(address: bytes) -> tuple[int, bytes]:
    return bits_of(address), string_item(address)


@lru_cache(_REMEMBERED)
def _topic(topic: int) -> tuple[int, bytes]:
    word = topic.to_bytes(32, "big")
    return bits_of(word), string_item(word)
