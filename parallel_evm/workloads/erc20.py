"""One stablecoin in everyday use: transfers, approvals, and transfers out of an allowance.

Half the payments go to addresses that never held the token, the others to neighbours. The hot
target is one exchange that everybody pays.
"""

from __future__ import annotations

from eth_typing import Address

from parallel_evm.workloads.tokens import RICHES, UNIT, furnish, stablecoin
from parallel_evm.workloads.world import Call, Contract, Scenario, World

_GAS = 90_000


def erc20(world: World) -> Scenario:
    token = stablecoin(world, "USDC")
    furnish(world, world.accounts, token)
    for owner in world.accounts:
        for spender in world.neighbours(owner):
            world.approve(token, owner, spender, RICHES)
    return _calls(world, token, exchange=world.nobody())


def _calls(world: World, token: Contract, exchange: Address) -> Scenario:
    chance = world.random
    while True:
        sender = world.someone()
        neighbours = world.neighbours(sender)
        amount = chance.randint(1, 1000 * UNIT)
        if world.is_hot():
            data = token.data("transfer", exchange, amount)
        elif chance.random() < 0.1:
            data = token.data("approve", world.nobody(), amount)
        elif not neighbours or chance.random() < 0.5:
            data = token.data("transfer", world.nobody(), amount)
        elif chance.random() < 0.2:
            data = token.data("transferFrom", chance.choice(neighbours), sender, amount)
        else:
            data = token.data("transfer", chance.choice(neighbours), amount)
        yield Call(sender, token.address, _GAS, data)
