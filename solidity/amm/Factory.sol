// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IERC20} from "../common/IERC20.sol";
import {Pair} from "./Pair.sol";

/// @title The maker and register of pairs
contract Factory {
    /// @notice A pair needs two different tokens.
    error IdenticalTokens();
    /// @notice The zero address is no token.
    error ZeroToken();
    /// @notice These two tokens have a pair already.
    error PairExists(address pair);

    /// @notice A pair was made; `count` pairs exist now.
    event PairCreated(
        address indexed token0, address indexed token1, address pair, uint256 count
    );

    /// @notice Hash of the creation code of every pair, from which addresses are computed (EIP-1014).
    bytes32 public constant PAIR_CODE_HASH = keccak256(type(Pair).creationCode);

    /// @notice The pair of two tokens, in either order, or zero.
    mapping(address tokenA => mapping(address tokenB => address)) public getPair;

    /// @notice All pairs, in the order of their making.
    address[] public allPairs;

    /// @notice How many pairs exist.
    function allPairsLength() external view returns (uint256) {
        return allPairs.length;
    }

    /// @notice Make the pair of two tokens, given in either order.
    function createPair(address tokenA, address tokenB) external returns (address pair) {
        if (tokenA == tokenB) revert IdenticalTokens();
        (address token0, address token1) = tokenA < tokenB ? (tokenA, tokenB) : (tokenB, tokenA);
        if (token0 == address(0)) revert ZeroToken();
        if (getPair[token0][token1] != address(0)) revert PairExists(getPair[token0][token1]);

        Pair made = new Pair{salt: keccak256(abi.encodePacked(token0, token1))}();
        made.initialize(IERC20(token0), IERC20(token1));
        pair = address(made);
        getPair[token0][token1] = pair;
        getPair[token1][token0] = pair;
        allPairs.push(pair);
        emit PairCreated(token0, token1, pair, allPairs.length);
    }
}
