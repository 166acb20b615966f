"""Payments to many: tokens and ether reach every recipient, or none."""

from __future__ import annotations

from typing import Any

import pytest

RECIPIENTS = ["0x" + f"{0xA0000 + index:040x}" for index in range(5)]
AMOUNTS = [1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def airdrop(world: Any) -> Any:
    return world.deploy("Airdrop")


@pytest.fixture
def token(world: Any, airdrop: Any) -> Any:
    token = world.deploy("Stablecoin", "Points", "PTS", 0)
    for sender in world.accounts[1:3]:
        token.send(world.accounts[0], "mint", sender, 100)
        token.send(sender, "approve", airdrop, 20)
    return token


def test_many_pay_many(token: Any, airdrop: Any, world: Any) -> None:
    for sender in world.accounts[1:3]:
        (event,) = airdrop.send(sender, "distribute", token, RECIPIENTS, AMOUNTS)
        assert event.args["recipients"] == 5 and event.args["total"] == 15
        assert token.read("balanceOf", sender) == 85
        assert token.read("allowance", sender, airdrop) == 5
    assert [token.read("balanceOf", r) for r in RECIPIENTS] == [2 * a for a in AMOUNTS]


def test_nobody_is_paid_if_one_payment_fails(token: Any, airdrop: Any, world: Any) -> None:
    sender = world.accounts[1]
    refusal = airdrop.refuse(sender, "distribute", token, RECIPIENTS, [5] * 5)
    assert refusal.error == "InsufficientAllowance"
    assert [token.read("balanceOf", r) for r in RECIPIENTS] == [0] * 5
    refusal = airdrop.refuse(sender, "distribute", token, RECIPIENTS, AMOUNTS[1:])
    assert refusal == ("LengthMismatch", (5, 4))


def test_ether_reaches_new_accounts(airdrop: Any, world: Any) -> None:
    sender = world.accounts[1]
    airdrop.send(sender, "distributeEther", RECIPIENTS, AMOUNTS, value=15)
    assert [world.balance(r) for r in RECIPIENTS] == AMOUNTS
    refuse = airdrop.refuse
    assert refuse(sender, "distributeEther", RECIPIENTS, AMOUNTS, value=16) == (
        "WrongValue",
        (16, 15),
    )
    assert refuse(sender, "distributeEther", RECIPIENTS, [1], value=1).error == "LengthMismatch"
    refusal = refuse(sender, "distributeEther", [RECIPIENTS[0], airdrop], [1, 1], value=2)
    assert refusal == ("EtherRefused", (airdrop.address.lower(),))
    assert world.balance(RECIPIENTS[0]) == 1
