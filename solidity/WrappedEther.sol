// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {ERC20} from "./common/ERC20.sol";

/// @title Ether as a token, one to one
contract WrappedEther is ERC20 {
    /// @notice The recipient did not accept the ether.
    error EtherRefused(address to);

    /// @notice `account` turned ether into tokens.
    event Deposit(address indexed account, uint256 amount);
    /// @notice `account` turned tokens back into ether.
    event Withdrawal(address indexed account, uint256 amount);

    constructor() ERC20("Wrapped Ether", "WETH", 18) {}

    /// @notice Ether that is simply sent is wrapped too.
    receive() external payable {
        deposit();
    }

    /// @notice Turn the ether sent along into tokens.
    function deposit() public payable {
        _mint(msg.sender, msg.value);
        emit Deposit(msg.sender, msg.value);
    }

    /// @notice Turn `amount` of the caller's tokens back into ether.
    function withdraw(uint256 amount) external {
        _burn(msg.sender, amount);
        (bool accepted,) = msg.sender.call{value: amount}("");
        if (!accepted) revert EtherRefused(msg.sender);
        emit Withdrawal(msg.sender, amount);
    }
}
