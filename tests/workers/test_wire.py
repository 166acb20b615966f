"""Whatever a worker says either has the shape of a speculation, or is refused."""

from __future__ import annotations

import random
from typing import Any

import pytest
from eth.exceptions import Revert

from parallel_evm.speculation.result import Outcome, Speculation
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import BALANCE, CODE, EPOCH, LIFE, NO_WIPE, NONCE
from parallel_evm.state.recorder import Observations
from parallel_evm.workers import wire
from tests.workers.faults import misshapen

A, B = b"\xaa" * 20, b"\xbb" * 20
HASH = b"\xcc" * 32

SPECULATION = Speculation(
    index=3,
    observations=Observations(
        cells={(A, BALANCE): 5, (A, NONCE): 1, (A, CODE): HASH, (A, LIFE): True, (B, EPOCH): 0},
        slots={A: {0: 1, 7: 2}, B: {}},
        bounds={B: 21_000},
        ranges={A: {3: (1, 9)}},
    ),
    effects=Effects(
        cells={(A, NONCE): 2, (B, CODE): HASH, (B, LIFE): True, (B, EPOCH): NO_WIPE},
        slots={A: {0: 2, 3: 7}},
        deltas={A: -7, B: 7},
        codes={HASH: b"\x60\x00"},
        increments={A: {3: 4}},
    ),
    outcome=Outcome(
        _error=Revert(b"no"),
        output=b"no",
        return_data=b"",
        raw_log_entries=((0, A, (1, 2), b"data"),),
        gas_start=100,
        gas_remaining=40,
        gas_used=60,
        gas_refund=0,
        data_floor_gas=0,
        accounts_for_deletion=(A,),
        self_destruct_beneficiaries=(B,),
        contracts_created=(B,),
        create_address=B,
        bloom=9,
    ),
    seconds=0.5,
    worker=1,
    traces=((A, (A, 0)), {(A, 0): 1, (A, 3): None}),
    preimages={HASH: bytes(64)},
)
FLAT = wire.flatten(SPECULATION)
INDEX, OUTCOME, TRACES, PREIMAGES = 0, 8, 10, 11


def test_a_speculation_arrives_as_it_left() -> None:
    sent = wire.encode((wire.RESULTS, [FLAT]))
    (flat,) = wire.decode(sent)[1]
    arrived = wire.unflatten(flat, worker=1)
    assert wire.flatten(arrived)[:OUTCOME] == FLAT[:OUTCOME]
    assert arrived.observations == SPECULATION.observations
    assert arrived.effects == SPECULATION.effects
    assert arrived.outcome is not None and arrived.outcome.raw_log_entries == (
        (0, A, (1, 2), b"data"),
    )


def is_legitimate(flat: Any) -> bool:
    """Some parts may be missing or be anything: they are hints, or a transaction runs again."""
    kept = [part for place, part in enumerate(flat) if place not in (OUTCOME, TRACES, PREIMAGES)]
    wanted = [part for place, part in enumerate(FLAT) if place not in (OUTCOME, TRACES, PREIMAGES)]
    outcome = flat[OUTCOME]
    return (
        kept == wanted
        and (flat[PREIMAGES] in (None, FLAT[PREIMAGES], {}))
        and (outcome is None or same_but_for_its_address(outcome))
    )


def same_but_for_its_address(outcome: Any) -> bool:
    place = list(Outcome.__slots__).index("create_address")
    return [*outcome[:place], *outcome[place + 1 :]] == [
        *FLAT[OUTCOME][:place],
        *FLAT[OUTCOME][place + 1 :],
    ]


@pytest.mark.parametrize("seed", range(8))
def test_a_wrong_shape_anywhere_is_refused(seed: int) -> None:
    chance = random.Random(seed)
    refused = 0
    for _ in range(300):
        odd = misshapen(FLAT, chance)
        try:
            wire.unflatten(odd, worker=0)
        except ValueError:
            refused += 1
        else:
            assert is_legitimate(odd), odd
    assert refused > 200


def test_results_without_an_outcome_keep_what_was_written() -> None:
    flat = wire.without_outcome(FLAT)
    speculation = wire.unflatten(flat, worker=0)
    assert speculation.outcome is None
    assert speculation.effects == SPECULATION.effects
