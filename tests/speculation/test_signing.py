"""Messages for signing, senders and blooms: the same as py-evm's, for every type of transaction."""

from __future__ import annotations

from typing import Any

import pytest
from eth.vm.forks.berlin.transactions import AccountAccesses, TypedTransaction
from eth.vm.forks.prague.transactions import Authorization
from eth_keys.datatypes import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.speculation import signing
from parallel_evm.speculation.fields import fields_of
from parallel_evm.speculation.senders import recover_encoded, recover_sender
from parallel_evm.workloads.forks import fork
from tests.speculation.transactions import transactions
from tests.strategies import drawn


def message_for_signing(transaction: Any) -> bytes:
    return signing.message_for_signing(transaction, fields_of(transaction))


@given(transactions())
@drawn(400)
def test_the_message_is_the_one_that_py_evm_makes(transaction: Any) -> None:
    expected = transaction.get_message_for_signing()
    assert message_for_signing(transaction) == expected
    # As it comes from the network, its lists are rlp's own sequences, and its RLP is remembered.
    decoded = type(transaction).decode(transaction.encode())
    assert message_for_signing(decoded) == expected
    vars(getattr(decoded, "_inner", decoded)).pop("_cached_rlp", None)
    assert message_for_signing(decoded) == expected


@given(transactions())
@drawn(300)
def test_what_was_signed_is_read_off_the_wire(transaction: Any) -> None:
    fields = fields_of(transaction)
    if fields is None:  # from before EIP-155
        return
    signed = fields.signed
    try:
        message, r, s, parity = signing.signed_on_the_wire(transaction.encode())
    except ValueError:  # a legacy transaction whose v is none, or is of chain 0
        assert transaction.type_id is None
        assert signed.v in (35, 36) or not (27 <= signed.v <= 28 or signed.v > 36)
        return
    assert message == transaction.get_message_for_signing()
    assert (r, s, parity) == (signed.r, signed.s, signed.y_parity)


@given(transactions(), st.binary(min_size=32, max_size=32).filter(any))
@drawn(60)
def test_the_sender_is_the_one_that_py_evm_recovers(transaction: Any, secret: bytes) -> None:
    key = PrivateKey(b"\x01" + secret[1:])
    if transaction.type_id is None:
        parity, r, s = key.sign_msg(transaction.copy(v=27).get_message_for_signing()).vrs
        signed = transaction.copy(v=27 + parity, r=r, s=s)
    else:
        parity, r, s = key.sign_msg(transaction.get_message_for_signing()).vrs
        signed = transaction.copy(y_parity=parity, r=r, s=s)
    assert recover_sender(signed) == key.public_key.to_canonical_address()
    if fields_of(signed) is not None:
        assert recover_encoded(signed.encode()) == key.public_key.to_canonical_address()


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": b"\x01" * 19},
        {"to": "0x" + "00" * 20},
        {"value": -1},
        {"value": True},
        {"data": "text"},
        {"nonce": None},
        {"access_list": [(b"\x01" * 19, ())]},
        {"access_list": [(b"\x01" * 20, (2**256,))]},
        {"access_list": [(b"\x01" * 20, (-1,))]},
        {"access_list": [(b"\x01" * 20,)]},
    ],
    ids=str,
)
def test_what_rlp_refuses_is_refused(wrong: dict[str, Any]) -> None:
    builder: Any = fork("prague").vm_class.get_transaction_builder()
    fields: dict[str, Any] = {
        "chain_id": 1,
        "nonce": 0,
        "max_priority_fee_per_gas": 1,
        "max_fee_per_gas": 1,
        "gas": 21_000,
        "to": b"\x02" * 20,
        "value": 0,
        "data": b"",
        "access_list": [],
        "y_parity": 0,
        "r": 1,
        "s": 1,
    }
    transaction = builder.new_dynamic_fee_transaction(**{**fields, **wrong})
    with pytest.raises(Exception) as expected:
        transaction.get_message_for_signing()
    with pytest.raises(type(expected.value)):
        message_for_signing(transaction)
    assert recover_sender(transaction) is None


@pytest.mark.parametrize(
    "authorisation",
    [
        Authorization(1, b"\x01" * 19, 0, 0, 1, 1),
        Authorization(1, b"\x01" * 20, -1, 0, 1, 1),
        Authorization(1, b"\x01" * 20, 0, 0, 1, None),
        (1, b"\x01" * 20, 0, 0, 1, 1),
        [1, b"\x01" * 20, 0, 0, 1, 1],
        None,
    ],
    ids=["short address", "negative", "nothing", "tuple", "list", "none"],
)
def test_an_odd_authorisation_is_what_it_is_to_py_evm(authorisation: Any) -> None:
    builder: Any = fork("prague").vm_class.get_transaction_builder()
    transaction = builder.new_set_code_transaction(
        1, 0, 1, 1, 21_000, b"\x02" * 20, 0, b"", [], [authorisation], 0, 1, 1
    )

    def said(message: Any) -> Any:
        try:
            return message()
        except Exception as error:
            return type(error)

    expected = said(transaction.get_message_for_signing)
    assert said(lambda: message_for_signing(transaction)) == expected


def test_a_transaction_of_somebodys_own_is_asked_itself() -> None:
    class Own(TypedTransaction):
        def get_message_for_signing(self) -> bytes:
            return b"own"

    builder: Any = fork("berlin").vm_class.get_transaction_builder()
    stock = builder.new_access_list_transaction(
        1, 0, 1, 21_000, b"\x02" * 20, 0, b"", [AccountAccesses(b"\x01" * 20, (1,))], 0, 1, 1
    )
    assert message_for_signing(Own(1, stock._inner)) == b"own"

    class OwnContent(type(stock._inner)):  # type: ignore[misc]
        def get_message_for_signing(self) -> bytes:
            return b"own content"

    content = OwnContent(**stock._inner.as_dict())
    assert message_for_signing(type(stock)(1, content)) == b"own content"
    assert message_for_signing(stock) == stock.get_message_for_signing()
