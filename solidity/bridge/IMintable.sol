// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IERC20} from "../common/IERC20.sol";

/// @title A token that a bridge can create and destroy
interface IMintable is IERC20 {
    /// @notice Create `amount` for `to`; the caller must be a minter.
    function mint(address to, uint256 amount) external;

    /// @notice Destroy `amount` of the caller's tokens.
    function burn(uint256 amount) external;
}
