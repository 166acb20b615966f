"""A workload: blocks of signed transactions and the state that they start from.

Plain data, but for `open`, which puts a chain on a copy of that state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, overload

from eth.abc import SignedTransactionAPI
from eth.chains.base import Chain, MiningChain
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth_typing import Address

ChainT = TypeVar("ChainT", bound=Chain)


@dataclass(frozen=True, slots=True)
class Workload:
    """Blocks of transactions that all succeed when they are executed in order, from `open()` on.

    Equal parameters give equal workloads, byte for byte.
    """

    name: str
    fork: str
    accounts: int
    """How many accounts send the transactions."""
    hot_ratio: float
    """The part of the transactions, from 0 to 1, that go to one hot target."""
    seed: int

    blocks: tuple[tuple[SignedTransactionAPI, ...], ...] = field(repr=False)
    """The transactions of each block, in order; `open()` stands just before the first one."""
    labels: Mapping[Address, str] = field(repr=False)
    """What each contract is called, `Stablecoin USDC` for example."""
    artifacts: Mapping[Address, str] = field(repr=False)
    """Name of the artifact in `fixtures/artifacts` that each contract was deployed from."""
    chain_class: type[MiningChain] = field(repr=False)
    """The plain py-evm chain of the fork: no proof of work, one VM from block 0 on."""
    database: Mapping[bytes, bytes] = field(repr=False)
    """The genesis block and its state: contracts deployed, accounts funded, pools filled."""

    @property
    def transactions(self) -> int:
        """How many transactions there are, in all blocks together."""
        return sum(len(block) for block in self.blocks)

    @overload
    def open(self) -> MiningChain: ...

    @overload
    def open(self, chain_class: type[ChainT]) -> ChainT: ...

    def open(self, chain_class: type[Chain] | None = None) -> Chain:
        """Return a new chain whose next block is `blocks[0]`.

        `chain_class` is `self.chain_class` unless another one is given: any chain class with the
        same chain id and forks, a parallel one for example. Every call gives a chain with its own
        copy of the database, so that the same blocks can be executed again and again.
        """
        database = AtomicDB(MemoryDB(dict(self.database)))
        return (chain_class or self.chain_class)(database)
