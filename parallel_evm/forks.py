"""The forks that py-evm knows, by name: their VM classes, and which came after which.

Responsible for: one table for everybody who lets a fork be named.
Talks to: py-evm.
Never: changes what a fork's rules are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from eth.abc import VirtualMachineAPI
from eth.consensus.applier import ConsensusApplier
from eth.consensus.noproof import NoProofConsensus
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

VmClass = type[VirtualMachineAPI]

VM_CLASSES: Mapping[str, VmClass] = MappingProxyType(
    {
        "frontier": FrontierVM,
        "homestead": HomesteadVM,
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
)

FORKS: tuple[str, ...] = tuple(VM_CLASSES)
"""Every fork, oldest first."""


def since(first: str) -> tuple[str, ...]:
    """Return the names of `first` and of every later fork."""
    return FORKS[FORKS.index(first) :]


@cache
def from_genesis(name: str) -> VmClass:
    """Return the VM class for a chain that begins with this fork, always the same one."""
    if name == "homestead":
        # Such a chain has no DAO to vote about.
        return HomesteadVM.configure(support_dao_fork=False)
    return VM_CLASSES[name]


@cache
def without_proof(vm_class: VmClass) -> VmClass:
    """Return the VM class that asks for no proof of work, always the same one."""
    ((_, made),) = ConsensusApplier(NoProofConsensus).amend_vm_configuration(((0, vm_class),))
    return made
