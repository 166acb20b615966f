"""The account database as a state machine, with py-evm's own `AccountDB` as the model.

Two machines: `MerkleState` used as py-evm's VMs use it, and the stack of views on which
transactions speculate (a `FlatState` over a `Recorder` over a lane, folded into a `MerkleState`
when the transaction ends). Whatever is asked, both answer what py-evm answers; roots are equal
whenever they are made; and what is persisted can be read by a stock `AccountDB`.

Two things are not asked for, as no block does them: py-evm refuses to roll back two wipes of one
account at once ("changed the clear count in an invalid way"); and whether a ``delete_storage`` can
be rolled back depends there on whether that storage was ever looked at, which only its own code
could have done.
"""

from __future__ import annotations

from typing import Any

import pytest
from eth.constants import BLANK_ROOT_HASH, UINT_256_MAX
from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth_utils import ValidationError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from parallel_evm.merkle.account_db import MerkleState, merkle_state_class
from parallel_evm.merkle.source import TrieSources
from parallel_evm.state.flat import FlatState
from parallel_evm.state.recorder import Recorder

ADDRESSES = [bytes([number]) * 20 for number in (1, 2, 3)] + [bytes(19) + b"\x03"]
SLOTS = [0, 1, 2, 255, UINT_256_MAX]

addresses = st.sampled_from(ADDRESSES)
slots = st.sampled_from(SLOTS)
words = st.sampled_from([0, 0, 1, 2, 127, 128, UINT_256_MAX])
balances = st.sampled_from([0, 0, 1, 10, 10**18, UINT_256_MAX])
nonces = st.sampled_from([0, 1, 7, 2**64 - 1])
codes = st.sampled_from([b"", b"\x00", b"\x60\x00" * 20, b"\xef\x01\x00" + b"\x01" * 20])


class Direct:
    """A `MerkleState`, as a VM's state holds it."""

    def __init__(self, db: AtomicDB, root: bytes, merkle: type[MerkleState]) -> None:
        self.db = self.base = merkle(db, root)

    def lock_changes(self) -> None:
        self.db.lock_changes()

    def settle(self) -> MerkleState:
        """The state with everything in it that was written."""
        return self.base


class Stacked:
    """A `MerkleState` that is written as speculation writes it: view by view, lane by lane.

    Every transaction runs on a view of the lane; what it wrote goes to the lane and, as what the
    judge accepts does, to the committed state.
    """

    def __init__(self, db: AtomicDB, root: bytes, merkle: type[MerkleState]) -> None:
        self.base = merkle(db, root)
        self.transactions = 0
        self._open_lane()

    def _open_lane(self) -> None:
        self.lane = FlatState(self.base.source)
        self._open_view()

    def _open_view(self) -> None:
        self.db = FlatState(Recorder(self.lane), self.transactions)
        self.transactions += 1

    def lock_changes(self) -> None:
        effects = self.db.effects
        self.lane.fold(effects)
        self.base.fold(effects)
        self._open_view()

    def settle(self) -> MerkleState:
        self.lock_changes()
        return self.base


class AccountDatabaseMachine(RuleBasedStateMachine):
    """Operations of `AccountDatabaseAPI` in any order that a VM could bring about."""

    subject_class: type = Direct

    @initialize(
        accounts=st.dictionaries(
            addresses,
            st.tuples(balances, nonces, codes, st.dictionaries(slots, words, max_size=4)),
            max_size=4,
        )
    )
    def genesis(self, accounts: dict[bytes, Any]) -> None:
        store = MemoryDB()
        before = AccountDB(AtomicDB(store), BLANK_ROOT_HASH)
        for address, (balance, nonce, code, storage) in accounts.items():
            before.set_balance(address, balance)
            before.set_nonce(address, nonce)
            before.set_code(address, code)
            for slot, value in storage.items():
                before.set_storage(address, slot, value)
        before.persist()
        self.model_db = AtomicDB(MemoryDB(dict(store.kv_store)))
        self.subject_db = AtomicDB(MemoryDB(dict(store.kv_store)))
        self.merkle = merkle_state_class(TrieSources())
        self.checkpoints: list[tuple[Any, Any, set[bytes]]] = []
        self.wiped: set[bytes] = set()
        self.open(before.state_root)

    def open(self, root: bytes) -> None:
        self.touched: set[bytes] = set()
        self.model = AccountDB(self.model_db, root)
        self.subject = self.subject_class(self.subject_db, root, self.merkle)

    def both(self, name: str, *arguments: Any) -> None:
        """Call a method of both; they return the same, or refuse with the same words."""
        outcomes = []
        for database in (self.model, self.subject.db):
            try:
                outcomes.append(("returned", getattr(database, name)(*arguments)))
            except ValidationError as error:
                outcomes.append(("refused", str(error)))
        assert outcomes[0] == outcomes[1], (name, arguments)

    #
    # Reading
    #
    @rule(address=addresses, slot=slots)
    def read_storage(self, address: bytes, slot: int) -> None:
        self.touched.add(address)
        self.both("get_storage", address, slot)

    @rule(address=addresses, slot=slots)
    def read_original_storage(self, address: bytes, slot: int) -> None:
        self.touched.add(address)
        if address not in self.wiped:  # py-evm's answer depends there on when it was written
            self.both("get_storage", address, slot, False)

    @rule(address=addresses)
    def read_account(self, address: bytes) -> None:
        for name in ("get_balance", "get_nonce", "get_code", "get_code_hash"):
            self.both(name, address)

    @rule(address=addresses)
    def ask_about_life(self, address: bytes) -> None:
        for name in ("account_exists", "account_is_empty", "account_has_code_or_nonce"):
            self.both(name, address)

    #
    # Writing
    #
    @rule(address=addresses, slot=slots, value=words)
    def write_storage(self, address: bytes, slot: int, value: int) -> None:
        self.touched.add(address)
        self.both("set_storage", address, slot, value)

    @rule(address=addresses, balance=balances)
    def write_balance(self, address: bytes, balance: int) -> None:
        self.both("set_balance", address, balance)

    @rule(address=addresses, delta=st.sampled_from([0, 1, -1, 10, -10, 10**18, UINT_256_MAX]))
    def add_to_balance(self, address: bytes, delta: int) -> None:
        outcomes = []
        for act in (
            lambda: self.model.set_balance(address, self.model.get_balance(address) + delta),
            lambda: self.subject.db.delta_balance(address, delta),
        ):
            try:
                outcomes.append(act())
            except ValidationError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]

    @rule(address=addresses, nonce=nonces)
    def write_nonce(self, address: bytes, nonce: int) -> None:
        self.both("set_nonce", address, nonce)

    @rule(address=addresses)
    def increment_nonce(self, address: bytes) -> None:
        self.both("increment_nonce", address)

    @rule(address=addresses, code=codes)
    def write_code(self, address: bytes, code: bytes) -> None:
        self.both("set_code", address, code)

    @rule(address=addresses)
    def delete_code(self, address: bytes) -> None:
        self.both("delete_code", address)

    @rule(address=addresses)
    def touch(self, address: bytes) -> None:
        self.both("touch_account", address)

    @rule(address=addresses, name=st.sampled_from(["delete_account", "delete_storage"]))
    def wipe(self, address: bytes, name: str) -> None:
        if any(address in wiped for *_, wiped in self.checkpoints):
            return
        if address in self.touched:
            self.both("set_storage", address, 0, self.model.get_storage(address, 0))
        self.touched.add(address)
        self.both(name, address)
        self.wiped.add(address)
        if self.checkpoints:
            self.checkpoints[-1][2].add(address)

    @rule(
        arguments=st.sampled_from(
            [
                ("set_storage", ADDRESSES[0], 0, -1),
                ("set_storage", ADDRESSES[0], 0, UINT_256_MAX + 1),
                ("set_storage", ADDRESSES[0], -1, 1),
                ("set_storage", b"\x01" * 19, 0, 1),
                ("set_balance", ADDRESSES[0], -1),
                ("set_balance", ADDRESSES[0], UINT_256_MAX + 1),
                ("set_nonce", ADDRESSES[0], -1),
                ("set_nonce", ADDRESSES[0], 2**64),
                ("set_code", ADDRESSES[0], "no bytes"),
                ("delete_account", b"\x01" * 19),
                ("delete_storage", b"\x01" * 21),
            ]
        )
    )
    def write_nonsense(self, arguments: tuple[Any, ...]) -> None:
        self.both(*arguments)

    #
    # EIP-2929
    #
    @rule(address=addresses, slot=slots)
    def warm(self, address: bytes, slot: int) -> None:
        self.both("is_address_warm", address)
        self.both("mark_address_warm", address)
        self.both("is_storage_warm", address, slot)
        self.both("mark_storage_warm", address, slot)
        self.both("is_storage_warm", address, slot)

    @rule(address=addresses, slot=slots)
    def ask_whether_warm(self, address: bytes, slot: int) -> None:
        self.both("is_address_warm", address)
        self.both("is_storage_warm", address, slot)

    #
    # Checkpoints
    #
    @rule()
    def record(self) -> None:
        self.checkpoints.append((self.model.record(), self.subject.db.record(), set()))

    @precondition(lambda self: self.checkpoints)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        position = data.draw(st.integers(0, len(self.checkpoints) - 1))
        ours, theirs, _ = self.checkpoints[position]
        self.model.discard(ours)
        self.subject.db.discard(theirs)
        del self.checkpoints[position:]

    @precondition(lambda self: self.checkpoints)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        position = data.draw(st.integers(0, len(self.checkpoints) - 1))
        ours, theirs, _ = self.checkpoints[position]
        self.model.commit(ours)
        self.subject.db.commit(theirs)
        wiped = set().union(*(wiped for *_, wiped in self.checkpoints[position:]))
        del self.checkpoints[position:]
        if self.checkpoints:
            self.checkpoints[-1][2].update(wiped)

    @rule()
    def lock_changes(self) -> None:
        """A transaction starts. No checkpoint is open then."""
        self.checkpoints.clear()
        self.wiped.clear()
        self.model.lock_changes()
        self.subject.lock_changes()

    #
    # Roots
    #
    @rule()
    def make_state_root(self) -> None:
        self.lock_changes()
        root = self.model.make_state_root()
        state = self.subject.settle()
        state.make_storage_roots()
        assert state.make_state_root() == root
        assert state.state_root == root
        if isinstance(self.subject, Stacked):
            self.subject._open_lane()

    @rule(reopen=st.booleans(), forgetful=st.booleans())
    def persist(self, reopen: bool, forgetful: bool) -> None:
        self.lock_changes()
        self.model.persist()
        state = self.subject.settle()
        state.persist()
        root = self.model.state_root
        assert state.state_root == root
        assert state.has_root(root) == self.model.has_root(root)
        self.everything_equals(AccountDB(self.subject_db, root))
        if forgetful:
            self.merkle = merkle_state_class(TrieSources())
        if reopen or forgetful:
            self.open(root)
        elif isinstance(self.subject, Stacked):
            self.subject._open_lane()

    def everything_equals(self, other: Any) -> None:
        self.touched.update(ADDRESSES)
        for address in ADDRESSES:
            for name in ("get_balance", "get_nonce", "get_code", "account_exists"):
                assert getattr(self.model, name)(address) == getattr(other, name)(address)
            for slot in SLOTS:
                assert self.model.get_storage(address, slot) == other.get_storage(address, slot)

    @invariant()
    def reads_are_right(self) -> None:
        if getattr(self, "subject", None) is not None:
            address = ADDRESSES[0]
            assert self.model.account_exists(address) == self.subject.db.account_exists(address)

    def teardown(self) -> None:
        if getattr(self, "subject", None) is not None:
            self.everything_equals(self.subject.db)
            self.persist(reopen=True, forgetful=False)


class SpeculationMachine(AccountDatabaseMachine):
    subject_class = Stacked


def run(machine: type, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("machine", [AccountDatabaseMachine, SpeculationMachine])
def test_answers_as_py_evms_account_database(machine: type) -> None:
    run(machine, examples=25, steps=40)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [AccountDatabaseMachine, SpeculationMachine])
def test_answers_as_py_evms_account_database_at_length(machine: type) -> None:
    run(machine, examples=300, steps=80)
