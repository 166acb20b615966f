"""Expressions: whatever a call touched is said in a way that comes to the same key again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.hashing import keccak
from parallel_evm.scheduling.expressions import Access, Argument, Call, Explainer, call_of
from parallel_evm.state.keys import BALANCE, CODE, Key
from tests.strategies import drawn

ALICE, BOB, POOL, TOKEN = (bytes([n]) * 20 for n in (0xA1, 0xB0, 0x60, 0x70))
words = st.one_of(
    st.sampled_from([ALICE, BOB, POOL, TOKEN]).map(lambda who: int.from_bytes(who, "big")),
    st.integers(0, 9),
    st.integers(0, 9).map(lambda n: (3 << 128) + n),
    st.sampled_from([ALICE, TOKEN]).map(lambda who: (int.from_bytes(who, "big") << 64) + 7),
    st.integers(0, 2**256 - 1),
)


@st.composite
def touched(draw: st.DrawFn) -> tuple[Call, list[Key], dict[bytes, bytes], dict[bytes, Any]]:
    """A call, what it touched, what it hashed, and what slots held."""
    data = draw(st.binary(min_size=4, max_size=4)) + b"".join(
        word.to_bytes(32, "big") for word in draw(st.lists(words, max_size=3))
    )
    preimages: dict[bytes, bytes] = {}
    places = [word.to_bytes(32, "big") for word in draw(st.lists(words, min_size=1, max_size=4))]
    for _ in range(draw(st.integers(0, 4))):
        preimage = draw(st.sampled_from(places))
        if draw(st.booleans()):  # of a mapping; else of an array
            preimage += draw(st.sampled_from(places))
        digest = keccak(preimage)
        preimages[digest] = preimage
        places.append(digest)
    places += [keccak(number.to_bytes(32, "big")) for number in draw(st.lists(st.integers(0, 300)))]
    keys: list[Key] = [
        (
            draw(st.sampled_from([ALICE, POOL, TOKEN])),
            int.from_bytes(draw(st.sampled_from(places)), "big") + draw(st.integers(0, 9)),
        )
        for _ in range(draw(st.integers(1, 6)))
    ]
    held: dict[bytes, Any] = {}
    for address, slot in keys:
        if draw(st.booleans()):
            held.setdefault(address, {})[slot % 2**256] = draw(words)
    call = call_of(
        draw(st.sampled_from([ALICE, BOB])),
        POOL,
        data,
        {},
        lambda key: held.get(key[0], {}).get(key[1]),
    )
    return call, [(address, slot % 2**256) for address, slot in keys], preimages, held


@drawn(300)
@given(touched(), st.booleans())
def test_an_expression_comes_to_the_key_that_it_was_made_for(
    sample: tuple[Call, list[Key], dict[bytes, bytes], dict[bytes, Any]], counts: bool
) -> None:
    call, keys, preimages, held = sample
    counted = {key for key in keys if key[1] in held.get(key[0], ())} if counts else set()
    asked = [*keys, (TOKEN, BALANCE), (POOL, CODE)]
    explainer = Explainer(call, preimages, held, counted)
    accesses = [explainer.access(key) for key in asked]
    assert [access.key(call) for access in accesses] == asked
    twin = Explainer(call, preimages, held, counted)
    assert [twin.access(key) for key in asked] == accesses


def test_a_long_chain_of_references_ends_somewhere() -> None:
    """Each slot holds the number by which the next one is found."""
    preimages: dict[bytes, bytes] = {}
    held: dict[int, int] = {}
    keys: list[Key] = []
    for number in range(1, 400):
        preimage = number.to_bytes(32, "big") + bytes(31) + b"\x05"
        digest = keccak(preimage)
        preimages[digest] = preimage
        held[int.from_bytes(digest, "big")] = number + 1
        keys.append((POOL, int.from_bytes(digest, "big")))
    slots = {POOL: held}
    call = call_of(ALICE, POOL, b"\0\0\0\1" + b"\0" * 31 + b"\x01", {}, lambda key: held[key[1]])
    explainer = Explainer(call, preimages, slots)
    for key in reversed(keys):
        assert explainer.access(key).key(call) == key


def test_a_member_of_a_struct_is_taken_as_wide_as_it_may_be() -> None:
    """``claims[7]`` holds a policy's number in 128 bits and a state above it."""
    preimages = {}
    for number, position in ((7, 9), (12, 5)):
        preimage = number.to_bytes(32, "big") + position.to_bytes(32, "big")
        preimages[keccak(preimage)] = preimage
    claim, policy = (int.from_bytes(digest, "big") for digest in preimages)
    held = {POOL: {claim: 3 << 128 | 12}}
    call = call_of(ALICE, POOL, b"\0\0\0\1" + (7).to_bytes(32, "big"), {})
    access = Explainer(call, preimages, held).access((POOL, policy))

    large = call.holding(lambda key: 3 << 128 | 2**70)
    wanted = (2**70).to_bytes(32, "big") + (5).to_bytes(32, "big")
    assert access.key(large) == (POOL, int.from_bytes(keccak(wanted), "big"))


def test_an_address_by_itself_holds_for_any_call() -> None:
    preimage = (7).to_bytes(32, "big") + (9).to_bytes(32, "big")
    preimages = {keccak(preimage): preimage}
    slot = int.from_bytes(keccak(preimage), "big")
    call = call_of(ALICE, POOL, b"\0\0\0\1" + (7).to_bytes(32, "big"), {})
    access = Explainer(call, preimages, {POOL: {slot: int.from_bytes(TOKEN, "big")}}).access(
        (TOKEN, CODE)
    )
    assert access.general
    other = call.holding(lambda key: int.from_bytes(BOB, "big"))
    assert access.key(other) == (BOB, CODE)


#
# Arrays
#
LIST = 8


def word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def checkpoints(owner: bytes) -> tuple[int, int, dict[bytes, bytes]]:
    """``mapping(address => Checkpoint[])``: the slot of the length, that of the first element, and
    what was hashed."""
    entry = word(owner) + word(LIST)
    array = keccak(entry)
    first = keccak(array)
    return (
        int.from_bytes(array, "big"),
        int.from_bytes(first, "big"),
        {array: entry, first: array},
    )


def explained(
    owner: bytes, length: int, offset: int, *, pushes: bool = False, argument: int = 0
) -> tuple[Access, Call]:
    at, first, preimages = checkpoints(owner)
    held = {POOL: {at: length, first + offset: 77}}
    call = call_of(
        owner, POOL, b"\0\0\0\1" + word(argument), {}, lambda key: held[POOL].get(key[1])
    )
    counted = {(POOL, at)} if pushes else set()
    return Explainer(call, preimages, held, counted).access((POOL, first + offset)), call


def key_for(access: Access, owner: bytes, length: int | None) -> Key | None:
    at, _, _ = checkpoints(owner)
    call = call_of(owner, POOL, b"\0\0\0\1", {}, lambda key: length if key[1] == at else None)
    return access.key(call)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("length", [4, 7])
def test_the_last_element_of_somebodys_array_is_that_of_anybodys(size: int, length: int) -> None:
    for member in range(size):
        access, call = explained(ALICE, length, (length - 1) * size + member)
        _, first, _ = checkpoints(ALICE)
        assert access.key(call) == (POOL, first + (length - 1) * size + member)
        assert access.general
        _, others, _ = checkpoints(BOB)
        assert key_for(access, BOB, 20) == (POOL, others + 19 * size + member)
        assert key_for(access, BOB, 1) == (POOL, others + member)
        assert key_for(access, BOB, 0) is None  # there is none
        assert key_for(access, BOB, None) is None


def test_what_is_pushed_lies_behind_the_last_element() -> None:
    _, others, _ = checkpoints(BOB)
    for length in (1, 5):
        access, _ = explained(ALICE, length, length, pushes=True)
        assert key_for(access, BOB, 0) == (POOL, others)
        assert key_for(access, BOB, 3) == (POOL, others + 3)


def test_the_first_of_all_is_pushed_where_nothing_was() -> None:
    access, _ = explained(ALICE, 0, 0, pushes=True)
    _, others, _ = checkpoints(BOB)
    assert key_for(access, BOB, 6) == (POOL, others + 6)


def test_what_is_amid_somebodys_array_is_told_from_its_ends() -> None:
    assert explained(ALICE, 9, 3)[0].is_amid
    assert not explained(ALICE, 9, 8)[0].is_amid
    assert not explained(ALICE, 9, 9, pushes=True)[0].is_amid


def test_a_list_of_the_contract_itself_is_recognised_without_its_hash() -> None:
    """``claims.push(...)``: the compiler has hashed the position."""
    first = int.from_bytes(keccak(word(5)), "big")
    held = {POOL: {5: 3, first + 3: 0}}
    call = call_of(ALICE, POOL, b"\0\0\0\1", {}, lambda key: held[key[0]][key[1]])
    access = Explainer(call, {}, held, {(POOL, 5)}).access((POOL, first + 3))

    assert access.key(call.holding(lambda key: 11)) == (POOL, first + 11)


def test_what_stands_in_a_list_of_the_contract_itself_is_nobodys() -> None:
    """``markets[2]``: others may look for something else there."""
    first = int.from_bytes(keccak(word(5)), "big")
    call = call_of(ALICE, POOL, b"\0\0\0\1", {})
    access = Explainer(call, {}).access((POOL, first + 2))

    assert access.key(call_of(BOB, TOKEN, b"\0\0\0\1", {})) == (TOKEN, first + 2)
    assert not access.is_amid
    assert not access.general


def test_what_looks_like_an_address() -> None:
    """Not amounts, times and positions, nor hashes."""
    alike = [1 << 96, (1 << 160) - 1]
    numbers = [0, (1 << 96) - 1, *alike, 1 << 160, (1 << 256) - 1]
    data = b"\0\0\0\1" + b"".join(number.to_bytes(32, "big") for number in numbers)
    call = call_of(ALICE, POOL, data, {})
    assert [int.from_bytes(word, "big") for word in call.subjects] == alike
    for index, number in enumerate(numbers):
        key = (number.to_bytes(32, "big")[12:], BALANCE)
        expected = key if number in alike else None
        assert Access(Argument(index, True), BALANCE).key(call) == expected


def test_caller_and_callee_are_no_subjects_and_others_are_once() -> None:
    words = [ALICE, BOB, POOL, BOB, TOKEN]
    data = b"\0\0\0\1" + b"".join(word.rjust(32, b"\0") for word in words)
    subjects = call_of(ALICE, POOL, data, {}).subjects
    assert [word[12:] for word in subjects] == [BOB, TOKEN]
