// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IERC20} from "./IERC20.sol";

/// @title The token that every token here is made of
/// @notice Balances, allowances and one function through which all tokens move.
/// @dev Name, symbol and decimals live in storage, not in immutables: all instances of a token
///      contract then have the same code, and a cache keyed by code hash serves them all.
abstract contract ERC20 is IERC20 {
    /// @notice `account` holds `balance`, less than the `needed` amount.
    error InsufficientBalance(address account, uint256 balance, uint256 needed);

    /// @notice `spender` may take `allowance`, less than the `needed` amount.
    error InsufficientAllowance(address spender, uint256 allowance, uint256 needed);

    /// @notice The zero address can neither send nor receive.
    error ZeroAddress();

    /// @notice Full name of the token.
    string public name;

    /// @notice Ticker of the token.
    string public symbol;

    /// @inheritdoc IERC20
    uint8 public override decimals;

    /// @inheritdoc IERC20
    uint256 public override totalSupply;

    /// @inheritdoc IERC20
    mapping(address account => uint256) public override balanceOf;

    /// @inheritdoc IERC20
    mapping(address owner => mapping(address spender => uint256)) public override allowance;

    constructor(string memory name_, string memory symbol_, uint8 decimals_) {
        name = name_;
        symbol = symbol_;
        decimals = decimals_;
    }

    /// @inheritdoc IERC20
    function approve(address spender, uint256 amount) external override returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    /// @inheritdoc IERC20
    function transfer(address to, uint256 amount) external override returns (bool) {
        if (to == address(0)) revert ZeroAddress();
        _move(msg.sender, to, amount);
        return true;
    }

    /// @inheritdoc IERC20
    function transferFrom(address from, address to, uint256 amount)
        external
        override
        returns (bool)
    {
        if (from == address(0) || to == address(0)) revert ZeroAddress();
        _spendAllowance(from, msg.sender, amount);
        _move(from, to, amount);
        return true;
    }

    /// @dev Take `amount` out of an allowance; the maximum is never used up.
    function _spendAllowance(address owner_, address spender, uint256 amount) internal {
        uint256 allowed = allowance[owner_][spender];
        if (allowed == type(uint256).max) return;
        if (allowed < amount) revert InsufficientAllowance(spender, allowed, amount);
        unchecked {
            allowance[owner_][spender] = allowed - amount;
        }
    }

    function _mint(address to, uint256 amount) internal {
        if (to == address(0)) revert ZeroAddress();
        _move(address(0), to, amount);
    }

    function _burn(address from, uint256 amount) internal {
        _move(from, address(0), amount);
    }

    /// @dev The only place where balances change. `from` zero mints, `to` zero burns.
    ///      Additions to a balance cannot overflow: no balance exceeds the checked total supply.
    function _move(address from, address to, uint256 amount) internal virtual {
        if (from == address(0)) {
            totalSupply += amount;
        } else {
            uint256 balance = balanceOf[from];
            if (balance < amount) revert InsufficientBalance(from, balance, amount);
            unchecked {
                balanceOf[from] = balance - amount;
            }
        }
        unchecked {
            if (to == address(0)) totalSupply -= amount;
            else balanceOf[to] += amount;
        }
        emit Transfer(from, to, amount);
    }
}
