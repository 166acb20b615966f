// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

/// @title The ERC-20 token interface (EIP-20)
interface IERC20 {
    /// @notice `amount` moved from `from` to `to`; the zero address stands for minting and burning.
    event Transfer(address indexed from, address indexed to, uint256 amount);

    /// @notice `spender` may now take up to `amount` from `owner`.
    event Approval(address indexed owner, address indexed spender, uint256 amount);

    /// @notice Number of decimals of one whole token.
    function decimals() external view returns (uint8);

    /// @notice Tokens in existence, in smallest units.
    function totalSupply() external view returns (uint256);

    /// @notice Balance of `account`, in smallest units.
    function balanceOf(address account) external view returns (uint256);

    /// @notice What `spender` may still take from `owner`; the maximum means without limit.
    function allowance(address owner, address spender) external view returns (uint256);

    /// @notice Let `spender` take up to `amount` from the caller.
    function approve(address spender, uint256 amount) external returns (bool);

    /// @notice Move `amount` from the caller to `to`.
    function transfer(address to, uint256 amount) external returns (bool);

    /// @notice Move `amount` from `from` to `to`, out of the caller's allowance.
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}
