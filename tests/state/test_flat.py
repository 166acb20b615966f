"""What a `FlatState` is beside an account database: effects, folding, a view without a root."""

from __future__ import annotations

import pytest
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth_utils import ValidationError

from parallel_evm.hashing import keccak
from parallel_evm.merkle.account_db import merkle_state_class
from parallel_evm.merkle.source import TrieSources
from parallel_evm.state.flat import Effects, FlatState
from parallel_evm.state.keys import CODE, EPOCH, LIFE, NO_WIPE, NONCE
from parallel_evm.state.source import Account, AccountSource

X, Y = b"\x01" * 20, b"\x02" * 20


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
    assert not view.has_root(BLANK_ROOT_HASH)
    view.state_root = BLANK_ROOT_HASH
    with pytest.raises(ValidationError, match="no root"):
        view.state_root = keccak(b"")
    for ask in (view.make_state_root, view.persist):
        with pytest.raises(NotImplementedError, match="commit its effects first"):
            ask()


def test_a_balance_that_leaves_the_range_is_refused_in_py_evms_words(view: FlatState) -> None:
    for delta, words in ((-11, "cannot be negative"), (2**256 - 10, "exceeds maximum uint256")):
        with pytest.raises(ValidationError, match=words):
            view.delta_balance(X, delta)
    assert view.balance(X) == 10


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
