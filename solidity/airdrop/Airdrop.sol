// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IERC20} from "../common/IERC20.sol";
import {TokenTransfer} from "../common/TokenTransfer.sol";

/// @title Payments to many recipients in one transaction
/// @notice Holds nothing between calls. Tokens are taken from the caller, who approves this contract
///         first; any number of callers pay any number of recipients.
contract Airdrop {
    using TokenTransfer for IERC20;

    /// @notice There is one amount for each recipient.
    error LengthMismatch(uint256 recipients, uint256 amounts);
    /// @notice `recipient` did not accept the ether.
    error EtherRefused(address recipient);
    /// @notice The ether sent along is not the sum of the amounts.
    error WrongValue(uint256 sent, uint256 needed);

    /// @notice `sender` paid `total` to `recipients` accounts; the zero address stands for ether.
    event Distributed(
        address indexed sender, address indexed token, uint256 recipients, uint256 total
    );

    /// @notice Move tokens from the caller to all recipients, or to none.
    function distribute(
        IERC20 token,
        address[] calldata recipients,
        uint256[] calldata amounts
    ) external {
        if (recipients.length != amounts.length) {
            revert LengthMismatch(recipients.length, amounts.length);
        }
        uint256 total = 0;
        for (uint256 i = 0; i < recipients.length; ++i) {
            total += amounts[i];
            token.pull(msg.sender, recipients[i], amounts[i]);
        }
        emit Distributed(msg.sender, address(token), recipients.length, total);
    }

    /// @notice Hand the ether sent along to all recipients, or to none.
    function distributeEther(address[] calldata recipients, uint256[] calldata amounts)
        external
        payable
    {
        if (recipients.length != amounts.length) {
            revert LengthMismatch(recipients.length, amounts.length);
        }
        uint256 total = 0;
        for (uint256 i = 0; i < amounts.length; ++i) {
            total += amounts[i];
        }
        if (total != msg.value) revert WrongValue(msg.value, total);
        for (uint256 i = 0; i < recipients.length; ++i) {
            (bool accepted,) = recipients[i].call{value: amounts[i]}("");
            if (!accepted) revert EtherRefused(recipients[i]);
        }
        emit Distributed(msg.sender, address(0), recipients.length, total);
    }
}
