"""Senders are recovered as py-evm does; ancestors are fetched as far as somebody looks.

And a transaction is run linearly as long as that works, and with numbers when it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from eth.constants import SECPK1_N
from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_evm.speculation.executor import Irregular
from parallel_evm.speculation.rules import speculative_state
from parallel_evm.speculation.run import (
    ANCESTORS_AT_ONCE,
    Speculator,
    ancestors,
    recover_sender,
    remember_sender,
)
from parallel_evm.state.flat import FlatState
from parallel_evm.state.linear import Linear
from parallel_evm.state.source import Account, AccountSource
from parallel_evm.translator import NotRecorded
from parallel_evm.workloads.forks import fork, since
from tests.strategies import GHOST, SENDERS, Act, Delegation, Pen, cold, open_chain, state_of

RULES = fork("prague")
CHAIN = open_chain(RULES.chain_class, state_of("prague"))


def signed(**act: Any) -> Any:
    return Pen(RULES, CHAIN).sign(Act(0, GHOST, **act))


def by_py_evm(transaction: Any) -> bytes | None:
    """The sender, if py-evm finds one and the signature is good."""
    (copy,) = cold(CHAIN, [transaction])
    try:
        copy.check_signature_validity()
        return bytes(copy.sender)
    except Exception:
        return None


@pytest.mark.parametrize("type_id", range(5))
def test_senders_of_every_type(type_id: int) -> None:
    transaction = signed(
        type_id=type_id, blobs=1, delegations=(Delegation(1, GHOST),), data=b"\x01", value=1
    )
    assert recover_sender(transaction) == SENDERS[0] == by_py_evm(transaction)
    # It is remembered where py-evm looks for it, and not looked for again.
    assert transaction.sender == SENDERS[0]
    transaction.check_signature_validity()


@pytest.mark.parametrize("name", since("spurious-dragon"))
def test_senders_under_every_fork(name: str) -> None:
    rules = fork(name)
    builder: Any = rules.vm_class.get_transaction_builder()
    unsigned = builder.create_unsigned_transaction(
        nonce=0, gas_price=1, gas=21_000, to=GHOST, value=0, data=b""
    )
    from tests.strategies import KEYS

    for chain_id in (None, 1, 1337, 0):
        transaction = builder.decode(
            unsigned.as_signed_transaction(KEYS[2], chain_id=chain_id).encode()
        )
        assert recover_sender(transaction) == by_py_evm(transaction)


numbers = st.one_of(
    st.sampled_from([0, 1, -1, SECPK1_N - 1, SECPK1_N, SECPK1_N // 2 + 1, 2**256 - 1, 2**256]),
    st.integers(0, 2**256 - 1),
)


@settings(max_examples=60, deadline=None)
@given(numbers, numbers, st.integers(-2, 40), st.sampled_from([0, 1, 2, 4]), st.data())
def test_nonsense_is_no_signature_for_both(
    r: int, s: int, v: int, type_id: int, data: st.DataObject
) -> None:
    transaction = signed(type_id=type_id, delegations=(Delegation(1, GHOST),))
    good = getattr(transaction, "_inner", transaction)
    changes = {
        "r": data.draw(st.sampled_from([r, good.r])),
        "s": data.draw(st.sampled_from([s, good.s])),
        ("y_parity" if type_id else "v"): v,
    }
    changed = good.copy(**changes)
    if type_id:
        changed = type(transaction)(transaction.type_id, changed)
    expected = by_py_evm(changed)
    found = recover_sender(changed)
    assert found == expected or (expected is None and found is not None and not _is_valid(changed))


def _is_valid(transaction: Any) -> bool:
    try:
        transaction.validate()
    except Exception:
        return False
    return True


def test_a_sender_that_is_known_is_not_recovered_again() -> None:
    transaction = signed()
    transaction.__dict__["sender"] = SENDERS[5]
    assert recover_sender(transaction) == SENDERS[5]


def test_a_sender_is_put_into_wrapper_and_content() -> None:
    transaction = signed(type_id=2)
    remember_sender(transaction, SENDERS[5])
    assert transaction.sender == transaction._inner.sender == SENDERS[5]


def test_transactions_of_somebody_elses_class_are_left_alone() -> None:
    class Foreign:
        pass

    foreign = Foreign()
    remember_sender(foreign, SENDERS[0])
    assert vars(foreign) == {}


@given(st.integers(0, 3 * ANCESTORS_AT_ONCE), st.integers(0, 3 * ANCESTORS_AT_ONCE))
def test_ancestors_come_in_batches_and_end_where_the_chain_does(length: int, wanted: int) -> None:
    chain = [number.to_bytes(32, "big") for number in range(length)]
    asked: list[tuple[int, int]] = []

    def fetch(depth: int, count: int) -> list[bytes]:
        asked.append((depth, count))
        return chain[depth : depth + count]

    assert list(islice(ancestors(fetch), wanted)) == chain[:wanted]
    assert len(asked) <= wanted // ANCESTORS_AT_ONCE + 1


#
# Linear runs
#
X: Any = b"\xaa" * 20
SLOT = 7
HOT = {(X, SLOT): False}

Attempt = Callable[[Any], Any]


class Fives(AccountSource):
    """Nobody has anything, and every slot holds five."""

    def account(self, address: bytes) -> Account | None:
        return None

    def slot(self, address: bytes, slot: int) -> int:
        return 5


class Scripted(Speculator):
    """A transaction is a list of what its attempts do to the state, one after the other."""

    def __init__(self, last: int = 9) -> None:
        vm = CHAIN.get_vm()
        rules = speculative_state(vm.get_state_class(), translate=False, direct=True)
        super().__init__(rules, vm.state.execution_context, FlatState(Fives()), last)

    def _directly(self, transaction: Any) -> Any:
        return transaction.pop(0)(self._state._account_db)


def increment(kind: type) -> Attempt:
    def attempt(view: Any) -> str:
        value = view.load(X, SLOT)
        assert type(value) is kind
        view.set_storage(X, SLOT, value + 4)
        return "done"

    return attempt


def half_way(error: Exception) -> Attempt:
    def attempt(view: Any) -> None:
        increment(Linear)(view)
        view.set_nonce(X, 1)
        raise error

    return attempt


def test_what_runs_linearly_observes_an_interval() -> None:
    speculator, attempts = Scripted(), [increment(Linear)]
    result = speculator.run(0, attempts, HOT)
    assert (result.outcome, result.traces) == ("done", None)
    assert result.observations.ranges == {X: {SLOT: (0, 2**256 - 5)}}
    assert result.observations.slots == {}
    assert result.effects.increments == {X: {SLOT: 4}}
    assert speculator.lane.slot(X, SLOT) == 9


def test_without_hot_slots_it_runs_with_numbers() -> None:
    for hot in (None, {}):
        result = Scripted().run(0, [increment(int)], hot)
        assert result.observations.slots == {X: {SLOT: 5}}


def replace(view: Any) -> str:
    assert view.load(X, SLOT) < 6
    view.set_storage(X, SLOT, 8)
    return "done"


def test_only_the_last_transaction_observes_for_the_sake_of_its_traces() -> None:
    between = Scripted(last=3).run(2, [replace], HOT)
    assert (between.traces, between.observations.slots) == (None, {})
    last = Scripted(last=3).run(3, [replace], HOT)
    assert (last.traces, last.observations.slots) == (((), {(X, SLOT): 5}), {X: {SLOT: 5}})
    last = Scripted(last=3).run(3, [increment(Linear)], HOT)
    assert (last.traces, last.observations.slots) == (((), {(X, SLOT): None}), {})


def numbers_only(result: Any, speculator: Speculator) -> None:
    assert result.outcome == "done"
    assert result.observations.slots == {X: {SLOT: 5}}
    assert result.observations.ranges == result.effects.increments == result.effects.cells == {}
    assert speculator.lane.slot(X, SLOT) == 9


@pytest.mark.parametrize("error", [TypeError("no number"), ZeroDivisionError(), Irregular()])
def test_a_use_that_nobody_foresaw_makes_it_run_with_numbers(error: Exception) -> None:
    speculator, attempts = Scripted(), [half_way(error), increment(int)]
    numbers_only(speculator.run(0, attempts, HOT), speculator)
    assert attempts == []


def test_what_the_translator_has_to_see_is_rehearsed_with_numbers() -> None:
    rehearsal = [half_way(NotRecorded()), increment(int)]
    speculator, attempts = Scripted(), [*rehearsal * 3, increment(Linear)]
    result = speculator.run(0, attempts, HOT)
    assert result.effects.increments == {X: {SLOT: 4}}
    assert result.effects.cells == {}
    assert (attempts, speculator.lane.slot(X, SLOT)) == ([], 9)


def test_rehearsals_end() -> None:
    rehearsal = [half_way(NotRecorded()), increment(int)]
    speculator, attempts = Scripted(), [*rehearsal * 4, increment(int)]
    numbers_only(speculator.run(0, attempts, HOT), speculator)
    assert attempts == []
