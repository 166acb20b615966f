"""Random EVM programs that mean something: the stack is kept in order, so they run for long.

Statements read and write a few slots that all contracts share by number, branch on what other
transactions may have changed (balances, code hashes, gas left, ancestor hashes, transient
storage), call each other in every way, create, destroy and create again. Some bytes are noise.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from eth_typing import Address

from parallel_evm.forks import since


@dataclass(frozen=True)
class Rules:
    """Which opcodes a fork has that others lack."""

    revert: bool
    shifts: bool
    extcodehash: bool
    create2: bool
    self_balance: bool
    base_fee: bool
    push0: bool
    transient: bool

    @classmethod
    def of(cls, fork: str) -> Rules:
        return cls(
            revert=fork in since("byzantium"),
            shifts=fork in since("constantinople"),
            extcodehash=fork in since("constantinople"),
            create2=fork in since("constantinople"),
            self_balance=fork in since("istanbul"),
            base_fee=fork in since("london"),
            push0=fork in since("shanghai"),
            transient=fork in since("cancun"),
        )


def push(value: int) -> bytes:
    """PUSH1..PUSH32 of a number that is not negative."""
    content = value.to_bytes(max((value.bit_length() + 7) // 8, 1), "big")
    return bytes([0x5F + len(content)]) + content


def push_address(address: Address) -> bytes:
    return b"\x73" + address


def returning(runtime: bytes) -> bytes:
    """Init code that returns `runtime`, which is at most 32 bytes long."""
    put = bytes([0x5F + len(runtime)]) + runtime + push(0) + b"\x52"
    return put + push(len(runtime)) + push(32 - len(runtime)) + b"\xf3"


RUNTIMES = (
    bytes.fromhex("33ff"),  # selfdestruct to the caller
    bytes.fromhex("30ff"),  # selfdestruct to itself
    bytes.fromhex("600054600101600055"),  # add one to slot 0
    bytes.fromhex("3d3d3d3d34335af1"),  # send the value back
    bytes.fromhex("600054ff"),  # selfdestruct to the address in slot 0
    bytes.fromhex("fe"),
)
"""Small contracts for the programs to create: less than 20 bytes, so that init code is one word."""


class Programs:
    """Draws programs for one fork that talk about these addresses."""

    def __init__(self, chance: random.Random, rules: Rules, addresses: Sequence[Address]) -> None:
        self._chance = chance
        self._rules = rules
        self._addresses = tuple(addresses)

    def program(self) -> bytes:
        """The code of a contract."""
        body = b"".join(self._statement(2) for _ in range(self._chance.randint(1, 6)))
        return body + self._ending()

    def creation(self) -> bytes:
        """Init code: some statements, then a small contract, sometimes nothing or a failure."""
        chance = self._chance
        body = b"".join(self._statement(1) for _ in range(chance.randint(0, 3)))
        kind = chance.random()
        if kind < 0.75:
            return body + returning(chance.choice(RUNTIMES))
        return body + self._ending()

    # -- statements leave the stack as it was ------------------------------------------------

    def _statement(self, depth: int) -> bytes:
        chance = self._chance
        kinds = (
            (self._store, 24),
            (self._call, 22),
            (self._log, 8),
            (self._memory, 6),
            (self._transient_store, 6),
            (self._create, 8),
            (self._branch, 14 if depth else 0),
            (self._loop, 5 if depth else 0),
            (self._stop, 3),
            (self._noise, 1),
        )
        draw = chance.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
        return draw(depth)

    def _store(self, depth: int) -> bytes:
        chance = self._chance
        if chance.random() < 0.4:
            slot = self._slot()
            changed = (
                push(chance.choice((1, 1, 5))) + slot + b"\x54" + chance.choice((b"\x01", b"\x03"))
            )
            return changed + slot + b"\x55"
        return self._value(2) + self._slot() + b"\x55"

    def _transient_store(self, depth: int) -> bytes:
        if not self._rules.transient:
            return self._store(depth)
        return self._value(1) + self._slot() + b"\x5d"

    def _log(self, depth: int) -> bytes:
        topics = self._chance.randint(0, 3)
        values = b"".join(self._value(1) for _ in range(topics))
        stored = self._value(1) + push(0) + b"\x52"
        return stored + values + push(32) + push(0) + bytes([0xA0 + topics])

    def _memory(self, depth: int) -> bytes:
        at = push(self._chance.choice((0, 32, 64, 1_000)))
        return self._value(2) + at + self._chance.choice((b"\x52", b"\x53"))

    def _call(self, depth: int) -> bytes:
        """Every kind of call; what came of it is dropped, stored or returned data is copied."""
        chance = self._chance
        kinds = [0xF1, 0xF1, 0xF1, 0xF2]
        if self._rules.revert:
            kinds += [0xFA, 0xFA]
        kinds.append(0xF4)
        opcode = chance.choice(kinds)
        arguments = push(chance.choice((0, 32, 64))) + push(0)
        arguments += push(chance.choice((0, 0, 32, 68))) + push(0)
        if opcode in (0xF1, 0xF2):
            arguments += push(chance.choice((0, 0, 0, 1, 10**15)))
        gas = chance.choice((b"\x5a", push(2_300), push(30_000), push(100_000)))
        called = arguments + self._callee() + gas + bytes([opcode])
        ending = chance.random()
        if ending < 0.5:
            return called + b"\x50"
        if ending < 0.8 or not self._rules.revert:
            return called + self._slot() + b"\x55"
        # RETURNDATACOPY all of it to memory, then drop the result.
        return called + b"\x50" + b"\x3d" + push(0) + push(0) + b"\x3e"

    def _callee(self) -> bytes:
        chance = self._chance
        kind = chance.random()
        if kind < 0.7:
            return push_address(chance.choice(self._addresses))
        if kind < 0.8:
            return push(chance.randint(1, 11))
        if kind < 0.9:
            return self._slot() + b"\x54"
        return chance.choice((b"\x33", b"\x32", b"\x30", b"\x41"))

    def _create(self, depth: int) -> bytes:
        """CREATE or CREATE2 of a small contract; its address is kept in a slot."""
        chance = self._chance
        inner = returning(chance.choice(RUNTIMES))
        if chance.random() < 0.1:
            inner = chance.choice((b"\x30\xff", b"\xfe", b"\x00", b"\x60\x01\x60\x00\x55\x00"))
        put = bytes([0x5F + len(inner)]) + inner + push(0) + b"\x52"
        where = push(len(inner)) + push(32 - len(inner))
        value = push(chance.choice((0, 0, 0, 1)))
        if self._rules.create2 and chance.random() < 0.7:
            salt = push(chance.choice((0, 0, 1)))
            made = salt + where + value + b"\xf5"
        else:
            made = where + value + b"\xf0"
        if chance.random() < 0.5:
            # Call it at once: gas, address, no value, no data.
            call = push(0) + push(0) + push(0) + push(0) + push(0) + b"\x85\x5a\xf1\x50"
            made += call
        return put + made + self._slot() + b"\x55"

    def _branch(self, depth: int) -> bytes:
        """if (value) { statement }. Jumps are relative to PC: JUMPI to PC + offset."""
        body = self._statement(depth - 1)
        # ISZERO, PUSH2 len, PC, ADD, JUMPI, body, JUMPDEST. PC is read at its own position.
        skip = len(body) + 3
        jump = b"\x15" + b"\x61" + skip.to_bytes(2, "big") + b"\x58\x01\x57"
        return self._value(2) + jump + body + b"\x5b"

    def _loop(self, depth: int) -> bytes:
        """Run a statement two to four times; the counter stays under it on the stack."""
        body = self._statement(depth - 1)
        times = push(self._chance.randint(2, 4))
        # JUMPDEST, body, PUSH1 1, SWAP1, SUB, DUP1, PUSH2 back, PC, SUB, JUMPI, POP.
        tail = b"\x60\x01\x90\x03\x80"
        back = 1 + len(body) + len(tail) + 3
        jump = b"\x61" + back.to_bytes(2, "big") + b"\x58\x03\x57\x50"
        return times + b"\x5b" + body + tail + jump

    def _stop(self, depth: int) -> bytes:
        """A conditional end, so that what follows is not dead."""
        ending = self._ending()
        skip = len(ending) + 3
        return (
            self._value(2)
            + b"\x15\x61"
            + skip.to_bytes(2, "big")
            + b"\x58\x01\x57"
            + ending
            + b"\x5b"
        )

    def _noise(self, depth: int) -> bytes:
        return self._chance.randbytes(self._chance.randint(1, 3))

    def _ending(self) -> bytes:
        chance = self._chance
        output = push(32) + push(0)
        kind = chance.random()
        if kind < 0.4:
            return b"\x00"
        if kind < 0.6:
            return output + b"\xf3"
        if kind < 0.78 and self._rules.revert:
            return output + b"\xfd"
        if kind < 0.83:
            return b"\xfe"
        if kind < 0.95:
            return self._callee() + b"\xff"
        return self._value(1) + push(0) + b"\x52" + output + b"\xf3"

    # -- values leave one word on the stack --------------------------------------------------

    def _slot(self) -> bytes:
        chance = self._chance
        kind = chance.random()
        if kind < 0.75:
            return push(chance.randint(0, 5))
        if kind < 0.85:
            return push(0) + b"\x35"  # CALLDATALOAD(0)
        # keccak(caller . 1), as a Solidity mapping has it.
        return (
            b"\x33"
            + push(0)
            + b"\x52"
            + push(1)
            + push(32)
            + b"\x52"
            + push(64)
            + push(0)
            + b"\x20"
        )

    def _value(self, depth: int) -> bytes:
        chance = self._chance
        if depth and chance.random() < 0.35:
            operator = chance.choice(
                (0x01, 0x02, 0x03, 0x04, 0x06, 0x10, 0x11, 0x14, 0x16, 0x17, 0x18, 0x0A, 0x0B)
                + ((0x1B, 0x1C, 0x1D) if self._rules.shifts else ())
            )
            return self._value(depth - 1) + self._value(depth - 1) + bytes([operator])
        return chance.choice(self._leaves())

    def _leaves(self) -> Sequence[bytes]:
        chance = self._chance
        address = push_address(chance.choice(self._addresses))
        number = push(chance.choice((1, 2, 5, 300)))
        rules = self._rules
        leaves = [
            push(chance.choice((0, 0, 1, 2, 2**256 - 1))),
            push(chance.choice((0, 1, 7))),
            self._slot() + b"\x54",
            self._slot() + b"\x54",
            self._slot() + b"\x54",
            address + b"\x31",  # BALANCE
            address + b"\x31",
            address + b"\x3b",  # EXTCODESIZE
            push(4) + push(0) + push(0) + address + b"\x3c" + push(0) + b"\x51",  # EXTCODECOPY
            b"\x5a",  # GAS
            number + b"\x43\x03\x40",  # BLOCKHASH(NUMBER - n)
            push(0) + b"\x35",
            b"\x33",
            b"\x34",
            b"\x32",
            b"\x30",
            b"\x41",
            b"\x42",
            b"\x44",
            b"\x45",
            b"\x3a",  # GASPRICE
            b"\x36",
            b"\x38",
            b"\x58",
            b"\x59",
            push(0) + b"\x51",
        ]
        if rules.revert:
            leaves.append(b"\x3d")
        if rules.extcodehash:
            leaves += [address + b"\x3f"] * 2
        if rules.self_balance:
            leaves += [b"\x47", b"\x46"]
        if rules.base_fee:
            leaves.append(b"\x48")
        if rules.push0:
            leaves.append(b"\x5f")
        if rules.transient:
            leaves += [self._slot() + b"\x5c", push(0) + b"\x49", b"\x4a"]
        return leaves
