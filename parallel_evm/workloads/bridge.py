"""Token bridges: tokens leave, locked or burned, and arrive, released or minted, with signatures.

Every group of accounts uses one bridge, over which two tokens cross: one that is at home here and
the twin of one that is at home elsewhere. What arrives carries real signatures of three out of
five validators. The hot target is one bridge that everybody uses as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_abi.abi import encode
from eth_typing import Address

from parallel_evm.hashing import keccak
from parallel_evm.workloads.accounts import Account
from parallel_evm.workloads.forks import CHAIN_ID
from parallel_evm.workloads.places import visits
from parallel_evm.workloads.tokens import RICHES, UNIT, furnish, stablecoin
from parallel_evm.workloads.world import Call, Contract, Scenario, World

_LOCK, _MINT = 1, 2  # Bridge.Mode
_VALIDATORS, _THRESHOLD = 5, 3
_OTHER_CHAIN = 10

_GAS_TO_SEND = 150_000
_GAS_TO_ARRIVE = 200_000


class _Bridge:
    """One bridge, and what has crossed it."""

    def __init__(self, world: World, name: str, users: Sequence[Account]) -> None:
        self._world = world
        self._validators = sorted(
            (world.actor(f"validator {n} of bridge {name}") for n in range(_VALIDATORS)),
            key=lambda validator: validator.address,
        )
        self._contract = world.deploy(
            "Bridge", self._validators, _THRESHOLD, label=f"Bridge {name}"
        )
        self._token = stablecoin(world, f"HOME{name}")
        self._twin = stablecoin(world, f"TWIN{name}")
        self._arrived = 0
        world.send(self._contract, "setToken", self._token, _LOCK)
        world.send(self._contract, "setToken", self._twin, _MINT)
        world.send(self._twin, "setMinter", self._contract, True)
        world.endow(self._token, self._contract, RICHES)  # locked by others before
        for token in (self._token, self._twin):
            furnish(world, users, token, self._contract)

    def call(self, who: Account) -> Call:
        """Send a token to the other side, or bring one here that has left there."""
        chance = self._world.random
        token = chance.choice((self._token, self._twin))
        amount = chance.randint(1, 1000 * UNIT)
        if chance.random() < 0.5:
            data = self._contract.data("send", token, amount, _OTHER_CHAIN, who)
            return Call(who, self._contract.address, _GAS_TO_SEND, data)
        recipient = who.address if chance.random() < 0.7 else self._world.nobody()
        data = self._arrival(token, amount, recipient)
        return Call(who, self._contract.address, _GAS_TO_ARRIVE, data)

    def _arrival(self, token: Contract, amount: int, recipient: Address) -> bytes:
        transfer = (token.address, amount, recipient, _OTHER_CHAIN, self._arrived)
        self._arrived += 1
        digest = self._digest(transfer)
        signers = sorted(self._world.random.sample(range(_VALIDATORS), _THRESHOLD))
        signatures = [_sign(self._validators[index], digest) for index in signers]
        return self._contract.data("arrive", *transfer, signatures)

    def _digest(self, transfer: tuple[Address, int, Address, int, int]) -> bytes:
        """What `Bridge.digestOf` computes (EIP-191, version 0x45)."""
        types = ["uint256", "address", "address", "uint256", "address", "uint256", "uint256"]
        message = keccak(encode(types, [CHAIN_ID, self._contract.address, *transfer]))
        return keccak(b"\x19Ethereum Signed Message:\n32" + message)


def _sign(validator: Account, digest: bytes) -> bytes:
    """Return r, s and v, 65 bytes."""
    signature: bytes = validator.key.sign_msg_hash(digest).to_bytes()
    return signature[:64] + bytes([27 + signature[64]])


def bridge(world: World, bridges: int = 8) -> Scenario:
    hot = _Bridge(world, "MAIN", world.accounts)
    places = [
        _Bridge(world, str(number), users) for number, users in enumerate(world.settle(bridges))
    ]
    return visits(world, hot, places)
