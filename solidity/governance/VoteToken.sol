// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {ERC20} from "../common/ERC20.sol";
import {Owned} from "../common/Owned.sol";

/// @title A token that votes
/// @notice Tokens vote through a delegate, oneself for example; without one they do not vote. What
///         everybody could vote with at the end of any past block stays known.
contract VoteToken is ERC20, Owned {
    /// @notice Only blocks of the past can be asked about.
    error BlockNotPast(uint256 blockNumber);
    /// @notice Votes are kept in 224 bits.
    error SupplyTooLarge(uint256 supply);

    /// @notice `account` votes through `to` from now on.
    event DelegateChanged(address indexed account, address indexed from, address indexed to);
    /// @notice The votes of a delegate changed.
    event VotesChanged(address indexed delegate, uint256 previous, uint256 votes);

    /// @dev Votes from a block on, until the next checkpoint.
    struct Checkpoint {
        uint32 fromBlock;
        uint224 votes;
    }

    /// @notice Who votes with the tokens of `account`.
    mapping(address account => address) public delegateOf;

    mapping(address delegate => Checkpoint[]) private _votes;
    Checkpoint[] private _supply;

    constructor(string memory name_, string memory symbol_) ERC20(name_, symbol_, 18) {}

    /// @notice Create `amount` for `to`.
    function mint(address to, uint256 amount) external onlyOwner {
        _mint(to, amount);
    }

    /// @notice Create `amount` for each of `accounts`.
    function mintBatch(address[] calldata accounts, uint256 amount) external onlyOwner {
        for (uint256 i = 0; i < accounts.length; ++i) {
            _mint(accounts[i], amount);
        }
    }

    /// @notice Let `to` vote with the caller's tokens; the zero address withdraws them from voting.
    function delegate(address to) external {
        address from = delegateOf[msg.sender];
        delegateOf[msg.sender] = to;
        emit DelegateChanged(msg.sender, from, to);
        _moveVotes(from, to, balanceOf[msg.sender]);
    }

    /// @notice Votes of `account` now.
    function getVotes(address account) external view returns (uint256) {
        return _latest(_votes[account]);
    }

    /// @notice Votes of `account` at the end of a past block.
    function getPastVotes(address account, uint256 blockNumber) external view returns (uint256) {
        return _lookup(_votes[account], blockNumber);
    }

    /// @notice Tokens in existence at the end of a past block.
    function getPastTotalSupply(uint256 blockNumber) external view returns (uint256) {
        return _lookup(_supply, blockNumber);
    }

    /// @notice How many times the votes of `account` changed, counting one block once.
    function checkpointCount(address account) external view returns (uint256) {
        return _votes[account].length;
    }

    /// @dev Votes follow the tokens.
    function _move(address from, address to, uint256 amount) internal override {
        super._move(from, to, amount);
        if (from == address(0) || to == address(0)) {
            if (totalSupply > type(uint224).max) revert SupplyTooLarge(totalSupply);
            _write(_supply, totalSupply);
        }
        _moveVotes(delegateOf[from], delegateOf[to], amount);
    }

    function _moveVotes(address from, address to, uint256 amount) private {
        if (from == to || amount == 0) return;
        if (from != address(0)) {
            uint256 votes = _latest(_votes[from]);
            _write(_votes[from], votes - amount);
            emit VotesChanged(from, votes, votes - amount);
        }
        if (to != address(0)) {
            uint256 votes = _latest(_votes[to]);
            _write(_votes[to], votes + amount);
            emit VotesChanged(to, votes, votes + amount);
        }
    }

    /// @dev One checkpoint for each block: later changes in the same block replace it.
    function _write(Checkpoint[] storage history, uint256 votes) private {
        uint256 length = history.length;
        if (length > 0 && history[length - 1].fromBlock == block.number) {
            history[length - 1].votes = uint224(votes);
        } else {
            history.push(Checkpoint(uint32(block.number), uint224(votes)));
        }
    }

    function _latest(Checkpoint[] storage history) private view returns (uint256) {
        uint256 length = history.length;
        return length == 0 ? 0 : history[length - 1].votes;
    }

    /// @dev Binary search for the last checkpoint not after the block.
    function _lookup(Checkpoint[] storage history, uint256 blockNumber)
        private
        view
        returns (uint256)
    {
        if (blockNumber >= block.number) revert BlockNotPast(blockNumber);
        uint256 low = 0;
        uint256 high = history.length;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (history[middle].fromBlock > blockNumber) high = middle;
            else low = middle + 1;
        }
        return low == 0 ? 0 : history[low - 1].votes;
    }
}
