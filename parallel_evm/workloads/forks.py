"""The plain py-evm chain of each fork.

Responsible for: a `MiningChain` class that runs the fork from block 0 and accepts blocks without
proof of work.
Talks to: `forks`, which has the names and the rules.
Never: changes what a fork's rules are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from eth.chains.base import MiningChain
from eth.constants import GENESIS_BLOCK_NUMBER

from parallel_evm.forks import VmClass, from_genesis, since, without_proof

CHAIN_ID = 1337


@dataclass(frozen=True, slots=True)
class Fork:
    """One fork and how transactions are signed and headers are made under it."""

    name: str
    chain_class: type[MiningChain]

    @property
    def vm_class(self) -> VmClass:
        return self.chain_class.vm_configuration[0][1]

    @property
    def has_dynamic_fees(self) -> bool:
        """Whether EIP-1559 transactions exist."""
        return self.name in since("london")

    @property
    def has_proof_of_work(self) -> bool:
        """Whether headers carry a difficulty, and coinbases earn a block reward."""
        return self.name not in since("paris")


@cache
def fork(name: str) -> Fork:
    """Return the fork called `name`, always with the same chain class.

    Raises `KeyError` if there is no such fork.
    """
    vm_class = from_genesis(name)
    if name not in since("paris"):
        vm_class = without_proof(vm_class)
    chain_class = MiningChain.configure(
        __name__=f"{name.title().replace('-', '')}WorkloadChain",
        vm_configuration=((GENESIS_BLOCK_NUMBER, vm_class),),
        chain_id=CHAIN_ID,
    )
    return Fork(name, chain_class)
