"""The lending market: supply, borrow, repay, withdraw, liquidate, and prices that move.

Every group of accounts is at home with two assets: it supplies one, and borrows the other against
it. The hot target is one such couple of assets (WETH and USDC) where everybody does. Each couple
has a borrower in distress, so large that it can be liquidated bit by bit for ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from eth_typing import Address

from parallel_evm.workloads.accounts import Account
from parallel_evm.workloads.places import ask, visits
from parallel_evm.workloads.tokens import UNIT, furnish, stablecoin, wrapped_ether
from parallel_evm.workloads.world import FOREVER, Call, Contract, Scenario, World

_COLLATERAL_FACTOR = 75 * 10**16
_CASH = 10**8 * UNIT
_POSITIONS = 32  # so many accounts have a debt before the first block; others begin by supplying

_GAS = {
    "supply": 200_000,
    "withdraw": 260_000,
    "borrow": 300_000,
    "repay": 200_000,
    "liquidate": 400_000,
    "setPrice": 60_000,
}
_ask = partial(ask, _GAS)


@dataclass(slots=True)
class _Couple:
    """An asset that is supplied and one that is borrowed against it, and who has done so."""

    bank: _Lending
    collateral: Contract
    debt: Contract
    distressed: Account
    supplied: defaultdict[Address, int] = field(default_factory=lambda: defaultdict(int))
    borrowed: defaultdict[Address, int] = field(default_factory=lambda: defaultdict(int))

    def call(self, who: Account) -> Call:
        return self.bank.call(who, self)


class _Lending:
    def __init__(self, world: World) -> None:
        self._world = world
        self.oracle = world.deploy("PriceOracle", label="PriceOracle")
        self.market = world.deploy("LendingMarket", self.oracle, label="LendingMarket")

    def couple(
        self, collateral: Contract, debt: Contract, users: Sequence[Account], first: int
    ) -> _Couple:
        """List two assets for `users`, the first of whom have supplied and borrowed already."""
        world, market, operator = self._world, self.market, self._world.operator
        distressed = world.actor(f"distressed borrower of {debt.label}")
        for asset in (collateral, debt):
            furnish(world, [operator, distressed, *users], asset, market)
            world.send(self.oracle, "setPrice", asset, UNIT)
            world.send(market, "list", asset, _COLLATERAL_FACTOR)
            world.send(market, "supply", asset, _CASH)
        world.send(market, "supply", collateral, _CASH, sender=distressed)
        world.send(market, "borrow", debt, _CASH * 7 // 10, sender=distressed)
        # The debt becomes dearer by a fifth: 70% of the collateral's worth is 84% of it now.
        world.send(self.oracle, "setPrice", debt, UNIT * 12 // 10)

        couple = _Couple(self, collateral, debt, distressed)
        for user in users[:first]:
            couple.supplied[user.address], couple.borrowed[user.address] = 1000 * UNIT, 100 * UNIT
            world.send(market, "supply", collateral, 1000 * UNIT, sender=user)
            world.send(market, "borrow", debt, 100 * UNIT, sender=user)
        return couple

    def call(self, who: Account, couple: _Couple) -> Call:
        """Do something that this account can do now."""
        chance = self._world.random
        supplied, borrowed = couple.supplied[who.address], couple.borrowed[who.address]
        # Healthy is 1.6 of collateral for 1 of debt, at these prices; accounts stay far from it.
        to_borrow = supplied // 4 - borrowed
        to_withdraw = min(supplied // 10, supplied - 3 * borrowed)
        kind = chance.random()
        if kind < 0.03:
            price = UNIT + chance.randint(0, UNIT // 100)
            return _ask(self._world.operator, self.oracle, "setPrice", couple.collateral, price)
        if kind < 0.13:
            amount = chance.randint(UNIT, 100 * UNIT)
            return _ask(
                who,
                self.market,
                "liquidate",
                couple.distressed,
                couple.debt,
                amount,
                couple.collateral,
            )
        if kind < 0.38 and to_borrow > UNIT:
            amount = chance.randint(UNIT // 2, to_borrow)
            couple.borrowed[who.address] += amount
            return _ask(who, self.market, "borrow", couple.debt, amount)
        if kind < 0.62 and borrowed:
            return self._repay(who, couple)
        if kind < 0.78 and to_withdraw > UNIT:
            return self._withdraw(who, couple, to_withdraw)
        amount = chance.randint(UNIT, 1000 * UNIT)
        couple.supplied[who.address] += amount
        return _ask(who, self.market, "supply", couple.collateral, amount)

    def _repay(self, who: Account, couple: _Couple) -> Call:
        """Repay a part of what one owes, or all of it with the interest."""
        borrowed = couple.borrowed[who.address]
        if self._world.random.random() < 0.3:
            couple.borrowed[who.address] = 0
            return _ask(who, self.market, "repay", couple.debt, FOREVER, who)
        amount = self._world.random.randint(1 + borrowed // 10, 1 + borrowed // 2)
        couple.borrowed[who.address] -= amount
        return _ask(who, self.market, "repay", couple.debt, amount, who)

    def _withdraw(self, who: Account, couple: _Couple, most: int) -> Call:
        """Withdraw a part, or everything if nothing is owed."""
        if not couple.borrowed[who.address] and self._world.random.random() < 0.2:
            couple.supplied[who.address] = 0
            return _ask(who, self.market, "withdraw", couple.collateral, FOREVER)
        amount = self._world.random.randint(1, most)
        couple.supplied[who.address] -= amount
        return _ask(who, self.market, "withdraw", couple.collateral, amount)


def lending(world: World, couples: int = 8) -> Scenario:
    bank = _Lending(world)
    homes = world.settle(couples)
    hot = bank.couple(wrapped_ether(world), stablecoin(world, "USDC"), world.accounts, 0)
    places = [
        bank.couple(
            stablecoin(world, f"A{number}"),
            stablecoin(world, f"B{number}"),
            users,
            _POSITIONS // len(homes),
        )
        for number, users in enumerate(homes)
    ]
    return visits(world, hot, places)
