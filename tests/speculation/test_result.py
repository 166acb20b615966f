"""An outcome answers what a finished computation is asked, and says what it cannot answer."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from eth.exceptions import OutOfGas, Revert

from parallel_evm.speculation.result import Outcome
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    CONTRACTS,
    GHOST,
    INIT_CODES,
    Act,
    Pen,
    open_chain,
    outcome_of,
    parallel,
    state_of,
    words,
)

ACTS = [
    Act(0, GHOST, value=1),
    Act(1, CONTRACTS["counter"]),
    Act(2, CONTRACTS["reverter"], data=words(CONTRACTS["counter"])),
    Act(3, CONTRACTS["burner"], gas=60_000),
    Act(4, b"", data=INIT_CODES[2], value=3),
    Act(5, CONTRACTS["destroyer"], data=words(GHOST)),
]


def computations(chain_class: Any) -> list[Any]:
    rules = fork("shanghai")
    chain = open_chain(chain_class, state_of("shanghai"))
    pen = Pen(rules, chain)
    return list(chain.mine_all([pen.sign(act) for act in ACTS])[2])


STOCK = computations(fork("shanghai").chain_class)
OURS = computations(parallel(fork("shanghai").chain_class, []))


def test_answers() -> None:
    assert [outcome_of(ours) for ours in OURS] == [outcome_of(stock) for stock in STOCK]
    assert [ours.is_success for ours in OURS] == [True, True, False, False, True, True]


def test_errors() -> None:
    for stock, ours in zip(STOCK, OURS, strict=True):
        if stock.is_error:
            with pytest.raises(type(stock.error)) as raised:
                ours.raise_if_error()
            assert raised.value.args == stock.error.args
        else:
            ours.raise_if_error()
    assert isinstance(OURS[2].error, Revert)
    assert isinstance(OURS[3].error, OutOfGas)


def test_no_error() -> None:
    for computation in (STOCK[0], OURS[0]):
        with pytest.raises(AttributeError, match="does not have an error"):
            _ = computation.error


def test_where_a_contract_was_created() -> None:
    assert OURS[4].create_address == STOCK[4].msg.storage_address
    assert [ours.create_address for ours in OURS].count(None) == len(ACTS) - 1


@pytest.mark.parametrize("name", ["children", "state", "_memory", "stack_pop1_int", "nonsense"])
def test_what_is_not_kept_is_named(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'{name}' is not kept"):
        getattr(OURS[0], name)
    assert not hasattr(OURS[0], name)


def test_it_can_be_copied_and_sent() -> None:
    for ours in OURS:
        for other in (copy.copy(ours), copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            assert isinstance(other, Outcome)
            assert outcome_of(other) == outcome_of(ours)
