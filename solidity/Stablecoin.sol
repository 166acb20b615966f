// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {ERC20} from "./common/ERC20.sol";
import {Owned} from "./common/Owned.sol";

/// @title A currency token issued by its minters
/// @notice The owner names the minters: a treasury, or a bridge that mints what is locked elsewhere.
contract Stablecoin is ERC20, Owned {
    /// @notice Only a minter may do this, and `caller` is none.
    error NotMinter(address caller);

    /// @notice `account` became a minter, or ceased to be one.
    event MinterSet(address indexed account, bool allowed);

    /// @notice Whether `account` may mint.
    mapping(address account => bool) public isMinter;

    modifier onlyMinter() {
        if (!isMinter[msg.sender]) revert NotMinter(msg.sender);
        _;
    }

    /// @notice The deployer is the owner and the first minter.
    constructor(string memory name_, string memory symbol_, uint8 decimals_)
        ERC20(name_, symbol_, decimals_)
    {
        _setMinter(msg.sender, true);
    }

    /// @notice Appoint or dismiss a minter.
    function setMinter(address account, bool allowed) external onlyOwner {
        _setMinter(account, allowed);
    }

    /// @notice Create `amount` for `to`.
    function mint(address to, uint256 amount) external onlyMinter {
        _mint(to, amount);
    }

    /// @notice Create `amount` for each of `accounts`.
    function mintBatch(address[] calldata accounts, uint256 amount) external onlyMinter {
        for (uint256 i = 0; i < accounts.length; ++i) {
            _mint(accounts[i], amount);
        }
    }

    /// @notice Destroy `amount` of the caller's tokens.
    function burn(uint256 amount) external {
        _burn(msg.sender, amount);
    }

    /// @notice Destroy `amount` of `account`'s tokens, out of the caller's allowance.
    function burnFrom(address account, uint256 amount) external {
        _spendAllowance(account, msg.sender, amount);
        _burn(account, amount);
    }

    function _setMinter(address account, bool allowed) private {
        isMinter[account] = allowed;
        emit MinterSet(account, allowed);
    }
}
