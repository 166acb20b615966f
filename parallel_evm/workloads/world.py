"""The world before the first block of a workload, and the pen that signs its transactions.

Responsible for: accounts with money, contracts deployed by real creation transactions, set-up
calls that must succeed, balances and allowances written straight into storage, and signing what
the scenarios want sent, with the right nonces.
Talks to: one py-evm state, the state of the genesis block while it is being made.
Never: chooses what the transactions of a workload are.

Everything that is prepared here happens inside the genesis block, so a chain opened on the finished
world has no history, except for blocks that a scenario has scheduled: its next block is number 1
in most workloads.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar, cast

from eth.abc import BlockHeaderAPI, ComputationAPI, SignedTransactionAPI
from eth.constants import BLANK_ROOT_HASH, CREATE_CONTRACT_ADDRESS
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.vm.chain_context import ChainContext
from eth.vm.forks.london.transactions import LondonTransactionBuilder
from eth_typing import Address
from eth_utils.address import to_canonical_address

from parallel_evm.hashing import keccak
from parallel_evm.workloads import artifacts
from parallel_evm.workloads.accounts import Account, account, nobody
from parallel_evm.workloads.artifacts import Artifact
from parallel_evm.workloads.forks import CHAIN_ID, Fork

GWEI = 10**9
ETHER = 10**18
FOREVER = 2**256 - 1

# py-evm stamps a new block with the clock, or with its parent's time plus one if that is later.
# A genesis in the future (1 January 2100) makes every block of every run follow its parent by one
# second, so hashes and interest do not depend on when a workload is run.
GENESIS_TIMESTAMP = 4_102_444_800

PlaceT = TypeVar("PlaceT")

_SETUP_GAS = 30_000_000
_MAX_FEE = 100 * GWEI  # the base fee of the genesis is 1 gwei, and these blocks are far from full
_FUNDS = 10**6 * ETHER
_GROUP = 4


@dataclass(frozen=True, slots=True)
class Contract:
    """A deployed contract."""

    artifact: Artifact
    address: Address
    label: str

    def data(self, function: str, *arguments: Any) -> bytes:
        """Return the call data; accounts and contracts stand for their addresses."""
        return self.artifact.functions[function].encode(_plain(arguments))

    def slot(self, variable: str, *keys: Account | Contract | Address | int) -> int:
        """Return the storage slot of a state variable, or of an entry of a (nested) mapping.

        The rule is in the Solidity documentation, "Layout of State Variables in Storage".
        """
        position = self.artifact.variable(variable)
        for key in _plain(keys):
            word = key.to_bytes(32, "big") if isinstance(key, int) else key.rjust(32, b"\0")
            position = int.from_bytes(keccak(word + position.to_bytes(32, "big")), "big")
        return position


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction that a scenario wants sent: not signed yet, and without a nonce.

    `gas` is the limit, `value` is in wei.
    """

    sender: Account
    to: Address
    gas: int
    data: bytes = b""
    value: int = 0


Scenario = Iterator[Call]
"""An endless supply of calls that succeed if they are executed in this order."""


class World:
    """What a scenario prepares in, and draws its accounts and its luck from."""

    def __init__(
        self, fork: Fork, *, seed: int, accounts: int, hot_ratio: float, gas_limit: int
    ) -> None:
        self.fork = fork
        self.random = random.Random(f"parallel-evm workload {seed}")
        self.accounts = tuple(account(seed, f"account {index}") for index in range(accounts))
        self._positions = {a.address: position for position, a in enumerate(self.accounts)}
        self.block_number = 0
        self._seed = seed
        self._hot_ratio = Fraction(hot_ratio).limit_denominator(10**6)
        self._heat = Fraction(0)
        self._contracts: dict[str, Contract] = {}
        self._nonces: defaultdict[Address, int] = defaultdict(int)
        self._scheduled: list[tuple[Call, ...]] = []
        self._nobodies = 0
        self._database = MemoryDB()
        self._genesis = self._create_genesis_header(gas_limit)
        self._state = fork.vm_class.build_state(
            AtomicDB(self._database), self._genesis, ChainContext(CHAIN_ID)
        )
        self.operator = self.actor("operator")
        for owner in self.accounts:
            self._state.set_balance(owner.address, _FUNDS)

    # -- chance

    def someone(self) -> Account:
        """Return any account."""
        return self.random.choice(self.accounts)

    def neighbours(self, of: Account) -> tuple[Account, ...]:
        """Return the other accounts of the same group.

        Accounts live in groups of four that deal with each other, as people do: with counterparts
        drawn from everybody, a handful of transactions per account would connect all of them.
        """
        first = self.group(of) * _GROUP
        return tuple(a for a in self.accounts[first : first + _GROUP] if a is not of)

    def group(self, of: Account) -> int:
        """Return the number of an account's group."""
        return self._positions[of.address] // _GROUP

    def settle(self, at_most: int) -> tuple[tuple[Account, ...], ...]:
        """Return the accounts by their home, one of at most so many: a group shares its home."""
        groups = self.group(self.accounts[-1]) + 1
        homes: list[list[Account]] = [[] for _ in range(min(at_most, groups))]
        for owner in self.accounts:
            self.home(owner, homes).append(owner)
        return tuple(tuple(inhabitants) for inhabitants in homes)

    def home(self, of: Account, places: Sequence[PlaceT]) -> PlaceT:
        """Return the place, among as many as `settle` returned, where an account is at home."""
        return places[self.group(of) % len(places)]

    def is_hot(self) -> bool:
        """Say whether the next call goes to the hot target; no chance: exactly so many do."""
        self._heat += self._hot_ratio
        if self._heat < 1:
            return False
        self._heat -= 1
        return True

    def nobody(self) -> Address:
        """Return an address that does not exist in the state yet."""
        self._nobodies += 1
        return nobody(self._seed, str(self._nobodies))

    # -- preparation

    def deploy(self, artifact_name: str, *arguments: Any, label: str) -> Contract:
        """Deploy a contract as the operator; the label says which one it is among its kind."""
        artifact = artifacts.load(artifact_name)
        data = artifact.creation_data(_plain(arguments))
        computation = self._execute(
            Call(self.operator, CREATE_CONTRACT_ADDRESS, _SETUP_GAS, data), f"deploying {label}"
        )
        return self.know(artifact_name, computation.msg.storage_address, label=label)

    def know(self, artifact_name: str, address: Address | str, *, label: str) -> Contract:
        """Take note of a contract that another contract has deployed."""
        contract = Contract(artifacts.load(artifact_name), to_canonical_address(address), label)
        self._contracts[label] = contract
        return contract

    def known(self, label: str) -> Contract | None:
        """Return the contract with this label, if it has been deployed."""
        return self._contracts.get(label)

    @property
    def contracts(self) -> tuple[Contract, ...]:
        return tuple(self._contracts.values())

    def send(
        self, contract: Contract, function: str, *arguments: Any, sender: Account | None = None
    ) -> Any:
        """Make a set-up call (of the operator's, by default) and return what the function returns.

        Raises `RuntimeError` if it fails: the scenario and its contract do not fit.
        """
        data = contract.data(function, *arguments)
        call = Call(sender or self.operator, contract.address, _SETUP_GAS, data)
        output = self._execute(call, f"{contract.label}.{function}").output
        returned = contract.artifact.functions[function].decode(output)
        return returned[0] if len(returned) == 1 else returned

    def perform(self, call: Call) -> None:
        """Make a scenario's own call while the world is prepared; errors are as with `send`."""
        self._execute(call, f"a call of {call.to.hex()}")

    def endow(self, token: Contract, owner: Account | Contract, amount: int) -> None:
        """Give `owner` newly made tokens, by writing balance and total supply."""
        for slot in (token.slot("balanceOf", owner), token.slot("totalSupply")):
            before = self._state.get_storage(token.address, slot)
            self._state.set_storage(token.address, slot, before + amount)

    def approve(
        self,
        token: Contract,
        owner: Account,
        spender: Account | Contract,
        amount: int = FOREVER,
    ) -> None:
        """Let `spender` take `owner`'s tokens, any amount by default, by writing the allowance."""
        self.write(token, "allowance", owner, spender, value=amount)

    def write(
        self, contract: Contract, variable: str, *keys: Account | Contract | int, value: int
    ) -> None:
        """Set a state variable, or an entry of a mapping, that has a whole slot."""
        self._state.set_storage(contract.address, contract.slot(variable, *keys), value)

    def pay(self, contract: Contract, amount: int) -> None:
        """Give a contract `amount` wei, without asking it."""
        self._state.delta_balance(contract.address, amount)

    def actor(self, role: str) -> Account:
        """Return one more account with money, which `someone` does not return."""
        actor = account(self._seed, role)
        self._state.set_balance(actor.address, _FUNDS)
        return actor

    def schedule(self, calls: Iterable[Call]) -> None:
        """Have a block with these calls mined on the finished world, before the workload's own.

        For what one block cannot prepare, because a contract counts blocks.
        """
        self._scheduled.append(tuple(calls))

    def finish(self) -> dict[bytes, bytes]:
        """Return the database of a chain: the genesis block with this state, scheduled blocks.

        Raises `RuntimeError` if a scheduled call fails.
        """
        self._state.persist()
        header = self._genesis.copy(state_root=self._state.state_root)
        self.fork.chain_class.from_genesis_header(AtomicDB(self._database), header)
        chain = self.fork.chain_class(AtomicDB(self._database))
        for calls in self._scheduled:
            self.block_number += 1
            _, _, computations = chain.mine_all([self.sign(call) for call in calls])
            for computation in computations:
                _check(computation, f"a call scheduled for block {self.block_number}")
        return self._database.kv_store

    # -- signing

    def sign(self, call: Call) -> SignedTransactionAPI:
        """Sign a call with the next nonce of its sender, as this fork has it."""
        nonce = self._nonces[call.sender.address]
        self._nonces[call.sender.address] = nonce + 1
        builder = self.fork.vm_class.get_transaction_builder()
        if not self.fork.has_dynamic_fees:
            return builder.create_unsigned_transaction(
                nonce=nonce,
                gas_price=self.random.randint(1, 3) * GWEI,
                gas=call.gas,
                to=call.to,
                value=call.value,
                data=call.data,
            ).as_signed_transaction(call.sender.key, chain_id=CHAIN_ID)
        signed = (
            cast(type[LondonTransactionBuilder], builder)
            .new_unsigned_dynamic_fee_transaction(
                chain_id=CHAIN_ID,
                nonce=nonce,
                max_priority_fee_per_gas=self.random.randint(1, 3) * GWEI,
                max_fee_per_gas=_MAX_FEE,
                gas=call.gas,
                to=call.to,
                value=call.value,
                data=call.data,
                access_list=(),
            )
            .as_signed_transaction(call.sender.key)
        )
        # Signing gives London's class under every fork, and later forks' blocks cannot encode it.
        return builder.decode(signed.encode())

    # -- inside

    def _create_genesis_header(self, gas_limit: int) -> BlockHeaderAPI:
        difficulty = {"difficulty": 1} if self.fork.has_proof_of_work else {}
        return self.fork.vm_class.create_genesis_header(
            gas_limit=gas_limit,
            timestamp=GENESIS_TIMESTAMP,
            state_root=BLANK_ROOT_HASH,
            **difficulty,
        )

    def _execute(self, call: Call, what: str) -> ComputationAPI:
        self._state.lock_changes()
        computation = self._state.apply_transaction(self.sign(call))
        _check(computation, what)
        return computation


def _check(computation: ComputationAPI, what: str) -> None:
    if computation.is_error:
        raise RuntimeError(
            f"{what} failed while a workload was prepared: {computation.error!r}, "
            f"output 0x{computation.output.hex()}"
        )


def _plain(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Replace accounts and contracts, in lists too, by their addresses."""
    return tuple(
        _plain(tuple(a)) if isinstance(a, list | tuple) else getattr(a, "address", a)
        for a in arguments
    )
