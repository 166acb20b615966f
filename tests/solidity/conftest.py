"""A py-evm chain with the contracts of `fixtures/artifacts` on it, for the tests of the contracts.

Stock py-evm only: nothing of parallel_evm runs here. Every `send` is one transaction in one block,
with a timestamp and number that the tests can rely on (12 seconds after the block before).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from eth import constants
from eth.abc import ComputationAPI, ReceiptAPI, VirtualMachineAPI
from eth.chains.base import MiningChain
from eth.consensus import NoProofConsensus
from eth.db.atomic import AtomicDB
from eth.vm.forks import CancunVM
from eth_abi import decode, encode
from eth_keys import keys
from eth_utils import keccak, to_canonical_address, to_checksum_address
from eth_utils.abi import (
    abi_to_signature,
    event_abi_to_log_topic,
    function_abi_to_4byte_selector,
    get_abi_input_types,
    get_abi_output_types,
)

ARTIFACTS = Path(__file__).parents[2] / "fixtures" / "artifacts"
SECONDS_PER_BLOCK = 12
GAS = 12_000_000
GAS_PRICE = 2 * 10**9
ETHER = 10**18
PANIC = {"name": "Panic", "type": "error", "inputs": [{"name": "code", "type": "uint256"}]}
REASON = {"name": "Error", "type": "error", "inputs": [{"name": "text", "type": "string"}]}


@cache
def artifact(name: str) -> dict[str, Any]:
    return json.loads((ARTIFACTS / f"{name}.json").read_text())


@cache
def errors_by_selector() -> dict[bytes, dict[str, Any]]:
    """Every error of every contract: an inner contract's error surfaces through the outer one."""
    abis = [artifact(path.stem)["abi"] for path in ARTIFACTS.glob("*.json")]
    errors = [entry for abi in abis for entry in abi if entry["type"] == "error"]
    return {keccak(text=abi_to_signature(e))[:4]: e for e in [PANIC, REASON, *errors]}


def arguments(abi: dict[str, Any], values: tuple[Any, ...]) -> bytes:
    return encode(get_abi_input_types(abi), [plain(value) for value in values])


def plain(value: Any) -> Any:
    """Accounts and contracts stand for their addresses, in lists too."""
    if isinstance(value, list | tuple) and not isinstance(value, Account):
        return [plain(item) for item in value]
    return getattr(value, "address", value)


class Account(NamedTuple):
    key: keys.PrivateKey
    address: str


class Event(NamedTuple):
    name: str
    args: dict[str, Any]


class Refusal(NamedTuple):
    """A revert: the name of the Solidity error ('' if there is no data) and its arguments."""

    error: str
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    receipt: ReceiptAPI
    computation: ComputationAPI

    def refusal(self) -> Refusal:
        data = self.computation.output
        if not data:
            return Refusal("", ())
        abi = errors_by_selector()[data[:4]]
        return Refusal(abi["name"], decode(get_abi_input_types(abi), data[4:]))


@dataclass(frozen=True)
class Contract:
    world: World
    name: str
    address: str

    def abi(self, function: str) -> dict[str, Any]:
        return next(entry for entry in artifact(self.name)["abi"] if entry.get("name") == function)

    def calldata(self, function: str, *values: Any) -> bytes:
        abi = self.abi(function)
        return function_abi_to_4byte_selector(abi) + arguments(abi, values)

    def send(self, sender: Account, function: str, *values: Any, value: int = 0) -> list[Event]:
        """Mine a call that must succeed; returns this contract's events."""
        outcome = self.world.mine(sender, self.address, self.calldata(function, *values), value)
        assert outcome.receipt.state_root == b"\x01", outcome.refusal()
        return self.events(outcome.receipt)

    def refuse(self, sender: Account, function: str, *values: Any, value: int = 0) -> Refusal:
        """Mine a call that must revert; returns why."""
        outcome = self.world.mine(sender, self.address, self.calldata(function, *values), value)
        assert outcome.receipt.state_root == b"", f"{self.name}.{function} succeeded"
        return outcome.refusal()

    def read(self, function: str, *values: Any) -> Any:
        output = self.world.view(self.address, self.calldata(function, *values))
        result = decode(get_abi_output_types(self.abi(function)), output)
        return result[0] if len(result) == 1 else result

    def at(self, address: str) -> Contract:
        return Contract(self.world, self.name, address)

    def events(self, receipt: ReceiptAPI) -> list[Event]:
        abis = {
            event_abi_to_log_topic(entry): entry
            for entry in artifact(self.name)["abi"]
            if entry["type"] == "event"
        }
        found = []
        for log in receipt.logs:
            if log.address != to_canonical_address(self.address):
                continue
            abi = abis[log.topics[0].to_bytes(32, "big")]
            topics = [entry for entry in abi["inputs"] if entry["indexed"]]
            rest = [entry for entry in abi["inputs"] if not entry["indexed"]]
            args = {
                entry["name"]: decode([entry["type"]], topic.to_bytes(32, "big"))[0]
                for entry, topic in zip(topics, log.topics[1:], strict=True)
            }
            values = decode([entry["type"] for entry in rest], log.data)
            names = [entry["name"] for entry in rest]
            found.append(Event(abi["name"], args | dict(zip(names, values, strict=True))))
        return found


class World:
    """The chain, its funded accounts, and time."""

    def __init__(self, accounts: int, vm_class: type[VirtualMachineAPI] = CancunVM) -> None:
        self.accounts = [self._account(index) for index in range(accounts)]
        chain_class = MiningChain.configure(
            __name__="ContractTestChain",
            vm_configuration=((0, vm_class.configure(consensus_class=NoProofConsensus)),),
            chain_id=1337,
        )
        self.chain = chain_class.from_genesis(
            AtomicDB(),
            genesis_params={
                "coinbase": constants.ZERO_ADDRESS,
                "difficulty": 0,
                "gas_limit": 30_000_000,
                "timestamp": 1_700_000_000,
            },
            genesis_state={
                to_canonical_address(account.address): {
                    "balance": 10**6 * ETHER,
                    "nonce": 0,
                    "code": b"",
                    "storage": {},
                }
                for account in self.accounts
            },
        )
        self._begin_block(SECONDS_PER_BLOCK)

    @staticmethod
    def _account(index: int) -> Account:
        key = keys.PrivateKey((index + 1).to_bytes(32, "big"))
        return Account(key, key.public_key.to_checksum_address())

    def _begin_block(self, seconds: int) -> None:
        head = self.chain.get_canonical_head()
        self.chain.set_header_timestamp(head.timestamp + seconds)

    @property
    def now(self) -> int:
        """Timestamp of the block that the next transaction goes into."""
        return self.chain.header.timestamp

    def wait(self, seconds: int) -> None:
        """Let the next block come `seconds` later than it would have."""
        self.chain.set_header_timestamp(self.now + seconds)

    def skip_blocks(self, count: int) -> None:
        for _ in range(count):
            self.chain.mine_all([])
            self._begin_block(SECONDS_PER_BLOCK)

    def mine(self, sender: Account, to: str, data: bytes, value: int = 0) -> Outcome:
        vm = self.chain.get_vm()
        transaction = vm.create_unsigned_transaction(
            nonce=vm.state.get_nonce(to_canonical_address(sender.address)),
            gas_price=GAS_PRICE,
            gas=GAS,
            to=to_canonical_address(to) if to else b"",
            value=value,
            data=data,
        ).as_signed_transaction(sender.key, chain_id=self.chain.chain_id)
        _, (receipt,), (computation,) = self.chain.mine_all([transaction])
        self._begin_block(SECONDS_PER_BLOCK)
        return Outcome(receipt, computation)

    def view(self, address: str, data: bytes) -> bytes:
        vm = self.chain.get_vm()
        target = to_canonical_address(address)
        computation = vm.execute_bytecode(
            origin=constants.ZERO_ADDRESS,
            gas_price=0,
            gas=GAS,
            to=target,
            sender=constants.ZERO_ADDRESS,
            value=0,
            data=data,
            code=vm.state.get_code(target),
        )
        computation.raise_if_error()
        return computation.output

    def balance(self, address: str) -> int:
        return self.chain.get_vm().state.get_balance(to_canonical_address(address))

    def deploy(self, name: str, *values: Any, sender: Account | None = None) -> Contract:
        abi = next(
            (entry for entry in artifact(name)["abi"] if entry["type"] == "constructor"),
            {"type": "constructor", "inputs": []},
        )
        code = bytes.fromhex(artifact(name)["bytecode"][2:]) + arguments(abi, values)
        outcome = self.mine(sender or self.accounts[0], "", code)
        assert outcome.receipt.state_root == b"\x01", outcome.refusal()
        address = outcome.computation.msg.storage_address
        return Contract(self, name, to_checksum_address(address))


@pytest.fixture(scope="module")
def world() -> World:
    return World(accounts=8)


@pytest.fixture
def world_of_fork() -> Callable[[type[VirtualMachineAPI]], World]:
    return lambda vm_class: World(accounts=2, vm_class=vm_class)
