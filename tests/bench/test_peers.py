"""anvil beside us: found where npm leaves it, given the workload's state, held against py-evm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_canonical_address

from parallel_evm import workloads
from parallel_evm.bench import peers
from parallel_evm.bench.blocks import BlocksDiffer, prepare
from parallel_evm.bench.peers import PeerUnusable, find_anvil, measure_anvil

BINARY = Path("anvil")
Change = Callable[[str, list[Any], Any], Any]


class Node:
    """Answers as anvil does, by py-evm. ``change`` may spoil an answer."""

    def __init__(self, workload: Any, change: Change) -> None:
        self._chain = workload.open()
        self._pending: list[Any] = []
        self._receipts: dict[str, Any] = {}
        self._change = change
        self.given: list[tuple[str, list[Any]]] = []

    def ask(self, method: str, *arguments: Any) -> Any:
        return self._change(method, list(arguments), self._answer(method, list(arguments)))

    def ask_all(self, requests: Any) -> list[Any]:
        return [self.ask(method, *arguments) for method, arguments in requests]

    def _answer(self, method: str, arguments: list[Any]) -> Any:
        state = self._chain.get_vm().state
        if method == "web3_clientVersion":
            return "fake/v1"
        if method == "eth_sendRawTransaction":
            builder = self._chain.get_vm().get_transaction_builder()
            sent = builder.decode(bytes.fromhex(arguments[0][2:]))
            self._pending.append(sent)
            return "0x" + sent.hash.hex()
        if method == "evm_mine":
            self._mine()
            return "0x0"
        if method == "eth_getTransactionReceipt":
            return self._receipts[arguments[0]]
        if method == "eth_getBalance":
            return hex(state.get_balance(to_canonical_address(arguments[0])))
        if method == "eth_getTransactionCount":
            return hex(state.get_nonce(to_canonical_address(arguments[0])))
        if method == "eth_getStorageAt":
            slot = int(arguments[1], 16)
            return f"0x{state.get_storage(to_canonical_address(arguments[0]), slot):064x}"
        assert method.startswith(("anvil_set", "evm_set")), method
        self.given.append((method, arguments))
        return None

    def _mine(self) -> None:
        result, receipts, _ = self._chain.mine_all(self._pending)
        used = 0
        for index, (sent, receipt) in enumerate(zip(self._pending, receipts, strict=True)):
            self._receipts["0x" + sent.hash.hex()] = {
                "transactionIndex": hex(index),
                "blockNumber": hex(result.imported_block.number),
                "status": "0x1",
                "gasUsed": hex(receipt.gas_used - used),
            }
            used = receipt.gas_used
        self._pending = []


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Node]]:
    """Put a node of py-evm in anvil's place; what comes back is filled when it starts."""

    def install(name: str, change: Change = lambda method, arguments, answer: answer) -> list[Node]:
        started: list[Node] = []

        @contextmanager
        def fake(binary: Path, genesis: Any) -> Iterator[Node]:
            started.append(Node(workloads.build(name, transactions=6, blocks=2), change))
            yield started[0]

        monkeypatch.setattr(peers, "_anvil", fake)
        return started

    return install


def test_the_node_gets_contracts_and_state_and_equal_results_pass(node: Any) -> None:
    started = node("hot-pool")
    found = measure_anvil(BINARY, prepare("hot-pool", transactions=6, blocks=1))
    assert (found.name, found.version) == ("anvil", "fake/v1")
    assert found.warm_ms > 0 and found.cold_ms > 0
    methods = [method for method, _ in started[0].given]
    assert methods.count("anvil_setCode") > 3  # router, pools, tokens
    assert methods.count("anvil_setStorageAt") > 20
    assert methods.count("anvil_setNextBlockBaseFeePerGas") == 2


SPOILT: dict[str, Change] = {
    "status": lambda method, arguments, answer: (
        {**answer, "status": "0x0"} if method == "eth_getTransactionReceipt" else answer
    ),
    "gasUsed": lambda method, arguments, answer: (
        {**answer, "gasUsed": "0x5208"} if method == "eth_getTransactionReceipt" else answer
    ),
    "eth_getStorageAt": lambda method, arguments, answer: (
        hex(int(answer, 16) + 1) if method == "eth_getStorageAt" else answer
    ),
    "eth_getBalance": lambda method, arguments, answer: (
        "0x1" if method == "eth_getBalance" else answer
    ),
    "None": lambda method, arguments, answer: (
        None if method == "eth_getTransactionReceipt" else answer
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_another_result_is_no_measurement(node: Any, what: str) -> None:
    node("erc20", SPOILT[what])
    workload = prepare("erc20", transactions=6, blocks=1)
    with pytest.raises(BlocksDiffer, match=what):
        measure_anvil(BINARY, workload)


def test_anvil_is_found_where_npm_puts_it_and_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
    binary.parent.mkdir(parents=True)
    (tmp_path / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "down")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeerUnusable, match="npm install @foundry-rs/anvil"):
        find_anvil()
    binary.touch(0o755)
    assert find_anvil() == binary
    (tmp_path / "anvil").touch(0o755)
    assert find_anvil() == tmp_path / "anvil"


def test_an_anvil_that_ends_at_once_says_why(tmp_path: Path) -> None:
    binary = tmp_path / "anvil"
    binary.write_text("#!/bin/sh\necho no such option >&2\nexit 3\n")
    binary.chmod(0o755)
    workload = prepare("transfers", transactions=2, blocks=1)
    with pytest.raises(PeerUnusable, match="ended with 3: no such option"):
        measure_anvil(binary, workload)


@pytest.mark.slow
@pytest.mark.parametrize("name", ("transfers", "swaps"))
def test_anvil_itself_agrees(name: str) -> None:
    try:
        binary = find_anvil()
    except PeerUnusable as problem:
        pytest.skip(str(problem))
    assert measure_anvil(binary, prepare(name, transactions=20, blocks=1)).warm_ms > 0
