"""Factory, pair and router: liquidity, swaps, flash swaps, averages, and what they refuse."""

from __future__ import annotations

from math import isqrt
from typing import Any

import pytest

UNIT = 10**18
FOREVER = 2**256 - 1
MINIMUM_LIQUIDITY = 1000


def amount_out(paid: int, reserve_in: int, reserve_out: int) -> int:
    return paid * 997 * reserve_out // (reserve_in * 1000 + paid * 997)


def amount_in(taken: int, reserve_in: int, reserve_out: int) -> int:
    return reserve_in * taken * 1000 // ((reserve_out - taken) * 997) + 1


class Market:
    """Three tokens, two pools (a-b, b-c), and a router that the owner and the trader approved."""

    def __init__(self, world: Any) -> None:
        self.owner, self.trader, self.other = world.accounts[:3]
        self.factory = world.deploy("Factory")
        self.router = world.deploy("Router", self.factory)
        self.tokens = [world.deploy("Stablecoin", f"Token {n}", n, 18) for n in "ABC"]
        for token in self.tokens:
            token.send(self.owner, "mintBatch", [self.owner, self.trader], 10**6 * UNIT)
            for account in (self.owner, self.trader):
                token.send(account, "approve", self.router, FOREVER)
        a, b, c = self.tokens
        self.add(a, b, 1000 * UNIT, 4000 * UNIT)
        self.add(b, c, 2000 * UNIT, 2000 * UNIT)
        self.pair = world.deploy("Pair").at(self.factory.read("getPair", a, b))

    def add(self, a: Any, b: Any, amount_a: int, amount_b: int) -> None:
        self.router.send(
            self.owner, "addLiquidity", a, b, amount_a, amount_b, 0, 0, self.owner, FOREVER
        )

    def reserves(self, a: Any, b: Any) -> tuple[int, int]:
        return tuple(self.router.read("getReserves", a, b))


@pytest.fixture(scope="module")
def market(world: Any) -> Market:
    return Market(world)


def test_the_first_deposit_sets_price_and_shares(market: Market) -> None:
    pair = market.pair
    assert market.reserves(*market.tokens[:2]) == (1000 * UNIT, 4000 * UNIT)
    assert pair.read("totalSupply") == isqrt(1000 * 4000) * UNIT
    assert pair.read("balanceOf", market.owner) == 2000 * UNIT - MINIMUM_LIQUIDITY


def test_the_router_computes_the_address_of_a_pair(market: Market) -> None:
    a, b, c = market.tokens
    assert market.router.read("pairFor", a, b) == market.factory.read("getPair", b, a)
    assert market.router.read("pairFor", c, b) == market.factory.read("getPair", b, c)
    assert market.factory.read("allPairsLength") == 2


def test_the_factory_refuses_bad_pairs(market: Market) -> None:
    a, b, _ = market.tokens
    refuse, owner = market.factory.refuse, market.owner
    assert refuse(owner, "createPair", a, a).error == "IdenticalTokens"
    assert refuse(owner, "createPair", a, "0x" + "00" * 20).error == "ZeroToken"
    assert refuse(owner, "createPair", b, a).error == "PairExists"
    assert market.pair.refuse(owner, "initialize", a, b).error == "NotFactory"


def test_a_deposit_keeps_the_price(market: Market) -> None:
    a, b, _ = market.tokens
    before = market.reserves(a, b)
    held = market.pair.read("balanceOf", market.trader)
    market.router.send(
        market.trader,
        "addLiquidity",
        *(a, b, 100 * UNIT, 100 * UNIT, 0, 0, market.trader, FOREVER),
    )
    after = market.reserves(a, b)
    assert after[1] - before[1] == 100 * UNIT
    assert after[0] - before[0] == 100 * UNIT * before[0] // before[1]
    shares = market.pair.read("balanceOf", market.trader) - held
    assert shares > 0
    for amounts in (
        (100 * UNIT, 100 * UNIT, 100 * UNIT, 0),  # would take less than 100 of a
        (UNIT, 100 * UNIT, 0, 100 * UNIT),  # would take less than 100 of b
    ):
        offer = (a, b, *amounts, market.trader, FOREVER)
        refusal = market.router.refuse(market.trader, "addLiquidity", *offer)
        assert refusal.error == "PriceMoved"


def test_withdrawing_returns_both_tokens(market: Market) -> None:
    a, b, _ = market.tokens
    reserves, supply = market.reserves(a, b), market.pair.read("totalSupply")
    shares = market.pair.read("balanceOf", market.owner) // 10
    market.pair.send(market.owner, "approve", market.router, FOREVER)
    before = [token.read("balanceOf", market.other) for token in (a, b)]
    leave = (a, b, shares, 0, 0, market.other, FOREVER)
    market.router.send(market.owner, "removeLiquidity", *leave)
    got = [
        token.read("balanceOf", market.other) - held
        for token, held in zip((a, b), before, strict=True)
    ]
    assert got == [shares * reserve // supply for reserve in reserves]
    for minimum in ((10**9 * UNIT, 0), (0, 10**9 * UNIT)):
        greedy = (a, b, shares, *minimum, market.other, FOREVER)
        assert market.router.refuse(market.owner, "removeLiquidity", *greedy).error == "PriceMoved"


def test_an_exact_input_goes_through_two_pools(market: Market) -> None:
    a, b, c = market.tokens
    first, second = market.reserves(a, b), market.reserves(b, c)
    middle = amount_out(10 * UNIT, *first)
    last = amount_out(middle, *second)
    path = [a, b, c]
    assert list(market.router.read("getAmountsOut", 10 * UNIT, path)) == [10 * UNIT, middle, last]
    paid, got = a.read("balanceOf", market.trader), c.read("balanceOf", market.other)
    order = (10 * UNIT, last, path, market.other, FOREVER)
    market.router.send(market.trader, "swapExactTokensForTokens", *order)
    assert paid - a.read("balanceOf", market.trader) == 10 * UNIT
    assert c.read("balanceOf", market.other) - got == last
    assert market.reserves(a, b) == (first[0] + 10 * UNIT, first[1] - middle)
    assert market.reserves(b, c) == (second[0] + middle, second[1] - last)


def test_an_exact_output_costs_what_was_quoted(market: Market) -> None:
    a, b, c = market.tokens
    middle = amount_in(5 * UNIT, *market.reserves(b, c))
    cost = amount_in(middle, *market.reserves(a, b))
    path = [a, b, c]
    assert list(market.router.read("getAmountsIn", 5 * UNIT, path)) == [cost, middle, 5 * UNIT]
    paid, got = a.read("balanceOf", market.trader), c.read("balanceOf", market.trader)
    order = (5 * UNIT, cost, path, market.trader, FOREVER)
    market.router.send(market.trader, "swapTokensForExactTokens", *order)
    assert paid - a.read("balanceOf", market.trader) == cost
    assert c.read("balanceOf", market.trader) - got == 5 * UNIT


def test_the_router_keeps_the_limits_of_the_caller(market: Market, world: Any) -> None:
    a, b, _ = market.tokens
    trader, refuse = market.trader, market.router.refuse
    exact_in, exact_out = "swapExactTokensForTokens", "swapTokensForExactTokens"
    to = (trader, FOREVER)
    assert refuse(trader, exact_in, UNIT, 10**9 * UNIT, [a, b], *to).error == "InsufficientOutput"
    assert refuse(trader, exact_out, UNIT, 1, [a, b], *to).error == "ExcessiveInput"
    assert refuse(trader, exact_in, UNIT, 0, [a], *to).error == "InvalidPath"
    assert refuse(trader, exact_in, 0, 0, [a, b], *to).error == "ZeroAmount"
    assert refuse(trader, exact_out, 10**9 * UNIT, 1, [a, b], *to).error == "InsufficientReserve"
    late = refuse(trader, exact_in, UNIT, 0, [a, b], trader, world.now - 1)
    assert late.error == "Expired"
    poor = refuse(market.other, exact_in, UNIT, 0, [a, b], *to)
    assert poor.error == "InsufficientAllowance"
    assert refuse(trader, exact_in, UNIT, 0, [a, market.tokens[2]], *to).error == ""


def test_a_pair_refuses_swaps_that_take_without_paying(market: Market) -> None:
    refuse, trader, a = market.pair.refuse, market.trader, market.tokens[0]
    assert refuse(trader, "swap", 0, 0, trader, b"").error == "InsufficientOutput"
    assert refuse(trader, "swap", 1, 0, trader, b"").error == "InsufficientInput"
    assert refuse(trader, "swap", 2**100, 0, trader, b"").error == "InsufficientReserve"
    assert refuse(trader, "swap", 1, 0, a, b"").error == "InvalidRecipient"
    assert refuse(trader, "mint", trader).error == "InsufficientLiquidityMinted"
    assert refuse(trader, "burn", trader).error == "InsufficientLiquidityBurned"
    a.send(trader, "transfer", market.pair, 10)
    assert refuse(trader, "swap", 10, 10, trader, b"").error == "ProductDecreased"


def test_skim_and_sync_settle_what_was_sent_by_mistake(market: Market) -> None:
    a, b, _ = market.tokens
    market.pair.send(market.owner, "skim", market.other)
    before, held = market.reserves(a, b), a.read("balanceOf", market.other)
    a.send(market.trader, "transfer", market.pair, 7)
    market.pair.send(market.owner, "skim", market.other)
    assert a.read("balanceOf", market.other) == held + 7
    a.send(market.trader, "transfer", market.pair, 9)
    market.pair.send(market.owner, "sync")
    assert market.reserves(a, b) == (before[0] + 9, before[1])


@pytest.fixture(scope="module")
def borrower(market: Market, world: Any) -> Any:
    borrower = world.deploy("FlashBorrower")
    for token in market.tokens[:2]:
        token.send(market.trader, "transfer", borrower, 10 * UNIT)
    return borrower


def test_a_flash_swap_is_paid_in_the_callback_or_not_at_all(market: Market, borrower: Any) -> None:
    borrow = ("borrow", market.pair, 50 * UNIT, 50 * UNIT)
    before = market.reserves(*market.tokens[:2])
    borrower.send(market.trader, *borrow, True, b"")
    after = market.reserves(*market.tokens[:2])
    assert after[0] > before[0] and after[1] > before[1]
    assert borrower.refuse(market.trader, *borrow, False, b"").error == "InsufficientInput"
    assert market.reserves(*market.tokens[:2]) == after


@pytest.mark.parametrize("function", ["mint", "burn", "swap", "skim", "sync"])
def test_a_pair_is_locked_while_it_swaps(market: Market, borrower: Any, function: str) -> None:
    values = {"sync": (), "swap": (1, 0, market.trader, b"")}.get(function, (market.trader,))
    reentry = market.pair.calldata(function, *values)
    borrow = ("borrow", market.pair, 2 * UNIT, 2 * UNIT, True, reentry)
    assert borrower.refuse(market.trader, *borrow).error == "Locked"


@pytest.mark.parametrize("side", [0, 1])
def test_a_pair_sells_at_most_what_the_product_allows(market: Market, side: int) -> None:
    """Pays one unit of token `side` and takes the other one."""
    pair, reserves = market.pair, market.pair.read("getReserves")
    paid, taken = (market.tokens[0].at(pair.read(f"token{n}")) for n in (side, 1 - side))
    most = amount_out(UNIT, reserves[side], reserves[1 - side])
    paid.send(market.trader, "transfer", pair, UNIT)

    def swap(amount: int) -> tuple[Any, ...]:
        return ("swap", *((0, amount) if side == 0 else (amount, 0)), market.other, b"")

    assert pair.refuse(market.trader, *swap(most + 1)).error == "ProductDecreased"
    before = taken.read("balanceOf", market.other)
    pair.send(market.trader, *swap(most))
    assert taken.read("balanceOf", market.other) - before == most


def test_the_averages_add_price_times_seconds(market: Market, world: Any) -> None:
    pair = market.pair
    before = [pair.read(f"price{side}CumulativeLast") for side in (0, 1)]
    reserve0, reserve1, updated = pair.read("getReserves")
    world.wait(100)
    elapsed = world.now - updated
    pair.send(market.owner, "sync")
    after = [pair.read(f"price{side}CumulativeLast") for side in (0, 1)]
    prices = [(reserve1 << 112) // reserve0, (reserve0 << 112) // reserve1]
    assert elapsed > 100
    assert [b - a for a, b in zip(before, after, strict=True)] == [p * elapsed for p in prices]
