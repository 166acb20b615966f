"""Ether as a token: it goes in and comes out one to one."""

from __future__ import annotations

from typing import Any

import pytest

ETHER = 10**18


@pytest.fixture(scope="module")
def token(world: Any) -> Any:
    return world.deploy("WrappedEther")


def test_ether_is_wrapped_and_unwrapped(token: Any, world: Any) -> None:
    alice = world.accounts[1]
    token.send(alice, "deposit", value=3 * ETHER)
    assert token.read("balanceOf", alice) == 3 * ETHER
    assert world.balance(token.address) == token.read("totalSupply") == 3 * ETHER
    before = world.balance(alice.address)
    token.send(alice, "withdraw", 2 * ETHER)
    fee_at_most = ETHER // 100
    assert 2 * ETHER - fee_at_most < world.balance(alice.address) - before < 2 * ETHER
    assert world.balance(token.address) == token.read("totalSupply") == ETHER


def test_sending_ether_wraps_it(token: Any, world: Any) -> None:
    bob = world.accounts[2]
    outcome = world.mine(bob, token.address, b"", value=5)
    assert [event.name for event in token.events(outcome.receipt)] == ["Transfer", "Deposit"]
    assert token.read("balanceOf", bob) == 5
    token.send(bob, "withdraw", 5)


def test_nobody_unwraps_more_than_they_hold(token: Any, world: Any) -> None:
    assert token.refuse(world.accounts[3], "withdraw", 1).error == "InsufficientBalance"


def test_a_contract_that_takes_no_ether_cannot_unwrap(token: Any, world: Any) -> None:
    holder = world.deploy("EtherRefuser")
    holder.send(world.accounts[1], "wrap", token, value=7)
    refusal = holder.refuse(world.accounts[1], "unwrap", token, 7)
    assert refusal == ("EtherRefused", (holder.address.lower(),))
    assert token.read("balanceOf", holder) == 7
