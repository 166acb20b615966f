// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {ERC20} from "../common/ERC20.sol";
import {IERC20} from "../common/IERC20.sol";
import {Owned} from "../common/Owned.sol";
import {TokenTransfer} from "../common/TokenTransfer.sol";

/// @title Shares in a real-world asset: a building, a fund, a bond
/// @notice Only whitelisted accounts may hold shares. Income is paid in as dividends, and every
///         share earns the same, whoever holds it at the time.
/// @dev One accumulator says what a share has earned since the beginning. Each account remembers
///      how much of that it has been credited, so that a dividend touches no account.
contract AssetToken is ERC20, Owned {
    using TokenTransfer for IERC20;

    /// @notice `account` may not hold shares.
    error NotWhitelisted(address account);
    /// @notice The shares of `account` cannot move.
    error Frozen(address account);
    /// @notice Nobody holds a share that could earn.
    error NoShares();
    /// @notice There is nothing to pay in or out.
    error NothingToPay();

    /// @notice `account` may hold shares from now on, or may not receive any more.
    event Whitelisted(address indexed account, bool allowed);
    /// @notice The shares of `account` were frozen, or released.
    event FreezeSet(address indexed account, bool frozen);
    /// @notice A dividend for all shares was paid in.
    event DividendPaidIn(address indexed payer, uint256 amount);
    /// @notice `account` collected its dividends.
    event DividendCollected(address indexed account, uint256 amount);

    // Fixed point of the accumulator: what is lost by rounding is far below one unit.
    uint256 private constant SCALE = 2 ** 96;

    /// @notice What dividends are paid in.
    IERC20 public dividendToken;
    /// @notice Whether `account` may receive shares.
    mapping(address account => bool) public isWhitelisted;
    /// @notice Whether the shares of `account` cannot move, by order of a court for example.
    mapping(address account => bool) public isFrozen;

    /// @notice What one smallest unit has earned since the beginning, times 2**96.
    uint256 public earnedPerShare;

    struct Earnings {
        uint256 creditedPerShare; // the accumulator when `owed` was last brought up to date
        uint256 owed; // credited, and not collected yet
    }

    /// @notice What has been credited to each account, as of its last movement.
    mapping(address account => Earnings) public earnings;

    /// @notice The deployer is the issuer: it owns the contract and is whitelisted.
    constructor(string memory name_, string memory symbol_, IERC20 dividendToken_)
        ERC20(name_, symbol_, 18)
    {
        dividendToken = dividendToken_;
        isWhitelisted[msg.sender] = true;
        emit Whitelisted(msg.sender, true);
    }

    // ---------------------------------------------------------------- issuer

    /// @notice Allow or forbid accounts to receive shares.
    function setWhitelisted(address[] calldata accounts, bool allowed) external onlyOwner {
        for (uint256 i = 0; i < accounts.length; ++i) {
            isWhitelisted[accounts[i]] = allowed;
            emit Whitelisted(accounts[i], allowed);
        }
    }

    /// @notice Freeze or release the shares of `account`.
    function setFrozen(address account, bool frozen) external onlyOwner {
        isFrozen[account] = frozen;
        emit FreezeSet(account, frozen);
    }

    /// @notice Create `amount` of shares for each of `accounts`.
    function issue(address[] calldata accounts, uint256 amount) external onlyOwner {
        for (uint256 i = 0; i < accounts.length; ++i) {
            _mint(accounts[i], amount);
        }
    }

    /// @notice Destroy `amount` of the caller's shares, when the asset is paid back.
    function redeem(uint256 amount) external {
        _burn(msg.sender, amount);
    }

    // ---------------------------------------------------------------- dividends

    /// @notice Pay in `amount` for all shares; what cannot be divided stays here.
    function payDividend(uint256 amount) external {
        if (amount == 0) revert NothingToPay();
        if (totalSupply == 0) revert NoShares();
        earnedPerShare += amount * SCALE / totalSupply;
        dividendToken.pull(msg.sender, address(this), amount);
        emit DividendPaidIn(msg.sender, amount);
    }

    /// @notice Collect the caller's dividends.
    function collectDividend() external returns (uint256 amount) {
        _credit(msg.sender);
        amount = earnings[msg.sender].owed;
        if (amount == 0) revert NothingToPay();
        earnings[msg.sender].owed = 0;
        dividendToken.push(msg.sender, amount);
        emit DividendCollected(msg.sender, amount);
    }

    /// @notice What `account` could collect now.
    function dividendOf(address account) public view returns (uint256) {
        Earnings memory e = earnings[account];
        return e.owed + balanceOf[account] * (earnedPerShare - e.creditedPerShare) / SCALE;
    }

    // ---------------------------------------------------------------- inside

    /// @dev Dividends until now belong to those who held the shares until now.
    function _move(address from, address to, uint256 amount) internal override {
        if (from != address(0)) {
            if (isFrozen[from]) revert Frozen(from);
            _credit(from);
        }
        if (to != address(0)) {
            if (!isWhitelisted[to]) revert NotWhitelisted(to);
            _credit(to);
        }
        super._move(from, to, amount);
    }

    function _credit(address account) private {
        Earnings storage e = earnings[account];
        if (e.creditedPerShare == earnedPerShare) return;
        e.owed = dividendOf(account);
        e.creditedPerShare = earnedPerShare;
    }
}
