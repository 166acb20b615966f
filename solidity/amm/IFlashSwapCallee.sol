// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

/// @title What a contract implements that takes tokens from a pair first and pays afterwards
interface IFlashSwapCallee {
    /// @notice Called by the pair after it has sent the tokens and before it checks the payment.
    /// @param sender Who called `Pair.swap`.
    /// @param amount0 What was sent of token0.
    /// @param amount1 What was sent of token1.
    /// @param data What the caller passed to `Pair.swap`.
    function onFlashSwap(address sender, uint256 amount0, uint256 amount1, bytes calldata data)
        external;
}
