"""Receipts are encoded as py-evm encodes them."""

from __future__ import annotations

import rlp
from eth.rlp.logs import Log
from eth.rlp.receipts import Receipt
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.receipts import encode_receipt
from parallel_evm.rlp_objects import made_of
from parallel_evm.speculation.logs import bloom_and_rlp

addresses = st.binary(min_size=20, max_size=20)
topics = st.lists(st.integers(0, 2**256 - 1), max_size=4).map(tuple)
logs = st.lists(
    st.tuples(st.integers(0, 9), addresses, topics, st.binary(max_size=300)), max_size=4
)


@given(
    status=st.sampled_from([b"", b"\x01", bytes(32)]),
    gas_used=st.integers(0, 2**64),
    entries=logs,
)
def test_a_receipt_encodes_as_its_sedes_does(status, gas_used, entries) -> None:
    receipt = Receipt(status, gas_used, [Log(a, t, d) for _, a, t, d in entries])
    encoded = encode_receipt(status, gas_used, *bloom_and_rlp(entries))
    assert encoded == rlp.encode(receipt)


@given(status=st.sampled_from([b"", b"\x01"]), gas_used=st.integers(0, 2**64), entries=logs)
def test_a_receipt_made_of_its_values_is_the_one_that_py_evm_makes(
    status, gas_used, entries
) -> None:
    receipt = Receipt(status, gas_used, [Log(a, t, d) for _, a, t, d in entries])
    made_logs = tuple(made_of(Log, a, t, d) for _, a, t, d in entries)
    made = made_of(Receipt, status, gas_used, receipt.bloom, made_logs)
    assert [vars(log) for log in made.logs] == [vars(log) for log in receipt.logs]
    assert vars(made).keys() == vars(receipt).keys()
    assert made == receipt
    assert hash(made) == hash(receipt)
    assert rlp.encode(made) == rlp.encode(receipt)
    assert made.copy(gas_used=1) == receipt.copy(gas_used=1)
