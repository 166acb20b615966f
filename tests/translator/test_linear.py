"""Code that runs on linear slots does the same from every state that its observations allow.

Random programs read, add to, compare, copy, leak and move slots, across calls that may be undone.
Each runs once with every slot linear. What it observed then describes a set of states; from some
of them py-evm itself runs the program, and all is equal but for what is said to be a sum.
"""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest

from parallel_evm.translator import NotRecorded
from tests.strategies import mostly_slow
from tests.translator.guarded import Guarded

MAX = 2**256 - 1
SLOTS = range(4)


def push(number: int) -> bytes:
    content = number.to_bytes(max((number.bit_length() + 7) // 8, 1), "big")
    return bytes([0x5F + len(content)]) + content


class Author:
    """Writes programs about slots."""

    def __init__(self, chance: random.Random, callees: Any) -> None:
        self._chance = chance
        self._callees = callees

    def program(self, depth: int = 0) -> bytes:
        code = b""
        for _ in range(self._chance.randint(2, 9)):
            code += self._statement(len(code), depth)
        end = self._chance.random()
        if end < 0.15:
            return code + bytes.fromhex("60806000fd")
        return code + bytes.fromhex("60806000f3" if end < 0.3 else "00")

    def _number(self) -> bytes:
        chance = self._chance
        return push(
            chance.choice(
                (
                    chance.randint(0, 20),
                    chance.randint(0, 20),
                    chance.getrandbits(chance.choice((64, 128, 256))),
                    2 ** chance.choice((8, 64, 128, 160, 255)) - 1,
                    MAX - chance.randint(0, 20),
                    MAX + 1 - 2 ** chance.choice((8, 64, 128)),
                )
            )
        )

    def _slot(self) -> bytes:
        return push(self._chance.choice(SLOTS))

    def _load(self) -> bytes:
        return self._slot() + b"\x54"

    def _word(self) -> bytes:
        """Leaves one word."""
        chance = self._chance
        kind = chance.random()
        if kind < 0.5:
            return self._load()
        if kind < 0.6:
            return self._number()
        if kind < 0.65:
            return push(32 * chance.randint(0, 3) + chance.choice((0, 0, 0, 5))) + b"\x51"
        linear = (0x01, 0x01, 0x03, 0x03, 0x16)
        others = (0x02, 0x04, 0x06, 0x0B, 0x17, 0x18, 0x1A, 0x1B, 0x1C, 0x1D)
        opcode = chance.choice(linear if chance.random() < 0.85 else others)
        operands = [self._load(), self._number()]
        if chance.random() < 0.2:
            operands[1] = self._word()
        chance.shuffle(operands)
        return b"".join(operands) + bytes([opcode])

    def _test(self) -> bytes:
        opcode = self._chance.choice((0x10, 0x10, 0x11, 0x11, 0x12, 0x13, 0x14))
        code = self._word() + self._word() + bytes([opcode])
        return code + b"\x15" * self._chance.randint(0, 2)

    def _statement(self, position: int, depth: int) -> bytes:
        chance = self._chance
        kind = chance.random()
        if kind < 0.3:  # slot += number, slot -= number
            slot = self._slot()
            change = (
                self._number() + slot + b"\x54" + chance.choice((b"\x01", b"\x90\x03", b"\x03"))
            )
            if chance.random() < 0.2:
                change += push(2**128 - 1) + b"\x16"
            return change + slot + b"\x55"
        if kind < 0.45:
            return self._word() + self._slot() + b"\x55"
        if kind < 0.65:  # if not test: statement
            head = self._test()
            inner = self._statement(position + len(head) + 4, depth)
            target = position + len(head) + 4 + len(inner)
            return head + b"\x61" + target.to_bytes(2, "big") + b"\x57" + inner + b"\x5b"
        if kind < 0.75:  # to memory
            return (
                self._word() + push(32 * chance.randint(0, 3) + chance.choice((0, 0, 7))) + b"\x52"
            )
        if kind < 0.8:  # stays on the stack
            return self._word()
        if kind < 0.83:
            return self._word() + b"\x60\x40\x60\x20\xa1"
        if kind < 0.86:
            return b"\x60\x40\x60\x10\x20" + self._slot() + b"\x55"
        if kind < 0.88:  # MCOPY, or nothing
            return b"\x60\x20\x60\x08\x60\x30\x5e"
        if kind < 0.9:
            return self._word() + b"\x40\x50"  # BLOCKHASH
        callee = chance.choice(self._callees)
        arguments = b"\x60\x20\x60\x40\x60\x40\x60\x00"
        call = arguments + b"\x60\x00\x73" + callee + b"\x62\x03\xff\xff\xf1"
        if chance.random() < 0.3:  # as its own code
            call = arguments + b"\x73" + callee + b"\x62\x03\xff\xff\xf4"
        return call + (b"\x50" if chance.random() < 0.5 else self._slot() + b"\x55")


def bases(chance: random.Random, low: int, high: int, seen: int) -> int:
    width = high - low
    near = min(max(seen + chance.randint(-3, 3), low), high)
    return chance.choice((low, high, near, near, low + chance.randrange(width + 1)))


def draw(
    chance: random.Random, addresses: Any
) -> tuple[dict[bytes, bytes], dict[tuple[bytes, int], int]]:
    """Contracts that call each other, and what they hold."""
    author = Author(chance, addresses[1:])
    codes = {address: author.program() for address in addresses}
    if chance.random() < 0.2:
        codes[addresses[2]] = (
            bytes.fromhex("600054600101600055") + b"\x33\xff"
        )  # and destroys itself
    values = (0, 0, 1, 5, 100, 2**128 + 7, MAX - 5, chance.getrandbits(256))
    return codes, {(a, slot): chance.choice(values) for a in addresses for slot in SLOTS}


def check(lab: Any, fork: str, seed: int, threshold: int) -> tuple[bool, int]:
    """Returns whether the linear run went through, and how many slots it did not look at."""
    chance = random.Random(f"{fork} {seed}")
    twins = lab.twins_of(fork, threshold)
    stock = lab.state_class_of(fork)
    guarded = type(
        "Guarded",
        (stock,),
        {"account_db_class": Guarded, "computation_class": twins.fast.computation_class},
    )
    while True:  # most of those that call without end never run on linear values
        codes, storage = draw(chance, lab.ADDRESSES[:3])
        world = lab.World(codes, storage)
        plain = lab.outcome(twins.run, twins.plain, world)
        if lab.calls_in(plain.facts) <= lab.MANY_CALLS:
            break
    run = None
    for _ in range(12):
        run = lab.outcome(twins.run, guarded, world)
        if run.facts.get("raised", ("",))[0] is not NotRecorded:
            if chance.random() < 0.5:
                break
        else:
            twins.run(twins.fast, world)
    if "raised" in run.facts:
        assert run.facts["raised"][0] in (TypeError, AttributeError, NotRecorded), run.facts
        return False, 0
    view = Guarded.latest
    view.settle(is_last=True)
    pickle.dumps((view.source.observations, view.effects, view.transaction_traces()))
    pickle.dumps([fact for name, fact in run.facts.items() if name != "error"])
    compare(run, plain, view, storage)
    ranges = view.source.observations.ranges
    free = [(a, s, *span) for a, known in ranges.items() for s, span in known.items()]
    for _ in range(3):
        there = dict(storage)
        for address, slot, low, high in free:
            assert low <= storage[address, slot] <= high
            there[address, slot] = bases(chance, low, high, storage[address, slot])
        plain = lab.outcome(twins.run, twins.plain, lab.World(codes, there))
        compare(run, plain, view, there)
    return True, sum(low < high for _, _, low, high in free)


def compare(run: Any, plain: Any, view: Any, storage: dict[tuple[bytes, int], int]) -> None:
    """Is ``run`` what py-evm does with this storage?"""
    for name, fact in plain.facts.items():
        if name != "effects":
            assert run.facts[name] == fact, name
    ours, theirs = view.effects, plain.facts["effects"]
    assert ours.cells == theirs.cells
    assert ours.deltas == theirs.deltas
    slots = {address: dict(written) for address, written in ours.slots.items()}
    for address, increments in ours.increments.items():
        for slot, change in increments.items():
            slots[address][slot] = storage[address, slot] + change
    assert slots == theirs.slots


@pytest.mark.parametrize("threshold", [1, 2, 1000])
@pytest.mark.parametrize("fork", mostly_slow(["berlin", "shanghai", "cancun"], "cancun"))
def test_programs_do_the_same_from_every_state_that_they_cannot_tell_apart(
    lab: Any, fork: str, threshold: int
) -> None:
    results = [check(lab, fork, seed, threshold) for seed in range(12)]
    assert sum(went_through for went_through, _ in results) >= 10
    assert sum(free for _, free in results) > 6


@pytest.mark.slow
def test_programs_before_berlin(lab: Any) -> None:
    """SSTORE costs so much there that some callees always run out of gas. No path is kept of such a
    call, so a low threshold would ask for it again and again."""
    test_programs_do_the_same_from_every_state_that_they_cannot_tell_apart(lab, "istanbul", 1000)


@pytest.mark.slow
@pytest.mark.parametrize("fork", ["tangerine-whistle", "london", "cancun", "prague"])
def test_many_programs(lab: Any, fork: str) -> None:
    for seed in range(1000, 2000):
        check(lab, fork, seed, threshold=seed % 3 + 1)
