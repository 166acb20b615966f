"""anvil, Foundry's development node, on the same transactions as the workloads.

anvil is written in Rust and runs revm: what it takes for a block says how far Python is from there.
Its state is the workload's own, set through its RPC; then each block's transactions, signed long
before, are sent while mining is switched off, and ``evm_mine`` is timed. What anvil made of them
is compared: every receipt's status and gas, and every balance, nonce and storage slot that stock
py-evm touched.

Talks to: an anvil of our own, started for this and stopped afterwards. Never: the network.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from eth_typing import Address
from eth_utils.hexadecimal import encode_hex

from parallel_evm.bench.blocks import BlocksDiffer
from parallel_evm.errors import ParallelEVMError
from parallel_evm.rpc import RpcNode
from parallel_evm.workloads import Workload
from parallel_evm.workloads.forks import CHAIN_ID

INCLUDED: Final = (
    "evm_mine alone, one JSON-RPC call: execution, receipts, state root. Not included: sending and "
    "checking transactions, recovering their senders, importing a block, writing to a database"
)
_PATIENCE: Final = 30.0


class PeerUnusable(ParallelEVMError):
    """anvil is not there, or does not start."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another implementation on one workload. Times per transaction, medians over warm blocks."""

    name: str
    version: str
    cold_ms: float
    warm_ms: float

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "included": INCLUDED}


def find_anvil() -> Path:
    """anvil on the PATH, or where npm puts ``@foundry-rs/anvil`` in this folder or one above.

    Raises `PeerUnusable`.
    """
    found = shutil.which("anvil")
    if found is not None:
        return Path(found)
    here = Path.cwd()
    for folder in (here, *here.parents):
        # The binary itself: npm's launcher would stand between us and the process.
        for binary in folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*"):
            if os.access(binary, os.X_OK):
                return binary
    raise PeerUnusable(
        "--peers: there is no anvil on the PATH or in node_modules; "
        "`npm install @foundry-rs/anvil` brings it"
    )


def measure_anvil(
    binary: Path,
    workload: Workload,
    *,
    progress: Callable[[str], None] = lambda text: None,
) -> Peer:
    """Measure anvil on a workload, as `bench.blocks.measure` measures us.

    Raises `BlocksDiffer` where anvil's results are not py-evm's, `PeerUnusable` if it does not
    start, `InputError` if it does not answer as it should.
    """
    transactions = len(workload.blocks[0])
    expected = _Expected(workload, progress)
    seconds = []
    with _anvil(binary, expected.genesis) as node:
        version = str(node.ask("web3_clientVersion"))
        expected.prepare(node)
        for number, block in enumerate(expected.blocks):
            progress(f"{workload.name}: anvil, block {number + 1} of {len(expected.blocks)}")
            seconds.append(_mine(node, block))
        expected.compare_state(node)
    return Peer(
        name="anvil",
        version=version,
        cold_ms=seconds[0] / transactions * 1e3,
        warm_ms=statistics.median(seconds[1:]) / transactions * 1e3,
    )


@dataclass(frozen=True, slots=True)
class _Block:
    """A block by stock py-evm."""

    header: Any
    transactions: Sequence[Any]
    receipts: Sequence[Any]


class _Expected:
    """The workload's blocks by stock py-evm: what they need, and what comes of them."""

    def __init__(self, workload: Workload, progress: Callable[[str], None]) -> None:
        chain = workload.open()
        self._before = workload.open().get_vm().state
        self.genesis: Any = chain.get_canonical_head()
        self.blocks: list[_Block] = []
        accounts: set[Address] = set()
        slots: set[tuple[Address, int]] = set()
        for number, transactions in enumerate(workload.blocks):
            progress(f"{workload.name}: py-evm builds block {number + 1} of {len(workload.blocks)}")
            result, receipts, _ = chain.mine_all(list(transactions))
            self.blocks.append(_Block(result.imported_block.header, transactions, receipts))
            witness = result.meta_witness
            accounts |= witness.accounts_queried
            for address in witness.accounts_queried:
                slots |= {(address, slot) for slot in witness.get_slots_queried(address)}
        self._after = chain.get_vm().state
        self._accounts = sorted(accounts)
        self._slots = sorted(slots)

    def prepare(self, node: RpcNode) -> None:
        """Give the node all state that the blocks will look at."""
        state, requests = self._before, []
        for address in self._accounts:
            where = encode_hex(address)
            requests.append(("anvil_setBalance", [where, hex(state.get_balance(address))]))
            if state.get_nonce(address):
                requests.append(("anvil_setNonce", [where, hex(state.get_nonce(address))]))
            if state.get_code(address):
                requests.append(("anvil_setCode", [where, encode_hex(state.get_code(address))]))
        for address, slot in self._slots:
            value = state.get_storage(address, slot)
            if value:
                arguments = [encode_hex(address), hex(slot), f"0x{value:064x}"]
                requests.append(("anvil_setStorageAt", arguments))
        node.ask_all(requests)

    def compare_state(self, node: RpcNode) -> None:
        """Balances, nonces and slots (pools' reserves among them) are as py-evm leaves them."""
        state, questions = self._after, []
        for address in self._accounts:
            where = [encode_hex(address), "latest"]
            questions += [
                (("eth_getBalance", where), state.get_balance(address)),
                (("eth_getTransactionCount", where), state.get_nonce(address)),
            ]
        for address, slot in self._slots:
            request = ("eth_getStorageAt", [encode_hex(address), hex(slot), "latest"])
            questions.append((request, state.get_storage(address, slot)))
        answers = node.ask_all([request for request, _ in questions])
        for ((method, arguments), value), answer in zip(questions, answers, strict=True):
            if int(answer, 16) != value:
                raise BlocksDiffer(f"anvil: {method}{arguments[:-1]}: {answer}, not {hex(value)}")


def _mine(node: RpcNode, block: _Block) -> float:
    """Send a block's transactions, mine them, compare the receipts; the seconds of evm_mine."""
    header = block.header
    node.ask("anvil_setNextBlockBaseFeePerGas", hex(header.base_fee_per_gas))
    node.ask("evm_setBlockGasLimit", hex(header.gas_limit))
    node.ask("anvil_setCoinbase", encode_hex(header.coinbase))
    # One by one: anvil goes about the requests of a batch in any order.
    hashes = [
        node.ask("eth_sendRawTransaction", encode_hex(sent.encode())) for sent in block.transactions
    ]
    started = time.perf_counter()
    node.ask("evm_mine", {"timestamp": header.timestamp})
    seconds = time.perf_counter() - started
    answers = node.ask_all([("eth_getTransactionReceipt", [found]) for found in hashes])
    used = 0
    for index, (answer, receipt) in enumerate(zip(answers, block.receipts, strict=True)):
        used = receipt.gas_used - used
        wanted = (index, header.block_number, 1, used)
        used = receipt.gas_used
        fields = ("transactionIndex", "blockNumber", "status", "gasUsed")
        found = tuple(int(answer[field], 16) for field in fields) if answer else None
        if found != wanted or receipt.state_root != b"\x01":
            raise BlocksDiffer(f"anvil: transaction {index}: {fields} {found}, not {wanted}")
    return seconds


@contextmanager
def _anvil(binary: Path, genesis: Any) -> Iterator[RpcNode]:
    """An anvil of our own on a free port, with the workload's chain id and no accounts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(binary),
        *("--host", "127.0.0.1", "--port", str(port), "--accounts", "0"),
        *("--chain-id", str(CHAIN_ID), "--hardfork", "cancun"),
        *("--no-mining", "--order", "fifo", "--disable-default-create2-deployer"),
        *("--number", str(genesis.block_number), "--timestamp", str(genesis.timestamp)),
        *("--gas-limit", str(genesis.gas_limit)),
        *("--block-base-fee-per-gas", str(genesis.base_fee_per_gas)),
    ]
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=True,  # one group, to be stopped whole
            )
        except OSError as problem:
            raise PeerUnusable(f"anvil: {binary}: {problem.strerror}") from problem
        try:
            _await(process, port, complaints)
            yield RpcNode(f"http://127.0.0.1:{port}")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # it keeps nothing
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, complaints: IO[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        if process.poll() is not None:
            complaints.seek(0)
            said = " ".join(complaints.read(200).decode(errors="replace").split())
            raise PeerUnusable(f"anvil ended with {process.returncode}: {said}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError as problem:
            if time.monotonic() > deadline:
                raise PeerUnusable(f"anvil does not listen after {_PATIENCE:.0f} s") from problem
            time.sleep(0.05)
