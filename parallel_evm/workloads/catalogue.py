"""The table of all workloads, and `build`, which makes one.

Responsible for: names, checking parameters, and the order of events: prepare the world, let the
scenario speak, sign.
Talks to: the scenarios, one module for each protocol.
Never: knows how a protocol is prepared or called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from eth.abc import SignedTransactionAPI

from parallel_evm.forks import FORKS, since
from parallel_evm.workloads import forks
from parallel_evm.workloads.airdrop import airdrop
from parallel_evm.workloads.amm import hot_pool, swaps
from parallel_evm.workloads.bridge import bridge
from parallel_evm.workloads.erc20 import erc20
from parallel_evm.workloads.escrow import escrow
from parallel_evm.workloads.governance import governance
from parallel_evm.workloads.insurance import insurance
from parallel_evm.workloads.lending import lending
from parallel_evm.workloads.mixed import mixed
from parallel_evm.workloads.transfers import transfers
from parallel_evm.workloads.workload import Workload
from parallel_evm.workloads.world import Scenario, World

_SOLIDITY_FORKS = since("london")  # what the contracts are compiled for

_GAS_LIMIT = 10**9
_GAS_PER_TRANSACTION = 10**6  # more than any call here asks for


@dataclass(frozen=True, slots=True)
class _Entry:
    scenario: Callable[[World], Scenario]
    forks: tuple[str, ...] = _SOLIDITY_FORKS


_CATALOGUE: Mapping[str, _Entry] = MappingProxyType(
    {
        "transfers": _Entry(transfers, FORKS),  # plain transfers of ether
        "erc20": _Entry(erc20),  # transfers and approvals of one stablecoin
        "swaps": _Entry(swaps),  # swaps and liquidity in many pools, each with its own traders
        "hot-pool": _Entry(hot_pool),  # swaps in one pool: the worst case
        "lending": _Entry(lending),  # supply, borrow, repay, withdraw, liquidate, move prices
        "insurance": _Entry(insurance),  # capital, policies, claims and their assessment
        "bridge": _Entry(bridge),  # tokens that leave, and arrive with validators' signatures
        "escrow": _Entry(escrow),  # trade in tokenised assets, and their dividends
        "governance": _Entry(governance),  # delegate, propose, vote, queue, execute, cancel
        "airdrop": _Entry(airdrop),  # payments of many to many, in tokens and in ether
        "mixed": _Entry(mixed),  # a DeFi day: all the others at once
    }
)


def names() -> tuple[str, ...]:
    """Return the names of all workloads."""
    return tuple(_CATALOGUE)


def build(
    workload: str,
    *,
    transactions: int = 200,
    accounts: int = 100,
    hot_ratio: float = 0.0,
    seed: int = 0,
    blocks: int = 1,
    fork: str = "cancun",
) -> Workload:
    """Make the workload of this name (one of `names()`), the same one for the same parameters.

    `transactions` is the size of each of the `blocks`; `accounts` is how many different senders
    there are to draw from; `hot_ratio`, from 0 to 1, is the part of the transactions that go to
    one hot target (the same pool, market or recipient), where the workload has one; `fork` is
    the fork that the chain runs from genesis on: `transfers` runs on every one, contracts from
    London on.

    Raises `ValueError`, which names the parameter and what it may be, for a parameter that is
    wrong, and `FileNotFoundError` if the contracts are not there.
    """
    _check_choice("workload", workload, names())
    entry = _CATALOGUE[workload]
    _check_choice("fork", fork, entry.forks, f" for the workload {workload!r}")
    _check_count("transactions", transactions)
    _check_count("accounts", accounts)
    _check_count("blocks", blocks)
    _check_integer("seed", seed)
    if not isinstance(hot_ratio, int | float) or not 0 <= hot_ratio <= 1:
        raise ValueError(f"hot_ratio must be a number from 0 to 1, not {hot_ratio!r}")

    world = World(
        forks.fork(fork),
        seed=seed,
        accounts=accounts,
        hot_ratio=hot_ratio,
        gas_limit=max(_GAS_LIMIT, transactions * _GAS_PER_TRANSACTION),
    )
    scenario = entry.scenario(world)
    database = world.finish()
    return Workload(
        name=workload,
        fork=fork,
        accounts=accounts,
        hot_ratio=hot_ratio,
        seed=seed,
        blocks=tuple(_block(world, scenario, transactions) for _ in range(blocks)),
        labels=MappingProxyType({c.address: c.label for c in world.contracts}),
        artifacts=MappingProxyType({c.address: c.artifact.name for c in world.contracts}),
        chain_class=world.fork.chain_class,
        database=MappingProxyType(database),
    )


def _block(world: World, scenario: Scenario, transactions: int) -> tuple[SignedTransactionAPI, ...]:
    world.block_number += 1
    return tuple(world.sign(next(scenario)) for _ in range(transactions))


def _check_choice(parameter: str, value: Any, choices: tuple[str, ...], when: str = "") -> None:
    if value not in choices:
        raise ValueError(f"{parameter} must be one of {', '.join(choices)}{when}, not {value!r}")


def _check_integer(parameter: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{parameter} must be an integer, not {value!r}")


def _check_count(parameter: str, value: Any) -> None:
    _check_integer(parameter, value)
    if value < 1:
        raise ValueError(f"{parameter} must be at least 1, not {value!r}")
