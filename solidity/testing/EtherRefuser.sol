// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {WrappedEther} from "../WrappedEther.sol";

/// @title A holder of wrapped ether, for tests, that cannot receive ether
contract EtherRefuser {
    /// @notice Wrap the ether sent along, for this contract.
    function wrap(WrappedEther token) external payable {
        token.deposit{value: msg.value}();
    }

    /// @notice Try to unwrap it: the ether comes here, and there is no function to take it.
    function unwrap(WrappedEther token, uint256 amount) external {
        token.withdraw(amount);
    }
}
