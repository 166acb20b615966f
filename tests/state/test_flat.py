"""What a `FlatState` is beside an account database: effects, folding, a view without a root."""

from __future__ import annotations

import contextlib
import enum
from copy import deepcopy
from typing import Any

import pytest
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth_utils import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.hashing import keccak
from parallel_evm.merkle.account_db import MerkleState, merkle_state_class
from parallel_evm.merkle.source import TrieSources
from parallel_evm.state.flat import Effects, FlatState
from parallel_evm.state.keys import CODE, EPOCH, LIFE, NO_WIPE, NONCE
from parallel_evm.state.source import Account, AccountSource

X, Y = b"\x01" * 20, b"\x02" * 20
deltas = st.one_of(st.integers(-12, 12), st.integers(1 - 2**256, 2**256 - 1))


class Below(AccountSource):
    def account(self, address: bytes) -> Account | None:
        return Account(3, 10, EMPTY_SHA3) if address == X else None

    def slot(self, address: bytes, slot: int) -> int:
        return 5 if (address, slot) == (X, 0) else 0

    def code(self, code_hash: bytes) -> bytes:
        raise AssertionError(code_hash)


@pytest.fixture
def view() -> FlatState:
    return FlatState(Below(), 7)


def test_effects_of_writing(view: FlatState) -> None:
    view.set_storage(X, 0, 5)
    view.set_nonce(Y, 1)
    view.set_code(Y, b"\x00")
    view.delta_balance(X, -4)
    view.delta_balance(Y, 4)
    effects = view.effects
    assert effects.slots == {X: {0: 5}}  # also where it is what it was
    assert effects.deltas == {X: -4, Y: 4}
    assert effects.codes == {keccak(b"\x00"): b"\x00"}
    assert effects.cells == {
        (Y, NONCE): 1,
        (Y, CODE): keccak(b"\x00"),
        (X, LIFE): True,
        (Y, LIFE): True,
    }


def test_discarding_leaves_no_effects(view: FlatState) -> None:
    checkpoint = view.record()
    view.set_storage(X, 0, 1)
    view.set_nonce(X, 9)
    view.delta_balance(X, 5)
    view.delete_account(X)
    view.mark_address_warm(X)
    view.mark_storage_warm(X, 1)
    view.set_transient_storage(X, 1, b"\x05")
    view.discard(checkpoint)
    assert view.effects.cells == {}
    assert view.effects.deltas == {}
    assert not any(view.effects.slots.values())
    assert not view.is_address_warm(X)
    assert not view.is_storage_warm(X, 1)
    assert view.get_transient_storage(X, 1) == b""


def test_discarding_restores_what_was_written_before(view: FlatState) -> None:
    def write(salt: int) -> None:
        for address in (X, Y):
            view.set_nonce(address, salt)
            view.set_code(address, bytes([salt]))
            view.set_balance(address, salt)
            view.set_storage(address, 0, salt)
            view.set_transient_storage(address, 0, bytes([salt]))
            view.mark_address_warm(address)
            view.mark_storage_warm(address, salt)

    write(1)
    before = deepcopy(view.effects)
    originals = [view.get_storage(address, 0, from_journal=False) for address in (X, Y)]
    outer = view.record()
    write(2)
    between = deepcopy(view.effects)
    inner = view.record()
    view.delete_account(X)
    view.delete_storage(Y)
    write(3)
    for checkpoint, effects, salt in ((inner, between, 2), (outer, before, 1)):
        view.discard(checkpoint)
        # Code stays known by its hash: no account has it any more.
        assert (view.effects.cells, view.effects.slots) == (effects.cells, effects.slots)
        assert view.effects.deltas == effects.deltas
        for address in (X, Y):
            assert view.get_code(address) == bytes([salt])
            assert view.get_transient_storage(address, 0) == bytes([salt])
            assert view.is_address_warm(address)
            assert [view.is_storage_warm(address, slot) for slot in (1, 2, 3)] == [
                slot <= salt for slot in (1, 2, 3)
            ]
    assert [view.get_storage(address, 0, from_journal=False) for address in (X, Y)] == originals


def test_a_wipe_of_storage_that_was_written_is_undone(view: FlatState) -> None:
    view.set_storage(X, 1, 1)
    checkpoint = view.record()
    view.delete_storage(X)
    assert (view.slot(X, 0), view.slot(X, 1), view.epoch(X)) == (0, 0, 7)
    view.discard(checkpoint)
    assert (view.slot(X, 0), view.slot(X, 1), view.epoch(X)) == (5, 1, NO_WIPE)


def test_an_undone_deletion_leaves_nothing_to_fold(view: FlatState) -> None:
    checkpoint = view.record()
    view.delete_account(X)
    view.discard(checkpoint)
    assert view.effects == Effects()


def test_a_wipe_of_storage_that_nobody_touched_is_not_undone(view: FlatState) -> None:
    checkpoint = view.record()
    view.delete_storage(X)
    view.discard(checkpoint)
    assert (view.slot(X, 0), view.epoch(X)) == (0, 7)


def test_a_wipe_after_a_wipe_further_down_is_undone() -> None:
    lane = FlatState(Below(), 3)
    lane.delete_account(X)
    lane.set_storage(X, 1, 8)
    view = FlatState(lane, 4)
    checkpoint = view.record()
    view.delete_storage(X)
    assert (view.slot(X, 1), view.epoch(X)) == (0, 4)
    view.discard(checkpoint)
    assert (view.slot(X, 1), view.epoch(X)) == (8, 3)


def test_an_emptied_account_exists(view: FlatState) -> None:
    view.delete_storage(Y)
    assert view.effects.cells == {(Y, LIFE): True, (Y, EPOCH): 7}


def test_a_new_transaction_starts_cold(view: FlatState) -> None:
    view.set_storage(X, 0, 6)
    view.set_transient_storage(X, 0, b"\x01")
    view.mark_address_warm(X)
    view.mark_storage_warm(X, 0)
    assert view.get_storage(X, 0, from_journal=False) == 5
    view.lock_changes()
    assert view.get_storage(X, 0, from_journal=False) == 6
    assert view.get_transient_storage(X, 0) == b""
    assert not view.is_address_warm(X)
    assert not view.is_storage_warm(X, 0)


def test_what_is_warm_from_the_beginning_stays_so(view: FlatState) -> None:
    checkpoint = view.record()
    view.begin_warm(X, Y)
    view.mark_storage_warm(X, 0)
    view.discard(checkpoint)
    assert view.is_address_warm(X)
    assert view.is_address_warm(Y)
    assert view.transaction_traces() == ((X, Y), {})
    view.lock_changes()
    assert not view.is_address_warm(X)


def test_transient_storage_can_be_cleared_by_itself(view: FlatState) -> None:
    view.set_transient_storage(X, 0, b"\x01")
    view.set_storage(X, 0, 1)
    view.clear_transient_storage()
    assert (view.get_transient_storage(X, 0), view.slot(X, 0)) == (b"", 1)
    view.set_transient_storage(X, 0, b"\x02")
    assert view.get_transient_storage(X, 0) == b"\x02"


def test_traces_of_a_transaction_are_taken_over(view: FlatState) -> None:
    view.mark_address_warm(X)
    view.mark_storage_warm(X, 3)
    view.set_storage(X, 0, 6)
    other = FlatState(Below())
    other.fold(view.effects)
    other.resume(view.transaction_traces(), {})
    assert other.is_address_warm(X)
    assert other.is_storage_warm(X, 3)
    assert not other.is_address_warm(Y)
    assert other.get_storage(X, 0, from_journal=False) == 5
    other.mark_address_warm(Y)
    assert other.is_address_warm(Y)
    other.lock_changes()
    assert view.transaction_traces() == ((X, (X, 3)), {(X, 0): 5})


def test_checkpoints_that_are_gone(view: FlatState) -> None:
    outer = view.record()
    inner = view.record()
    view.commit(outer)
    for checkpoint in (inner, outer):
        with pytest.raises(ValidationError, match="No checkpoint"):
            view.discard(checkpoint)
    last = view.record()
    view.lock_changes()
    with pytest.raises(ValidationError, match="No checkpoint"):
        view.commit(last)


def test_deleting_is_an_effect_of_everything(view: FlatState) -> None:
    view.set_storage(X, 1, 1)
    view.delete_account(X)
    assert view.effects.slots == {X: {}}
    assert view.effects.deltas == {X: -10}
    assert view.effects.cells == {
        (X, EPOCH): 7,
        (X, NONCE): 0,
        (X, CODE): EMPTY_SHA3,
        (X, LIFE): False,
    }
    assert (view.slot(X, 0), view.balance(X), view.exists(X)) == (0, 0, False)


def test_folding_adds_balances_and_replaces_the_rest() -> None:
    lane = FlatState(Below())
    lane.fold(Effects(cells={(X, NONCE): 4}, slots={X: {0: 1, 1: 1}}, deltas={X: 2, Y: 1}))
    lane.fold(Effects(cells={(X, NONCE): 5}, slots={X: {1: 2}}, deltas={X: -5}))
    assert (lane.nonce(X), lane.balance(X), lane.balance(Y)) == (5, 7, 1)
    assert (lane.slot(X, 0), lane.slot(X, 1)) == (1, 2)
    lane.fold(Effects(cells={(X, EPOCH): 3}, slots={X: {2: 9}}))
    assert [lane.slot(X, slot) for slot in range(3)] == [0, 0, 9]
    assert (lane.epoch(X), lane.epoch(Y)) == (3, NO_WIPE)


def test_folding_copies() -> None:
    effects = Effects(slots={X: {0: 1}})
    one, other = FlatState(Below()), FlatState(Below())
    one.fold(effects)
    other.fold(effects)
    one.fold(Effects(slots={X: {0: 2}}))
    assert (one.slot(X, 0), other.slot(X, 0), effects.slots) == (2, 1, {X: {0: 1}})


def test_a_view_has_no_root(view: FlatState) -> None:
    assert view.state_root == BLANK_ROOT_HASH
    assert view.has_root(BLANK_ROOT_HASH) is False
    view.state_root = BLANK_ROOT_HASH
    with pytest.raises(ValidationError, match="no root"):
        view.state_root = keccak(b"")
    for ask, what in ((view.make_state_root, "has no root"), (view.persist, "is not persisted")):
        with pytest.raises(
            NotImplementedError, match=f"^A view of the state {what}; commit its effects first$"
        ):
            ask()


def test_a_balance_that_leaves_the_range_is_refused_in_py_evms_words(view: FlatState) -> None:
    for delta, words in ((-11, "cannot be negative"), (2**256 - 10, "exceeds maximum uint256")):
        with pytest.raises(ValidationError, match=words):
            view.delta_balance(X, delta)
    assert view.balance(X) == 10


@given(st.lists(st.tuples(st.sampled_from([X, Y]), deltas), max_size=5))
def test_a_settled_balance_is_a_delta_that_stays(changes: list[tuple[bytes, int]]) -> None:
    ours, theirs = FlatState(Below(), 7), FlatState(Below(), 7)
    for address, delta in changes:
        checkpoint = ours.record()
        refusals = []
        for add in (ours.settle_balance, theirs.delta_balance):
            try:
                add(address, delta)
            except ValidationError as error:
                refusals.append(error.args)
        assert len(refusals) in (0, 2)
        assert len(set(refusals)) <= 1
        ours.discard(checkpoint)
    assert ours.effects == theirs.effects


class Seven(enum.IntEnum):
    """A number of a type of its own."""

    IT = 7


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("set_storage", (b"\x01" * 19, 0, 1)),
        ("set_code", (b"\x01" * 19, b"")),
        ("delete_storage", (b"\x01" * 19,)),
        ("delete_account", (b"\x01" * 19,)),
        *(("set_storage", (X, 0, value)) for value in (-1, 2**256, True, "1", None)),
        *(("set_storage", (X, slot, 1)) for slot in (-1, 2**256, True, "1", None)),
        *(("set_balance", (X, balance)) for balance in (-1, 2**256, True, "1", None)),
        *(("set_nonce", (X, nonce)) for nonce in (-1, 2**64, True, "1", None)),
        *(("set_code", (X, code)) for code in ("", None, 0)),
    ],
)
def test_what_cannot_be_written_is_refused_in_py_evms_words(
    name: str, arguments: tuple[Any, ...]
) -> None:
    said = []
    for database in (AccountDB(AtomicDB(MemoryDB()), BLANK_ROOT_HASH), FlatState(Below(), 7)):
        with pytest.raises(ValidationError) as refusal:
            getattr(database, name)(*arguments)
        said.append(refusal.value.args)
        assert not isinstance(database, FlatState) or not database.effects.cells
    assert said[0] == said[1]


def test_the_ends_of_numbers_can_be_written(view: FlatState) -> None:
    for value in (0, 2**256 - 1):
        view.set_storage(Y, value, value)
        view.set_balance(Y, value)
        assert view.get_storage(Y, value) == view.get_balance(Y) == value
    for nonce in (0, 2**64 - 1):
        view.set_nonce(Y, nonce)
        assert view.get_nonce(Y) == nonce


def test_numbers_of_other_types_are_written_as_plain_ones(view: FlatState) -> None:
    view.set_storage(X, 0, Seven.IT)
    view.set_nonce(X, Seven.IT)
    assert type(view.effects.slots[X][0]) is int
    assert (view.get_storage(X, 0), view.get_nonce(X)) == (7, 7)


def test_bounds_count_what_was_added(view: FlatState) -> None:
    for delta in (0, 3, -5):
        view.delta_balance(X, delta)
    assert view.get_balance(X) == 8
    assert [view.at_least(X, needed) for needed in (8, 9)] == [True, False]
    assert [view.below(X, limit) for limit in (8, 9)] == [False, True]
    assert [view.below(Y, limit) for limit in (0, 1)] == [False, True]
    upper = FlatState(view)
    upper.delta_balance(X, 2**256 - 9)
    with pytest.raises(ValidationError, match="exceeds maximum uint256"):
        upper.delta_balance(X, 1)
    upper.delta_balance(X, -(2**256 - 1))
    with pytest.raises(ValidationError, match="cannot be negative"):
        upper.delta_balance(X, -1)
    assert (upper.balance(X), view.balance(X)) == (0, 8)


@pytest.mark.parametrize(
    ("write", "empty"),
    [
        (lambda view: None, True),
        (lambda view: view.touch_account(Y), True),
        (lambda view: view.delta_balance(Y, 1), False),
        (lambda view: view.set_balance(Y, 0), True),
        (lambda view: view.set_nonce(Y, 1), False),
        (lambda view: view.set_code(Y, b"\x00"), False),
        (lambda view: view.set_code(Y, b""), True),
        (lambda view: view.set_storage(Y, 0, 1), True),
    ],
    ids=["nothing", "touch", "credit", "no balance", "nonce", "code", "no code", "storage"],
)
def test_emptiness(view: FlatState, write: Any, empty: bool) -> None:
    write(view)
    assert view.account_is_empty(Y) is empty
    assert view.account_has_code_or_nonce(Y) is (view.get_nonce(Y) != 0 or view.get_code(Y) != b"")


def test_an_account_that_spent_everything_may_be_empty(view: FlatState) -> None:
    view.set_nonce(X, 0)
    assert not view.account_is_empty(X)
    view.delta_balance(X, -9)
    assert not view.account_is_empty(X)
    view.delta_balance(X, -1)
    assert view.account_is_empty(X)
    assert not view.account_has_code_or_nonce(X)


def test_code_is_deleted_and_its_account_stays(view: FlatState) -> None:
    view.set_code(Y, b"\x00")
    assert (view.get_code(Y), view.get_code_hash(Y)) == (b"\x00", keccak(b"\x00"))
    view.delete_code(Y)
    assert (view.get_code(Y), view.get_code_hash(Y)) == (b"", EMPTY_SHA3)
    assert view.account_exists(Y) is True


def test_a_root_can_be_changed_back_and_forth() -> None:
    state = merkle_state_class(TrieSources())(AtomicDB(MemoryDB()))
    roots = []
    for balance in (1, 3):
        state.set_balance(X, balance)
        state.set_storage(X, 0, balance + 1)
        state.persist()
        roots.append(state.state_root)
    for balance, root in [(1, roots[0]), (3, roots[1]), (1, roots[0])]:
        state.state_root = root
        assert (state.get_balance(X), state.get_storage(X, 0)) == (balance, balance + 1)


slots, words, addresses = (
    st.integers(0, 2),
    st.integers(0, 3),
    st.sampled_from([X, Y, b"\x03" * 20]),
)
writes = st.one_of(
    st.tuples(st.just("set_storage"), addresses, slots, words),
    st.tuples(st.just("delta_balance"), addresses, st.integers(-2, 12)),
    st.tuples(st.just("settle_balance"), addresses, st.integers(0, 12)),
    st.tuples(st.just("set_balance"), addresses, st.integers(0, 12)),
    st.tuples(st.just("charge"), addresses, st.just(0), st.integers(0, 3)),
    st.tuples(st.just("set_nonce"), addresses, st.integers(0, 3)),
    st.tuples(st.just("set_code"), addresses, st.sampled_from([b"", b"\x00"])),
    st.tuples(
        st.sampled_from(
            ["touch_account", "forget_touch", "delete_account", "delete_storage", "delete_code"]
        ),
        addresses,
    ),
    st.tuples(st.sampled_from(["record", "discard"])),
)


def _write(state: FlatState, changes: list[tuple[Any, ...]]) -> None:
    checkpoints: list[Any] = []
    for name, *arguments in changes:
        if name == "record":
            checkpoints.append(state.record())
        elif name == "discard":
            if checkpoints:
                state.discard(checkpoints.pop())
        else:
            with contextlib.suppress(ValidationError):
                getattr(state, name)(*arguments)


@given(
    st.lists(writes, max_size=8),
    st.lists(writes, max_size=8),
    st.lists(writes, max_size=12),
    st.lists(writes, max_size=8),
)
def test_what_is_undone_has_never_been(
    genesis: list[Any], before: list[Any], undone: list[Any], after: list[Any]
) -> None:
    """A block that goes on after a transaction was undone is one in which it never ran."""
    database = AtomicDB(MemoryDB())
    merkle = merkle_state_class(TrieSources())
    first = merkle(database)
    _write(first, genesis)
    first.persist()
    roots = []
    for between in ([], undone):
        state = merkle(database, first.state_root)
        state.index = 1
        _write(state, before)
        state.lock_changes()
        held = deepcopy(state.effects)
        _write(state, between)
        state.undo_all()
        assert (state.effects.cells, state.effects.deltas) == (held.cells, held.deltas)
        assert _written(state.effects) == _written(held)
        state.lock_changes()
        _write(state, after)
        roots.append(state.make_state_root())
    assert roots[0] == roots[1]


@pytest.fixture
def state() -> MerkleState:
    return merkle_state_class(TrieSources())(AtomicDB(MemoryDB()))


def test_a_touch_that_is_forgotten_comes_back_when_all_is_undone(state: MerkleState) -> None:
    state.delta_balance(Y, 0)
    state.lock_changes()
    held = deepcopy(state.effects)
    assert state.forget_touch(Y)
    assert not state.account_exists(Y)
    state.undo_all()
    assert state.effects == held
    assert state.effects.deltas == {Y: 0}


def test_storage_that_no_revert_brings_back_is_there_when_all_is_undone(state: MerkleState) -> None:
    state.set_storage(X, 0, 1)
    state.make_state_root()
    for _ in range(2):  # the second time, nothing is left of the first
        state.lock_changes()
        checkpoint = state.record()
        state.delete_storage(X)
        state.discard(checkpoint)
        assert state.get_storage(X, 0) == 0
        state.undo_all()
        assert state.get_storage(X, 0) == 1
        assert state.effects == Effects()
    state.lock_changes()
    state.delete_storage(X)
    state.lock_changes()  # that transaction is done
    state.undo_all()
    assert state.get_storage(X, 0) == 0


def test_there_is_no_going_back_into_what_was_undone(state: MerkleState) -> None:
    state.lock_changes()
    checkpoint = state.record()
    state.undo_all()
    with pytest.raises(ValidationError, match="No checkpoint"):
        state.discard(checkpoint)


def test_tries_made_of_what_is_undone_are_made_again(state: MerkleState) -> None:
    state.set_nonce(X, 1)
    state.lock_changes()
    state.set_storage(X, 0, 1)
    state.make_storage_roots()
    state.undo_all()
    state.set_storage(X, 1, 1)
    other = merkle_state_class(TrieSources())(AtomicDB(MemoryDB()))
    other.set_nonce(X, 1)
    other.set_storage(X, 1, 1)
    assert state.make_state_root() == other.make_state_root()


def test_reads_are_noted_for_one_witness(state: MerkleState) -> None:
    state.set_storage(X, 0, 1)
    assert not state.persist().accounts_queried
    state.note_reads()
    assert (state.slot(X, 0), state.nonce(Y)) == (1, 0)
    state.set_storage(X, 1, 1)
    state.make_state_root()
    assert state.slot(X, 1) == 1
    witness = state.persist()
    assert (witness.accounts_queried, witness.get_slots_queried(X)) == ({X, Y}, {0, 1})
    assert state.source is state.tries
    state.set_storage(X, 2, 1)
    state.make_state_root()
    assert (state.slot(X, 2), state.nonce(Y)) == (1, 0)
    assert not state.persist().accounts_queried


def _written(effects: Effects) -> dict[bytes, dict[int, int]]:
    return {address: held for address, held in effects.slots.items() if held}
