"""Protocols that come as many places of one kind: pools, desks, bridges, organisations.

Responsible for: who acts where, and making a call with the gas that its function usually needs.
Talks to: the world, for chance.
Never: knows what is done at a place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from parallel_evm.workloads.accounts import Account
from parallel_evm.workloads.world import Call, Contract, Scenario, World


class Place(Protocol):
    """Where an account can do something at any time."""

    def call(self, who: Account) -> Call: ...


def visits(world: World, hot: Place, places: Sequence[Place]) -> Scenario:
    """Have one account after the other do something at its home, or at the hot place."""
    while True:
        who = world.someone()
        yield (hot if world.is_hot() else world.home(who, places)).call(who)


def ask(
    gas: Mapping[str, int], who: Account, contract: Contract, function: str, *arguments: Any
) -> Call:
    """Return the call of a function; `gas` has the limit for each."""
    return Call(who, contract.address, gas[function], contract.data(function, *arguments))
