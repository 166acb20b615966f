"""A source hands its lineage on to its successor, and nothing is left in two minds about it."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3

from parallel_evm.merkle.source import TrieSource
from parallel_evm.state.base import Changes
from parallel_evm.state.source import Account

A = b"\xaa" * 20


def changed(slot: int) -> Changes:
    return Changes(slots={A: {slot: 1}})


def second_source() -> TrieSource:
    first = TrieSource({}, BLANK_ROOT_HASH, {})
    return first.successor(BLANK_ROOT_HASH, changed(1), {}, {})


def test_a_successor_knows_what_was_missed() -> None:
    second = second_source()
    assert second.changes_since(0) == [changed(1)]
    third = second.successor(b"\x02" * 32, changed(2), {}, {})
    assert third.changes_since(0) == [changed(1), changed(2)]
    assert third.changes_since(1) == [changed(2)]
    assert second.lineage != third.lineage


def test_a_hand_over_interrupted_at_any_line_leaves_a_source_that_tells_no_lies() -> None:
    finished = False
    line = 0
    while not finished:
        line += 1
        second = second_source()
        lineage = second.lineage
        finished = not interrupted(second, line)
        if not finished and second.lineage == lineage:
            assert second.changes_since(0) == [changed(1)]
            assert second.changes_since(1) == []
    assert line > 10


def interrupted(source: TrieSource, at: int) -> bool:
    """Was `successor` long enough to be interrupted at this line?"""
    passed = 0

    def at_line(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal passed
        passed += event == "line"
        if passed == at:
            raise KeyboardInterrupt
        return at_line

    def on_call(frame: FrameType, event: str, arg: Any) -> Any:
        return at_line if frame.f_code is TrieSource.successor.__code__ else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        source.successor(b"\x02" * 32, changed(2), {}, {})
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


class Overtaken(dict[Any, Any]):
    """A dictionary that belongs to the successor already when somebody has found it."""

    def __init__(self, source: TrieSource, changes: Changes, held: dict[Any, Any]) -> None:
        super().__init__(held)
        self.hand_over = lambda: source.successor(b"\x02" * 32, changes, {}, {})

    def get(self, key: Any, default: Any = None) -> Any:
        hand_over, self.hand_over = self.hand_over, lambda: None  # type: ignore[assignment,return-value]
        hand_over()
        return super().get(key, default)


def test_a_reader_overtaken_by_the_next_block_reads_the_state_it_asked_for() -> None:
    """The hand-over comes between two steps of a read, as another thread's would."""
    old, new = Account(1, 1, EMPTY_SHA3), Account(2, 2, EMPTY_SHA3)
    changes = Changes({A: new}, {A: {1: 9}})

    source = second_source()
    source._accounts = Overtaken(source, changes, {A: old})
    assert source.account(A) is None  # as its tries say, where nothing is

    source = second_source()
    source._slots = Overtaken(source, changes, {A: {1: 5}})
    assert source.slot(A, 1) == 0

    source = second_source()
    source._slots = {A: Overtaken(source, changes, {1: 5})}
    assert source.slot(A, 1) == 0

    source = second_source()
    source._storage_roots = Overtaken(source, changes, {A: b"\x05" * 32})
    assert source.storage_root(A) == BLANK_ROOT_HASH
