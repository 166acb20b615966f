"""Both sides of the bridge: locking and releasing, minting and burning, signatures, replays."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode
from eth_keys import keys
from eth_utils import keccak, to_canonical_address

FOREVER = 2**256 - 1
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
LOCK, MINT = 1, 2
OTHER_CHAIN = 4242


class Crossing:
    """A home token that is locked and a twin that is minted; three validators, two sign."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.owner, self.alice, self.bob = world.accounts[:3]
        self.validators = sorted(world.accounts[4:7], key=lambda a: to_canonical_address(a.address))
        self.bridge = world.deploy("Bridge", self.validators, 2)
        self.home = world.deploy("Stablecoin", "Home Dollar", "HUSD", 6)
        self.twin = world.deploy("Stablecoin", "Twin Dollar", "TUSD", 6)
        self.home.send(self.owner, "mint", self.alice, 1000)
        self.twin.send(self.owner, "setMinter", self.bridge, True)
        self.bridge.send(self.owner, "setToken", self.home, LOCK)
        self.bridge.send(self.owner, "setToken", self.twin, MINT)
        for token in (self.home, self.twin):
            token.send(self.alice, "approve", self.bridge, FOREVER)

    def transfer(self, token: Any, amount: int, nonce: int) -> tuple[Any, ...]:
        return (token, amount, self.alice, OTHER_CHAIN, nonce)

    def digest(self, transfer: tuple[Any, ...]) -> bytes:
        """What validators sign, made without the contract."""
        token, amount, recipient, chain, nonce = transfer
        types = ["uint256", "address", "address", "uint256", "address", "uint256", "uint256"]
        here = (self.world.chain.chain_id, self.bridge.address)
        content = (*here, token.address, amount, recipient.address, chain, nonce)
        return keccak(b"\x19Ethereum Signed Message:\n32" + keccak(encode(types, content)))

    def sign(self, transfer: tuple[Any, ...], *signers: Any) -> list[bytes]:
        digest = self.digest(transfer)
        return [raw(signer.key.sign_msg_hash(digest)) for signer in signers]

    def arrive(self, transfer: tuple[Any, ...]) -> list[Any]:
        signatures = self.sign(transfer, *self.validators[:2])
        return self.bridge.send(self.bob, "arrive", *transfer, signatures)


def raw(signature: keys.Signature) -> bytes:
    r, s, v = signature.r, signature.s, signature.v + 27
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])


@pytest.fixture
def crossing(world: Any) -> Crossing:
    return Crossing(world)


def test_a_home_token_is_locked_and_released(crossing: Crossing) -> None:
    home, bridge, alice = crossing.home, crossing.bridge, crossing.alice
    (event,) = bridge.send(alice, "send", home, 300, OTHER_CHAIN, crossing.bob)
    assert event.name == "Sent"
    assert event.args["nonce"] == 0 and event.args["targetChain"] == OTHER_CHAIN
    assert event.args["sender"] == alice.address.lower()
    assert event.args["recipient"] == crossing.bob.address.lower()
    assert home.read("balanceOf", bridge) == 300
    (event,) = crossing.arrive(crossing.transfer(home, 200, nonce=7))
    assert event.name == "Arrived" and event.args["nonce"] == 7
    assert home.read("balanceOf", bridge) == 100
    assert home.read("balanceOf", alice) == 900
    assert home.read("totalSupply") == 1000


def test_a_twin_is_minted_and_burned(crossing: Crossing) -> None:
    twin, bridge = crossing.twin, crossing.bridge
    crossing.arrive(crossing.transfer(twin, 50, nonce=0))
    assert twin.read("totalSupply") == twin.read("balanceOf", crossing.alice) == 50
    bridge.send(crossing.alice, "send", twin, 20, OTHER_CHAIN, crossing.alice)
    assert twin.read("totalSupply") == 30
    assert bridge.read("nonce") == 1


def test_a_transfer_arrives_once(crossing: Crossing) -> None:
    transfer = crossing.transfer(crossing.twin, 50, nonce=3)
    crossing.arrive(transfer)
    digest = crossing.digest(transfer)
    assert crossing.bridge.read("digestOf", *transfer) == digest
    assert crossing.bridge.read("processed", digest)
    others = crossing.sign(transfer, *crossing.validators[1:])
    refusal = crossing.bridge.refuse(crossing.bob, "arrive", *transfer, others)
    assert refusal == ("AlreadyProcessed", (digest,))


def test_signatures_count_only_if_they_are_good(crossing: Crossing) -> None:
    transfer = crossing.transfer(crossing.twin, 50, nonce=0)
    first, second, _ = crossing.validators
    one, two = crossing.sign(transfer, first, second)

    def refusal(*signatures: bytes) -> Any:
        return crossing.bridge.refuse(crossing.bob, "arrive", *transfer, list(signatures))

    assert refusal(one) == ("TooFewSignatures", (1, 2))
    assert refusal(two, one) == ("UnorderedSigners", (1,))
    assert refusal(one, one) == ("UnorderedSigners", (1,))
    assert refusal(one, two[:64]) == ("InvalidSignature", (1,))
    assert refusal(one, two[:64] + b"\x05") == ("InvalidSignature", (1,))
    (stranger,) = crossing.sign(transfer, crossing.alice)
    assert refusal(stranger, two) == ("NotValidator", (0, crossing.alice.address.lower()))
    # The twin of a signature, which ecrecover alone would accept.
    s, v = int.from_bytes(two[32:64], "big"), two[64]
    mirrored = two[:32] + (ORDER - s).to_bytes(32, "big") + bytes([55 - v])
    assert refusal(one, mirrored) == ("InvalidSignature", (1,))
    # Signatures are for one transfer: another amount has other signers.
    other = crossing.sign(crossing.transfer(crossing.twin, 51, nonce=0), first, second)
    assert refusal(*other).error == "NotValidator"
    assert crossing.twin.read("totalSupply") == 0


def test_only_bridged_tokens_cross(crossing: Crossing) -> None:
    refuse, alice = crossing.bridge.refuse, crossing.alice
    stray = crossing.bridge.address
    send = (OTHER_CHAIN, alice)
    assert refuse(alice, "send", stray, 1, *send) == ("NotBridged", (stray.lower(),))
    assert refuse(alice, "send", crossing.home, 0, *send).error == "ZeroAmount"
    assert refuse(alice, "send", crossing.home, 1001, *send).error == "InsufficientBalance"
    assert refuse(alice, "arrive", stray, 1, alice, 1, 1, []).error == "NotBridged"
    assert refuse(alice, "setToken", stray, LOCK).error == "NotOwner"
    missing = crossing.transfer(crossing.home, 1, nonce=0)
    signatures = crossing.sign(missing, *crossing.validators)
    assert refuse(alice, "arrive", *missing, signatures).error == "InsufficientBalance"


def test_validators_change_with_the_threshold(crossing: Crossing, world: Any) -> None:
    bridge, owner = crossing.bridge, crossing.owner
    first, _, third = crossing.validators
    dismiss = ("setValidator", first, False)
    assert bridge.refuse(crossing.alice, *dismiss, 2).error == "NotOwner"
    assert bridge.refuse(owner, *dismiss, 3) == ("InvalidThreshold", (3, 2))
    assert bridge.refuse(owner, *dismiss, 0) == ("InvalidThreshold", (0, 2))
    assert bridge.refuse(owner, "setValidator", first, True, 2).error == "ValidatorUnchanged"
    bridge.send(owner, *dismiss, 1)
    transfer = crossing.transfer(crossing.twin, 5, nonce=0)
    dismissed = crossing.sign(transfer, first)
    assert bridge.refuse(owner, "arrive", *transfer, dismissed).error == "NotValidator"
    bridge.send(owner, "arrive", *transfer, crossing.sign(transfer, third))
    assert crossing.twin.read("balanceOf", crossing.alice) == 5
