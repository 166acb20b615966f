"""Single transactions, measured: the same answers on both sides, or no measurement."""

from __future__ import annotations

from typing import Any

import pytest

from parallel_evm import workloads
from parallel_evm.bench import single
from parallel_evm.bench.blocks import BlocksDiffer
from parallel_evm.bench.single import OPERATIONS, measure_singles


def test_every_operation_has_a_time_on_both_sides() -> None:
    said: list[str] = []
    found = measure_singles("erc20", transactions=5, progress=said.append)
    assert [asked.operation for asked in found.asked] == list(OPERATIONS)
    for asked in found.asked:
        assert asked.sequential_ms > 0 and asked.ms > 0 and asked.ratio > 0
    figures = found.to_dict()
    assert figures["transactions"] == 5
    assert figures["estimate"]["ratio"] == found.asked[1].ratio
    assert "no translation is taken from disk" in figures["included"]
    assert said[-1] == "erc20: single transaction 5 of 5"


def test_neither_side_knows_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    knew: list[bool] = []

    def noting(chain: Any, transaction: Any) -> None:
        knew.append("sender" in vars(transaction) or "sender" in vars(transaction._inner))

    monkeypatch.setattr(single, "OPERATIONS", {"call": noting})
    measure_singles("erc20", transactions=3)
    assert knew == [False] * 6


@pytest.mark.parametrize("operation", OPERATIONS)
def test_another_answer_is_no_measurement(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = workloads.build("erc20", transactions=1).chain_class
    ask = OPERATIONS[operation]

    def spoilt(chain: Any, transaction: Any) -> Any:
        answer = ask(chain, transaction)
        return answer if type(chain) is stock else None

    monkeypatch.setattr(single, "OPERATIONS", {**OPERATIONS, operation: spoilt})
    with pytest.raises(BlocksDiffer, match=f"transaction 0, {operation}: "):
        measure_singles("erc20", transactions=2)
