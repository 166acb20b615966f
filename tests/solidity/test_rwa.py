"""Asset token and escrow: who may hold shares, who earns dividends, how deals end."""

from __future__ import annotations

from typing import Any

import pytest

FOREVER = 2**256 - 1
UNIT = 10**18
OPEN, FUNDED, DISPUTED, RELEASED, REFUNDED = 1, 2, 3, 4, 5


class Estate:
    """1,000 shares each for alice and bob; an escrow that may hold shares; dollars for all."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.issuer, self.alice, self.bob, self.carol, self.arbiter = world.accounts[:5]
        self.dollar = world.deploy("Stablecoin", "US Dollar", "USD", 6)
        self.asset = world.deploy("AssetToken", "Harbour Street 1", "HS1", self.dollar)
        self.escrow = world.deploy("Escrow")
        holders = [self.alice, self.bob, self.escrow]
        self.asset.send(self.issuer, "setWhitelisted", holders, True)
        self.asset.send(self.issuer, "issue", [self.alice, self.bob], 1000 * UNIT)
        self.dollar.send(self.issuer, "mintBatch", world.accounts[:5], 10**9)
        for account in (self.issuer, self.alice, self.bob):
            self.dollar.send(account, "approve", self.asset, FOREVER)
            self.dollar.send(account, "approve", self.escrow, FOREVER)
            self.asset.send(account, "approve", self.escrow, FOREVER)

    def shares(self, *accounts: Any) -> list[int]:
        return [self.asset.read("balanceOf", account) // UNIT for account in accounts]

    def dollars(self, *accounts: Any) -> list[int]:
        return [self.dollar.read("balanceOf", account) for account in accounts]

    def dividends(self, *accounts: Any) -> list[int]:
        return [self.asset.read("dividendOf", account) for account in accounts]

    def deal(self, seconds: int = 3600, funded: bool = True) -> int:
        """Alice sells 100 shares to bob for 5,000 dollars."""
        offer = (self.bob, self.arbiter, self.asset, 100 * UNIT, self.dollar, 5000)
        deadline = self.world.now + seconds
        (event,) = self.escrow.send(self.alice, "open", *offer, deadline)
        if funded:
            self.escrow.send(self.bob, "fund", event.args["dealId"])
        return event.args["dealId"]

    def state(self, deal: int) -> int:
        return self.escrow.read("deals", deal)[2]


@pytest.fixture
def estate(world: Any) -> Estate:
    return Estate(world)


def test_only_whitelisted_accounts_receive_shares(estate: Estate) -> None:
    asset, carol = estate.asset, estate.carol
    refusal = asset.refuse(estate.alice, "transfer", carol, UNIT)
    assert refusal == ("NotWhitelisted", (carol.address.lower(),))
    assert asset.refuse(estate.issuer, "issue", [carol], UNIT).error == "NotWhitelisted"
    assert asset.refuse(carol, "setWhitelisted", [carol], True).error == "NotOwner"
    asset.send(estate.issuer, "setWhitelisted", [carol], True)
    asset.send(estate.alice, "transfer", carol, UNIT)
    asset.send(estate.issuer, "setWhitelisted", [carol], False)
    asset.send(carol, "transfer", estate.bob, UNIT)
    assert estate.shares(estate.alice, estate.bob, carol) == [999, 1001, 0]


def test_frozen_shares_do_not_move(estate: Estate) -> None:
    estate.asset.send(estate.issuer, "setFrozen", estate.alice, True)
    refusal = estate.asset.refuse(estate.alice, "transfer", estate.bob, 1)
    assert refusal == ("Frozen", (estate.alice.address.lower(),))
    assert estate.asset.refuse(estate.alice, "redeem", 1).error == "Frozen"
    estate.asset.send(estate.issuer, "setFrozen", estate.alice, False)
    estate.asset.send(estate.alice, "redeem", 10 * UNIT)
    assert estate.shares(estate.alice) == [990]
    assert estate.asset.refuse(estate.alice, "setFrozen", estate.bob, True).error == "NotOwner"


def test_dividends_go_to_those_who_held_the_shares(estate: Estate) -> None:
    asset, alice, bob = estate.asset, estate.alice, estate.bob
    asset.send(estate.issuer, "payDividend", 2000)
    assert estate.dividends(alice, bob) == [999, 999]  # a fraction stays in the contract
    asset.send(alice, "transfer", bob, 500 * UNIT)
    asset.send(estate.issuer, "payDividend", 4000)
    assert estate.dividends(alice, bob) == [1998, 3998]

    before = estate.dollars(alice)
    asset.send(alice, "collectDividend")
    assert estate.dollars(alice) == [before[0] + 1998]
    assert estate.dividends(alice, bob) == [0, 3998]
    assert asset.refuse(alice, "collectDividend").error == "NothingToPay"
    asset.send(bob, "collectDividend")
    assert estate.dollars(asset) == [6000 - 1998 - 3998]


def test_new_shares_earn_nothing_of_the_past(estate: Estate) -> None:
    estate.asset.send(estate.issuer, "payDividend", 2000)
    estate.asset.send(estate.issuer, "issue", [estate.issuer], 1000 * UNIT)
    assert estate.dividends(estate.issuer) == [0]
    assert estate.asset.refuse(estate.issuer, "payDividend", 0).error == "NothingToPay"


def test_dividends_need_shareholders(estate: Estate, world: Any) -> None:
    empty = world.deploy("AssetToken", "Nothing", "NIL", estate.dollar)
    assert empty.refuse(estate.issuer, "payDividend", 5).error == "NoShares"


def test_a_released_deal_swaps_asset_and_price(estate: Estate) -> None:
    before = estate.dollars(estate.alice, estate.bob)
    deal = estate.deal()
    assert estate.state(deal) == FUNDED
    assert estate.shares(estate.alice, estate.escrow) == [900, 100]
    assert estate.escrow.refuse(estate.alice, "release", deal).error == "NotAllowed"
    estate.escrow.send(estate.bob, "release", deal)
    assert estate.shares(estate.alice, estate.bob, estate.escrow) == [900, 1100, 0]
    after = estate.dollars(estate.alice, estate.bob)
    assert after == [before[0] + 5000, before[1] - 5000]
    refusal = estate.escrow.refuse(estate.bob, "release", deal)
    assert refusal == ("WrongState", (RELEASED,))
    assert estate.escrow.refuse(estate.alice, "refund", deal).error == "WrongState"


def test_a_refunded_deal_gives_everything_back(estate: Estate) -> None:
    before = estate.dollars(estate.alice, estate.bob)
    funded, unfunded = estate.deal(), estate.deal(funded=False)
    assert estate.escrow.refuse(estate.bob, "refund", funded).error == "NotAllowed"
    for deal in (funded, unfunded):
        estate.escrow.send(estate.alice, "refund", deal)
        assert estate.state(deal) == REFUNDED
    assert estate.shares(estate.alice, estate.bob, estate.escrow) == [1000, 1000, 0]
    assert estate.dollars(estate.alice, estate.bob) == before
    assert estate.escrow.refuse(estate.bob, "fund", unfunded).error == "WrongState"


def test_after_the_deadline_the_buyer_can_leave(estate: Estate) -> None:
    funded, unfunded = estate.deal(), estate.deal(funded=False)
    estate.world.wait(3600)
    assert estate.escrow.refuse(estate.bob, "fund", unfunded).error == "DeadlinePassed"
    assert estate.escrow.refuse(estate.carol, "refund", funded).error == "NotAllowed"
    estate.escrow.send(estate.bob, "refund", funded)
    assert estate.shares(estate.alice) == [900]  # the unfunded deal still holds 100


@pytest.mark.parametrize(
    ("released", "state", "shares"),
    [(True, RELEASED, [900, 1100]), (False, REFUNDED, [1000, 1000])],
)
def test_the_arbiter_decides_a_dispute(
    estate: Estate, released: bool, state: int, shares: list[int]
) -> None:
    deal = estate.deal()
    refuse = estate.escrow.refuse
    assert refuse(estate.arbiter, "resolve", deal, released) == ("WrongState", (FUNDED,))
    assert refuse(estate.carol, "dispute", deal).error == "NotAllowed"
    estate.escrow.send(estate.bob, "dispute", deal)
    assert estate.state(deal) == DISPUTED
    assert refuse(estate.alice, "refund", deal).error == "WrongState"
    assert refuse(estate.bob, "resolve", deal, True).error == "NotAllowed"
    estate.escrow.send(estate.arbiter, "resolve", deal, released)
    assert estate.state(deal) == state
    assert estate.shares(estate.alice, estate.bob) == shares


def test_deals_need_sense(estate: Estate) -> None:
    now, refuse, alice = estate.world.now, estate.escrow.refuse, estate.alice
    asset, dollar = (estate.asset, UNIT), (estate.dollar, 5)
    for offer in (
        (alice, estate.arbiter, *asset, *dollar, now + 99),
        (estate.bob, estate.bob, *asset, *dollar, now + 99),
        (estate.bob, estate.arbiter, estate.asset, 0, *dollar, now + 99),
        (estate.bob, estate.arbiter, *asset, estate.dollar, 0, now + 99),
        (estate.bob, estate.arbiter, *asset, *dollar, now - 1),
    ):
        assert refuse(alice, "open", *offer).error == "InvalidDeal"
    assert refuse(alice, "fund", 99) == ("WrongState", (0,))
    deal = estate.deal(funded=False)
    assert refuse(estate.carol, "fund", deal).error == "NotAllowed"
