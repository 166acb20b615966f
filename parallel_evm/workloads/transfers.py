"""Plain transfers of ether: no code runs. The hot target is one exchange that everybody pays."""

from __future__ import annotations

from eth_typing import Address

from parallel_evm.workloads.world import ETHER, Call, Scenario, World

_GAS = 21_000


def transfers(world: World) -> Scenario:
    return _calls(world, exchange=world.nobody())


def _calls(world: World, exchange: Address) -> Scenario:
    chance = world.random
    while True:
        sender = world.someone()
        if world.is_hot():
            to = exchange
        elif chance.random() < 0.25:
            to = world.nobody()
        else:
            to = world.someone().address
        yield Call(sender, to, _GAS, value=chance.randint(1, ETHER))
