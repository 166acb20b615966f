// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {Owned} from "../common/Owned.sol";

/// @title Prices of assets, reported by feeders
contract PriceOracle is Owned {
    /// @notice Only a feeder may report, and `caller` is none.
    error NotFeeder(address caller);
    /// @notice Nobody has reported a price of `asset`.
    error NoPrice(address asset);
    /// @notice A price is more than zero and fits 192 bits.
    error InvalidPrice(address asset, uint256 price);
    /// @notice The lists are of different lengths.
    error LengthMismatch();

    /// @notice `account` became a feeder, or ceased to be one.
    event FeederSet(address indexed account, bool allowed);
    /// @notice A new price of `asset`.
    event PriceReported(address indexed asset, uint256 price);

    struct Report {
        uint192 price;
        uint64 reportedAt;
    }

    /// @notice Whether `account` may report prices.
    mapping(address account => bool) public isFeeder;

    /// @notice The last report for each asset; zero where there is none.
    mapping(address asset => Report) public reports;

    /// @notice The deployer is the owner and the first feeder.
    constructor() {
        _setFeeder(msg.sender, true);
    }

    /// @notice Appoint or dismiss a feeder.
    function setFeeder(address account, bool allowed) external onlyOwner {
        _setFeeder(account, allowed);
    }

    /// @notice Report the price of one whole token of each asset, in dollars with 18 decimals.
    function setPrices(address[] calldata assets, uint256[] calldata prices) external {
        if (assets.length != prices.length) revert LengthMismatch();
        for (uint256 i = 0; i < assets.length; ++i) {
            setPrice(assets[i], prices[i]);
        }
    }

    /// @notice Report the price of one whole token of `asset`, in dollars with 18 decimals.
    function setPrice(address asset, uint256 price) public {
        if (!isFeeder[msg.sender]) revert NotFeeder(msg.sender);
        if (price == 0 || price > type(uint192).max) revert InvalidPrice(asset, price);
        reports[asset] = Report(uint192(price), uint64(block.timestamp));
        emit PriceReported(asset, price);
    }

    /// @notice The price of one whole token of `asset`, in dollars with 18 decimals.
    function priceOf(address asset) external view returns (uint256 price) {
        price = reports[asset].price;
        if (price == 0) revert NoPrice(asset);
    }

    function _setFeeder(address account, bool allowed) private {
        isFeeder[account] = allowed;
        emit FeederSet(account, allowed);
    }
}
