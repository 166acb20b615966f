// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {VoteToken} from "./VoteToken.sol";

/// @title Proposals, votes and their execution
/// @notice A proposal is a list of calls. It waits `votingDelay` blocks, is voted on for
///         `votingPeriod` blocks with the votes of the block in which voting began, and if it has
///         succeeded, is queued, waits `timelock` seconds, and is executed by this contract, which
///         should own what it governs.
contract Governor {
    /// @notice The proposer has `votes`, fewer than needed.
    error ProposalThreshold(uint256 votes, uint256 needed);
    /// @notice A proposal has at least one call, and a value and data for each.
    error InvalidCalls();
    /// @notice The voting period and the quorum are not zero, and the quorum is at most everything.
    error InvalidSettings();
    /// @notice The proposal is in the wrong state for this.
    error WrongState(State state);
    /// @notice `account` has voted on this proposal.
    error AlreadyVoted(address account);
    /// @notice Support is 0 (against), 1 (for) or 2 (abstain).
    error InvalidSupport(uint8 support);
    /// @notice The proposal can be executed from `from` on.
    error TimelockRunning(uint256 from);
    /// @notice Only the proposer cancels, or anybody once the proposer has lost the needed votes.
    error NotProposer(address caller);
    /// @notice Call number `index` of the proposal failed with `reason`.
    error CallFailed(uint256 index, bytes reason);

    /// @notice A proposal was made; voting on it takes place in blocks `voteStart` + 1 to `voteEnd`.
    event Proposed(
        uint256 indexed proposalId,
        address indexed proposer,
        uint256 voteStart,
        uint256 voteEnd,
        string description
    );
    /// @notice A vote.
    event VoteCast(
        uint256 indexed proposalId, address indexed voter, uint8 support, uint256 votes
    );
    /// @notice A proposal that has succeeded can be executed from `from` on.
    event Queued(uint256 indexed proposalId, uint256 from);
    /// @notice The calls were made.
    event Executed(uint256 indexed proposalId);
    /// @notice The proposal was withdrawn.
    event Canceled(uint256 indexed proposalId);

    enum State {
        None,
        Pending,
        Active,
        Defeated,
        Succeeded,
        Queued,
        Executed,
        Canceled
    }

    struct Proposal {
        address proposer;
        uint32 voteStart; // block whose votes count
        uint32 voteEnd; // last block to vote in
        bool canceled;
        bool executed;
        uint64 executableFrom; // seconds; zero while not queued
        uint256 againstVotes;
        uint256 forVotes;
        uint256 abstainVotes;
    }

    struct Calls {
        address[] targets;
        uint256[] values;
        bytes[] data;
    }

    uint256 private constant BASIS_POINTS = 10_000;

    /// @notice Whose votes count.
    VoteToken public immutable token;
    /// @notice Blocks from a proposal to the block whose votes count.
    uint256 public immutable votingDelay;
    /// @notice Blocks in which one can vote.
    uint256 public immutable votingPeriod;
    /// @notice Votes needed to propose.
    uint256 public immutable proposalThreshold;
    /// @notice Part of all tokens that has to vote for or abstain, in 1/10,000.
    uint256 public immutable quorumBasisPoints;
    /// @notice Seconds from queueing to execution.
    uint256 public immutable timelock;

    /// @notice Proposals made; their ids start at 1.
    uint256 public proposalCount;
    /// @notice Proposals by id.
    mapping(uint256 proposalId => Proposal) public proposals;
    /// @notice Whether `account` has voted on a proposal.
    mapping(uint256 proposalId => mapping(address account => bool)) public hasVoted;

    mapping(uint256 proposalId => Calls) private _calls;

    constructor(
        VoteToken token_,
        uint256 votingDelay_,
        uint256 votingPeriod_,
        uint256 proposalThreshold_,
        uint256 quorumBasisPoints_,
        uint256 timelock_
    ) {
        bool possible = quorumBasisPoints_ > 0 && quorumBasisPoints_ <= BASIS_POINTS;
        if (votingPeriod_ == 0 || !possible) revert InvalidSettings();
        token = token_;
        votingDelay = votingDelay_;
        votingPeriod = votingPeriod_;
        proposalThreshold = proposalThreshold_;
        quorumBasisPoints = quorumBasisPoints_;
        timelock = timelock_;
    }

    /// @notice Ether for the calls of proposals.
    receive() external payable {}

    /// @notice Propose calls. The proposer's votes of the last block have to reach the threshold.
    function propose(
        address[] calldata targets,
        uint256[] calldata values,
        bytes[] calldata data,
        string calldata description
    ) external returns (uint256 proposalId) {
        uint256 votes = token.getPastVotes(msg.sender, block.number - 1);
        if (votes < proposalThreshold) revert ProposalThreshold(votes, proposalThreshold);
        bool matching = targets.length == values.length && targets.length == data.length;
        if (targets.length == 0 || !matching) revert InvalidCalls();

        proposalId = ++proposalCount;
        uint256 voteStart = block.number + votingDelay;
        Proposal storage proposal = proposals[proposalId];
        proposal.proposer = msg.sender;
        proposal.voteStart = uint32(voteStart);
        proposal.voteEnd = uint32(voteStart + votingPeriod);
        Calls storage calls = _calls[proposalId];
        calls.targets = targets;
        calls.values = values;
        for (uint256 i = 0; i < data.length; ++i) {
            calls.data.push(data[i]);
        }
        emit Proposed(
            proposalId, msg.sender, voteStart, voteStart + votingPeriod, description
        );
    }

    /// @notice Vote with what the caller could vote with when voting began.
    /// @param support 0 against, 1 for, 2 abstain.
    /// @return votes How many votes that was.
    function castVote(uint256 proposalId, uint8 support) external returns (uint256 votes) {
        _require(proposalId, State.Active);
        if (hasVoted[proposalId][msg.sender]) revert AlreadyVoted(msg.sender);
        hasVoted[proposalId][msg.sender] = true;
        Proposal storage proposal = proposals[proposalId];
        votes = token.getPastVotes(msg.sender, proposal.voteStart);
        if (support == 0) proposal.againstVotes += votes;
        else if (support == 1) proposal.forVotes += votes;
        else if (support == 2) proposal.abstainVotes += votes;
        else revert InvalidSupport(support);
        emit VoteCast(proposalId, msg.sender, support, votes);
    }

    /// @notice Start the timelock of a proposal that has succeeded.
    function queue(uint256 proposalId) external {
        _require(proposalId, State.Succeeded);
        uint256 from = block.timestamp + timelock;
        proposals[proposalId].executableFrom = uint64(from);
        emit Queued(proposalId, from);
    }

    /// @notice Make the calls of a queued proposal, all or none.
    function execute(uint256 proposalId) external {
        _require(proposalId, State.Queued);
        Proposal storage proposal = proposals[proposalId];
        if (block.timestamp < proposal.executableFrom) {
            revert TimelockRunning(proposal.executableFrom);
        }
        proposal.executed = true; // before the calls: they may come back
        Calls storage calls = _calls[proposalId];
        for (uint256 i = 0; i < calls.targets.length; ++i) {
            (bool success, bytes memory result) =
                calls.targets[i].call{value: calls.values[i]}(calls.data[i]);
            if (!success) revert CallFailed(i, result);
        }
        emit Executed(proposalId);
    }

    /// @notice Withdraw a proposal that is not executed.
    function cancel(uint256 proposalId) external {
        State current = state(proposalId);
        if (current == State.None || current >= State.Executed) revert WrongState(current);
        Proposal storage proposal = proposals[proposalId];
        if (msg.sender != proposal.proposer) {
            uint256 votes = token.getPastVotes(proposal.proposer, block.number - 1);
            if (votes >= proposalThreshold) revert NotProposer(msg.sender);
        }
        proposal.canceled = true;
        emit Canceled(proposalId);
    }

    /// @notice Where a proposal stands in this block.
    function state(uint256 proposalId) public view returns (State) {
        Proposal memory proposal = proposals[proposalId];
        if (proposal.proposer == address(0)) return State.None;
        if (proposal.canceled) return State.Canceled;
        if (proposal.executed) return State.Executed;
        if (block.number <= proposal.voteStart) return State.Pending;
        if (block.number <= proposal.voteEnd) return State.Active;
        if (proposal.executableFrom != 0) return State.Queued;
        bool counted = proposal.forVotes + proposal.abstainVotes >= quorum(proposal.voteStart);
        if (counted && proposal.forVotes > proposal.againstVotes) return State.Succeeded;
        return State.Defeated;
    }

    /// @notice Votes for, or abstentions, that a proposal needs whose voting began in that block.
    function quorum(uint256 blockNumber) public view returns (uint256) {
        return token.getPastTotalSupply(blockNumber) * quorumBasisPoints / BASIS_POINTS;
    }

    /// @notice The calls of a proposal.
    function callsOf(uint256 proposalId)
        external
        view
        returns (address[] memory targets, uint256[] memory values, bytes[] memory data)
    {
        Calls storage calls = _calls[proposalId];
        return (calls.targets, calls.values, calls.data);
    }

    function _require(uint256 proposalId, State expected) private view {
        State current = state(proposalId);
        if (current != expected) revert WrongState(current);
    }
}
