"""The same code runs, and uses only known opcodes, on every fork from London to Prague."""

from __future__ import annotations

from typing import Any

import pytest
from eth.abc import VirtualMachineAPI
from eth.vm.forks import CancunVM, LondonVM, ParisVM, PragueVM, ShanghaiVM

FOREVER = 2**256 - 1
UNIT = 10**18


@pytest.mark.parametrize(
    "vm_class", [LondonVM, ParisVM, ShanghaiVM, CancunVM, PragueVM], ids=lambda vm: vm.fork
)
def test_a_swap_on_each_fork(world_of_fork: Any, vm_class: type[VirtualMachineAPI]) -> None:
    world = world_of_fork(vm_class)
    owner, trader = world.accounts
    router = world.deploy("Router", world.deploy("Factory"))
    a, b = (world.deploy("Stablecoin", f"Token {name}", name, 18) for name in "AB")
    for token in (a, b):
        token.send(owner, "mintBatch", [owner, trader], 1000 * UNIT)
        for account in (owner, trader):
            token.send(account, "approve", router, FOREVER)
    deposit = (a, b, 100 * UNIT, 100 * UNIT, 0, 0, owner, FOREVER)
    router.send(owner, "addLiquidity", *deposit)
    order = (UNIT, 0, [a, b], trader, FOREVER)
    router.send(trader, "swapExactTokensForTokens", *order)
    bought = UNIT * 997 * 100 // (100 * 1000 + 997)
    assert b.read("balanceOf", trader) == 1000 * UNIT + bought
