"""The vocabulary of conflicts: what a transaction can observe or change.

A key is a tuple ``(address, field)``. Fields that are zero or positive are storage slots; the
negative ones below are the parts of an account that are judged separately, so that a transfer
into an account does not disturb a contract that only runs its code. The tuple form is what the
engine hashes millions of times; `StateKey` is the same thing for people and reports.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# -1 is left out on purpose: hash(-1) == hash(-2) in CPython.
BALANCE: Final = -2
NONCE: Final = -3
CODE: Final = -4
LIFE: Final = -5
"""Does the account exist? Touching creates it, EIP-161 clearing deletes it."""
EPOCH: Final = -6
"""Which transaction of this block wiped the account's storage last (`NO_WIPE`: none did)."""

NO_WIPE: Final = -1

FIELD_NAMES: Final = {
    BALANCE: "balance",
    NONCE: "nonce",
    CODE: "code",
    LIFE: "life",
    EPOCH: "epoch",
}

Key = tuple[bytes, int]
"""(20-byte address, field): a storage slot when field >= 0, else one of the constants above."""


class StateKey(NamedTuple):
    """One thing that a transaction touched, in readable form."""

    kind: str
    """``balance``, ``nonce``, ``code``, ``life``, ``epoch`` or ``slot``."""
    address: bytes
    slot: int | None

    def __str__(self) -> str:
        where = "0x" + self.address.hex()
        return f"{self.kind}:{where}" if self.slot is None else f"slot:{where}:{self.slot:#x}"


def readable(key: Key) -> StateKey:
    """The readable form of an engine key."""
    address, field = key
    if field >= 0:
        return StateKey("slot", address, field)
    return StateKey(FIELD_NAMES[field], address, None)
