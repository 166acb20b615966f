"""Records a block of a live chain through JSON-RPC, as `replay` takes it.

Needs a node that serves `debug_traceBlockByNumber` with the prestateTracer (geth, reth, erigon,
anvil). The traces are merged into the state before the block by running it once on stock py-evm,
which also finds out whose hashes BLOCKHASH wants.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from eth_typing import Hash32

from parallel_evm.conformance.prestate import merged
from parallel_evm.conformance.recorded import RecordedBlock, load, read_block, save
from parallel_evm.inputs import InputError, Node
from parallel_evm.rpc import RpcNode


def fetch_block(
    url: str, number: int, folder: Path | None = None, fork: str | None = None
) -> RecordedBlock:
    """Fetch a block with its pre-state. If there is a `folder`, it is kept there and read again.

    Raises InputError, which names the URL and the method, if the node cannot be reached, does not
    serve the method or does not know the block, and if what it serves does not fit together.
    """
    node = RpcNode(url)
    block = _ask(node, "eth_getBlockByNumber", number, True)
    traces = _ask(node, "debug_traceBlockByNumber", number, {"tracer": "prestateTracer"})
    recording = read_block(f"{url} block {number}", block, traces, fork=fork)

    hashes = dict(recording.block_hashes)

    def hash_of(ancestor: int) -> Hash32:
        found = _ask(node, "eth_getBlockByNumber", ancestor, False)
        hashes[ancestor] = Hash32(found.member("hash").data(32))
        return hashes[ancestor]

    recording = replace(merged(recording, hash_of), block_hashes=hashes)
    if folder is None:
        return recording
    (state,) = recording.traces
    save(folder, block.value, state, hashes)
    return load(folder, fork)


def _ask(node: RpcNode, method: str, number: int, *more: Any) -> Node:
    """What the node says of a block, which it has to know."""
    answer = node.ask(method, hex(number), *more)
    if answer is None:
        raise InputError(node.url, f"{method}({hex(number)})", "the node knows no such block")
    return Node(node.url, method, answer)
