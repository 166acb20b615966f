"""Whole blocks of contract calls by the executor, with the translator in it."""

from __future__ import annotations

from typing import Any

import pytest
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.cancun.state import CancunState

from parallel_evm import ParallelConfig, parallelize, workloads
from parallel_evm.speculation.rules import Liberties, speculative_state
from parallel_evm.translator import has_stock_loop
from parallel_evm.translator.trace import Trace
from tests.strategies import mostly_slow


@pytest.mark.parametrize("name", mostly_slow(("swaps", "lending"), "swaps"))
def test_a_block_comes_out_the_same_and_was_translated(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    functions = Trace.functions

    def counted(trace: Trace, function: str) -> dict[str, str]:
        written.append(function)
        return functions(trace, function)

    monkeypatch.setattr(Trace, "functions", counted)
    workload = workloads.build(name, transactions=12, accounts=6)
    result, *_ = workload.open().mine_all(list(workload.blocks[0]))
    config = ParallelConfig(backend="serial", min_transactions=1, translation_cache=False)
    chain_class = parallelize(workload.chain_class, config=config)
    for _ in range(8):  # until it is hot
        chain = workload.open(chain_class)
        chain.import_block(result.imported_block)
        assert chain.get_canonical_head().hash == result.imported_block.hash
    assert len(written) > 10


def test_only_rules_that_are_all_py_evms_are_translated() -> None:
    def computation_of(state_class: Any, **options: Any) -> Any:
        return speculative_state(state_class, Liberties(**options)).computation_class

    assert not has_stock_loop(computation_of(CancunState))
    assert has_stock_loop(computation_of(CancunState, translate=False))

    class Customised(CancunComputation):
        def consume_gas(self, amount: int, reason: str) -> None:
            super().consume_gas(amount, reason)

    custom = type("CustomState", (CancunState,), {"computation_class": Customised})
    assert has_stock_loop(computation_of(custom))
