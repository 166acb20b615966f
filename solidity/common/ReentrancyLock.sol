// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

/// @title A lock against re-entrant calls
/// @dev 1 is open, 2 is held: a slot that never returns to zero is cheaper to write.
abstract contract ReentrancyLock {
    /// @notice The contract was called back while it was still working.
    error Locked();

    uint256 private _lock = 1;

    modifier lock() {
        if (_lock != 1) revert Locked();
        _lock = 2;
        _;
        _lock = 1;
    }
}
