"""Vote token and governor: delegation, checkpoints, and proposals through every state."""

from __future__ import annotations

from typing import Any

import pytest

UNIT = 10**18
DELAY, PERIOD, TIMELOCK = 1, 6, 3600
AGAINST, FOR, ABSTAIN = 0, 1, 2
PENDING, ACTIVE, DEFEATED, SUCCEEDED, QUEUED, EXECUTED, CANCELED = range(1, 8)
ZERO = "0x" + "00" * 20


class Parliament:
    """Three voters with 1,000 votes each, a fourth with tokens but no delegate; quorum half."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.owner, self.silent, *self.voters = world.accounts[:5]
        self.token = world.deploy("VoteToken", "Parliament", "PRL")
        self.governor = world.deploy(
            "Governor", self.token, DELAY, PERIOD, 500 * UNIT, 5000, TIMELOCK
        )
        self.currency = world.deploy("Stablecoin", "Public Money", "PUB", 18)
        self.currency.send(self.owner, "transferOwnership", self.governor)
        self.token.send(self.owner, "mintBatch", [self.silent, *self.voters], 1000 * UNIT)
        for voter in self.voters:
            self.token.send(voter, "delegate", voter)

    def propose(self, *calls: tuple[Any, int, bytes]) -> int:
        """By default: make the owner of the parliament no minter of the public money."""
        dismiss = self.currency.calldata("setMinter", self.owner, False)
        targets, values, data = zip(*(calls or [(self.currency, 0, dismiss)]), strict=True)
        (event,) = self.governor.send(
            self.voters[0], "propose", list(targets), list(values), list(data), "a proposal"
        )
        self.world.skip_blocks(DELAY)
        return event.args["proposalId"]

    def vote(self, proposal: int, *supports: int) -> None:
        for voter, support in zip(self.voters, supports, strict=False):
            self.governor.send(voter, "castVote", proposal, support)
        self.world.skip_blocks(PERIOD - len(supports))

    def pass_and_queue(self, proposal: int) -> None:
        self.vote(proposal, FOR, FOR)
        self.governor.send(self.silent, "queue", proposal)
        self.world.wait(TIMELOCK)

    def state(self, proposal: int) -> int:
        return self.governor.read("state", proposal)


@pytest.fixture
def parliament(world: Any) -> Parliament:
    return Parliament(world)


def test_tokens_vote_through_a_delegate(parliament: Parliament) -> None:
    token = parliament.token
    first, second, _ = parliament.voters
    assert token.read("getVotes", parliament.silent) == 0
    token.send(first, "delegate", second)
    assert [token.read("getVotes", voter) for voter in (first, second)] == [0, 2000 * UNIT]
    token.send(first, "transfer", parliament.silent, 300 * UNIT)
    assert token.read("getVotes", second) == 1700 * UNIT
    token.send(second, "transfer", first, 100 * UNIT)  # same delegate: nothing changes
    assert token.read("getVotes", second) == 1700 * UNIT
    token.send(first, "delegate", ZERO)
    assert token.read("getVotes", second) == 900 * UNIT
    assert token.refuse(first, "mint", first, 1).error == "NotOwner"
    refusal = token.refuse(parliament.owner, "mint", first, 2**224)
    assert refusal.error == "SupplyTooLarge"


def test_votes_of_the_past_stay_known(parliament: Parliament) -> None:
    token, voter = parliament.token, parliament.voters[0]
    history = []
    for amount in (100, 200, 300):
        token.send(voter, "transfer", parliament.silent, amount * UNIT)
        history.append((parliament.world.chain.header.block_number - 1, amount))
        parliament.world.skip_blocks(2)
    left = 1000
    for block, amount in history:
        assert token.read("getPastVotes", voter, block - 1) == left * UNIT
        left -= amount
        assert token.read("getPastVotes", voter, block) == left * UNIT
    assert token.read("getPastVotes", voter, 0) == 0
    assert token.read("getPastTotalSupply", history[0][0]) == 4000 * UNIT
    assert token.read("checkpointCount", voter) == 4
    now = parliament.world.chain.header.block_number
    assert token.refuse(voter, "getPastVotes", voter, now) == ("BlockNotPast", (now,))


def test_one_block_makes_one_checkpoint(parliament: Parliament) -> None:
    token, voter = parliament.token, parliament.voters[0]
    before = token.read("checkpointCount", voter)
    token.send(parliament.owner, "mintBatch", [voter] * 3, UNIT)
    assert token.read("checkpointCount", voter) == before + 1
    assert token.read("getVotes", voter) == 1003 * UNIT


def test_a_proposal_is_voted_queued_and_executed(parliament: Parliament) -> None:
    governor, currency = parliament.governor, parliament.currency
    proposal = parliament.propose()
    assert parliament.state(proposal) == ACTIVE
    assert governor.refuse(parliament.silent, "queue", proposal) == ("WrongState", (ACTIVE,))
    parliament.vote(proposal, FOR, AGAINST, FOR)
    assert parliament.state(proposal) == SUCCEEDED
    assert governor.refuse(parliament.silent, "execute", proposal) == ("WrongState", (SUCCEEDED,))
    governor.send(parliament.silent, "queue", proposal)
    assert parliament.state(proposal) == QUEUED
    assert governor.refuse(parliament.silent, "execute", proposal).error == "TimelockRunning"
    parliament.world.wait(TIMELOCK)
    assert currency.read("isMinter", parliament.owner)
    governor.send(parliament.silent, "execute", proposal)
    assert not currency.read("isMinter", parliament.owner)
    assert governor.refuse(parliament.silent, "execute", proposal) == ("WrongState", (EXECUTED,))


def test_everybody_votes_once(parliament: Parliament) -> None:
    governor, voter = parliament.governor, parliament.voters[0]
    proposal = parliament.propose()
    assert governor.refuse(voter, "castVote", proposal, 3) == ("InvalidSupport", (3,))
    governor.send(voter, "castVote", proposal, FOR)
    refusal = governor.refuse(voter, "castVote", proposal, AGAINST)
    assert refusal == ("AlreadyVoted", (voter.address.lower(),))
    assert governor.read("proposals", proposal)[6:] == (0, 1000 * UNIT, 0)


def test_votes_are_those_of_the_start(parliament: Parliament) -> None:
    """Tokens that move after voting began vote once, where they were."""
    token, governor = parliament.token, parliament.governor
    first, second, _ = parliament.voters
    proposal = parliament.propose()
    parliament.world.skip_blocks(1)
    token.send(first, "transfer", second, 1000 * UNIT)
    for voter in (first, second):
        (event,) = governor.send(voter, "castVote", proposal, ABSTAIN)
        assert event.args["votes"] == 1000 * UNIT


@pytest.mark.parametrize(
    ("supports", "state"),
    [
        ((FOR,), DEFEATED),  # 1,000 of 4,000 is below the quorum
        ((FOR, ABSTAIN), SUCCEEDED),  # abstentions count for the quorum
        ((FOR, AGAINST, ABSTAIN), DEFEATED),  # a tie, with a quorum
        ((FOR, FOR, AGAINST), SUCCEEDED),
        ((AGAINST, AGAINST, AGAINST), DEFEATED),
    ],
)
def test_majority_and_quorum_decide(
    parliament: Parliament, supports: tuple[int, ...], state: int
) -> None:
    proposal = parliament.propose()
    parliament.vote(proposal, *supports)
    assert parliament.state(proposal) == state


def test_voting_has_a_beginning_and_an_end(parliament: Parliament) -> None:
    governor, voter = parliament.governor, parliament.voters[0]
    call = ([parliament.currency], [0], [b""])
    (event,) = governor.send(voter, "propose", *call, "too early")
    proposal = event.args["proposalId"]
    assert governor.refuse(voter, "castVote", proposal, FOR) == ("WrongState", (PENDING,))
    last = event.args["voteEnd"]
    parliament.world.skip_blocks(last - parliament.world.chain.header.block_number)
    governor.send(voter, "castVote", proposal, FOR)
    late = governor.refuse(parliament.voters[1], "castVote", proposal, FOR)
    assert late == ("WrongState", (DEFEATED,))
    assert governor.refuse(voter, "castVote", 999, FOR) == ("WrongState", (0,))


def test_proposals_need_votes_and_calls(parliament: Parliament) -> None:
    governor, currency = parliament.governor, parliament.currency
    poor, rich = parliament.silent, parliament.voters[0]
    assert governor.refuse(poor, "propose", [currency], [0], [b""], "") == (
        "ProposalThreshold",
        (0, 500 * UNIT),
    )
    assert governor.refuse(rich, "propose", [], [], [], "").error == "InvalidCalls"
    assert governor.refuse(rich, "propose", [currency], [], [b""], "").error == "InvalidCalls"


def test_a_failing_call_undoes_the_execution(parliament: Parliament, world: Any) -> None:
    governor, currency = parliament.governor, parliament.currency
    appoint = currency.calldata("setMinter", parliament.silent, True)
    overdraw = currency.calldata("transfer", parliament.silent, 1)
    proposal = parliament.propose((currency, 0, appoint), (currency, 0, overdraw))
    targets, values, data = governor.read("callsOf", proposal)
    assert list(targets) == [currency.address.lower()] * 2 and list(values) == [0, 0]
    assert list(data) == [appoint, overdraw]
    parliament.pass_and_queue(proposal)
    refusal = governor.refuse(parliament.owner, "execute", proposal)
    assert refusal.error == "CallFailed" and refusal.args[0] == 1
    assert not currency.read("isMinter", parliament.silent)
    assert parliament.state(proposal) == QUEUED


def test_a_proposal_can_spend_ether(parliament: Parliament, world: Any) -> None:
    governor, beneficiary = parliament.governor, "0x" + "be" * 20
    world.mine(parliament.owner, governor.address, b"", value=10)
    proposal = parliament.propose((beneficiary, 4, b""))
    parliament.pass_and_queue(proposal)
    governor.send(parliament.owner, "execute", proposal)
    assert [world.balance(governor.address), world.balance(beneficiary)] == [6, 4]


def test_a_proposer_without_votes_loses_the_proposal(parliament: Parliament) -> None:
    governor, token = parliament.governor, parliament.token
    proposer, other, _ = parliament.voters
    withdrawn, lost = parliament.propose(), parliament.propose()
    assert governor.refuse(other, "cancel", lost).error == "NotProposer"
    governor.send(proposer, "cancel", withdrawn)
    assert parliament.state(withdrawn) == CANCELED
    token.send(proposer, "delegate", ZERO)
    governor.send(other, "cancel", lost)
    assert governor.refuse(other, "cancel", lost) == ("WrongState", (CANCELED,))
    assert governor.refuse(other, "castVote", lost, FOR).error == "WrongState"
