// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IERC20} from "./IERC20.sol";

/// @title Token movements that either happen or revert
library TokenTransfer {
    /// @notice `token` answered false instead of moving.
    error TransferFailed(address token);

    /// @notice Send `amount` of what this contract holds to `to`.
    function push(IERC20 token, address to, uint256 amount) internal {
        if (!token.transfer(to, amount)) revert TransferFailed(address(token));
    }

    /// @notice Take `amount` from `from`, who approved this contract, to `to`.
    function pull(IERC20 token, address from, address to, uint256 amount) internal {
        if (!token.transferFrom(from, to, amount)) revert TransferFailed(address(token));
    }
}
