"""Fields read at once are those that py-evm's properties give."""

from __future__ import annotations

from typing import Any

from eth.vm.forks.prague import PragueVM
from hypothesis import given

from parallel_evm.speculation.fields import fields_of, has_fields
from tests.speculation.transactions import transactions
from tests.strategies import drawn


@given(transactions())
@drawn(200)
def test_fields_are_those_of_the_properties(transaction: Any) -> None:
    for one in (transaction, type(transaction).decode(transaction.encode())):
        fields = fields_of(one)
        assert has_fields(one) is (fields is not None)
        if fields is None:  # from before EIP-155
            assert type(one).__module__.split(".")[3] in ("frontier", "homestead")
            continue
        for name in ("nonce", "gas", "to", "value", "data", "r", "s"):
            assert getattr(fields, name) == getattr(one, name)
        assert fields.type_id == (one.type_id or 0)
        assert fields.highest_price == one.max_fee_per_gas
        assert fields.priority == one.max_priority_fee_per_gas
        assert list(fields.access_list) == list(one.access_list)
        if one.type_id is None:
            assert (fields.v, fields.chain_id, fields.signed) == (one.v, 0, one)
        else:
            assert (fields.v, fields.chain_id) == (one.y_parity, one.chain_id)
            assert fields.signed is one._inner


def test_what_somebody_made_is_not_taken_apart() -> None:
    builder: Any = PragueVM.get_transaction_builder()
    stock = builder.new_dynamic_fee_transaction(1, 0, 1, 1, 21_000, b"", 0, b"", [], 0, 1, 1)
    legacy = builder.new_transaction(0, 1, 21_000, b"", 0, b"", 27, 1, 1)

    class Wrapper(builder.typed_transaction):  # type: ignore[misc]
        pass

    class Content(type(stock._inner)):  # type: ignore[misc]
        pass

    class Legacy(type(legacy)):  # type: ignore[misc]
        pass

    assert fields_of(stock) is not None and has_fields(stock)
    for other in (
        type(stock)(1, stock._inner),
        Wrapper(2, stock._inner),
        type(stock)(2, Content(*stock._inner)),
        Legacy(*legacy),
        stock._inner,
        object(),
    ):
        assert fields_of(other) is None
        assert not has_fields(other)
