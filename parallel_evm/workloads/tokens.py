"""Tokens: one for each symbol in a world, shared by all its protocols.

Every account is rich in every token it is `furnish`ed with, so amounts never run out.
"""

from __future__ import annotations

from collections.abc import Iterable

from parallel_evm.workloads.accounts import Account
from parallel_evm.workloads.world import Contract, World

UNIT = 10**18
"""One whole token: all tokens here have 18 decimals."""

RICHES = 10**9 * UNIT
"""What an account holds of each token: more than it will ever spend."""


def stablecoin(world: World, symbol: str) -> Contract:
    """Return the token with this symbol; the first who asks has it deployed."""
    label = f"Stablecoin {symbol}"
    return world.known(label) or world.deploy(
        "Stablecoin", f"{symbol} token", symbol, 18, label=label
    )


def wrapped_ether(world: World) -> Contract:
    """Return the token that is ether; it has the ether for what accounts are furnished with."""
    label = "WrappedEther WETH"
    known = world.known(label)
    if known is None:
        known = world.deploy("WrappedEther", label=label)
        world.pay(known, RICHES * (1 + len(world.accounts)))
    return known


def furnish(
    world: World, owners: Iterable[Account], token: Contract, *spenders: Account | Contract
) -> None:
    """Give each owner plenty of a token, and let the spenders take any of it."""
    for owner in owners:
        world.endow(token, owner, RICHES)
        for spender in spenders:
            world.approve(token, owner, spender)
