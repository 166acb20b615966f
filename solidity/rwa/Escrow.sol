// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IERC20} from "../common/IERC20.sol";
import {ReentrancyLock} from "../common/ReentrancyLock.sol";
import {TokenTransfer} from "../common/TokenTransfer.sol";

/// @title Delivery against payment, with an arbiter
/// @notice The seller opens a deal and deposits the asset, the buyer funds it with the price. The
///         buyer releases it, and both sides get what they bargained for; or the seller refunds it,
///         or the deadline passes, and both get back what they brought. In a dispute the arbiter
///         decides between the two.
/// @dev An asset with a whitelist has to whitelist this contract.
contract Escrow is ReentrancyLock {
    using TokenTransfer for IERC20;

    /// @notice A deal needs an asset, a price, a deadline to come and three different parties.
    error InvalidDeal();
    /// @notice The deal is in the wrong state for this.
    error WrongState(State state);
    /// @notice The caller's part in the deal does not allow this.
    error NotAllowed(address caller);
    /// @notice The deadline has passed.
    error DeadlinePassed(uint256 deadline);

    /// @notice A deal was opened and the asset deposited.
    event Opened(uint256 indexed dealId, address indexed seller, address indexed buyer);
    /// @notice The buyer paid the price in.
    event Funded(uint256 indexed dealId);
    /// @notice Asset and price went to the other side.
    event Released(uint256 indexed dealId);
    /// @notice Asset and price went back.
    event Refunded(uint256 indexed dealId);
    /// @notice The arbiter has to decide.
    event Disputed(uint256 indexed dealId, address indexed by);

    enum State {
        None,
        Open,
        Funded,
        Disputed,
        Released,
        Refunded
    }

    struct Deal {
        address seller;
        uint64 deadline; // seconds; the last second in which it can be funded
        State state;
        address buyer;
        address arbiter;
        IERC20 asset;
        IERC20 currency;
        uint256 amount; // of the asset
        uint256 price; // in the currency
    }

    /// @notice Deals opened; their ids start at 1.
    uint256 public dealCount;
    /// @notice Deals by id.
    mapping(uint256 dealId => Deal) public deals;

    /// @notice Offer `amount` of `asset`, which is taken now, to `buyer` for `price`.
    function open(
        address buyer,
        address arbiter,
        IERC20 asset,
        uint256 amount,
        IERC20 currency,
        uint256 price,
        uint64 deadline
    ) external lock returns (uint256 dealId) {
        bool distinct = buyer != msg.sender && arbiter != msg.sender && arbiter != buyer;
        if (!distinct || amount == 0 || price == 0 || deadline < block.timestamp) {
            revert InvalidDeal();
        }
        dealId = ++dealCount;
        Deal storage deal = deals[dealId];
        deal.seller = msg.sender;
        deal.deadline = deadline;
        deal.state = State.Open;
        deal.buyer = buyer;
        deal.arbiter = arbiter;
        deal.asset = asset;
        deal.currency = currency;
        deal.amount = amount;
        deal.price = price;
        asset.pull(msg.sender, address(this), amount);
        emit Opened(dealId, msg.sender, buyer);
    }

    /// @notice Pay the price in, as the buyer, before the deadline.
    function fund(uint256 dealId) external lock {
        Deal storage deal = _in(dealId, State.Open);
        if (msg.sender != deal.buyer) revert NotAllowed(msg.sender);
        if (block.timestamp > deal.deadline) revert DeadlinePassed(deal.deadline);
        deal.state = State.Funded;
        deal.currency.pull(msg.sender, address(this), deal.price);
        emit Funded(dealId);
    }

    /// @notice Accept the delivery, as the buyer: the asset for the price.
    function release(uint256 dealId) external lock {
        Deal storage deal = _in(dealId, State.Funded);
        if (msg.sender != deal.buyer) revert NotAllowed(msg.sender);
        _release(dealId, deal);
    }

    /// @notice Undo the deal: the seller always may; the buyer may after the deadline.
    function refund(uint256 dealId) external lock {
        Deal storage deal = deals[dealId];
        if (deal.state != State.Open && deal.state != State.Funded) revert WrongState(deal.state);
        bool late = block.timestamp > deal.deadline;
        if (msg.sender != deal.seller && !(late && msg.sender == deal.buyer)) {
            revert NotAllowed(msg.sender);
        }
        _refund(dealId, deal);
    }

    /// @notice Call the arbiter, as the buyer or the seller of a funded deal.
    function dispute(uint256 dealId) external {
        Deal storage deal = _in(dealId, State.Funded);
        if (msg.sender != deal.buyer && msg.sender != deal.seller) revert NotAllowed(msg.sender);
        deal.state = State.Disputed;
        emit Disputed(dealId, msg.sender);
    }

    /// @notice Decide, as the arbiter, whether a disputed deal is released or refunded.
    function resolve(uint256 dealId, bool released) external lock {
        Deal storage deal = _in(dealId, State.Disputed);
        if (msg.sender != deal.arbiter) revert NotAllowed(msg.sender);
        if (released) _release(dealId, deal);
        else _refund(dealId, deal);
    }

    function _in(uint256 dealId, State state) private view returns (Deal storage deal) {
        deal = deals[dealId];
        if (deal.state != state) revert WrongState(deal.state);
    }

    function _release(uint256 dealId, Deal storage deal) private {
        deal.state = State.Released;
        deal.asset.push(deal.buyer, deal.amount);
        deal.currency.push(deal.seller, deal.price);
        emit Released(dealId);
    }

    function _refund(uint256 dealId, Deal storage deal) private {
        bool funded = deal.state != State.Open;
        deal.state = State.Refunded;
        deal.asset.push(deal.seller, deal.amount);
        if (funded) deal.currency.push(deal.buyer, deal.price);
        emit Refunded(dealId);
    }
}
