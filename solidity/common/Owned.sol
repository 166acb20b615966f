// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

/// @title A contract with one owner
abstract contract Owned {
    /// @notice Only the owner may do this, and `caller` is not.
    error NotOwner(address caller);

    /// @notice Ownership passed from `from` to `to`.
    event OwnershipTransferred(address indexed from, address indexed to);

    /// @notice Who may use the functions reserved to the owner.
    address public owner;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    constructor() {
        owner = msg.sender;
        emit OwnershipTransferred(address(0), msg.sender);
    }

    /// @notice Hand the contract over, to a governor for example.
    function transferOwnership(address to) external onlyOwner {
        emit OwnershipTransferred(owner, to);
        owner = to;
    }
}
