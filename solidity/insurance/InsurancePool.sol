// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IERC20} from "../common/IERC20.sol";
import {Owned} from "../common/Owned.sol";
import {ReentrancyLock} from "../common/ReentrancyLock.sol";
import {TokenTransfer} from "../common/TokenTransfer.sol";

/// @title A mutual insurance pool
/// @notice Members put capital in and own it in shares; premiums make the shares worth more, claims
///         less. Capital that covers policies cannot leave. Claims are decided by assessors.
contract InsurancePool is Owned, ReentrancyLock {
    using TokenTransfer for IERC20;

    /// @notice An amount, a duration or a number of shares is zero, or too small to count.
    error ZeroAmount();
    /// @notice The member owns `shares`, fewer than that.
    error InsufficientShares(uint256 shares);
    /// @notice Only `free` of the capital covers no policy.
    error InsufficientCapital(uint256 free, uint256 needed);
    /// @notice Claims took all the capital: the shares are worth nothing, and the pool is closed.
    error Exhausted();
    /// @notice The premium is more than the caller is willing to pay.
    error PremiumTooHigh(uint256 premium, uint256 maximum);
    /// @notice Policies last at most a year.
    error DurationTooLong();
    /// @notice The caller does not hold the policy.
    error NotHolder(address caller);
    /// @notice The policy has ended.
    error PolicyExpired(uint256 policyId);
    /// @notice The policy has not ended yet.
    error PolicyActive(uint256 policyId);
    /// @notice The policy covers `cover`, less than what is claimed.
    error CoverExceeded(uint256 cover);
    /// @notice A claim of the policy is still undecided or unpaid.
    error ClaimPending(uint256 policyId);
    /// @notice Only an assessor may do this.
    error NotAssessor(address caller);
    /// @notice An assessor decides once.
    error AlreadyAssessed(address assessor);
    /// @notice The claim is in the wrong state for this.
    error WrongClaimState(ClaimState state);

    /// @notice A member put capital in.
    event Deposited(address indexed member, uint256 amount, uint256 shares);
    /// @notice A member took capital out.
    event Withdrawn(address indexed member, uint256 amount, uint256 shares);
    /// @notice A policy was sold.
    event PolicySold(
        uint256 indexed policyId,
        address indexed holder,
        uint256 cover,
        uint256 premium,
        uint256 expires
    );
    /// @notice A policy ended and covers nothing any more.
    event PolicyEnded(uint256 indexed policyId);
    /// @notice A holder asks for money.
    event ClaimFiled(
        uint256 indexed claimId, uint256 indexed policyId, uint256 amount, bytes32 evidence
    );
    /// @notice An assessor decided.
    event ClaimAssessed(uint256 indexed claimId, address indexed assessor, bool approve);
    /// @notice Enough assessors were for the claim, or against it.
    event ClaimDecided(uint256 indexed claimId, bool approved);
    /// @notice An approved claim was paid.
    event ClaimPaid(uint256 indexed claimId, address indexed holder, uint256 amount);
    /// @notice `account` became an assessor, or ceased to be one.
    event AssessorSet(address indexed account, bool allowed);

    struct Policy {
        address holder;
        uint64 expires; // seconds; the first second without cover
        bool pending; // a claim is undecided or unpaid
        uint256 cover; // what can still be claimed
    }

    enum ClaimState {
        None,
        Filed,
        Approved,
        Rejected,
        Paid
    }

    struct Claim {
        uint128 policyId;
        ClaimState state;
        uint32 approvals;
        uint32 rejections;
        uint256 amount;
        bytes32 evidence; // hash of what the assessors look at
    }

    uint256 private constant ONE = 1e18;

    /// @notice What capital, premiums and claims are paid in.
    IERC20 public immutable token;
    /// @notice Premium for a year, per unit of cover, with 18 decimals.
    uint256 public immutable premiumRate;
    /// @notice How many assessors have to agree.
    uint256 public immutable quorum;

    /// @notice What the pool holds for its members.
    uint256 public capital;
    /// @notice What all policies together cover.
    uint256 public activeCover;
    /// @notice Shares of all members.
    uint256 public totalShares;
    /// @notice Shares of each member.
    mapping(address member => uint256) public sharesOf;

    /// @notice Policies sold; their ids start at 1.
    uint256 public policyCount;
    /// @notice Policies by id.
    mapping(uint256 policyId => Policy) public policies;

    /// @notice Claims filed; their ids start at 1.
    uint256 public claimCount;
    /// @notice Claims by id.
    mapping(uint256 claimId => Claim) public claims;
    /// @notice Whether an assessor has decided on a claim.
    mapping(uint256 claimId => mapping(address assessor => bool)) public hasAssessed;
    /// @notice Who decides.
    mapping(address account => bool) public isAssessor;

    /// @param premiumRate_ Premium for a year, per unit of cover, with 18 decimals.
    /// @param quorum_ How many assessors have to agree.
    constructor(IERC20 token_, uint256 premiumRate_, uint256 quorum_) {
        if (premiumRate_ == 0 || quorum_ == 0) revert ZeroAmount();
        token = token_;
        premiumRate = premiumRate_;
        quorum = quorum_;
    }

    /// @notice Appoint or dismiss an assessor.
    function setAssessor(address account, bool allowed) external onlyOwner {
        isAssessor[account] = allowed;
        emit AssessorSet(account, allowed);
    }

    // ---------------------------------------------------------------- members

    /// @notice Put `amount` of capital in.
    /// @return shares The caller's new shares.
    function deposit(uint256 amount) external lock returns (uint256 shares) {
        if (capital == 0 && totalShares != 0) revert Exhausted();
        shares = totalShares == 0 ? amount : amount * totalShares / capital;
        if (shares == 0) revert ZeroAmount();
        totalShares += shares;
        sharesOf[msg.sender] += shares;
        capital += amount;
        token.pull(msg.sender, address(this), amount);
        emit Deposited(msg.sender, amount, shares);
    }

    /// @notice Take the worth of `shares` out, as far as it covers no policy.
    /// @return amount What the caller received.
    function withdraw(uint256 shares) external lock returns (uint256 amount) {
        uint256 owned = sharesOf[msg.sender];
        if (shares > owned) revert InsufficientShares(owned);
        if (shares == 0) revert ZeroAmount();
        amount = shares * capital / totalShares;
        uint256 free = freeCapital();
        if (amount > free) revert InsufficientCapital(free, amount);
        sharesOf[msg.sender] = owned - shares;
        totalShares -= shares;
        capital -= amount;
        token.push(msg.sender, amount);
        emit Withdrawn(msg.sender, amount, shares);
    }

    /// @notice Capital that covers no policy.
    function freeCapital() public view returns (uint256) {
        return capital - activeCover;
    }

    // ---------------------------------------------------------------- policies

    /// @notice Price of a policy, rounded up.
    function premiumFor(uint256 cover, uint256 duration) public view returns (uint256) {
        uint256 scale = ONE * 365 days;
        return (cover * premiumRate * duration + scale - 1) / scale;
    }

    /// @notice Buy cover for the caller, from now for `duration` seconds.
    function buyPolicy(uint256 cover, uint256 duration, uint256 maxPremium)
        external
        lock
        returns (uint256 policyId)
    {
        if (cover == 0 || duration == 0) revert ZeroAmount();
        if (duration > 365 days) revert DurationTooLong();
        uint256 premium = premiumFor(cover, duration);
        if (premium > maxPremium) revert PremiumTooHigh(premium, maxPremium);
        uint256 free = freeCapital();
        if (cover > free) revert InsufficientCapital(free, cover);

        uint256 expires = block.timestamp + duration;
        policyId = ++policyCount;
        policies[policyId] = Policy(msg.sender, uint64(expires), false, cover);
        activeCover += cover;
        capital += premium;
        token.pull(msg.sender, address(this), premium);
        emit PolicySold(policyId, msg.sender, cover, premium, expires);
    }

    /// @notice Free the capital behind a policy that has ended; anybody may do so.
    function endPolicy(uint256 policyId) external {
        Policy storage policy = policies[policyId];
        if (policy.cover == 0) revert ZeroAmount();
        if (block.timestamp < policy.expires) revert PolicyActive(policyId);
        if (policy.pending) revert ClaimPending(policyId);
        activeCover -= policy.cover;
        policy.cover = 0;
        emit PolicyEnded(policyId);
    }

    // ---------------------------------------------------------------- claims

    /// @notice Ask for `amount` out of one's policy.
    /// @param evidence Hash of what the assessors should look at.
    function fileClaim(uint256 policyId, uint256 amount, bytes32 evidence)
        external
        returns (uint256 claimId)
    {
        Policy storage policy = policies[policyId];
        if (policy.holder != msg.sender) revert NotHolder(msg.sender);
        if (block.timestamp >= policy.expires) revert PolicyExpired(policyId);
        if (policy.pending) revert ClaimPending(policyId);
        if (amount == 0) revert ZeroAmount();
        if (amount > policy.cover) revert CoverExceeded(policy.cover);
        policy.pending = true;
        claimId = ++claimCount;
        claims[claimId] = Claim(uint128(policyId), ClaimState.Filed, 0, 0, amount, evidence);
        emit ClaimFiled(claimId, policyId, amount, evidence);
    }

    /// @notice Decide for or against a claim; the quorum-th equal decision settles it.
    function assess(uint256 claimId, bool approve) external {
        if (!isAssessor[msg.sender]) revert NotAssessor(msg.sender);
        Claim storage claim = claims[claimId];
        if (claim.state != ClaimState.Filed) revert WrongClaimState(claim.state);
        if (hasAssessed[claimId][msg.sender]) revert AlreadyAssessed(msg.sender);
        hasAssessed[claimId][msg.sender] = true;
        emit ClaimAssessed(claimId, msg.sender, approve);

        if (approve) {
            if (++claim.approvals < quorum) return;
            claim.state = ClaimState.Approved;
        } else {
            if (++claim.rejections < quorum) return;
            claim.state = ClaimState.Rejected;
            policies[claim.policyId].pending = false;
        }
        emit ClaimDecided(claimId, approve);
    }

    /// @notice Pay an approved claim to the holder of its policy; anybody may do so.
    function payClaim(uint256 claimId) external lock {
        Claim storage claim = claims[claimId];
        if (claim.state != ClaimState.Approved) revert WrongClaimState(claim.state);
        claim.state = ClaimState.Paid;
        Policy storage policy = policies[claim.policyId];
        uint256 amount = claim.amount;
        policy.pending = false;
        policy.cover -= amount;
        activeCover -= amount;
        capital -= amount;
        token.push(policy.holder, amount);
        emit ClaimPaid(claimId, policy.holder, amount);
    }
}
