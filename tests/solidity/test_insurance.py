"""The mutual pool: capital, policies, claims, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

FOREVER = 2**256 - 1
RATE = 5 * 10**16  # 5% a year
DAY = 24 * 3600
EVIDENCE = b"\x11" * 32
FILED, APPROVED, REJECTED, PAID = 1, 2, 3, 4


class Mutual:
    """Two members with 1,000,000 in the pool, three assessors of whom two decide."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.owner, self.member, self.holder, self.stranger = world.accounts[:4]
        self.assessors = world.accounts[4:7]
        self.token = world.deploy("Stablecoin", "US Dollar", "USD", 6)
        self.pool = world.deploy("InsurancePool", self.token, RATE, 2)
        self.token.send(self.owner, "mintBatch", world.accounts[:4], 10**9)
        for account in world.accounts[:4]:
            self.token.send(account, "approve", self.pool, FOREVER)
        for assessor in self.assessors:
            self.pool.send(self.owner, "setAssessor", assessor, True)
        self.pool.send(self.owner, "deposit", 600_000)
        self.pool.send(self.member, "deposit", 400_000)

    def insure(self, cover: int, days: int = 30) -> int:
        events = self.pool.send(self.holder, "buyPolicy", cover, days * DAY, FOREVER)
        return events[0].args["policyId"]

    def claim(self, policy: int, amount: int) -> int:
        (event,) = self.pool.send(self.holder, "fileClaim", policy, amount, EVIDENCE)
        return event.args["claimId"]

    def decide(self, claim: int, approve: bool) -> None:
        for assessor in self.assessors[:2]:
            self.pool.send(assessor, "assess", claim, approve)

    def state(self, claim: int) -> int:
        return self.pool.read("claims", claim)[1]


@pytest.fixture
def mutual(world: Any) -> Mutual:
    return Mutual(world)


def test_premiums_belong_to_the_members(mutual: Mutual) -> None:
    pool = mutual.pool
    premium = pool.read("premiumFor", 100_000, 365 * DAY)
    assert premium == 5_000
    before = mutual.token.read("balanceOf", mutual.holder)
    mutual.insure(100_000, 365)
    assert before - mutual.token.read("balanceOf", mutual.holder) == premium
    assert pool.read("capital") == 1_005_000
    held = mutual.token.read("balanceOf", mutual.member)
    pool.send(mutual.member, "withdraw", 400_000)
    assert mutual.token.read("balanceOf", mutual.member) - held == 402_000
    assert pool.read("sharesOf", mutual.member) == 0
    refusal = pool.refuse(mutual.member, "withdraw", 1)
    assert refusal == ("InsufficientShares", (0,))


def test_covering_capital_cannot_leave_or_cover_twice(mutual: Mutual) -> None:
    pool = mutual.pool
    mutual.insure(900_000)
    assert pool.refuse(mutual.owner, "withdraw", 600_000).error == "InsufficientCapital"
    buy = ("buyPolicy", 200_000, DAY)
    assert pool.refuse(mutual.holder, *buy, FOREVER).error == "InsufficientCapital"


def test_an_approved_claim_is_paid_once(mutual: Mutual) -> None:
    pool = mutual.pool
    policy = mutual.insure(100_000)
    capital = pool.read("capital")
    claim = mutual.claim(policy, 70_000)
    assert pool.refuse(mutual.holder, "payClaim", claim) == ("WrongClaimState", (FILED,))
    mutual.decide(claim, True)
    assert mutual.state(claim) == APPROVED
    before = mutual.token.read("balanceOf", mutual.holder)
    pool.send(mutual.stranger, "payClaim", claim)
    assert mutual.token.read("balanceOf", mutual.holder) - before == 70_000
    assert pool.read("capital") == capital - 70_000
    assert pool.read("activeCover") == 30_000
    assert pool.refuse(mutual.stranger, "payClaim", claim) == ("WrongClaimState", (PAID,))
    refusal = pool.refuse(mutual.holder, "fileClaim", policy, 30_001, EVIDENCE)
    assert refusal == ("CoverExceeded", (30_000,))
    mutual.claim(policy, 30_000)


def test_a_rejected_claim_leaves_the_cover(mutual: Mutual) -> None:
    policy = mutual.insure(100_000)
    claim = mutual.claim(policy, 70_000)
    again = ("fileClaim", policy, 1, EVIDENCE)
    assert mutual.pool.refuse(mutual.holder, *again).error == "ClaimPending"
    mutual.decide(claim, False)
    assert mutual.state(claim) == REJECTED
    assert mutual.pool.refuse(mutual.holder, "payClaim", claim).error == "WrongClaimState"
    late = mutual.pool.refuse(mutual.assessors[2], "assess", claim, True)
    assert late.error == "WrongClaimState"
    mutual.claim(policy, 100_000)


def test_assessors_decide_once_and_nobody_else(mutual: Mutual) -> None:
    claim = mutual.claim(mutual.insure(100_000), 10)
    assert mutual.pool.refuse(mutual.holder, "assess", claim, True).error == "NotAssessor"
    first, second, third = mutual.assessors
    mutual.pool.send(first, "assess", claim, True)
    assert mutual.pool.refuse(first, "assess", claim, True).error == "AlreadyAssessed"
    mutual.pool.send(second, "assess", claim, False)
    assert mutual.state(claim) == FILED
    mutual.pool.send(third, "assess", claim, True)
    assert mutual.state(claim) == APPROVED
    refusal = mutual.pool.refuse(mutual.stranger, "setAssessor", mutual.stranger, True)
    assert refusal.error == "NotOwner"


def test_a_policy_ends_with_time(mutual: Mutual) -> None:
    pool, policy = mutual.pool, mutual.insure(100_000, days=1)
    pending = mutual.insure(50_000, days=1)
    mutual.claim(pending, 1)
    assert pool.refuse(mutual.stranger, "endPolicy", policy).error == "PolicyActive"
    mutual.world.wait(DAY)
    refusal = pool.refuse(mutual.holder, "fileClaim", policy, 1, EVIDENCE)
    assert refusal == ("PolicyExpired", (policy,))
    pool.send(mutual.stranger, "endPolicy", policy)
    assert pool.read("activeCover") == 50_000
    assert pool.refuse(mutual.stranger, "endPolicy", policy).error == "ZeroAmount"
    assert pool.refuse(mutual.stranger, "endPolicy", pending).error == "ClaimPending"


def test_policies_are_sold_within_limits(mutual: Mutual) -> None:
    refuse, holder = mutual.pool.refuse, mutual.holder
    assert refuse(holder, "buyPolicy", 0, DAY, FOREVER).error == "ZeroAmount"
    assert refuse(holder, "buyPolicy", 1, 366 * DAY, FOREVER).error == "DurationTooLong"
    assert refuse(holder, "buyPolicy", 10_000, 365 * DAY, 499) == ("PremiumTooHigh", (500, 499))
    policy = mutual.insure(10)
    assert refuse(mutual.stranger, "fileClaim", policy, 1, EVIDENCE).error == "NotHolder"


def test_a_pool_that_paid_everything_is_closed(mutual: Mutual) -> None:
    pool = mutual.pool
    rest = pool.read("freeCapital")
    first = mutual.insure(rest)
    second = mutual.insure(pool.read("freeCapital"))
    while (free := pool.read("freeCapital")) > 0:  # each premium is new capital
        pool.send(
            mutual.owner,
            "withdraw",
            max(1, free * pool.read("totalShares") // pool.read("capital")),
        )
    for policy in (first, second):
        claim = mutual.claim(policy, pool.read("policies", policy)[3])
        mutual.decide(claim, True)
        pool.send(mutual.stranger, "payClaim", claim)
    assert pool.read("capital") == 0
    assert pool.refuse(mutual.member, "deposit", 5).error == "Exhausted"
