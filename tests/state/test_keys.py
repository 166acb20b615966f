"""Keys as people read them."""

from __future__ import annotations

import pytest

from parallel_evm.state.keys import BALANCE, CODE, EPOCH, LIFE, NONCE, readable

X = b"\x0a" * 20


@pytest.mark.parametrize(
    ("field", "kind"),
    [(BALANCE, "balance"), (NONCE, "nonce"), (CODE, "code"), (LIFE, "life"), (EPOCH, "epoch")],
)
def test_parts_of_an_account_are_named(field: int, kind: str) -> None:
    key = readable((X, field))
    assert (key.kind, key.address, key.slot) == (kind, X, None)
    assert str(key) == f"{kind}:0x" + "0a" * 20


@pytest.mark.parametrize("slot", [0, 1, 2**256 - 1])
def test_slots_are_named_by_their_number(slot: int) -> None:
    key = readable((X, slot))
    assert (key.kind, key.address, key.slot) == ("slot", X, slot)
    assert str(key) == "slot:0x" + "0a" * 20 + f":{slot:#x}"
