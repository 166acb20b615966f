"""Payments of many to many: each transaction pays a list of recipients, in a token or in ether.

Recipients are neighbours and addresses that never held anything, so lists overlap within a group.
In hot transactions one exchange is among the recipients.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_typing import Address

from parallel_evm.workloads.tokens import UNIT, furnish, stablecoin
from parallel_evm.workloads.world import Call, Contract, Scenario, World

_TOKENS = ("USDC", "DAI", "EURC")
_FEWEST, _MOST = 3, 12

_GAS = 60_000
_GAS_FOR_A_TOKEN_PAYMENT = 40_000
_GAS_FOR_AN_ETHER_PAYMENT = 45_000


def airdrop(world: World) -> Scenario:
    contract = world.deploy("Airdrop", label="Airdrop")
    tokens = [stablecoin(world, symbol) for symbol in _TOKENS]
    for token in tokens:
        furnish(world, world.accounts, token, contract)
    return _calls(world, contract, tokens, exchange=world.nobody())


def _calls(
    world: World, contract: Contract, tokens: Sequence[Contract], exchange: Address
) -> Scenario:
    chance = world.random
    while True:
        sender = world.someone()
        recipients = [neighbour.address for neighbour in world.neighbours(sender)]
        count = chance.randint(_FEWEST, _MOST)
        recipients += [world.nobody() for _ in range(count - len(recipients))]
        if world.is_hot():
            recipients[0] = exchange
        chance.shuffle(recipients)
        amounts = [chance.randint(1, UNIT) for _ in recipients]
        if chance.random() < 0.7:
            data = contract.data("distribute", chance.choice(tokens), recipients, amounts)
            gas = _GAS + _GAS_FOR_A_TOKEN_PAYMENT * len(recipients)
            yield Call(sender, contract.address, gas, data)
        else:
            data = contract.data("distributeEther", recipients, amounts)
            gas = _GAS + _GAS_FOR_AN_ETHER_PAYMENT * len(recipients)
            yield Call(sender, contract.address, gas, data, value=sum(amounts))
