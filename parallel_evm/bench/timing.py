"""The import of a block, timed; whoever comes second gets nothing for nothing.

Responsible for: what is inside the measured time (``import_block`` as a whole) and what is not.
Talks to: a chain, py-evm's own or a parallel one.
Never: judges the block that comes out.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from typing import Any

import rlp.codec
from eth.chains.base import MiningChain
from eth.db import trie as eth_trie


@dataclass(frozen=True, slots=True)
class Timed:
    """A block as it was imported, and the seconds that took, in this process."""

    block: Any
    wall: float
    cpu: float


def timed_import(chain: MiningChain, encoded: bytes, *, validate: bool = True) -> Timed:
    """Import the block of this RLP, so that no sender, trie or hash is known beforehand.

    ``validate`` False: py-evm does not refuse a block that comes out other than it went in.
    """
    block_class = chain.get_vm().get_block_class()
    block: Any = rlp.codec.decode(encoded, sedes=block_class)  # type: ignore[no-untyped-call]
    # py-evm remembers transaction and receipt tries by their content.
    eth_trie._make_trie_root_and_nodes.cache_clear()
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    imported = chain.import_block(block, perform_validation=validate).imported_block
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Timed(imported, wall, cpu)


def encoded_block(block: Any) -> bytes:
    """The RLP of a block."""
    encoded: bytes = rlp.codec.encode(block)  # type: ignore[no-untyped-call]
    return encoded
