"""Senders are recovered as py-evm does, for every type of transaction, and remembered."""

from __future__ import annotations

from typing import Any

import pytest
from eth.constants import SECPK1_N
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.forks import since
from parallel_evm.speculation.senders import recover_encoded, recover_sender, remember_sender
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    GHOST,
    KEYS,
    SENDERS,
    Act,
    Delegation,
    Pen,
    cold,
    drawn,
    open_chain,
    state_of,
)

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
    for chain_id in (None, 1, 1337, 0):
        transaction = builder.decode(
            unsigned.as_signed_transaction(KEYS[2], chain_id=chain_id).encode()
        )
        assert recover_sender(transaction) == by_py_evm(transaction)


numbers = st.one_of(
    st.sampled_from([0, 1, -1, SECPK1_N - 1, SECPK1_N, SECPK1_N // 2 + 1, 2**256 - 1, 2**256]),
    st.integers(0, 2**256 - 1),
)


@drawn(60)
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
    try:
        found = recover_encoded(changed.encode())
    except Exception:  # it cannot be encoded
        found = None
    assert found in (None, recover_sender(changed))
    found = recover_sender(changed)
    assert found == expected or (expected is None and found is not None and not _is_valid(changed))


def _is_valid(transaction: Any) -> bool:
    try:
        transaction.validate()
    except Exception:
        return False
    return True


@given(st.binary(max_size=200))
def test_noise_does_no_harm(data: bytes) -> None:
    sender = recover_encoded(data)
    assert sender is None or len(sender) == 20


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
