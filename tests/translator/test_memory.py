"""What is known of memory is so, and what waits to be written is written in time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.translator.memory import MAX_PIECES, KnownMemory
from parallel_evm.translator.values import Value, constant, local
from tests.strategies import drawn

SIZE = 160
PLACES = st.integers(0, SIZE - 32)
WORDS = st.binary(min_size=32, max_size=32)
SPANS = st.tuples(st.integers(0, SIZE - 48), st.integers(0, 48))
STEPS = st.lists(
    st.tuples(st.just("store"), PLACES, WORDS)
    | st.tuples(st.just("load"), PLACES)
    | st.tuples(st.just("others write"), SPANS, st.binary(min_size=48, max_size=48))
    | st.tuples(st.just("look"), SPANS)
    | st.tuples(st.just("forget words"), st.integers(0, 1))
    | st.tuples(st.just("forget all")),
    max_size=12,
)


class Execution:
    """Memory as the EVM has it, as the `bytearray` has it, and what a trace knows of it."""

    def __init__(self, before: bytes | None) -> None:
        """``before``: None where the computation begins here."""
        self.meant = bytearray(before or bytes(SIZE))
        self.real = bytearray(self.meant)
        self.known = KnownMemory(fresh=before is None)
        self.words: dict[Value, bytes] = {}

    def named(self, word: bytes) -> Value:
        value = local(f"v{len(self.words)}")
        self.words[value] = word
        return value

    def bytes_of(self, value: Value | None) -> bytes:
        assert value is not None
        if value.constant is not None:
            return value.constant.to_bytes(32, "big")
        return self.words[value]

    def bring_up_to_date(self) -> None:
        for start, word in self.known.waiting.items():
            self.real[start : start + 32] = self.bytes_of(word)
        self.known.written()

    def store(self, start: int, word: bytes) -> None:
        self.known.store(start, self.named(word))
        self.meant[start : start + 32] = word

    def load(self, start: int) -> None:
        word = self.known.word(start)
        if word is None:
            self.bring_up_to_date()
            word = self.named(bytes(self.real[start : start + 32]))
            self.known.learn(start, word)
        assert self.bytes_of(word) == self.meant[start : start + 32]

    def others_write(self, span: tuple[int, int], content: bytes) -> None:
        start, size = span
        for place in self.known.waiting_at(start, size):
            self.real[place : place + 32] = self.bytes_of(self.known.waiting.pop(place))
        self.known.forget(start, size)
        for memory in (self.real, self.meant):
            memory[start : start + size] = content[:size]

    def look(self, span: tuple[int, int]) -> None:
        start, size = span
        pieces = self.known.pieces(start, size)
        if pieces is not None:
            found = b"".join(self.bytes_of(word)[first:last] for word, first, last in pieces)
            assert found == self.meant[start : start + size]

    def forget_words(self, kept: int) -> None:
        self.bring_up_to_date()
        for value in self.words:
            if value.name is not None and int(value.name[1:]) % 2 != kept:
                value.name = None
        self.known.keep_only(lambda word: word.constant is not None or word.name is not None)
        for start in range(SIZE - 32):
            word = self.known.word(start)
            assert word is None or word.constant is not None or word.name is not None

    def forget_all(self) -> None:
        self.bring_up_to_date()
        self.known.forget_all()
        assert self.known.pieces(0, 1) is None


@drawn(400)
@given(st.none() | st.binary(min_size=SIZE, max_size=SIZE), STEPS)
def test_what_is_known_is_so_and_what_waits_is_not_lost(
    before: bytes | None, steps: list[Any]
) -> None:
    execution = Execution(before)
    for step, *arguments in steps:
        getattr(execution, step.replace(" ", "_"))(*arguments)
        execution.look((0, SIZE))
    execution.bring_up_to_date()
    assert execution.real == execution.meant


def test_memory_that_begins_here_is_zero() -> None:
    word = KnownMemory(fresh=True).word(64)
    assert word is not None and word.constant == 0
    assert KnownMemory(fresh=False).word(64) is None


def test_a_word_is_found_where_it_was_stored_and_nowhere_near() -> None:
    memory, word = KnownMemory(fresh=False), local("v1")
    memory.store(32, word)
    assert memory.word(32) is word
    assert memory.word(31) is None
    assert memory.waiting == {32: word}


def test_what_overlaps_what_overlaps_is_written_first_and_in_order() -> None:
    memory = KnownMemory(fresh=True)
    for start in (60, 100, 0, 80, 60):
        memory.store(start, constant(start))
    assert memory.waiting_at(125, 1) == [100, 80, 60]
    assert memory.waiting_at(31, 1) == [0]
    assert memory.waiting_at(32, 28) == []
    assert memory.waiting_at(40, 0) == []


def test_a_span_of_very_many_pieces_is_left_to_the_real_memory() -> None:
    memory = KnownMemory(fresh=True)
    assert memory.pieces(0, 32 * MAX_PIECES) is not None
    assert memory.pieces(0, 32 * MAX_PIECES + 1) is None
    memory.store(16, local("v1"))
    assert memory.pieces(0, 32 * MAX_PIECES) is None
