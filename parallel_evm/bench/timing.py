"""The import of a block, or of several, timed; whoever comes second gets nothing for nothing.

Responsible for: what is inside the measured time (``import_block`` as a whole) and what is not.
Talks to: a chain, py-evm's own or a parallel one.
Never: judges the block that comes out.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import rlp.codec
from eth.chains.base import MiningChain
from eth.db import trie as eth_trie


@dataclass(frozen=True, slots=True)
class Timed:
    """Blocks as they were imported, and the seconds that took, in this process."""

    blocks: tuple[Any, ...]
    wall: float
    cpu: float

    @property
    def block(self) -> Any:
        """The last one."""
        return self.blocks[-1]


Importer = Callable[[Any, Iterable[Any], bool], Iterable[Any]]
"""As `import_blocks`: of a chain, blocks, and whether they are to be refused when they come out
other than they went in."""


def one_by_one(chain: Any, blocks: Iterable[Any], validate: bool) -> Iterator[Any]:
    """An `Importer` for any chain of py-evm's."""
    for block in blocks:
        yield chain.import_block(block, perform_validation=validate)


def timed_import(chain: MiningChain, encoded: bytes, *, validate: bool = True) -> Timed:
    """Import the block of this RLP, so that no sender, trie or hash is known beforehand.

    ``validate`` False: py-evm does not refuse a block that comes out other than it went in.
    """
    return timed_stream(chain, [encoded], one_by_one, validate=validate)


def timed_stream(
    chain: MiningChain, encoded: Sequence[bytes], importer: Importer, *, validate: bool = True
) -> Timed:
    """The same for several blocks, one after the other."""
    block_class = chain.get_vm().get_block_class()
    blocks: list[Any] = [
        rlp.codec.decode(block, sedes=block_class)  # type: ignore[no-untyped-call]
        for block in encoded
    ]
    # py-evm remembers transaction and receipt tries by their content.
    eth_trie._make_trie_root_and_nodes.cache_clear()
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    imported = tuple(done.imported_block for done in importer(chain, blocks, validate))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Timed(imported, wall, cpu)


def encoded_block(block: Any) -> bytes:
    """The RLP of a block."""
    encoded: bytes = rlp.codec.encode(block)  # type: ignore[no-untyped-call]
    return encoded
