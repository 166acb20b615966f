"""Records a block of a live chain through JSON-RPC, as `replay` takes it.

Needs a node that serves `debug_traceBlockByNumber` with the prestateTracer (geth, reth, erigon,
anvil). The traces are merged into the state before the block by running it once on stock py-evm,
which also finds out whose hashes BLOCKHASH wants.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from eth_typing import URI, Hash32
from requests.exceptions import RequestException
from web3.exceptions import Web3Exception
from web3.providers.rpc import HTTPProvider
from web3.types import RPCEndpoint

from parallel_evm.conformance.prestate import merged
from parallel_evm.conformance.recording import Recording, load, read_recording, save
from parallel_evm.inputs import InputError, Node


def fetch_block(
    url: str, number: int, folder: Path | None = None, fork: str | None = None
) -> Recording:
    """Fetch a block with its pre-state. If there is a `folder`, it is kept there and read again.

    Raises InputError, which names the URL and the method, if the node cannot be reached, does not
    serve the method or does not know the block, and if what it serves does not fit together.
    """
    node = _RpcNode(url)
    block = node.ask("eth_getBlockByNumber", hex(number), True)
    traces = node.ask("debug_traceBlockByNumber", hex(number), {"tracer": "prestateTracer"})
    recording = read_recording(f"{url} block {number}", block, traces, fork=fork)

    hashes = dict(recording.block_hashes)

    def hash_of(ancestor: int) -> Hash32:
        found = node.ask("eth_getBlockByNumber", hex(ancestor), False).member("hash").data(32)
        hashes[ancestor] = Hash32(found)
        return hashes[ancestor]

    recording = replace(merged(recording, hash_of), block_hashes=hashes)
    if folder is None:
        return recording
    (state,) = recording.traces
    save(folder, block.value, state, hashes)
    return load(folder, fork)


class _RpcNode:
    """A JSON-RPC endpoint whose every failure is one clear line."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._provider = HTTPProvider(URI(url))

    def ask(self, method: str, *params: Any) -> Node:
        try:
            response: Any = self._provider.make_request(RPCEndpoint(method), list(params))
        except (RequestException, Web3Exception, ValueError) as problem:
            raise InputError(self._url, method, f"no answer ({problem})") from None
        if not isinstance(response, dict):
            raise InputError(self._url, method, "no answer (not JSON-RPC)")
        error = response.get("error")
        if error is not None:
            reason = error.get("message", error) if isinstance(error, dict) else error
            raise InputError(self._url, method, f"the node refuses: {reason}")
        result = response.get("result")
        if result is None:
            raise InputError(self._url, f"{method}({params[0]})", "the node knows no such block")
        return Node(self._url, method, result)
