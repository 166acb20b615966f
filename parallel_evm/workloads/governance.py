"""Decentralised organisations: delegation, proposals, votes, and the execution of what succeeds.

Every group of accounts belongs to one organisation, a vote token and a governor that owns it. The
hot target is one organisation that everybody belongs to as well.

Each organisation has a founder, who holds more than half of the votes: what the founder votes for
succeeds. Its council, the first members, keep their votes to themselves, so that they can propose.
Proposals live for some blocks, so blocks are mined before the first block of the workload, which
then finds proposals to vote on, to queue and to execute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from eth_typing import Address

from parallel_evm.workloads.accounts import Account
from parallel_evm.workloads.places import ask, visits
from parallel_evm.workloads.tokens import UNIT
from parallel_evm.workloads.world import Call, Scenario, World

_PERIOD = 3  # blocks in which one can vote, beginning with the one after the proposal
_THRESHOLD = 1000 * UNIT
_QUORUM = 2000  # basis points
_TIMELOCK = 1  # seconds

_HOLDING = 10**6 * UNIT
_VOTERS = 64  # so many accounts have delegated before the first block
_COUNCIL = 2
_SCHEDULED_BLOCKS = 5

_GAS = {
    "propose": 450_000,
    "castVote": 150_000,
    "queue": 90_000,
    "execute": 300_000,
    "cancel": 90_000,
    "delegate": 165_000,
    "transfer": 190_000,
}
_ask = partial(ask, _GAS)
_AGAINST, _FOR, _ABSTAIN = 0, 1, 2


@dataclass(slots=True)
class _Proposal:
    number: int
    proposer: Account
    made_in: int
    voters: set[Address] = field(default_factory=set)
    is_carried: bool = False
    """The founder has voted for it."""
    queued_in: int | None = None


class _Organisation:
    """One organisation, and what has happened in it."""

    def __init__(self, world: World, name: str, members: Sequence[Account], voters: int) -> None:
        self._world = world
        self._founder = world.actor(f"founder of {name}")
        self._council = (self._founder, *members[:_COUNCIL])
        self._token = world.deploy("VoteToken", f"Votes in {name}", name, label=f"VoteToken {name}")
        self._governor = world.deploy(
            "Governor",
            self._token,
            0,
            _PERIOD,
            _THRESHOLD,
            _QUORUM,
            _TIMELOCK,
            label=f"Governor {name}",
        )
        for member in members:
            world.endow(self._token, member, _HOLDING)
        world.send(self._token, "mint", self._founder, _HOLDING * 2 * (1 + len(members)))
        world.send(self._token, "transferOwnership", self._governor)
        for voter in (self._founder, *members[: max(voters, _COUNCIL)]):
            world.send(self._token, "delegate", voter, sender=voter)
        self._proposals: list[_Proposal] = []
        self._proposed = 0

    # -- before the first block

    def scheduled(self, block_number: int) -> list[Call]:
        """Return the calls of a block before the first one of the workload."""
        match block_number:
            case 1:
                return [self._propose(self._founder, block_number) for _ in range(3)]
            case 2:
                return [self._vote(self._founder, proposal) for proposal in self._proposals]
            case 4:
                return [self._propose(self._founder, block_number) for _ in range(3)]
            case 5:
                return [self._queue(self._founder, self._proposals[0], block_number)]
            case _:
                return []

    # -- in the workload

    def call(self, who: Account) -> Call:
        """Do something that is possible now; as `who`, unless it takes somebody else."""
        world, chance, now = self._world, self._world.random, self._world.block_number
        self._proposals = [p for p in self._proposals if self._has_future(p, now)]
        active = [p for p in self._proposals if p.made_in < now <= p.made_in + _PERIOD]
        kind = chance.random()
        if kind < 0.45:
            voter = self._founder if chance.random() < 0.1 else who
            if open_to := [p for p in active if voter.address not in p.voters]:
                return self._vote(voter, chance.choice(open_to))
        elif kind < 0.55:
            return self._propose(chance.choice(self._council), now)
        elif kind < 0.62:
            ended = [p for p in self._proposals if p.made_in + _PERIOD < now]
            if succeeded := [p for p in ended if p.queued_in is None]:
                return self._queue(who, chance.choice(succeeded), now)
        elif kind < 0.70:
            if due := [p for p in self._proposals if p.queued_in and p.queued_in < now]:
                return self._finish(who, "execute", chance.choice(due))
        elif kind < 0.73 and len(active) > 1:
            proposal = chance.choice(active)
            return self._finish(proposal.proposer, "cancel", proposal)
        elif kind < 0.85 and who not in self._council:
            to = chance.choice((who, *world.neighbours(who)))
            return _ask(who, self._token, "delegate", to)
        to = chance.choice((self._founder, *world.neighbours(who)))
        return _ask(who, self._token, "transfer", to, chance.randint(1, 100 * UNIT))

    def _has_future(self, proposal: _Proposal, now: int) -> bool:
        return proposal.is_carried or now <= proposal.made_in + _PERIOD

    def _propose(self, proposer: Account, now: int) -> Call:
        """Propose to make some new votes for somebody."""
        self._proposed += 1
        self._proposals.append(_Proposal(self._proposed, proposer, now))
        recipient, amount = self._world.someone(), self._world.random.randint(1, 100 * UNIT)
        calls = [self._token.data("mint", recipient, amount)]
        return _ask(
            proposer,
            self._governor,
            "propose",
            [self._token],
            [0],
            calls,
            f"Proposal {self._proposed}: reward a member",
        )

    def _vote(self, voter: Account, proposal: _Proposal) -> Call:
        proposal.voters.add(voter.address)
        if voter is self._founder:
            proposal.is_carried = True
            support = _FOR
        else:
            support = self._world.random.choice((_AGAINST, _FOR, _FOR, _ABSTAIN))
        return _ask(voter, self._governor, "castVote", proposal.number, support)

    def _queue(self, who: Account, proposal: _Proposal, now: int) -> Call:
        proposal.queued_in = now
        return _ask(who, self._governor, "queue", proposal.number)

    def _finish(self, who: Account, function: str, proposal: _Proposal) -> Call:
        self._proposals.remove(proposal)
        return _ask(who, self._governor, function, proposal.number)


def governance(world: World, organisations: int = 6) -> Scenario:
    homes = world.settle(organisations)
    hot = _Organisation(world, "MAIN", world.accounts, voters=_COUNCIL)
    places = [
        _Organisation(world, f"DAO{number}", members, voters=_VOTERS // len(homes))
        for number, members in enumerate(homes)
    ]
    for number in range(1, _SCHEDULED_BLOCKS + 1):
        world.schedule(call for place in (hot, *places) for call in place.scheduled(number))
    return visits(world, hot, places)
