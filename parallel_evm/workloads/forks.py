"""Names of the forks and the plain py-evm chain of each.

Responsible for: one table of every fork py-evm knows, in order of activation, and for each a
`MiningChain` class that runs that fork from block 0 and accepts blocks without proof of work.
Never: changes what a fork's rules are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from eth.abc import VirtualMachineAPI
from eth.chains.base import MiningChain
from eth.consensus.applier import ConsensusApplier
from eth.consensus.noproof import NoProofConsensus
from eth.constants import GENESIS_BLOCK_NUMBER
from eth.typing import VMConfiguration
from eth.vm.forks.arrow_glacier import ArrowGlacierVM
from eth.vm.forks.berlin import BerlinVM
from eth.vm.forks.byzantium import ByzantiumVM
from eth.vm.forks.cancun import CancunVM
from eth.vm.forks.constantinople import ConstantinopleVM
from eth.vm.forks.frontier import FrontierVM
from eth.vm.forks.gray_glacier import GrayGlacierVM
from eth.vm.forks.homestead import HomesteadVM
from eth.vm.forks.istanbul import IstanbulVM
from eth.vm.forks.london import LondonVM
from eth.vm.forks.muir_glacier import MuirGlacierVM
from eth.vm.forks.paris import ParisVM
from eth.vm.forks.petersburg import PetersburgVM
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.shanghai import ShanghaiVM
from eth.vm.forks.spurious_dragon import SpuriousDragonVM
from eth.vm.forks.tangerine_whistle import TangerineWhistleVM

CHAIN_ID = 1337

_VM_CLASSES: dict[str, type[VirtualMachineAPI]] = {
    "frontier": FrontierVM,
    # A chain that begins with Homestead has no DAO to vote about.
    "homestead": HomesteadVM.configure(support_dao_fork=False),
    "tangerine-whistle": TangerineWhistleVM,
    "spurious-dragon": SpuriousDragonVM,
    "byzantium": ByzantiumVM,
    "constantinople": ConstantinopleVM,
    "petersburg": PetersburgVM,
    "istanbul": IstanbulVM,
    "muir-glacier": MuirGlacierVM,
    "berlin": BerlinVM,
    "london": LondonVM,
    "arrow-glacier": ArrowGlacierVM,
    "gray-glacier": GrayGlacierVM,
    "paris": ParisVM,
    "shanghai": ShanghaiVM,
    "cancun": CancunVM,
    "prague": PragueVM,
}

FORKS: tuple[str, ...] = tuple(_VM_CLASSES)


def since(first: str) -> tuple[str, ...]:
    """Return the names of `first` and of every later fork."""
    return FORKS[FORKS.index(first) :]


@dataclass(frozen=True, slots=True)
class Fork:
    """One fork and how transactions are signed and headers are made under it."""

    name: str
    chain_class: type[MiningChain]

    @property
    def vm_class(self) -> type[VirtualMachineAPI]:
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
    configuration: VMConfiguration = ((GENESIS_BLOCK_NUMBER, _VM_CLASSES[name]),)
    if name not in since("paris"):
        configuration = ConsensusApplier(NoProofConsensus).amend_vm_configuration(configuration)
    chain_class = MiningChain.configure(
        __name__=f"{name.title().replace('-', '')}WorkloadChain",
        vm_configuration=configuration,
        chain_id=CHAIN_ID,
    )
    return Fork(name, chain_class)
