"""Linear words lie in memory unseen until somebody reads one of their bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth.vm.memory import Memory

from parallel_evm.state.linear import Guard, Linear
from parallel_evm.translator.guarded_memory import GuardedMemory

CONTENT = bytes(range(96))


def filled() -> tuple[Guard, GuardedMemory]:
    """96 bytes; the second word is linear."""
    guard = Guard((b"\x01" * 20, 7), 2**255 + 9)
    memory = GuardedMemory()
    memory.extend(0, 96)
    memory.write(0, 96, CONTENT)
    memory._bytes[32:64] = Linear(guard).to_bytes(32, "big")
    return guard, memory


def plain() -> Memory:
    memory = Memory()
    memory.extend(0, 96)
    memory.write(0, 96, CONTENT)
    memory._bytes[32:64] = (2**255 + 9).to_bytes(32, "big")
    return memory


LOOKS: dict[str, Callable[[Any], Any]] = {
    "the word": lambda memory: bytes(memory._bytes[32:64]),
    "its first byte": lambda memory: bytes(memory._bytes[0:33]),
    "its last byte": lambda memory: bytes(memory._bytes[63:80]),
    "one byte": lambda memory: memory._bytes[40],
    "all": lambda memory: bytes(memory._bytes[:]),
    "read": lambda memory: bytes(memory.read(32, 4)),
    "read_bytes": lambda memory: memory.read_bytes(20, 20),
    "copied": lambda memory: memory.copy(0, 50, 20),
    "copied onto itself": lambda memory: memory.copy(40, 0, 20),
    "cut by a write": lambda memory: memory.write(60, 10, bytes(10)),
    "cut by a byte": lambda memory: memory._bytes.__setitem__(33, 7),
}
NO_LOOKS: dict[str, Callable[[Any], Any]] = {
    "before": lambda memory: bytes(memory._bytes[0:32]),
    "behind": lambda memory: bytes(memory._bytes[64:96]),
    "nothing": lambda memory: bytes(memory._bytes[40:40]),
    "length": len,
    "longer": lambda memory: memory.extend(90, 40),
    "overwritten": lambda memory: memory.write(32, 32, bytes(32)),
    "overwritten by more": lambda memory: memory.write(10, 80, bytes(80)),
    "overwritten by a copy": lambda memory: memory.copy(32, 64, 32),
    "nothing copied": lambda memory: memory.copy(0, 40, 0),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_who_reads_a_byte_of_it_observes_it(look: Callable[[Any], Any]) -> None:
    guard, memory = filled()
    twin = plain()
    assert look(memory) == look(twin)
    assert guard.exact
    assert memory.read_bytes(0, len(memory)) == twin.read_bytes(0, len(twin))


@pytest.mark.parametrize("look", NO_LOOKS.values(), ids=NO_LOOKS)
def test_who_does_not_does_not(look: Callable[[Any], Any]) -> None:
    guard, memory = filled()
    twin = plain()
    assert look(memory) == look(twin)
    assert not guard.exact
    assert memory.read_bytes(0, len(memory)) == twin.read_bytes(0, len(twin))


def test_what_was_overwritten_is_not_watched_any_more() -> None:
    guard, memory = filled()
    memory.write(32, 32, bytes(32))
    memory.read_bytes(32, 32)
    assert not guard.exact


def test_nobody_gets_a_view_of_it() -> None:
    _, memory = filled()
    seen = memory.read(0, 32)
    memory.extend(96, 32)
    memory.write(0, 32, bytes(32))
    assert bytes(seen) == CONTENT[:32]
