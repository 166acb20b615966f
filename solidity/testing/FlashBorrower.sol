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

    /// @notice What to do when the pair calls back.
    enum Conduct {
        Repay, // what was taken, and the fee
        Keep, // pay nothing
        Reenter // call the pair again while it is locked
    }

    /// @notice Take tokens out of `pair` and behave as told.
    function borrow(Pair pair, uint256 amount0, uint256 amount1, Conduct conduct) external {
        pair.swap(amount0, amount1, address(this), abi.encode(conduct));
    }

    /// @inheritdoc IFlashSwapCallee
    function onFlashSwap(address, uint256 amount0, uint256 amount1, bytes calldata data)
        external
        override
    {
        Pair pair = Pair(msg.sender);
        Conduct conduct = abi.decode(data, (Conduct));
        if (conduct == Conduct.Reenter) pair.sync();
        if (conduct != Conduct.Repay) return;
        pair.token0().push(msg.sender, _withFee(amount0));
        pair.token1().push(msg.sender, _withFee(amount1));
    }

    /// @dev The fee is 0.3% of what is paid, not of what is taken.
    function _withFee(uint256 amount) private pure returns (uint256) {
        return amount == 0 ? 0 : amount * 1000 / 997 + 1;
    }
}
