// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {ERC20} from "../common/ERC20.sol";
import {IERC20} from "../common/IERC20.sol";
import {ReentrancyLock} from "../common/ReentrancyLock.sol";
import {TokenTransfer} from "../common/TokenTransfer.sol";
import {IFlashSwapCallee} from "./IFlashSwapCallee.sol";

/// @title Constant-product pool of two tokens, and the token of its shares
/// @notice The product of the reserves never falls: a trade pays 0.3% into the pool. Callers send
///         tokens first and call afterwards; what arrived is the difference to the known reserves.
///         Use `Router` unless you are a contract that does both in one transaction.
/// @dev The tokens are set by `initialize`, not by the constructor, so that all pairs share one code
///      and one creation code, and their addresses can be computed.
contract Pair is ERC20, ReentrancyLock {
    using TokenTransfer for IERC20;

    /// @notice Only the factory may initialise, and only once.
    error NotFactory(address caller);
    /// @notice The reserves are kept in 112 bits each.
    error ReserveOverflow();
    /// @notice The deposit is worth no share.
    error InsufficientLiquidityMinted();
    /// @notice The returned shares are worth nothing.
    error InsufficientLiquidityBurned();
    /// @notice A swap has to take something out.
    error InsufficientOutput();
    /// @notice A swap has to pay something in.
    error InsufficientInput();
    /// @notice A swap cannot take a whole reserve.
    error InsufficientReserve();
    /// @notice Neither token contract can be the recipient of a swap.
    error InvalidRecipient();
    /// @notice The payment does not keep the product of the reserves.
    error ProductDecreased();

    /// @notice `sender` deposited both tokens.
    event Mint(address indexed sender, uint256 amount0, uint256 amount1);
    /// @notice Shares were returned and both tokens sent to `to`.
    event Burn(address indexed sender, uint256 amount0, uint256 amount1, address indexed to);
    /// @notice A trade.
    event Swap(
        address indexed sender,
        uint256 amount0In,
        uint256 amount1In,
        uint256 amount0Out,
        uint256 amount1Out,
        address indexed to
    );
    /// @notice The reserves after every change.
    event Sync(uint112 reserve0, uint112 reserve1);

    /// @notice Shares of the first deposit that nobody can ever return, so that a share stays cheap.
    uint256 public constant MINIMUM_LIQUIDITY = 1000;
    address private constant NOBODY = address(0xdead);

    /// @notice The factory that made this pair.
    address public factory;
    /// @notice The token with the lower address.
    IERC20 public token0;
    /// @notice The token with the higher address.
    IERC20 public token1;

    // One slot: both reserves and the time, modulo 2**32, at which they were last changed.
    uint112 private _reserve0;
    uint112 private _reserve1;
    uint32 private _updatedAt;

    /// @notice Seconds times the price of token0 in token1, as UQ112.112, modulo 2**256.
    /// @dev The average price between two moments is the difference divided by the seconds.
    uint256 public price0CumulativeLast;
    /// @notice Seconds times the price of token1 in token0, as UQ112.112, modulo 2**256.
    uint256 public price1CumulativeLast;

    constructor() ERC20("AMM Pool Share", "APS", 18) {
        factory = msg.sender;
    }

    /// @notice Name the two tokens, the lower address first; done by the factory, once.
    function initialize(IERC20 token0_, IERC20 token1_) external {
        if (msg.sender != factory || address(token0) != address(0)) revert NotFactory(msg.sender);
        token0 = token0_;
        token1 = token1_;
    }

    /// @notice The known reserves, and when they last changed (seconds modulo 2**32).
    function getReserves()
        public
        view
        returns (uint112 reserve0, uint112 reserve1, uint32 updatedAt)
    {
        return (_reserve0, _reserve1, _updatedAt);
    }

    /// @notice Turn what was sent of both tokens into shares for `to`.
    /// @return liquidity The shares.
    function mint(address to) external lock returns (uint256 liquidity) {
        (uint112 reserve0, uint112 reserve1,) = getReserves();
        uint256 balance0 = token0.balanceOf(address(this));
        uint256 balance1 = token1.balanceOf(address(this));
        uint256 amount0 = balance0 - reserve0;
        uint256 amount1 = balance1 - reserve1;

        uint256 supply = totalSupply;
        if (supply == 0) {
            uint256 root = _sqrt(amount0 * amount1);
            if (root <= MINIMUM_LIQUIDITY) revert InsufficientLiquidityMinted();
            liquidity = root - MINIMUM_LIQUIDITY;
            _mint(NOBODY, MINIMUM_LIQUIDITY);
        } else {
            uint256 by0 = amount0 * supply / reserve0;
            uint256 by1 = amount1 * supply / reserve1;
            liquidity = by0 < by1 ? by0 : by1;
            if (liquidity == 0) revert InsufficientLiquidityMinted();
        }
        _mint(to, liquidity);
        _update(balance0, balance1, reserve0, reserve1);
        emit Mint(msg.sender, amount0, amount1);
    }

    /// @notice Turn the shares that were sent here back into both tokens, for `to`.
    function burn(address to) external lock returns (uint256 amount0, uint256 amount1) {
        (uint112 reserve0, uint112 reserve1,) = getReserves();
        uint256 liquidity = balanceOf[address(this)];
        uint256 supply = totalSupply;
        amount0 = liquidity * token0.balanceOf(address(this)) / supply;
        amount1 = liquidity * token1.balanceOf(address(this)) / supply;
        if (amount0 == 0 || amount1 == 0) revert InsufficientLiquidityBurned();

        _burn(address(this), liquidity);
        token0.push(to, amount0);
        token1.push(to, amount1);
        _update(
            token0.balanceOf(address(this)), token1.balanceOf(address(this)), reserve0, reserve1
        );
        emit Burn(msg.sender, amount0, amount1, to);
    }

    /// @notice Take tokens out against tokens that were sent before, or are sent in the callback.
    /// @param amount0Out What `to` receives of token0.
    /// @param amount1Out What `to` receives of token1.
    /// @param to The recipient; with `data`, an `IFlashSwapCallee`.
    /// @param data If not empty, `to` is called back with it before the payment is checked.
    function swap(uint256 amount0Out, uint256 amount1Out, address to, bytes calldata data)
        external
        lock
    {
        if (amount0Out == 0 && amount1Out == 0) revert InsufficientOutput();
        (uint112 reserve0, uint112 reserve1,) = getReserves();
        if (amount0Out >= reserve0 || amount1Out >= reserve1) revert InsufficientReserve();

        (uint256 balance0, uint256 balance1) = _pay(amount0Out, amount1Out, to, data);
        uint256 amount0In = _received(balance0, reserve0, amount0Out);
        uint256 amount1In = _received(balance1, reserve1, amount1Out);
        if (amount0In == 0 && amount1In == 0) revert InsufficientInput();
        {
            // The fee of 3 in 1000 does not count as payment.
            uint256 adjusted0 = balance0 * 1000 - amount0In * 3;
            uint256 adjusted1 = balance1 * 1000 - amount1In * 3;
            if (adjusted0 * adjusted1 < uint256(reserve0) * reserve1 * 1000 ** 2) {
                revert ProductDecreased();
            }
        }
        _update(balance0, balance1, reserve0, reserve1);
        emit Swap(msg.sender, amount0In, amount1In, amount0Out, amount1Out, to);
    }

    /// @notice Send what the pool holds beyond its reserves to `to`.
    function skim(address to) external lock {
        token0.push(to, token0.balanceOf(address(this)) - _reserve0);
        token1.push(to, token1.balanceOf(address(this)) - _reserve1);
    }

    /// @notice Make the reserves what the pool really holds.
    function sync() external lock {
        _update(
            token0.balanceOf(address(this)), token1.balanceOf(address(this)), _reserve0, _reserve1
        );
    }

    /// @dev Send the output, call back if asked, and say what the pool holds afterwards.
    function _pay(uint256 amount0Out, uint256 amount1Out, address to, bytes calldata data)
        private
        returns (uint256 balance0, uint256 balance1)
    {
        IERC20 first = token0;
        IERC20 second = token1;
        if (to == address(first) || to == address(second)) revert InvalidRecipient();
        if (amount0Out > 0) first.push(to, amount0Out);
        if (amount1Out > 0) second.push(to, amount1Out);
        if (data.length > 0) {
            IFlashSwapCallee(to).onFlashSwap(msg.sender, amount0Out, amount1Out, data);
        }
        balance0 = first.balanceOf(address(this));
        balance1 = second.balanceOf(address(this));
    }

    /// @dev What came in: the balance beyond the reserve that the output left.
    function _received(uint256 balance, uint256 reserve, uint256 amountOut)
        private
        pure
        returns (uint256)
    {
        uint256 remaining = reserve - amountOut;
        return balance > remaining ? balance - remaining : 0;
    }

    /// @dev Store new reserves; the first change at a new time adds the old price to the averages.
    function _update(uint256 balance0, uint256 balance1, uint112 reserve0, uint112 reserve1)
        private
    {
        if (balance0 > type(uint112).max || balance1 > type(uint112).max) revert ReserveOverflow();
        uint32 time = uint32(block.timestamp);
        unchecked {
            // Time and averages wrap around on purpose: only differences are meaningful.
            uint32 elapsed = time - _updatedAt;
            if (elapsed > 0 && reserve0 != 0 && reserve1 != 0) {
                price0CumulativeLast += (uint256(reserve1) << 112) / reserve0 * elapsed;
                price1CumulativeLast += (uint256(reserve0) << 112) / reserve1 * elapsed;
            }
        }
        _reserve0 = uint112(balance0);
        _reserve1 = uint112(balance1);
        _updatedAt = time;
        emit Sync(uint112(balance0), uint112(balance1));
    }

    /// @dev Integer square root, rounded down, by Newton's method from above.
    function _sqrt(uint256 y) private pure returns (uint256 root) {
        if (y == 0) return 0;
        root = y;
        uint256 next = y / 2 + 1;
        while (next < root) {
            root = next;
            next = (y / next + next) / 2;
        }
    }
}
