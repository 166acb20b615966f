"""Small casts of contracts, each built around one way in which transactions get into each other.

Random programs meet seldom enough; these meet in nearly every block. A theme gives some places
their contracts and says which addresses transactions should go to, and with which data. Most
contracts are reached through several proxies, so that nothing a scheduler sees at first (sender,
recipient) gives the meeting away.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eth_typing import Address
from rlp.codec import encode

from parallel_evm.conformance.programs import Rules, push, push_address, returning
from parallel_evm.hashing import keccak


@dataclass(frozen=True)
class Part:
    """A contract of a theme: what it holds before the block."""

    code: bytes
    balance: int = 0
    nonce: int = 1
    storage: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Cast:
    """A theme's contracts by address, and where transactions may go, the likely ones repeated."""

    parts: Mapping[Address, Part]
    recipients: tuple[Address, ...]
    calldata: tuple[bytes, ...] = (b"", b"\x01")


Theme = Callable[[random.Random, Rules, Sequence[Address]], Cast]


def proxy(target: Address, value: int = 0) -> bytes:
    """Calls the target with the data it got; counts successes in slot 0."""
    copied = bytes.fromhex("3660006000" + "37")
    arguments = push(0) + push(0) + b"\x36" + push(0) + push(value)
    called = arguments + push_address(target) + b"\x5a\xf1"
    return copied + called + push(0) + b"\x54\x01" + push(0) + b"\x55"


def asks_about(target: Address, rules: Rules) -> bytes:
    """Keeps what it learns of an account without calling it: balance, code size, code hash."""
    code = b""
    opcodes = (b"\x31", b"\x3b", b"\x3f") if rules.extcodehash else (b"\x31", b"\x3b")
    for slot, opcode in enumerate(opcodes):
        code += push_address(target) + opcode + push(slot) + b"\x55"
    return code


# If called with data: destroy itself; else: add one to slot 0.
MORTAL_COUNTER = bytes.fromhex("3615600757" + "33ff" + "5b" + "600054600101600055")
# If called with data: destroy itself; else: return slot 0.
MORTAL_GETTER = bytes.fromhex("3615600757" + "33ff" + "5b" + "600054600052" + "60206000f3")


def recreation(chance: random.Random, rules: Rules, places: Sequence[Address]) -> Cast:
    """A contract with storage is destroyed, made again at the same address, and used."""
    runtime = chance.choice((MORTAL_COUNTER, MORTAL_GETTER))
    init = returning(runtime)
    factory, *others = places
    child = _create2_address(factory, init) if rules.create2 else others[-1]
    made = bytes([0x5F + len(init)]) + init + push(0) + b"\x52"
    made += push(0) + push(len(init)) + push(32 - len(init)) + push(0) + b"\xf5"
    parts = {
        factory: Part(made + push(0) + b"\x55"),
        child: Part(runtime, balance=chance.choice((0, 7)), storage=((0, 5), (1, 6))),
        others[0]: Part(proxy(child)),
        others[1]: Part(proxy(child)),
        others[2]: Part(proxy(factory)),
        others[3]: Part(asks_about(child, rules)),
        others[4]: Part(proxy(child), storage=((0, 1),)),
    }
    if chance.random() < 0.2:
        del parts[child]
    recipients = (*others[:5], others[0], others[1], others[4], factory, child)
    return Cast(parts, recipients, (b"", b"", b"\x01"))


def borderline_funds(chance: random.Random, rules: Rules, places: Sequence[Address]) -> Cast:
    """A purse that can pay about once, asked by many; its fillers come in between."""
    purse, vault, *others = places
    amount = 1_000
    # Pays the vault, always the same amount, and counts how often that went well.
    paying = push(0) + push(0) + push(0) + push(0) + push(amount) + push_address(vault)
    paying += b"\x5a\xf1" + push(0) + b"\x54\x01" + push(0) + b"\x55"
    # With data, everything is paid: BALANCE of itself is the value.
    everything = push(0) + push(0) + push(0) + push(0) + b"\x30\x31" + push_address(vault)
    everything += b"\x5a\xf1\x50\x00"
    skip = len(everything) + 3
    code = b"\x36\x15\x61" + skip.to_bytes(2, "big") + b"\x58\x01\x57" + everything + b"\x5b"
    parts = {
        purse: Part(code + paying, balance=chance.choice((999, 1_000, 1_999, 2_000, 2_500))),
        vault: Part(b""),
        others[0]: Part(proxy(purse)),
        others[1]: Part(proxy(purse)),
        others[2]: Part(proxy(purse, value=1), balance=2),
        others[3]: Part(proxy(purse, value=600), balance=10_000),
        others[4]: Part(asks_about(purse, rules)),
    }
    return Cast(parts, (*others[:5], others[0], others[1], purse), (b"", b"", b"", b"\x01"))


def numbered_children(chance: random.Random, rules: Rules, places: Sequence[Address]) -> Cast:
    """One factory's nonce decides where everybody's contract goes; some destroy theirs at once."""
    factory, *others = places
    init = returning(chance.choice((bytes.fromhex("33ff"), MORTAL_COUNTER, b"\x00")))
    made = bytes([0x5F + len(init)]) + init + push(0) + b"\x52"
    made += push(len(init)) + push(32 - len(init)) + push(0) + b"\xf0"
    # The newest child is kept in slot 0 and, with data, called at once.
    made += b"\x80" + push(0) + b"\x55"
    called = push(0) + push(0) + push(1) + push(0) + push(0) + push(0) + b"\x54\x5a\xf1\x50"
    skip = len(called) + 3
    made += b"\x36\x15\x61" + skip.to_bytes(2, "big") + b"\x58\x01\x57" + called + b"\x5b"
    # And handed back.
    made += push(0) + b"\x54" + push(0) + b"\x52" + push(32) + push(0) + b"\xf3"
    parts = {factory: Part(made, nonce=chance.choice((1, 1, 255)))}
    for place in others[:4]:
        parts[place] = Part(proxy(factory))
    parts[others[4]] = Part(asks_about(create_address(factory, 2), rules))
    return Cast(parts, (*others[:5], factory))


def flags(chance: random.Random, rules: Rules, places: Sequence[Address]) -> Cast:
    """Whether a slot is written at all depends on a flag that others turn over and back."""
    switch, *others = places
    # With data: slot 0 = not slot 0.
    turned = push(0) + b"\x54\x15" + push(0) + b"\x55\x00"
    skip = len(turned) + 3
    code = b"\x36\x15\x61" + skip.to_bytes(2, "big") + b"\x58\x01\x57" + turned + b"\x5b"
    # Else: if slot 0: slot 1 += 1, else: slot 2 += slot 1.
    then = push(1) + b"\x54" + push(1) + b"\x01" + push(1) + b"\x55\x00"
    skip = len(then) + 3
    code += push(0) + b"\x54\x15\x61" + skip.to_bytes(2, "big") + b"\x58\x01\x57" + then + b"\x5b"
    code += push(1) + b"\x54" + push(2) + b"\x54\x01" + push(2) + b"\x55"
    parts = {switch: Part(code, storage=((0, chance.choice((0, 1))), (1, 3)))}
    for place in others[:4]:
        parts[place] = Part(proxy(switch))
    return Cast(parts, (*others[:4], switch), (b"", b"", b"\x01"))


THEMES: tuple[Theme, ...] = (recreation, borderline_funds, numbered_children, flags)


def create_address(creator: Address, nonce: int) -> Address:
    """Where CREATE puts a contract (yellow paper, section 7)."""
    return Address(keccak(encode([creator, nonce]))[12:])  # type: ignore[no-untyped-call]


def _create2_address(creator: Address, init: bytes) -> Address:
    """EIP-1014, with salt zero."""
    return Address(keccak(b"\xff" + creator + bytes(32) + keccak(init))[12:])
