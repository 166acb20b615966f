"""The table of forks: complete, in order, and one class each."""

from __future__ import annotations

from eth.chains.mainnet import MAINNET_VMS
from eth.consensus.noproof import NoProofConsensus
from eth.vm import forks
from eth.vm.base import VM

from parallel_evm.forks import FORKS, VM_CLASSES, from_genesis, since, without_proof


def test_every_fork_of_py_evm_is_in_it() -> None:
    known = {vm for vm in vars(forks).values() if isinstance(vm, type) and issubclass(vm, VM)}
    assert set(VM_CLASSES.values()) == known


def test_the_order_is_mainnet_s() -> None:
    mainnet = [vm.fork for vm in MAINNET_VMS]
    assert [vm.fork for vm in VM_CLASSES.values() if vm.fork in mainnet] == mainnet


def test_since_counts_the_fork_itself() -> None:
    assert since("frontier") == FORKS
    assert since("shanghai") == ("shanghai", "cancun", "prague")


def test_a_chain_that_begins_with_homestead_knows_of_no_dao() -> None:
    assert VM_CLASSES["homestead"].support_dao_fork
    assert not from_genesis("homestead").support_dao_fork
    assert from_genesis("homestead") is from_genesis("homestead")
    assert from_genesis("cancun") is VM_CLASSES["cancun"]


def test_without_proof_of_work_there_is_one_class_each() -> None:
    made = without_proof(VM_CLASSES["london"])
    assert made is without_proof(VM_CLASSES["london"])
    assert issubclass(made, VM_CLASSES["london"])
    assert made.consensus_class is NoProofConsensus
