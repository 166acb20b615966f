"""The currency token: transfers, allowances, minters, burning, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

FOREVER = 2**256 - 1
ZERO = "0x" + "00" * 20


@pytest.fixture(scope="module")
def token(world: Any) -> Any:
    token = world.deploy("Stablecoin", "US Dollar", "USD", 6)
    token.send(world.accounts[0], "mintBatch", world.accounts[:3], 1000)
    return token


def held(token: Any, *accounts: Any) -> list[int]:
    return [token.read("balanceOf", account) for account in accounts]


def test_it_describes_itself(token: Any) -> None:
    assert token.read("name") == "US Dollar"
    assert token.read("symbol") == "USD"
    assert token.read("decimals") == 6


def test_a_transfer_moves_tokens_and_says_so(token: Any, world: Any) -> None:
    _, alice, bob = world.accounts[:3]
    before = held(token, alice, bob)
    (event,) = token.send(alice, "transfer", bob, 30)
    assert held(token, alice, bob) == [before[0] - 30, before[1] + 30]
    assert event.name == "Transfer"
    assert event.args == {"from": alice.address.lower(), "to": bob.address.lower(), "amount": 30}
    token.send(alice, "transfer", alice, 10)
    assert held(token, alice) == [before[0] - 30]


def test_a_transfer_needs_the_balance_and_a_recipient(token: Any, world: Any) -> None:
    alice, poor = world.accounts[1], world.accounts[5]
    refusal = token.refuse(poor, "transfer", alice, 1)
    assert refusal == ("InsufficientBalance", (poor.address.lower(), 0, 1))
    assert token.refuse(alice, "transfer", ZERO, 1).error == "ZeroAddress"


def test_an_allowance_is_used_up_unless_it_is_unlimited(token: Any, world: Any) -> None:
    _, alice, bob, spender = world.accounts[:4]
    token.send(alice, "approve", spender, 50)
    token.send(spender, "transferFrom", alice, bob, 20)
    assert token.read("allowance", alice, spender) == 30
    refusal = token.refuse(spender, "transferFrom", alice, bob, 31)
    assert refusal == ("InsufficientAllowance", (spender.address.lower(), 30, 31))
    token.send(alice, "approve", spender, FOREVER)
    token.send(spender, "transferFrom", alice, bob, 1)
    assert token.read("allowance", alice, spender) == FOREVER


def test_only_minters_mint_and_only_the_owner_names_them(token: Any, world: Any) -> None:
    owner, alice, bob, minter = world.accounts[:4]
    assert token.refuse(minter, "mint", bob, 5).error == "NotMinter"
    assert token.refuse(minter, "setMinter", minter, True).error == "NotOwner"
    token.send(owner, "setMinter", minter, True)
    before, supply = held(token, bob), token.read("totalSupply")
    token.send(minter, "mint", bob, 5)
    assert held(token, bob) == [before[0] + 5]
    assert token.read("totalSupply") == supply + 5
    token.send(owner, "setMinter", minter, False)
    assert token.refuse(minter, "mintBatch", [alice, bob], 5).error == "NotMinter"


def test_burning_lowers_the_supply(token: Any, world: Any) -> None:
    _, alice, bob, spender = world.accounts[:4]
    before, supply = held(token, alice, bob), token.read("totalSupply")
    token.send(alice, "burn", 10)
    token.send(bob, "approve", spender, 20)
    token.send(spender, "burnFrom", bob, 20)
    assert held(token, alice, bob) == [before[0] - 10, before[1] - 20]
    assert token.read("totalSupply") == supply - 30
    assert token.refuse(alice, "burn", 10**9).error == "InsufficientBalance"
    assert token.refuse(spender, "burnFrom", bob, 1).error == "InsufficientAllowance"


def test_the_supply_cannot_overflow(token: Any, world: Any) -> None:
    refusal = token.refuse(world.accounts[0], "mint", world.accounts[0], FOREVER)
    assert refusal == ("Panic", (0x11,))


def test_ownership_can_be_handed_over(token: Any, world: Any) -> None:
    owner, heir = world.accounts[0], world.accounts[6]
    assert token.refuse(heir, "transferOwnership", heir).error == "NotOwner"
    token.send(owner, "transferOwnership", heir)
    assert token.refuse(owner, "setMinter", owner, True).error == "NotOwner"
    token.send(heir, "transferOwnership", owner)
