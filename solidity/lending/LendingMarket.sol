// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IERC20} from "../common/IERC20.sol";
import {Owned} from "../common/Owned.sol";
import {ReentrancyLock} from "../common/ReentrancyLock.sol";
import {TokenTransfer} from "../common/TokenTransfer.sol";
import {PriceOracle} from "./PriceOracle.sol";

/// @title Borrowing of several assets against several assets
/// @notice What is supplied earns interest and is collateral; what is borrowed costs interest. An
///         account is healthy while its debts are worth no more than its collateral times the
///         collateral factors; otherwise anybody may repay a part of a debt for a discount on the
///         collateral.
/// @dev Balances are kept in shares. An index says what a share is worth and grows with time, so
///      that interest reaches all accounts without touching them. Roundings favour the market.
contract LendingMarket is Owned, ReentrancyLock {
    using TokenTransfer for IERC20;

    /// @notice `asset` cannot be supplied or borrowed here.
    error NotListed(address asset);
    /// @notice `asset` is listed already.
    error AlreadyListed(address asset);
    /// @notice No more assets fit, or the collateral factor is not below one.
    error InvalidListing();
    /// @notice An amount of zero, or one too small to count.
    error ZeroAmount();
    /// @notice Amounts and shares are kept in 128 bits.
    error TooMuch(uint256 value);
    /// @notice The market holds `cash` of the asset, less than the `needed` amount.
    error InsufficientCash(uint256 cash, uint256 needed);
    /// @notice The account supplied less than that.
    error InsufficientSupply();
    /// @notice The account owes nothing of the asset.
    error NoDebt();
    /// @notice The account would owe `debt`, more than its `collateral` allows (dollars, 18 decimals).
    error Unhealthy(uint256 collateral, uint256 debt);
    /// @notice A healthy account cannot be liquidated.
    error Healthy(uint256 collateral, uint256 debt);
    /// @notice At most `maximum` of this debt can be repaid by one liquidation.
    error CloseFactorExceeded(uint256 maximum);

    /// @notice `asset` can be supplied and borrowed from now on.
    event Listed(address indexed asset, uint256 collateralFactor);
    /// @notice `account` supplied `amount`.
    event Supplied(address indexed account, address indexed asset, uint256 amount);
    /// @notice `account` withdrew `amount`.
    event Withdrawn(address indexed account, address indexed asset, uint256 amount);
    /// @notice `account` borrowed `amount`.
    event Borrowed(address indexed account, address indexed asset, uint256 amount);
    /// @notice `payer` repaid `amount` of the debt of `account`.
    event Repaid(
        address indexed account, address indexed asset, address indexed payer, uint256 amount
    );
    /// @notice `liquidator` repaid `repaid` of a debt and took over `seized` of a supply.
    event Liquidated(
        address indexed account,
        address indexed liquidator,
        address debtAsset,
        uint256 repaid,
        address collateralAsset,
        uint256 seized
    );

    /// @notice State of one asset.
    struct Asset {
        bool listed;
        uint8 id; // bit of the asset in `_used`
        uint8 decimals;
        uint64 collateralFactor; // 18 decimals
        uint64 accruedAt; // seconds
        uint128 cash; // held here, reserves included
        uint128 reserves; // interest kept by the market
        uint128 supplyShares;
        uint128 debtShares;
        uint128 supplyIndex; // worth of a share, 18 decimals
        uint128 debtIndex;
    }

    /// @notice Shares of one account in one asset.
    struct Position {
        uint128 supplyShares;
        uint128 debtShares;
    }

    uint256 private constant ONE = 1e18;
    uint256 private constant YEAR = 365 days;

    /// @notice Yearly interest on debts where nothing is borrowed (18 decimals, as all below).
    uint256 public constant BASE_RATE = 0.01e18;
    /// @notice Rise of the yearly interest over a utilisation from nothing to the kink.
    uint256 public constant SLOPE_BELOW_KINK = 0.08e18;
    /// @notice Rise of the yearly interest over a utilisation from the kink to everything.
    uint256 public constant SLOPE_ABOVE_KINK = 0.9e18;
    /// @notice Utilisation from which on interest rises steeply.
    uint256 public constant KINK = 0.8e18;
    /// @notice Part of the interest that the market keeps.
    uint256 public constant RESERVE_FACTOR = 0.1e18;
    /// @notice Part of a debt that one liquidation may repay.
    uint256 public constant CLOSE_FACTOR = 0.5e18;
    /// @notice What a liquidator takes over for one dollar repaid.
    uint256 public constant LIQUIDATION_BONUS = 1.08e18;

    /// @notice Where prices come from.
    PriceOracle public immutable oracle;

    /// @notice The listed assets; the index is the asset's id.
    address[] public assets;

    /// @notice State of each asset, as of its `accruedAt`.
    mapping(address asset => Asset) public stateOf;

    /// @notice Shares of each account.
    mapping(address account => mapping(address asset => Position)) public positions;

    /// @dev Bit i is set if the account has a position in the asset of id i.
    mapping(address account => uint256) private _used;

    constructor(PriceOracle oracle_) {
        oracle = oracle_;
    }

    // ---------------------------------------------------------------- owner

    /// @notice Let `asset` be supplied and borrowed.
    /// @param collateralFactor Part of a supply's worth that may be borrowed against it, 18 decimals.
    function list(address asset, uint64 collateralFactor) external onlyOwner {
        if (stateOf[asset].listed) revert AlreadyListed(asset);
        if (assets.length == 256 || collateralFactor >= ONE) revert InvalidListing();
        Asset storage a = stateOf[asset];
        a.listed = true;
        a.id = uint8(assets.length);
        a.decimals = IERC20(asset).decimals();
        a.collateralFactor = collateralFactor;
        a.accruedAt = uint64(block.timestamp);
        a.supplyIndex = uint128(ONE);
        a.debtIndex = uint128(ONE);
        assets.push(asset);
        emit Listed(asset, collateralFactor);
    }

    /// @notice Pay `amount` of the interest that the market kept to `to`.
    function withdrawReserves(address asset, uint256 amount, address to) external onlyOwner lock {
        Asset storage a = _accrue(asset);
        if (amount > a.reserves) revert InsufficientCash(a.reserves, amount);
        a.reserves -= uint128(amount);
        _payOut(a, asset, to, amount);
    }

    // ---------------------------------------------------------------- accounts

    /// @notice Deposit `amount` of `asset`, to earn interest and as collateral.
    function supply(address asset, uint256 amount) external lock {
        Asset storage a = _accrue(asset);
        uint128 shares = _shares(amount, a.supplyIndex);
        if (shares == 0) revert ZeroAmount();
        a.supplyShares += shares;
        a.cash += _narrow(amount);
        positions[msg.sender][asset].supplyShares += shares;
        _mark(msg.sender, asset, a.id);
        IERC20(asset).pull(msg.sender, address(this), amount);
        emit Supplied(msg.sender, asset, amount);
    }

    /// @notice Take back `amount` of what was supplied; the maximum value means everything.
    function withdraw(address asset, uint256 amount) external lock {
        Asset storage a = _accrue(asset);
        Position storage p = positions[msg.sender][asset];
        uint128 shares;
        if (amount == type(uint256).max) {
            shares = p.supplyShares;
            amount = _worth(shares, a.supplyIndex);
        } else {
            shares = _sharesUp(amount, a.supplyIndex);
        }
        if (amount == 0) revert ZeroAmount();
        if (shares > p.supplyShares) revert InsufficientSupply();
        p.supplyShares -= shares;
        a.supplyShares -= shares;
        _mark(msg.sender, asset, a.id);
        _requireHealth(msg.sender);
        _payOut(a, asset, msg.sender, amount);
        emit Withdrawn(msg.sender, asset, amount);
    }

    /// @notice Borrow `amount` of `asset` against everything that the caller supplied.
    function borrow(address asset, uint256 amount) external lock {
        if (amount == 0) revert ZeroAmount();
        Asset storage a = _accrue(asset);
        uint128 shares = _sharesUp(amount, a.debtIndex);
        a.debtShares += shares;
        positions[msg.sender][asset].debtShares += shares;
        _mark(msg.sender, asset, a.id);
        _requireHealth(msg.sender);
        _payOut(a, asset, msg.sender, amount);
        emit Borrowed(msg.sender, asset, amount);
    }

    /// @notice Pay back up to `amount` of what `account` owes; more than it owes is not taken.
    /// @return paid What was taken from the caller.
    function repay(address asset, uint256 amount, address account)
        external
        lock
        returns (uint256 paid)
    {
        Asset storage a = _accrue(asset);
        uint256 debt = _worthUp(positions[account][asset].debtShares, a.debtIndex);
        if (debt == 0) revert NoDebt();
        paid = amount < debt ? amount : debt;
        _repay(a, asset, account, paid, debt);
    }

    /// @notice Repay `amount` of what an unhealthy account owes, and take over collateral worth 8%
    ///         more, as a supply of the caller.
    /// @return seized The collateral taken over, in its smallest units.
    function liquidate(
        address account,
        address debtAsset,
        uint256 amount,
        address collateralAsset
    ) external lock returns (uint256 seized) {
        Asset storage d = _accrue(debtAsset);
        Asset storage c = _accrue(collateralAsset);
        {
            (uint256 collateral, uint256 debt) = liquidity(account);
            if (debt <= collateral) revert Healthy(collateral, debt);
        }
        {
            uint256 debt = _worthUp(positions[account][debtAsset].debtShares, d.debtIndex);
            if (debt == 0) revert NoDebt();
            uint256 maximum = debt * CLOSE_FACTOR / ONE;
            if (amount > maximum) revert CloseFactorExceeded(maximum);
            _repay(d, debtAsset, account, amount, debt);
        }
        seized = _dollars(debtAsset, d.decimals, amount) * LIQUIDATION_BONUS / ONE;
        seized = seized * 10 ** c.decimals / oracle.priceOf(collateralAsset);
        _seize(c, collateralAsset, account, seized);
        emit Liquidated(account, msg.sender, debtAsset, amount, collateralAsset, seized);
    }

    // ---------------------------------------------------------------- views

    /// @notice What the account may owe and what it owes, in dollars with 18 decimals, now.
    function liquidity(address account) public view returns (uint256 collateral, uint256 debt) {
        uint256 used = _used[account];
        for (uint256 id = 0; used != 0; ++id) {
            if (used & 1 != 0) {
                address asset = assets[id];
                Position memory p = positions[account][asset];
                Asset memory a = _accrued(stateOf[asset]);
                if (p.supplyShares != 0) {
                    uint256 worth = _worth(p.supplyShares, a.supplyIndex);
                    worth = _dollars(asset, a.decimals, worth);
                    collateral += worth * a.collateralFactor / ONE;
                }
                if (p.debtShares != 0) {
                    debt += _dollars(asset, a.decimals, _worthUp(p.debtShares, a.debtIndex));
                }
            }
            used >>= 1;
        }
    }

    /// @notice Collateral over debt, with 18 decimals; below one, the account can be liquidated.
    function healthFactor(address account) external view returns (uint256) {
        (uint256 collateral, uint256 debt) = liquidity(account);
        return debt == 0 ? type(uint256).max : collateral * ONE / debt;
    }

    /// @notice What the account supplied, with interest until now.
    function supplyOf(address account, address asset) external view returns (uint256) {
        return _worth(
            positions[account][asset].supplyShares, _accrued(stateOf[asset]).supplyIndex
        );
    }

    /// @notice What the account owes, with interest until now.
    function debtOf(address account, address asset) external view returns (uint256) {
        return
            _worthUp(positions[account][asset].debtShares, _accrued(stateOf[asset]).debtIndex);
    }

    /// @notice Yearly interest on debts, with 18 decimals, at a utilisation with 18 decimals.
    function borrowRate(uint256 utilisation) public pure returns (uint256) {
        if (utilisation <= KINK) return BASE_RATE + SLOPE_BELOW_KINK * utilisation / KINK;
        return BASE_RATE + SLOPE_BELOW_KINK
            + SLOPE_ABOVE_KINK * (utilisation - KINK) / (ONE - KINK);
    }

    // ---------------------------------------------------------------- interest

    /// @dev Bring an asset up to date in storage; the second call in a block writes nothing.
    function _accrue(address asset) private returns (Asset storage a) {
        a = stateOf[asset];
        if (!a.listed) revert NotListed(asset);
        if (a.accruedAt == block.timestamp) return a;
        Asset memory now_ = _accrued(a);
        a.accruedAt = now_.accruedAt;
        a.reserves = now_.reserves;
        a.supplyIndex = now_.supplyIndex;
        a.debtIndex = now_.debtIndex;
    }

    /// @dev The asset with the interest of the seconds since `accruedAt`: linear within one accrual,
    ///      compounding from one to the next.
    function _accrued(Asset memory a) private view returns (Asset memory) {
        uint256 elapsed = block.timestamp - a.accruedAt;
        if (elapsed == 0) return a;
        a.accruedAt = uint64(block.timestamp);
        uint256 debt = _worth(a.debtShares, a.debtIndex);
        if (debt == 0) return a;

        uint256 utilisation = debt * ONE / (debt + a.cash - a.reserves);
        uint256 growth = borrowRate(utilisation) * elapsed / YEAR;
        uint256 interest = debt * growth / ONE;
        uint256 kept = interest * RESERVE_FACTOR / ONE;
        a.debtIndex += uint128(a.debtIndex * growth / ONE);
        if (a.supplyShares == 0) {
            a.reserves += uint128(interest);
        } else {
            a.reserves += uint128(kept);
            a.supplyIndex += uint128((interest - kept) * ONE / a.supplyShares);
        }
        return a;
    }

    // ---------------------------------------------------------------- inside

    /// @dev Take `paid` from the caller for a debt that is now worth `debt`.
    function _repay(Asset storage a, address asset, address account, uint256 paid, uint256 debt)
        private
    {
        Position storage p = positions[account][asset];
        uint128 shares = paid == debt ? p.debtShares : _shares(paid, a.debtIndex);
        if (shares == 0) revert ZeroAmount();
        p.debtShares -= shares;
        a.debtShares -= shares;
        a.cash += _narrow(paid);
        _mark(account, asset, a.id);
        IERC20(asset).pull(msg.sender, address(this), paid);
        emit Repaid(account, asset, msg.sender, paid);
    }

    /// @dev Hand a part of an account's supply to the caller.
    function _seize(Asset storage a, address asset, address account, uint256 amount) private {
        uint128 shares = _shares(amount, a.supplyIndex);
        Position storage from = positions[account][asset];
        if (shares > from.supplyShares) revert InsufficientSupply();
        from.supplyShares -= shares;
        positions[msg.sender][asset].supplyShares += shares;
        _mark(account, asset, a.id);
        _mark(msg.sender, asset, a.id);
    }

    function _payOut(Asset storage a, address asset, address to, uint256 amount) private {
        if (amount > a.cash - a.reserves) revert InsufficientCash(a.cash - a.reserves, amount);
        a.cash -= uint128(amount);
        IERC20(asset).push(to, amount);
    }

    /// @dev Remember whether the account has anything in the asset.
    function _mark(address account, address asset, uint8 id) private {
        Position memory p = positions[account][asset];
        uint256 used = _used[account];
        uint256 bit = 1 << id;
        uint256 marked = p.supplyShares == 0 && p.debtShares == 0 ? used & ~bit : used | bit;
        if (marked != used) _used[account] = marked;
    }

    function _requireHealth(address account) private view {
        (uint256 collateral, uint256 debt) = liquidity(account);
        if (debt > collateral) revert Unhealthy(collateral, debt);
    }

    /// @dev Worth of an amount in dollars with 18 decimals.
    function _dollars(address asset, uint8 decimals, uint256 amount)
        private
        view
        returns (uint256)
    {
        return amount * oracle.priceOf(asset) / 10 ** decimals;
    }

    function _worth(uint128 shares, uint128 index) private pure returns (uint256) {
        return uint256(shares) * index / ONE;
    }

    function _worthUp(uint128 shares, uint128 index) private pure returns (uint256) {
        return (uint256(shares) * index + ONE - 1) / ONE;
    }

    function _shares(uint256 amount, uint128 index) private pure returns (uint128) {
        return _narrow(amount * ONE / index);
    }

    function _sharesUp(uint256 amount, uint128 index) private pure returns (uint128) {
        return _narrow((amount * ONE + index - 1) / index);
    }

    function _narrow(uint256 value) private pure returns (uint128) {
        if (value > type(uint128).max) revert TooMuch(value);
        return uint128(value);
    }
}
