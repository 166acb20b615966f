"""The lending market: interest, health, repayment, liquidation, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

FOREVER = 2**256 - 1
ONE = 10**18
USD = 10**6  # the dollar has 6 decimals
YEAR = 365 * 24 * 3600


class Bank:
    """Dollars (factor 0.9) and gold (18 decimals, 2,000 dollars, factor 0.75), both funded."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.owner, self.lender, self.borrower, self.liquidator = world.accounts[:4]
        self.oracle = world.deploy("PriceOracle")
        self.market = world.deploy("LendingMarket", self.oracle)
        self.dollar = world.deploy("Stablecoin", "US Dollar", "USD", 6)
        self.gold = world.deploy("Stablecoin", "Gold", "XAU", 18)
        self.price(gold=2000)
        for token, factor, amount in (
            (self.dollar, 9 * ONE // 10, 10**6 * USD),
            (self.gold, 3 * ONE // 4, 1000 * ONE),
        ):
            self.market.send(self.owner, "list", token, factor)
            token.send(self.owner, "mintBatch", world.accounts[:4], amount)
            for account in world.accounts[:4]:
                token.send(account, "approve", self.market, FOREVER)
        self.market.send(self.lender, "supply", self.dollar, 100_000 * USD)

    def price(self, gold: int) -> None:
        self.oracle.send(self.owner, "setPrices", [self.dollar, self.gold], [ONE, gold * ONE])


@pytest.fixture
def bank(world: Any) -> Bank:
    return Bank(world)


def test_a_supply_can_be_withdrawn(bank: Bank) -> None:
    before = bank.gold.read("balanceOf", bank.borrower)
    bank.market.send(bank.borrower, "supply", bank.gold, 3 * ONE)
    assert bank.market.read("supplyOf", bank.borrower, bank.gold) == 3 * ONE
    assert bank.market.read("liquidity", bank.borrower) == (4500 * ONE, 0)
    assert bank.market.read("healthFactor", bank.borrower) == FOREVER
    bank.market.send(bank.borrower, "withdraw", bank.gold, ONE)
    too_much = bank.market.refuse(bank.borrower, "withdraw", bank.gold, 3 * ONE)
    assert too_much.error == "InsufficientSupply"
    bank.market.send(bank.borrower, "withdraw", bank.gold, FOREVER)
    assert bank.gold.read("balanceOf", bank.borrower) == before
    assert bank.market.refuse(bank.borrower, "withdraw", bank.gold, FOREVER).error == "ZeroAmount"


def test_a_debt_is_limited_by_the_collateral(bank: Bank) -> None:
    bank.market.send(bank.borrower, "supply", bank.gold, ONE)
    refusal = bank.market.refuse(bank.borrower, "borrow", bank.dollar, 1500 * USD + 1)
    assert refusal == ("Unhealthy", (1500 * ONE, 1500 * ONE + 10**12))
    bank.market.send(bank.borrower, "borrow", bank.dollar, 1500 * USD)
    assert bank.market.read("debtOf", bank.borrower, bank.dollar) >= 1500 * USD
    assert bank.market.refuse(bank.borrower, "withdraw", bank.gold, 1).error == "Unhealthy"
    assert bank.market.refuse(bank.lender, "borrow", bank.dollar, 0).error == "ZeroAmount"


def test_the_market_cannot_pay_what_it_does_not_hold(bank: Bank) -> None:
    bank.market.send(bank.borrower, "supply", bank.gold, 100 * ONE)
    refusal = bank.market.refuse(bank.borrower, "borrow", bank.dollar, 100_001 * USD)
    assert refusal == ("InsufficientCash", (100_000 * USD, 100_001 * USD))


def test_interest_flows_from_borrowers_to_lenders_and_reserves(bank: Bank) -> None:
    market, dollar = bank.market, bank.dollar
    market.send(bank.borrower, "supply", bank.gold, 100 * ONE)
    market.send(bank.borrower, "borrow", dollar, 50_000 * USD)
    rate = market.read("borrowRate", ONE // 2)
    assert rate == ONE // 100 + 8 * ONE // 100 * 5 // 8
    bank.world.wait(YEAR)
    owed, lent = (
        market.read("debtOf", bank.borrower, dollar),
        market.read("supplyOf", bank.lender, dollar),
    )
    interest = owed - 50_000 * USD
    assert interest == pytest.approx(50_000 * USD * rate / ONE, rel=1e-3)
    assert lent - 100_000 * USD == pytest.approx(interest * 0.9, rel=1e-6)

    before = dollar.read("balanceOf", bank.borrower)
    market.send(bank.borrower, "repay", dollar, FOREVER, bank.borrower)
    assert before - dollar.read("balanceOf", bank.borrower) == owed
    assert market.read("debtOf", bank.borrower, dollar) == 0
    refusal = market.refuse(bank.borrower, "repay", dollar, 1, bank.borrower)
    assert refusal.error == "NoDebt"

    market.send(bank.lender, "withdraw", dollar, FOREVER)
    reserves = dollar.read("balanceOf", market)
    assert reserves == pytest.approx(interest * 0.1, rel=1e-3)
    refusal = market.refuse(bank.owner, "withdrawReserves", dollar, reserves + 2, bank.owner)
    assert refusal.error == "InsufficientCash"
    refusal = market.refuse(bank.lender, "withdrawReserves", dollar, 1, bank.lender)
    assert refusal.error == "NotOwner"
    market.send(bank.owner, "withdrawReserves", dollar, reserves - 2, bank.owner)
    assert dollar.read("balanceOf", market) == 2


def test_interest_rises_steeply_beyond_the_kink(bank: Bank) -> None:
    rate = [bank.market.read("borrowRate", part * ONE // 10) for part in (0, 8, 9, 10)]
    assert rate == [ONE // 100, 9 * ONE // 100, 54 * ONE // 100, 99 * ONE // 100]


def test_anybody_may_repay_a_part(bank: Bank) -> None:
    market, dollar = bank.market, bank.dollar
    market.send(bank.borrower, "supply", bank.gold, ONE)
    market.send(bank.borrower, "borrow", dollar, 1000 * USD)
    (event,) = market.send(bank.lender, "repay", dollar, 400 * USD, bank.borrower)
    assert event.name == "Repaid" and event.args["amount"] == 400 * USD
    left = market.read("debtOf", bank.borrower, dollar)
    assert left == pytest.approx(600 * USD, rel=1e-6)


def test_an_unhealthy_account_is_liquidated_at_a_discount(bank: Bank) -> None:
    market, dollar, gold = bank.market, bank.dollar, bank.gold
    market.send(bank.borrower, "supply", gold, ONE)
    market.send(bank.borrower, "borrow", dollar, 1400 * USD)
    liquidate = ("liquidate", bank.borrower, dollar, 500 * USD, gold)
    assert market.refuse(bank.liquidator, *liquidate).error == "Healthy"

    bank.price(gold=1800)
    assert market.read("healthFactor", bank.borrower) < ONE
    refusal = market.refuse(bank.liquidator, "liquidate", bank.borrower, dollar, 701 * USD, gold)
    assert refusal.error == "CloseFactorExceeded"
    before = dollar.read("balanceOf", bank.liquidator)
    events = market.send(bank.liquidator, *liquidate)
    assert [event.name for event in events] == ["Repaid", "Liquidated"]
    seized = 540 * ONE // 1800
    assert events[1].args["seized"] == seized
    assert before - dollar.read("balanceOf", bank.liquidator) == 500 * USD
    assert market.read("supplyOf", bank.liquidator, gold) == seized
    assert market.read("supplyOf", bank.borrower, gold) == ONE - seized
    # What was taken over is a supply like any other: collateral of its new owner.
    assert market.read("liquidity", bank.liquidator) == (540 * ONE * 3 // 4, 0)
    market.send(bank.liquidator, "withdraw", gold, FOREVER)
    assert market.read("healthFactor", bank.borrower) > ONE


def test_assets_are_listed_once_by_the_owner_and_need_a_price(bank: Bank, world: Any) -> None:
    market, stone = bank.market, world.deploy("Stablecoin", "Stone", "STN", 0)
    refuse, owner = market.refuse, bank.owner
    assert refuse(bank.lender, "list", stone, ONE // 2).error == "NotOwner"
    assert refuse(owner, "list", bank.gold, ONE // 2).error == "AlreadyListed"
    assert refuse(owner, "list", stone, ONE).error == "InvalidListing"
    assert refuse(owner, "supply", stone, 1).error == "NotListed"
    market.send(owner, "list", stone, ONE // 2)
    stone.send(owner, "mint", bank.borrower, 10)
    stone.send(bank.borrower, "approve", market, 10)
    market.send(bank.borrower, "supply", stone, 10)
    refusal = refuse(bank.borrower, "borrow", bank.dollar, USD)
    assert refusal == ("NoPrice", (stone.address.lower(),))


def test_only_feeders_report_prices(bank: Bank) -> None:
    oracle, feeder = bank.oracle, bank.liquidator
    assert oracle.refuse(feeder, "setPrice", bank.gold, ONE).error == "NotFeeder"
    oracle.send(bank.owner, "setFeeder", feeder, True)
    oracle.send(feeder, "setPrice", bank.gold, 7 * ONE)
    assert oracle.read("priceOf", bank.gold) == 7 * ONE
    assert oracle.refuse(feeder, "setPrice", bank.gold, 0).error == "InvalidPrice"
    assert oracle.refuse(feeder, "setPrices", [bank.gold], []).error == "LengthMismatch"
