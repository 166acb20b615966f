"""Cached state: what was loaded stays, moves on with the chain, and can be forgotten any time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from eth.constants import EMPTY_SHA3
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.state.base import CachedSource, Changes
from parallel_evm.state.keys import BALANCE, NO_WIPE
from parallel_evm.state.replica import ACCOUNT, CODE, SLOT, Replica, Want, answer, told_of
from parallel_evm.state.source import Account
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    Act,
    Pen,
    account,
    assemble,
    drawn,
    mine,
    open_chain,
    parallel,
    state_of,
)

X, Y, Z = b"\x01" * 20, b"\x02" * 20, b"\x03" * 20
HASH = b"hash".rjust(32)


class Ledger(CachedSource):
    """Loads from dictionaries that tests change, and counts."""

    def __init__(self, capacity: int = 1_000) -> None:
        super().__init__(capacity)
        self.accounts: dict[bytes, Account] = {
            X: Account(1, 10, EMPTY_SHA3),
            Z: Account(1, 0, HASH),
        }
        self.slots: dict[tuple[bytes, int], int] = {(X, 0): 5}
        self.loaded: list[Any] = []

    def load_account(self, address: bytes) -> Account | None:
        self.loaded.append(address)
        return self.accounts.get(address)

    def load_slot(self, address: bytes, slot: int) -> int:
        self.loaded.append((address, slot))
        return self.slots.get((address, slot), 0)

    def load_code(self, code_hash: bytes) -> bytes:
        self.loaded.append(code_hash)
        return b"code of " + code_hash


def test_everything_is_loaded_once_what_is_not_there_too() -> None:
    ledger = Ledger()
    for _ in range(2):
        assert ledger.balance(X) == 10
        assert ledger.nonce(X) == 1
        assert ledger.exists(X)
        assert not ledger.exists(Y)
        assert ledger.balance(Y) == ledger.nonce(Y) == 0
        assert ledger.code_hash(Y) == EMPTY_SHA3
        assert ledger.slot(X, 0) == 5
        assert ledger.slot(X, 1) == ledger.slot(Y, 0) == 0
        assert ledger.code(b"hash") == b"code of hash"
        assert ledger.epoch(X) == NO_WIPE
        assert ledger.at_least(X, 10)
        assert not ledger.at_least(X, 11)
        assert ledger.below(X, 11)
        assert not ledger.below(X, 10)
    assert ledger.loaded == [X, Y, (X, 0), (X, 1), (Y, 0), b"hash"]


def test_it_moves_on_with_the_chain() -> None:
    ledger = Ledger()
    assert (ledger.balance(X), ledger.slot(X, 0), ledger.slot(X, 1)) == (10, 5, 0)
    ledger.advance(Changes({X: Account(2, 3, EMPTY_SHA3), Y: None}, {X: {1: 7}, Y: {0: 1}}))
    assert (ledger.balance(X), ledger.nonce(X)) == (3, 2)
    assert not ledger.exists(Y)
    assert (ledger.slot(X, 0), ledger.slot(X, 1), ledger.slot(Y, 0)) == (5, 7, 1)
    assert ledger.loaded == [X, (X, 0), (X, 1)]


def test_what_was_written_after_a_wipe_stays_and_what_was_before_goes() -> None:
    ledger = Ledger()
    assert ledger.slot(X, 0) == 5
    ledger.slots.clear()
    ledger.advance(Changes({}, {X: {1: 7}}, frozenset({X})))
    assert (ledger.slot(X, 0), ledger.slot(X, 1)) == (0, 7)


def test_changes_are_copied() -> None:
    ledger = Ledger()
    written = {0: 1}
    ledger.advance(Changes({}, {Y: written}))
    written[0] = 2
    ledger.advance(Changes({}, {Y: {1: 1}}))
    assert (ledger.slot(Y, 0), written) == (1, {0: 2})


def test_it_is_dropped_when_it_outgrows_its_bound() -> None:
    ledger = Ledger(capacity=3)
    for slot in range(5):
        ledger.slot(X, slot)
    ledger.loaded.clear()
    ledger.slot(X, 4)
    assert ledger.loaded == []
    ledger.advance(Changes())
    ledger.slot(X, 4)
    assert ledger.loaded == [(X, 4)]


@drawn(50)
@given(st.lists(st.tuples(st.sampled_from([X, Y, Z]), st.integers(BALANCE, 3)), max_size=20))
def test_a_replica_answers_as_the_coordinator_would(keys: list[tuple[bytes, int]]) -> None:
    """What it was told of, and what it has to ask for."""
    ledger = Ledger()
    asked: list[Want] = []

    def fetch(wants: Sequence[Want]) -> Sequence[Any]:
        asked.extend(wants)
        return answer(ledger, wants)

    replica = Replica(fetch)
    accounts, slots, codes = told_of(ledger, keys, set)
    replica.learn(accounts, slots, {name: code for name, code in codes.items() if code})
    told_addresses = {address for address, field in keys if field < 0}
    for address, field in keys:
        if field < 0:
            assert replica.account(address) == ledger.account(address)
            assert address != Z or replica.code(HASH) == ledger.code(HASH)
        else:
            assert replica.slot(address, field) == ledger.slot(address, field)
    assert asked == []
    for address in (X, Y, Z):
        assert replica.account(address) == ledger.account(address)
        assert address != Z or replica.code(HASH) == ledger.code(HASH)
    assert {want[0] for want in asked} <= {ACCOUNT, CODE}
    assert [want[1] for want in asked if want[0] == ACCOUNT] == [
        address for address in (X, Y, Z) if address not in told_addresses
    ]


def test_a_replica_loads_by_itself_what_nobody_told_it() -> None:
    ledger = Ledger()
    asked: list[Sequence[Want]] = []

    def fetch(wants: Sequence[Want]) -> Sequence[Any]:
        asked.append(wants)
        return answer(ledger, wants)

    replica = Replica(fetch)
    for _ in range(2):
        assert (replica.slot(X, 0), replica.slot(Y, 0)) == (5, 0)
        assert (replica.balance(X), replica.exists(Y)) == (10, False)
    assert [want for (want,) in asked] == [(SLOT, X, 0), (SLOT, Y, 0), (ACCOUNT, X), (ACCOUNT, Y)]


def test_bytecode_is_not_told_twice() -> None:
    told: list[set[bytes]] = []

    def new_codes(hashes: Iterable[bytes]) -> set[bytes]:
        told.append(set(hashes))
        return set()

    ledger = Ledger()
    assert told_of(ledger, [(Z, BALANCE), (X, BALANCE)], new_codes)[2] == {HASH: None}
    assert told == [{HASH}]


def test_what_the_state_lacks_is_not_told() -> None:
    """Of one key no other, and no bytecode that somebody may have from elsewhere."""

    class Partial(Ledger):
        def load_code(self, code_hash: bytes) -> bytes:
            raise KeyError(code_hash)

        def load_slot(self, address: bytes, slot: int) -> int:
            if slot == 1:
                raise KeyError(slot)
            return super().load_slot(address, slot)

    accounts, slots, codes = told_of(
        Partial(), [(X, 0), (Z, BALANCE), (X, 1), (X, 2), (Y, BALANCE)], set
    )
    assert accounts == {Z: (1, 0, HASH), Y: None}
    assert slots == {X: {0: 5, 2: 0}}
    assert codes == {}


def test_what_is_told_counts_towards_a_replicas_bound() -> None:
    replica = Replica(lambda wants: [7] * len(wants), capacity=3)
    replica.learn({X: None}, {X: {0: 5, 1: 6}}, {HASH: b"code"})
    assert replica.slot(X, 0) == 5
    replica.advance(Changes())
    assert replica.slot(X, 0) == 7


@pytest.mark.parametrize("backend", ["serial", "thread", "process"])
def test_chains_outlive_their_caches(backend: str) -> None:
    """A cache that is dropped with every block changes nothing: storage is read again."""
    rules = fork("shanghai")
    reader = assemble(0, "SLOAD", 0, "MSTORE", 32, 0, "LOG0")
    writer = assemble(1, 1, "SLOAD", "ADD", 1, "SSTORE")
    state = {
        **state_of("shanghai"),
        X: account(0, 1, reader, {0: 5}),
        Y: account(0, 1, writer, {0: 6, 1: 7}),
    }
    stock = open_chain(rules.chain_class, state)
    chain_class = parallel(rules.chain_class, [], backend=backend)
    ours = open_chain(chain_class, state)
    sources = chain_class.vm_configuration[0][1].parallel_engine.sources
    for _ in range(4):
        for source in sources._newest.values():
            source._room = -1
        pen = Pen(rules, stock)
        # The reader's balance changes and its storage does not.
        transactions = [pen.sign(Act(n, X if n % 2 else Y, value=n)) for n in range(6)]
        assert mine(ours, transactions) == mine(stock, transactions)
