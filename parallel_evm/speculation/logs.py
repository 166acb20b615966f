"""Logs in the form in which receipts hold them.

Responsible for: the RLP of a transaction's log entries, made where the transaction ran.
Talks to: `merkle.nodes`, for RLP.
Never: reads a receipt, or knows what the logs mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from parallel_evm.merkle.nodes import node_of, string_item

LogEntry = tuple[int, bytes, tuple[int, ...], bytes]
"""(position in the transaction, address, topics, data), as py-evm's computations keep them."""

NO_LOGS: Final = b"\xc0"


def encode_logs(logs: Iterable[LogEntry]) -> bytes:
    """The RLP of log entries, equal to what `Log` makes of it."""
    encoded = []
    for _, address, topics, data in logs:
        words = b"".join([b"\xa0" + topic.to_bytes(32, "big") for topic in topics])
        encoded.append(node_of(string_item(address) + node_of(words) + string_item(data)))
    return node_of(b"".join(encoded)) if encoded else NO_LOGS
