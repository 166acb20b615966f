// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IFlashSwapCallee} from "../amm/IFlashSwapCallee.sol";
import {Pair} from "../amm/Pair.sol";
import {IERC20} from "../common/IERC20.sol";
import {TokenTransfer} from "../common/TokenTransfer.sol";

/// @title A flash-swap borrower for tests, honest or not
/// @notice Pays from its own tokens, so fund it with the fee first.
contract FlashBorrower is IFlashSwapCallee {
    using TokenTransfer for IERC20;

    /// @notice Take tokens out of `pair`.
    /// @param repay Whether to pay back what was taken, and the fee, when the pair calls back.
    /// @param reentry If not empty, calldata with which to call the pair while it is locked.
    function borrow(
        Pair pair,
        uint256 amount0,
        uint256 amount1,
        bool repay,
        bytes calldata reentry
    ) external {
        pair.swap(amount0, amount1, address(this), abi.encode(repay, reentry));
    }

    /// @inheritdoc IFlashSwapCallee
    function onFlashSwap(address, uint256 amount0, uint256 amount1, bytes calldata data)
        external
        override
    {
        (bool repay, bytes memory reentry) = abi.decode(data, (bool, bytes));
        if (reentry.length > 0) _call(msg.sender, reentry);
        if (!repay) return;
        Pair(msg.sender).token0().push(msg.sender, _withFee(amount0));
        Pair(msg.sender).token1().push(msg.sender, _withFee(amount1));
    }

    /// @dev Fails with the reason with which the call fails.
    function _call(address target, bytes memory data) private {
        (bool success, bytes memory result) = target.call(data);
        if (success) return;
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }

    /// @dev The fee is 0.3% of what is paid, not of what is taken.
    function _withFee(uint256 amount) private pure returns (uint256) {
        return amount == 0 ? 0 : amount * 1000 / 997 + 1;
    }
}
