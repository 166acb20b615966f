// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IERC20} from "../common/IERC20.sol";
import {TokenTransfer} from "../common/TokenTransfer.sol";
import {Factory} from "./Factory.sol";
import {Pair} from "./Pair.sol";

/// @title What people call: liquidity and swaps with limits and deadlines
/// @notice Holds nothing between calls. Tokens are taken from the caller, who approves this contract
///         first. A path lists the tokens from the one paid to the one received.
contract Router {
    using TokenTransfer for IERC20;

    /// @notice The transaction came after its deadline.
    error Expired(uint256 deadline);
    /// @notice A path has at least two tokens.
    error InvalidPath();
    /// @notice An amount, or a reserve, is zero.
    error ZeroAmount();
    /// @notice The pool does not hold that much.
    error InsufficientReserve();
    /// @notice The caller would receive `amount`, less than its limit.
    error InsufficientOutput(uint256 amount, uint256 minimum);
    /// @notice The caller would pay `amount`, more than its limit.
    error ExcessiveInput(uint256 amount, uint256 maximum);
    /// @notice The price of the pool is outside the limits of a deposit or withdrawal.
    error PriceMoved(uint256 amount, uint256 minimum);

    /// @notice The register of pairs.
    Factory public immutable factory;
    bytes32 private immutable _pairCodeHash;

    modifier before(uint256 deadline) {
        if (block.timestamp > deadline) revert Expired(deadline);
        _;
    }

    constructor(Factory factory_) {
        factory = factory_;
        _pairCodeHash = factory_.PAIR_CODE_HASH();
    }

    // ---------------------------------------------------------------- liquidity

    /// @notice Deposit two tokens at the pool's price; the first deposit makes the pair and its price.
    /// @param amountADesired The most to deposit of tokenA.
    /// @param amountBDesired The most to deposit of tokenB.
    /// @param amountAMin The least of tokenA that the caller accepts to deposit.
    /// @param amountBMin The least of tokenB that the caller accepts to deposit.
    /// @return amountA Deposited of tokenA.
    /// @return amountB Deposited of tokenB.
    /// @return liquidity Shares made for `to`.
    function addLiquidity(
        address tokenA,
        address tokenB,
        uint256 amountADesired,
        uint256 amountBDesired,
        uint256 amountAMin,
        uint256 amountBMin,
        address to,
        uint256 deadline
    )
        external
        before(deadline)
        returns (uint256 amountA, uint256 amountB, uint256 liquidity)
    {
        if (factory.getPair(tokenA, tokenB) == address(0)) factory.createPair(tokenA, tokenB);
        (amountA, amountB) = _proportion(
            tokenA, tokenB, amountADesired, amountBDesired, amountAMin, amountBMin
        );
        liquidity = _deposit(tokenA, tokenB, amountA, amountB, to);
    }

    /// @notice Return `liquidity` shares, for which the caller approved this contract, for both tokens.
    function removeLiquidity(
        address tokenA,
        address tokenB,
        uint256 liquidity,
        uint256 amountAMin,
        uint256 amountBMin,
        address to,
        uint256 deadline
    ) external before(deadline) returns (uint256 amountA, uint256 amountB) {
        address pair = pairFor(tokenA, tokenB);
        IERC20(pair).pull(msg.sender, pair, liquidity);
        (uint256 amount0, uint256 amount1) = Pair(pair).burn(to);
        (amountA, amountB) = tokenA < tokenB ? (amount0, amount1) : (amount1, amount0);
        if (amountA < amountAMin) revert PriceMoved(amountA, amountAMin);
        if (amountB < amountBMin) revert PriceMoved(amountB, amountBMin);
    }

    // ---------------------------------------------------------------- swaps

    /// @notice Pay exactly `amountIn` of the first token, receive at least `amountOutMin` of the last.
    /// @return amounts What moves at each step of the path.
    function swapExactTokensForTokens(
        uint256 amountIn,
        uint256 amountOutMin,
        address[] calldata path,
        address to,
        uint256 deadline
    ) external before(deadline) returns (uint256[] memory amounts) {
        amounts = getAmountsOut(amountIn, path);
        uint256 amountOut = amounts[amounts.length - 1];
        if (amountOut < amountOutMin) revert InsufficientOutput(amountOut, amountOutMin);
        _swap(amounts, path, to);
    }

    /// @notice Receive exactly `amountOut` of the last token, pay at most `amountInMax` of the first.
    /// @return amounts What moves at each step of the path.
    function swapTokensForExactTokens(
        uint256 amountOut,
        uint256 amountInMax,
        address[] calldata path,
        address to,
        uint256 deadline
    ) external before(deadline) returns (uint256[] memory amounts) {
        amounts = getAmountsIn(amountOut, path);
        if (amounts[0] > amountInMax) revert ExcessiveInput(amounts[0], amountInMax);
        _swap(amounts, path, to);
    }

    // ---------------------------------------------------------------- quotes

    /// @notice What `amountA` is worth in the other token at the price of the reserves, without fee.
    function quote(uint256 amountA, uint256 reserveA, uint256 reserveB)
        public
        pure
        returns (uint256 amountB)
    {
        if (amountA == 0 || reserveA == 0 || reserveB == 0) revert ZeroAmount();
        return amountA * reserveB / reserveA;
    }

    /// @notice What a payment of `amountIn` buys, after the fee.
    function getAmountOut(uint256 amountIn, uint256 reserveIn, uint256 reserveOut)
        public
        pure
        returns (uint256 amountOut)
    {
        if (amountIn == 0 || reserveIn == 0 || reserveOut == 0) revert ZeroAmount();
        uint256 paid = amountIn * 997;
        return paid * reserveOut / (reserveIn * 1000 + paid);
    }

    /// @notice What `amountOut` costs, with the fee.
    function getAmountIn(uint256 amountOut, uint256 reserveIn, uint256 reserveOut)
        public
        pure
        returns (uint256 amountIn)
    {
        if (amountOut == 0 || reserveIn == 0) revert ZeroAmount();
        if (amountOut >= reserveOut) revert InsufficientReserve();
        return reserveIn * amountOut * 1000 / ((reserveOut - amountOut) * 997) + 1;
    }

    /// @notice What moves at each step when `amountIn` of the first token is paid.
    function getAmountsOut(uint256 amountIn, address[] calldata path)
        public
        view
        returns (uint256[] memory amounts)
    {
        if (path.length < 2) revert InvalidPath();
        amounts = new uint256[](path.length);
        amounts[0] = amountIn;
        for (uint256 i = 0; i < path.length - 1; ++i) {
            (uint256 reserveIn, uint256 reserveOut) = getReserves(path[i], path[i + 1]);
            amounts[i + 1] = getAmountOut(amounts[i], reserveIn, reserveOut);
        }
    }

    /// @notice What moves at each step when `amountOut` of the last token is received.
    function getAmountsIn(uint256 amountOut, address[] calldata path)
        public
        view
        returns (uint256[] memory amounts)
    {
        if (path.length < 2) revert InvalidPath();
        amounts = new uint256[](path.length);
        amounts[path.length - 1] = amountOut;
        for (uint256 i = path.length - 1; i > 0; --i) {
            (uint256 reserveIn, uint256 reserveOut) = getReserves(path[i - 1], path[i]);
            amounts[i - 1] = getAmountIn(amounts[i], reserveIn, reserveOut);
        }
    }

    /// @notice The address of the pair of two tokens, whether it has been made yet or not.
    function pairFor(address tokenA, address tokenB) public view returns (address pair) {
        (address token0, address token1) = tokenA < tokenB ? (tokenA, tokenB) : (tokenB, tokenA);
        bytes32 salt = keccak256(abi.encodePacked(token0, token1));
        bytes32 hash =
            keccak256(abi.encodePacked(bytes1(0xff), address(factory), salt, _pairCodeHash));
        return address(uint160(uint256(hash)));
    }

    /// @notice The reserves of a pair in the order of the arguments.
    function getReserves(address tokenA, address tokenB)
        public
        view
        returns (uint256 reserveA, uint256 reserveB)
    {
        (uint256 reserve0, uint256 reserve1,) = Pair(pairFor(tokenA, tokenB)).getReserves();
        return tokenA < tokenB ? (reserve0, reserve1) : (reserve1, reserve0);
    }

    // ---------------------------------------------------------------- inside

    /// @dev The largest deposit within the desired amounts at the price of the pool.
    function _proportion(
        address tokenA,
        address tokenB,
        uint256 amountADesired,
        uint256 amountBDesired,
        uint256 amountAMin,
        uint256 amountBMin
    ) private view returns (uint256 amountA, uint256 amountB) {
        (uint256 reserveA, uint256 reserveB) = getReserves(tokenA, tokenB);
        if (reserveA == 0 && reserveB == 0) return (amountADesired, amountBDesired);

        amountB = quote(amountADesired, reserveA, reserveB);
        if (amountB <= amountBDesired) {
            if (amountB < amountBMin) revert PriceMoved(amountB, amountBMin);
            return (amountADesired, amountB);
        }
        amountA = quote(amountBDesired, reserveB, reserveA);
        if (amountA < amountAMin) revert PriceMoved(amountA, amountAMin);
        return (amountA, amountBDesired);
    }

    /// @dev Take both tokens from the caller into their pair, and make the shares.
    function _deposit(
        address tokenA,
        address tokenB,
        uint256 amountA,
        uint256 amountB,
        address to
    ) private returns (uint256 liquidity) {
        address pair = pairFor(tokenA, tokenB);
        IERC20(tokenA).pull(msg.sender, pair, amountA);
        IERC20(tokenB).pull(msg.sender, pair, amountB);
        return Pair(pair).mint(to);
    }

    /// @dev Pay the first pair; each pair sends its output straight to the next one.
    function _swap(uint256[] memory amounts, address[] calldata path, address to) private {
        address pair = pairFor(path[0], path[1]);
        IERC20(path[0]).pull(msg.sender, pair, amounts[0]);
        uint256 last = path.length - 2;
        for (uint256 i = 0; i <= last; ++i) {
            address next = i == last ? to : pairFor(path[i + 1], path[i + 2]);
            (uint256 out0, uint256 out1) = path[i] < path[i + 1]
                ? (uint256(0), amounts[i + 1])
                : (amounts[i + 1], uint256(0));
            Pair(pair).swap(out0, out1, next, "");
            pair = next;
        }
    }
}
