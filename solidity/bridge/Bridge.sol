// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

import {IERC20} from "../common/IERC20.sol";
import {Owned} from "../common/Owned.sol";
import {ReentrancyLock} from "../common/ReentrancyLock.sol";
import {TokenTransfer} from "../common/TokenTransfer.sol";
import {IMintable} from "./IMintable.sol";

/// @title One side of a bridge between two chains
/// @notice Where a token is at home it is locked when it leaves and released when it comes back; on
///         the other side its twin is minted when it arrives and burned when it leaves. Validators
///         watch the other side and sign what left there; enough signatures let it arrive here.
contract Bridge is Owned, ReentrancyLock {
    using TokenTransfer for IERC20;

    /// @notice An amount of zero does not cross.
    error ZeroAmount();
    /// @notice The token does not cross this bridge.
    error NotBridged(address token);
    /// @notice The threshold is between one and the number of validators.
    error InvalidThreshold(uint256 threshold, uint256 validators);
    /// @notice Nothing changes: the account is a validator already, or is none.
    error ValidatorUnchanged(address account);
    /// @notice This transfer has arrived before.
    error AlreadyProcessed(bytes32 digest);
    /// @notice There are `given` signatures, fewer than the threshold.
    error TooFewSignatures(uint256 given, uint256 threshold);
    /// @notice Signature number `index` is malformed.
    error InvalidSignature(uint256 index);
    /// @notice Signature number `index` is by `signer`, who is no validator.
    error NotValidator(uint256 index, address signer);
    /// @notice Signatures are ordered by the address of their signer, each signer once.
    error UnorderedSigners(uint256 index);

    /// @notice How a token crosses.
    enum Mode {
        None,
        Lock, // locked and released: this is its home
        Mint // burned and minted: this is its twin
    }

    /// @notice How `token` crosses has been set.
    event TokenSet(address indexed token, Mode mode);
    /// @notice `account` became a validator, or ceased to be one.
    event ValidatorSet(address indexed account, bool allowed);
    /// @notice The number of signatures needed from now on.
    event ThresholdSet(uint256 threshold);
    /// @notice Tokens left for another chain; validators sign this.
    event Sent(
        uint256 indexed nonce,
        uint256 indexed targetChain,
        address indexed token,
        address sender,
        address recipient,
        uint256 amount
    );
    /// @notice Tokens arrived from another chain.
    event Arrived(
        uint256 indexed nonce,
        uint256 indexed sourceChain,
        address indexed token,
        address recipient,
        uint256 amount
    );

    // Upper half of the order of secp256k1: a signature has a twin there, which is refused (EIP-2).
    uint256 private constant HALF_ORDER =
        0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @notice How each token crosses.
    mapping(address token => Mode) public modeOf;
    /// @notice Whether `account` is a validator.
    mapping(address account => bool) public isValidator;
    /// @notice How many validators there are.
    uint256 public validatorCount;
    /// @notice How many of them have to sign.
    uint256 public threshold;
    /// @notice Transfers sent so far; each one's nonce is the number before it.
    uint256 public nonce;
    /// @notice Whether the transfer of this digest has arrived.
    mapping(bytes32 digest => bool) public processed;

    /// @param validators The first validators, all different.
    /// @param threshold_ How many of them have to sign.
    constructor(address[] memory validators, uint256 threshold_) {
        for (uint256 i = 0; i < validators.length; ++i) {
            _setValidator(validators[i], true);
        }
        _setThreshold(threshold_);
    }

    // ---------------------------------------------------------------- owner

    /// @notice Say how `token` crosses. With `Mint` the bridge has to be one of its minters.
    function setToken(address token, Mode mode) external onlyOwner {
        modeOf[token] = mode;
        emit TokenSet(token, mode);
    }

    /// @notice Appoint or dismiss a validator, and set the threshold that fits the new number.
    function setValidator(address account, bool allowed, uint256 threshold_) external onlyOwner {
        _setValidator(account, allowed);
        _setThreshold(threshold_);
    }

    // ---------------------------------------------------------------- crossing

    /// @notice Send `amount` of `token` to `recipient` on the chain of id `targetChain`.
    /// @return sentNonce Number of the transfer, which the signatures on the other side name.
    function send(address token, uint256 amount, uint256 targetChain, address recipient)
        external
        lock
        returns (uint256 sentNonce)
    {
        if (amount == 0) revert ZeroAmount();
        Mode mode = modeOf[token];
        if (mode == Mode.None) revert NotBridged(token);
        sentNonce = nonce++;
        IERC20(token).pull(msg.sender, address(this), amount);
        if (mode == Mode.Mint) IMintable(token).burn(amount);
        emit Sent(sentNonce, targetChain, token, msg.sender, recipient, amount);
    }

    /// @notice Let a transfer arrive that validators have signed; anybody may submit it.
    /// @param token The token on this chain.
    /// @param sourceChain Id of the chain that it left.
    /// @param sourceNonce Number of the transfer there.
    /// @param signatures 65 bytes each (r, s, v), ordered by the address of the signer.
    function arrive(
        address token,
        uint256 amount,
        address recipient,
        uint256 sourceChain,
        uint256 sourceNonce,
        bytes[] calldata signatures
    ) external lock {
        Mode mode = modeOf[token];
        if (mode == Mode.None) revert NotBridged(token);
        bytes32 digest = digestOf(token, amount, recipient, sourceChain, sourceNonce);
        if (processed[digest]) revert AlreadyProcessed(digest);
        _verify(digest, signatures);
        processed[digest] = true;
        if (mode == Mode.Mint) IMintable(token).mint(recipient, amount);
        else IERC20(token).push(recipient, amount);
        emit Arrived(sourceNonce, sourceChain, token, recipient, amount);
    }

    /// @notice What validators sign for a transfer that arrives here (EIP-191, version 0x45).
    /// @dev keccak256("\x19Ethereum Signed Message:\n32" ++ keccak256(abi.encode(id of this chain,
    ///      this contract, token, amount, recipient, sourceChain, sourceNonce))).
    function digestOf(
        address token,
        uint256 amount,
        address recipient,
        uint256 sourceChain,
        uint256 sourceNonce
    ) public view returns (bytes32) {
        bytes32 message = keccak256(
            abi.encode(
                block.chainid, address(this), token, amount, recipient, sourceChain, sourceNonce
            )
        );
        return keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", message));
    }

    // ---------------------------------------------------------------- inside

    /// @dev The ascending order makes every signer count once without remembering any.
    function _verify(bytes32 digest, bytes[] calldata signatures) private view {
        if (signatures.length < threshold) {
            revert TooFewSignatures(signatures.length, threshold);
        }
        address previous = address(0);
        for (uint256 i = 0; i < signatures.length; ++i) {
            address signer = _recover(digest, signatures[i], i);
            if (!isValidator[signer]) revert NotValidator(i, signer);
            if (signer <= previous) revert UnorderedSigners(i);
            previous = signer;
        }
    }

    function _recover(bytes32 digest, bytes calldata signature, uint256 index)
        private
        pure
        returns (address signer)
    {
        if (signature.length != 65) revert InvalidSignature(index);
        bytes32 r = bytes32(signature[:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > HALF_ORDER) revert InvalidSignature(index);
        signer = ecrecover(digest, v, r, s);
        if (signer == address(0)) revert InvalidSignature(index);
    }

    function _setValidator(address account, bool allowed) private {
        if (isValidator[account] == allowed) revert ValidatorUnchanged(account);
        isValidator[account] = allowed;
        if (allowed) ++validatorCount;
        else --validatorCount;
        emit ValidatorSet(account, allowed);
    }

    function _setThreshold(uint256 threshold_) private {
        if (threshold_ == 0 || threshold_ > validatorCount) {
            revert InvalidThreshold(threshold_, validatorCount);
        }
        threshold = threshold_;
        emit ThresholdSet(threshold_);
    }
}
