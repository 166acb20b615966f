"""What holds for every workload: the same for the same seed, and all of it succeeds."""

from __future__ import annotations

from typing import Any

import pytest
from eth.chains.base import MiningChain

from parallel_evm.forks import FORKS, since
from parallel_evm.workloads import Workload, artifacts, build, names
from parallel_evm.workloads.forks import fork
from tests.strategies import mostly_slow

SMALL = {"transactions": 20, "accounts": 8}


def errors(run: Any) -> list[Any]:
    return [e.computation.error for e in run.executions if e.computation.is_error]


def encoded(workload: Workload) -> list[list[bytes]]:
    return [[transaction.encode() for transaction in block] for block in workload.blocks]


def test_the_names() -> None:
    assert names() == (
        "transfers",
        "erc20",
        "swaps",
        "hot-pool",
        "lending",
        "insurance",
        "bridge",
        "escrow",
        "governance",
        "airdrop",
        "mixed",
    )


@pytest.mark.parametrize("name", mostly_slow(names(), "transfers", "lending"))
def test_every_transaction_succeeds(name: str, small: Any, execute: Any) -> None:
    workload = small(name)
    assert [len(block) for block in workload.blocks] == [20, 20]
    assert (workload.name, workload.transactions, workload.accounts) == (name, 40, 8)
    run = execute(workload)
    assert errors(run) == []
    first = workload.open().get_canonical_head().block_number + 1
    assert [block.number for block in run.blocks] == [first, first + 1]
    for execution in run.executions:
        assert execution.transaction.gas <= 6 * execution.gas_used


def test_one_account_is_enough(execute: Any) -> None:
    run = execute(build("mixed", transactions=40, accounts=1, hot_ratio=0.5, seed=7))
    assert errors(run) == []


@pytest.mark.slow
@pytest.mark.parametrize("accounts", [2, 300])
@pytest.mark.parametrize("name", names())
def test_any_number_of_accounts_is_enough(name: str, accounts: int, execute: Any) -> None:
    run = execute(build(name, transactions=30, accounts=accounts, hot_ratio=0.3, blocks=2))
    assert errors(run) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_transaction_succeeds_in_many_blocks(name: str, execute: Any) -> None:
    run = execute(build(name, transactions=50, blocks=7, hot_ratio=0.25, seed=3))
    assert errors(run) == []


@pytest.mark.slow
@pytest.mark.parametrize("fork_name", since("london"))
@pytest.mark.parametrize("name", names())
def test_contracts_run_on_every_fork_since_london(name: str, fork_name: str, execute: Any) -> None:
    run = execute(build(name, transactions=10, accounts=4, fork=fork_name))
    assert errors(run) == []


@pytest.mark.parametrize("fork_name", mostly_slow(FORKS, FORKS[0], FORKS[-1]))
def test_transfers_run_and_import_on_every_fork(fork_name: str, execute: Any) -> None:
    workload = build("transfers", **SMALL, blocks=2, fork=fork_name)
    assert workload.chain_class.vm_configuration[0][1] is fork(fork_name).vm_class
    importer = workload.open()
    for block in execute(workload).blocks:
        assert importer.import_block(block).imported_block.hash == block.hash


@pytest.mark.parametrize("name", mostly_slow(names(), "erc20"))
def test_the_seed_determines_everything(name: str, small: Any) -> None:
    first = small(name)
    parameters = {**SMALL, "blocks": 2, "hot_ratio": 0.3}
    second = build(name, seed=1, **parameters)
    assert encoded(first) == encoded(second)
    assert first.labels == second.labels
    assert first.database == second.database


def test_another_seed_gives_other_transactions(small: Any) -> None:
    other = build("erc20", seed=2, **SMALL)
    assert not set(encoded(small("erc20"))[0]) & set(encoded(other)[0])
    assert small("erc20").labels.keys().isdisjoint(other.labels)


def test_running_twice_gives_the_same_hashes(small: Any, execute: Any) -> None:
    workload = small("erc20")
    hashes = [[block.hash for block in execute(workload).blocks] for _ in range(2)]
    assert hashes[0] == hashes[1]


def test_every_chain_has_its_own_database() -> None:
    workload = build("transfers", **SMALL)
    first, second = workload.open(), workload.open()
    genesis = second.get_canonical_head().hash
    first.mine_all(workload.blocks[0])
    assert second.get_canonical_head().hash == genesis
    assert workload.open().get_canonical_head().hash == genesis


def test_a_workload_opens_on_another_chain_class() -> None:
    workload = build("transfers", **SMALL)
    other_class: type[MiningChain] = workload.chain_class.configure(__name__="Other")
    chain = workload.open(other_class)
    assert type(chain) is other_class
    _, _, computations = chain.mine_all(workload.blocks[0])
    assert all(computation.is_success for computation in computations)


def test_blocks_of_one_fork_share_a_chain_class() -> None:
    assert build("transfers", **SMALL).chain_class is build("erc20", **SMALL).chain_class


@pytest.mark.parametrize("name", mostly_slow(names(), "erc20", "lending"))
def test_contracts_are_labelled(name: str, small: Any) -> None:
    workload = small(name)
    assert workload.labels.keys() == workload.artifacts.keys()
    assert len(set(workload.labels.values())) == len(workload.labels)
    vm = workload.open().get_vm()
    for address, artifact in workload.artifacts.items():
        assert vm.state.get_code(address), workload.labels[address]
        assert artifacts.load(artifact).name == artifact
        assert workload.labels[address].startswith(artifact)


@pytest.mark.parametrize("name", sorted(set(names()) - {"transfers"}))
def test_contracts_need_london(name: str) -> None:
    with pytest.raises(ValueError, match=r"fork must be one of london, .*not 'berlin'"):
        build(name, fork="berlin")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"workload": "swap"}, "workload must be one of transfers, .*mixed, not 'swap'"),
        ({"fork": "osaka"}, "fork must be one of frontier, .*prague.*not 'osaka'"),
        ({"transactions": 0}, "transactions must be at least 1, not 0"),
        ({"accounts": 0}, "accounts must be at least 1, not 0"),
        ({"blocks": -1}, "blocks must be at least 1, not -1"),
        ({"transactions": 1.5}, "transactions must be an integer, not 1.5"),
        ({"accounts": True}, "accounts must be an integer, not True"),
        ({"seed": "x"}, "seed must be an integer, not 'x'"),
        ({"hot_ratio": 1.01}, "hot_ratio must be a number from 0 to 1, not 1.01"),
        ({"hot_ratio": -0.1}, "hot_ratio must be a number from 0 to 1, not -0.1"),
        ({"hot_ratio": float("nan")}, "hot_ratio must be a number from 0 to 1, not nan"),
        ({"hot_ratio": "0.5"}, "hot_ratio must be a number from 0 to 1, not '0.5'"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**({"workload": "transfers"} | parameters))


def test_a_missing_artifact_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(artifacts, "ARTIFACTS", tmp_path)
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "Absent.json")):
        artifacts.load("Absent")


@pytest.mark.parametrize("name", names())
def test_senders_differ_and_return(name: str, small: Any) -> None:
    for block in small(name).blocks:
        assert 3 <= len({transaction.sender for transaction in block}) < len(block)
