"""Mutual insurance: capital, policies, claims, their assessment and payment.

Every group of accounts belongs to one pool, and each pool has assessors of its own. The hot target
is one pool that everybody belongs to as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from eth_typing import Address

from parallel_evm.workloads.accounts import Account
from parallel_evm.workloads.places import ask, visits
from parallel_evm.workloads.tokens import UNIT, furnish, stablecoin
from parallel_evm.workloads.world import FOREVER, Call, Scenario, World

_CAPITAL = 10**8 * UNIT
_PREMIUM_RATE = 5 * 10**16
_QUORUM = 2
_ASSESSORS = 3
_YEAR = 365 * 24 * 3600
_INSURED = 3  # so many members of a pool have shares, policies and a claim to begin with

_GAS = {
    "deposit": 150_000,
    "withdraw": 130_000,
    "buyPolicy": 220_000,
    "endPolicy": 90_000,
    "fileClaim": 180_000,
    "assess": 120_000,
    "payClaim": 150_000,
}
_ask = partial(ask, _GAS)


@dataclass(slots=True)
class _Policy:
    number: int
    holder: Account
    cover: int
    ends_after: int | None
    """The block after which it has ended; none for those that last a year."""
    has_claim: bool = False


@dataclass(slots=True)
class _Claim:
    number: int
    policy: _Policy
    amount: int
    waiting: list[Account]
    """Assessors who have not decided yet."""
    votes: list[bool] = field(default_factory=list)

    @property
    def decision(self) -> bool | None:
        return next((v for v in (True, False) if self.votes.count(v) >= _QUORUM), None)


class _Pool:
    """One pool, and what has happened in it."""

    def __init__(self, world: World, name: str, members: Sequence[Account]) -> None:
        token = stablecoin(world, "USDC")
        self._world = world
        self.contract = world.deploy(
            "InsurancePool", token, _PREMIUM_RATE, _QUORUM, label=f"InsurancePool {name}"
        )
        self._assessors = [world.actor(f"assessor {n} of {name}") for n in range(_ASSESSORS)]
        for assessor in self._assessors:
            world.send(self.contract, "setAssessor", assessor, True)
        world.approve(token, world.operator, self.contract)
        world.send(self.contract, "deposit", _CAPITAL)
        self._shares: defaultdict[Address, int] = defaultdict(int)
        self._policies: list[_Policy] = []
        self._claims: list[_Claim] = []
        self._sold = 0
        self._filed = 0
        for member in members:
            world.approve(token, member, self.contract)
        for member in members[:_INSURED]:
            world.perform(self._deposit(member))
            world.perform(self._buy(member, for_a_second=True))
            world.perform(self._buy(member, for_a_second=False))
            world.perform(self._file(member, self._policies[-1]))

    def call(self, who: Account) -> Call:
        """Do something that is possible now; as `who`, except for what assessors do."""
        chance = self._world.random
        kind = chance.random()
        if kind < 0.15:
            return self._deposit(who)
        if kind < 0.30 and self._shares[who.address]:
            return self._withdraw(who)
        if kind < 0.40 and (policies := self._claimable(who)):
            return self._file(who, chance.choice(policies))
        if kind < 0.65 and (claims := [c for c in self._claims if c.decision is None]):
            return self._assess(chance.choice(claims))
        if kind < 0.75 and (claims := [c for c in self._claims if c.decision]):
            return self._pay(who, chance.choice(claims))
        if kind < 0.80 and (policies := self._ended()):
            return self._end(who, chance.choice(policies))
        return self._buy(who, for_a_second=chance.random() < 0.2)

    def _claimable(self, who: Account) -> list[_Policy]:
        return [
            p
            for p in self._policies
            if p.holder is who and p.ends_after is None and not p.has_claim and p.cover
        ]

    def _ended(self) -> list[_Policy]:
        now = self._world.block_number
        return [p for p in self._policies if p.ends_after is not None and p.ends_after < now]

    def _deposit(self, who: Account) -> Call:
        amount = self._world.random.randint(UNIT, 1000 * UNIT)
        # Premiums make a share worth a little more than what was paid in, never twice as much.
        self._shares[who.address] += amount // 2
        return _ask(who, self.contract, "deposit", amount)

    def _withdraw(self, who: Account) -> Call:
        amount = self._world.random.randint(1, self._shares[who.address])
        self._shares[who.address] -= amount
        return _ask(who, self.contract, "withdraw", amount)

    def _buy(self, who: Account, *, for_a_second: bool) -> Call:
        """Insure something for a year, or for a second: in the next block that has ended."""
        cover = self._world.random.randint(100 * UNIT, 1000 * UNIT)
        self._sold += 1
        ends_after = self._world.block_number if for_a_second else None
        self._policies.append(_Policy(self._sold, who, cover, ends_after))
        return _ask(who, self.contract, "buyPolicy", cover, 1 if for_a_second else _YEAR, FOREVER)

    def _end(self, who: Account, policy: _Policy) -> Call:
        self._policies.remove(policy)
        return _ask(who, self.contract, "endPolicy", policy.number)

    def _file(self, who: Account, policy: _Policy) -> Call:
        amount = self._world.random.randint(1, policy.cover)
        self._filed += 1
        policy.has_claim = True
        self._claims.append(_Claim(self._filed, policy, amount, list(self._assessors)))
        evidence = self._world.random.randbytes(32)
        return _ask(who, self.contract, "fileClaim", policy.number, amount, evidence)

    def _assess(self, claim: _Claim) -> Call:
        assessor = self._world.random.choice(claim.waiting)
        vote = self._world.random.random() < 0.75
        claim.waiting.remove(assessor)
        claim.votes.append(vote)
        if claim.decision is False:
            claim.policy.has_claim = False
            self._claims.remove(claim)
        return _ask(assessor, self.contract, "assess", claim.number, vote)

    def _pay(self, who: Account, claim: _Claim) -> Call:
        self._claims.remove(claim)
        claim.policy.has_claim = False
        claim.policy.cover -= claim.amount
        return _ask(who, self.contract, "payClaim", claim.number)


def insurance(world: World, pools: int = 8) -> Scenario:
    token = stablecoin(world, "USDC")
    furnish(world, [world.operator, *world.accounts], token)
    hot = _Pool(world, "main", world.accounts)
    places = [
        _Pool(world, str(number), members) for number, members in enumerate(world.settle(pools))
    ]
    return visits(world, hot, places)
