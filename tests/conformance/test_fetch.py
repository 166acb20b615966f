"""Fetching over JSON-RPC: against a node that serves what anvil answered, and against bad nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parallel_evm.conformance.fetch import fetch_block
from parallel_evm.conformance.recorded import load
from parallel_evm.conformance.replay import replay
from parallel_evm.conformance.subject import Stock
from parallel_evm.inputs import InputError

DATA = Path(__file__).parent / "data"
Answer = Callable[[str, list[Any]], Any]


def read(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


def as_anvil(method: str, params: list[Any]) -> Any:
    """What anvil answered for block 6 and its ancestors."""
    if method == "debug_traceBlockByNumber" and params == ["0x6", {"tracer": "prestateTracer"}]:
        return {"result": read("anvil_traces")["result"]}
    if method == "eth_getBlockByNumber" and params == ["0x6", True]:
        return {"result": read("anvil_block")["result"]}
    if method == "eth_getBlockByNumber":
        found = read("anvil_block_hashes").get(str(int(params[0], 16)))
        return {"result": found and {"hash": found}}
    return {"error": {"code": -32601, "message": f"the method {method} does not exist"}}


def without_tracing(method: str, params: list[Any]) -> Any:
    if method.startswith("debug_"):
        return {"error": {"code": -32601, "message": f"the method {method} does not exist"}}
    return as_anvil(method, params)


@pytest.fixture
def serve(serve_json: Any) -> Callable[[Answer | bytes], str]:
    """Start a JSON-RPC node on loopback that gives these answers; returns its URL."""

    def start(answer: Answer | bytes) -> str:
        def respond(asked: Any) -> bytes:
            if isinstance(answer, bytes):
                return answer
            reply = answer(asked["method"], asked["params"])
            return json.dumps({"jsonrpc": "2.0", "id": asked["id"], **reply}).encode()

        url: str = serve_json(respond)
        return url

    return start


def test_a_fetched_block_can_be_replayed(serve: Any, tmp_path: Path) -> None:
    recording = fetch_block(serve(as_anvil), 6, tmp_path / "6")
    assert recording == load(tmp_path / "6")
    assert recording.source == str(tmp_path / "6")
    assert len(recording.traces) == 1, "merged when it was fetched"
    assert sorted(recording.block_hashes) == [3, 5], "the parent, and what BLOCKHASH asked for"
    assert replay(recording, Stock()).equal


def test_a_fetched_block_need_not_be_kept(serve: Any, tmp_path: Path) -> None:
    url = serve(as_anvil)
    recording = fetch_block(url, 6)
    kept = fetch_block(url, 6, tmp_path / "6")
    assert recording == replace(kept, source=f"{url} block 6")
    assert recording.prestate_source == recording.source, "no file to be named"
    assert replay(recording, Stock()).equal


def test_a_node_that_cannot_trace(serve: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"debug_traceBlockByNumber: the node refuses: the method"):
        fetch_block(serve(without_tracing), 6, tmp_path / "6")
    assert not (tmp_path / "6").exists()


def test_a_block_the_node_does_not_know(serve: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"eth_getBlockByNumber\(0x63\): the node knows no such"):
        fetch_block(serve(as_anvil), 99, tmp_path / "99")


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"[]", b'"x"'])
def test_an_answer_that_is_not_json_rpc(serve: Any, tmp_path: Path, body: bytes) -> None:
    with pytest.raises(InputError, match=r"^http://127.*: eth_getBlockByNumber: no answer"):
        fetch_block(serve(body), 6, tmp_path / "6")


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9: eth_getBlockByNumber: no answer"):
        fetch_block("http://127.0.0.1:9", 6, tmp_path / "6")


def test_no_url(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: eth_getBlockByNumber: no answer"):
        fetch_block("nowhere", 6, tmp_path / "6")
