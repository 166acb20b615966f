"""Trade in tokenised real-world assets: delivery against payment, transfers, dividends.

Every group of accounts trades one asset at one desk, which is an escrow contract with an arbiter
of its own. The hot target is one desk where everybody trades as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from eth_typing import Address

from parallel_evm.workloads.accounts import Account
from parallel_evm.workloads.places import ask, visits
from parallel_evm.workloads.tokens import UNIT, furnish, stablecoin
from parallel_evm.workloads.world import Call, Scenario, World

_NEVER = 2**64 - 1

_GAS = {
    "open": 480_000,
    "fund": 150_000,
    "release": 280_000,
    "refund": 280_000,
    "dispute": 70_000,
    "resolve": 280_000,
    "transfer": 200_000,
    "payDividend": 130_000,
    "collectDividend": 150_000,
}
_ask = partial(ask, _GAS)


@dataclass(slots=True)
class _Deal:
    number: int
    seller: Account
    buyer: Account
    state: str = "open"


class _Desk:
    """One asset, where it is traded, and what has happened there."""

    def __init__(self, world: World, name: str, traders: Sequence[Account]) -> None:
        self._world = world
        self._currency = stablecoin(world, "USDC")
        self._asset = world.deploy(
            "AssetToken", f"Asset {name}", name, self._currency, label=f"AssetToken {name}"
        )
        self._escrow = world.deploy("Escrow", label=f"Escrow {name}")
        self._arbiter = world.actor(f"arbiter of {name}")
        self._investor = world.actor(f"investor of {name}")
        furnish(world, [self._investor, *traders], self._asset, self._escrow)
        furnish(world, [self._investor], self._currency, self._escrow)
        for trader in traders:
            for spender in (self._escrow, self._asset):
                world.approve(self._currency, trader, spender)
        for holder in (self._investor, *traders):
            world.write(self._asset, "isWhitelisted", holder, value=1)
        world.write(self._asset, "isWhitelisted", self._escrow, value=1)
        self._deals: list[_Deal] = []
        self._opened = 0
        self._dividends = 0
        self._collected: dict[Address, int] = {}

    def call(self, who: Account) -> Call:
        """Trade, or go on with a deal, or with a dividend."""
        kind = self._world.random.random()
        if kind < 0.05:
            return self._pay_dividend(who)
        if kind < 0.15 and self._collected.get(who.address, 0) < self._dividends:
            self._collected[who.address] = self._dividends
            return _ask(who, self._asset, "collectDividend")
        if kind < 0.25:
            amount = self._world.random.randint(1, 100 * UNIT)
            return _ask(who, self._asset, "transfer", self._partner(who), amount)
        if kind < 0.8 and self._deals:
            return self._go_on(self._world.random.choice(self._deals))
        return self._open(who)

    def _partner(self, who: Account) -> Account:
        return self._world.random.choice((*self._world.neighbours(who), self._investor))

    def _pay_dividend(self, who: Account) -> Call:
        self._dividends += 1
        amount = self._world.random.randint(UNIT, 1000 * UNIT)
        return _ask(who, self._asset, "payDividend", amount)

    def _open(self, who: Account) -> Call:
        chance, buyer = self._world.random, self._partner(who)
        self._opened += 1
        self._deals.append(_Deal(self._opened, who, buyer))
        amount, price = chance.randint(1, 100 * UNIT), chance.randint(1, 1000 * UNIT)
        return _ask(
            who,
            self._escrow,
            "open",
            buyer,
            self._arbiter,
            self._asset,
            amount,
            self._currency,
            price,
            _NEVER,
        )

    def _go_on(self, deal: _Deal) -> Call:
        """Take a deal to its next state."""
        chance = self._world.random.random()
        if deal.state == "open" and chance < 0.8:
            return self._move(deal, "funded", deal.buyer, "fund", deal.number)
        if deal.state == "funded" and chance < 0.6:
            return self._move(deal, None, deal.buyer, "release", deal.number)
        if deal.state == "funded" and chance < 0.8:
            return self._move(deal, "disputed", deal.seller, "dispute", deal.number)
        if deal.state == "disputed":
            return self._move(deal, None, self._arbiter, "resolve", deal.number, chance < 0.5)
        return self._move(deal, None, deal.seller, "refund", deal.number)

    def _move(
        self, deal: _Deal, state: str | None, who: Account, function: str, *arguments: int
    ) -> Call:
        if state is None:
            self._deals.remove(deal)
        else:
            deal.state = state
        return _ask(who, self._escrow, function, *arguments)


def escrow(world: World, desks: int = 8) -> Scenario:
    furnish(world, world.accounts, stablecoin(world, "USDC"))
    hot = _Desk(world, "MAIN", world.accounts)
    places = [
        _Desk(world, f"RWA{number}", traders) for number, traders in enumerate(world.settle(desks))
    ]
    return visits(world, hot, places)
