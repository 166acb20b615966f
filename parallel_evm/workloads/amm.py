"""Trading through the router of the constant-product AMM.

`swaps`: every group of accounts has its home market, which is two tokens and a pool of each with
the quote token, USDC. It trades one of them for USDC, or one for the other through both pools,
and sometimes deposits or withdraws. The hot target is the WETH/USDC pool, where everybody trades.
`hot_pool`: the hot target alone, the worst case for parallel execution.
"""

from __future__ import annotations

from collections.abc import Sequence

from parallel_evm.workloads.accounts import Account
from parallel_evm.workloads.tokens import UNIT, furnish, stablecoin, wrapped_ether
from parallel_evm.workloads.world import FOREVER, Call, Contract, Scenario, World

_DEPTH = 10**6 * UNIT
_SHARES = 1000 * UNIT

_GAS_FOR_A_POOL = 120_000
_GAS_FOR_THE_REST = 80_000
_GAS_FOR_LIQUIDITY = 250_000


class _Exchange:
    """Factory, router and the quote token; makes pools, and calls to trade in them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.quote = stablecoin(world, "USDC")
        self._factory = world.deploy("Factory", label="Factory")
        self.router = world.deploy("Router", self._factory, label="Router")
        furnish(world, [world.operator, *world.accounts], self.quote, self.router)

    def list_token(self, token: Contract, traders: Sequence[Account]) -> Contract:
        """Make the token's pool with the quote token, for `traders`, and return the token."""
        world, router, quote = self._world, self.router, self.quote
        symbol = token.label.split()[-1]
        furnish(world, [world.operator, *traders], token, router)
        price = world.random.uniform(0.5, 20)
        worth = int(_DEPTH * price)
        world.send(
            router, "addLiquidity", token, quote, _DEPTH, worth, 0, 0, world.operator, FOREVER
        )
        address = world.send(self._factory, "getPair", token, quote)
        pair = world.know("Pair", address, label=f"Pair {symbol}/USDC")
        for trader in traders:
            world.endow(pair, trader, _SHARES)
            world.approve(pair, trader, router)
        return token

    def swap(self, trader: Account, path: Sequence[Contract]) -> Call:
        """Trade the first token of the path for the last, fixing what is paid or what is got."""
        chance = self._world.random
        amount = chance.randint(UNIT, 1000 * UNIT)
        if chance.random() < 0.8:
            function, limit = "swapExactTokensForTokens", 1
        else:
            function, limit = "swapTokensForExactTokens", FOREVER
        return Call(
            trader,
            self.router.address,
            _GAS_FOR_THE_REST + _GAS_FOR_A_POOL * (len(path) - 1),
            self.router.data(function, amount, limit, path, trader, FOREVER),
        )

    def change_liquidity(self, trader: Account, token: Contract) -> Call:
        """Deposit into the token's pool, or withdraw from it."""
        chance, quote = self._world.random, self.quote
        amount = chance.randint(UNIT // 100, UNIT)
        if chance.random() < 0.5:
            data = self.router.data(
                "addLiquidity", token, quote, amount, 100 * amount, 0, 0, trader, FOREVER
            )
        else:
            data = self.router.data("removeLiquidity", token, quote, amount, 0, 0, trader, FOREVER)
        return Call(trader, self.router.address, _GAS_FOR_LIQUIDITY, data)


def swaps(world: World, markets: int = 20) -> Scenario:
    exchange = _Exchange(world)
    hot = exchange.list_token(wrapped_ether(world), world.accounts)
    homes = [
        [exchange.list_token(stablecoin(world, f"{letter}{number}"), traders) for letter in "AB"]
        for number, traders in enumerate(world.settle(markets))
    ]
    return _calls(world, exchange, hot, homes)


def hot_pool(world: World) -> Scenario:
    exchange = _Exchange(world)
    hot = exchange.list_token(wrapped_ether(world), world.accounts)
    return _hot_calls(world, exchange, hot)


def _calls(
    world: World, exchange: _Exchange, hot: Contract, homes: list[list[Contract]]
) -> Scenario:
    chance = world.random
    hot_calls = _hot_calls(world, exchange, hot)
    while True:
        if world.is_hot():
            yield next(hot_calls)
            continue
        trader = world.someone()
        one, other = chance.sample(world.home(trader, homes), 2)
        kind = chance.random()
        if kind < 0.05:
            yield exchange.change_liquidity(trader, one)
        elif kind < 0.25:
            yield exchange.swap(trader, [one, exchange.quote, other])
        else:
            yield exchange.swap(trader, chance.sample([one, exchange.quote], 2))


def _hot_calls(world: World, exchange: _Exchange, hot: Contract) -> Scenario:
    while True:
        path = world.random.sample([hot, exchange.quote], 2)
        yield exchange.swap(world.someone(), path)
