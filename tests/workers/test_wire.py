"""Whatever a worker says either has the shape of a speculation, or is refused."""

from __future__ import annotations

import pickle
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
HEAD = wire.head_of(SPECULATION)
DETAILS = wire.details_of(SPECULATION, silent=False)
PARTS = pickle.loads(DETAILS)
OUTCOME = 1


def delivered(head: Any, details: Any) -> wire.Delivered:
    (found,) = wire.results([head], [details], worker=1)
    return found


def test_a_speculation_arrives_as_it_left() -> None:
    sent = wire.encode((wire.RESULTS, [HEAD], [DETAILS]))
    (arrived,) = wire.results(*wire.decode(sent)[1:], worker=1)
    assert arrived.outcome is not None and SPECULATION.outcome is not None
    assert arrived.outcome.raw_log_entries == ((0, A, (1, 2), b"data"),)
    assert repr(arrived.outcome) == repr(SPECULATION.outcome)  # errors are equal by identity only
    for name in ("index", "seconds", "worker", "traces", "observations", "effects", "preimages"):
        assert getattr(arrived, name) == getattr(SPECULATION, name)


def test_details_are_unpacked_for_whoever_looks_and_for_nobody_else() -> None:
    broken = delivered(HEAD, b"")
    assert broken.outcome is not None and broken.seconds == 0.5
    with pytest.raises(ValueError, match="undecodable"):
        broken.effects  # noqa: B018
    with pytest.raises(AttributeError):
        broken.nothing  # noqa: B018
    silent = delivered(HEAD, wire.details_of(SPECULATION, silent=True))
    assert silent.preimages is None and silent.observations == SPECULATION.observations


@pytest.mark.parametrize("odd", [b"", b"\x80half a pickle", pickle.dumps(5), pickle.dumps((1, 2))])
def test_details_that_are_none(odd: bytes) -> None:
    with pytest.raises(ValueError):
        delivered(HEAD, odd).unpack()


@pytest.mark.parametrize("details", [None, [], [DETAILS, DETAILS], [None], DETAILS])
def test_details_have_to_be_there(details: Any) -> None:
    with pytest.raises(ValueError):
        wire.results([HEAD], details, worker=0)


def is_legitimate_head(head: Any) -> bool:
    """Some parts may be missing or be anything: they are hints, or a transaction runs again."""
    index, outcome, seconds, _ = head
    return (index, seconds) == (HEAD[0], HEAD[2]) and (
        outcome is None or same_but_for_its_address(outcome)
    )


def same_but_for_its_address(outcome: Any) -> bool:
    place = list(Outcome.__slots__).index("create_address")
    return [*outcome[:place], *outcome[place + 1 :]] == [
        *HEAD[OUTCOME][:place],
        *HEAD[OUTCOME][place + 1 :],
    ]


@pytest.mark.parametrize("seed", range(8))
def test_a_wrong_shape_anywhere_is_refused(seed: int) -> None:
    chance = random.Random(seed)
    refused = 0
    for _ in range(150):
        odd = misshapen(HEAD, chance)
        try:
            delivered(odd, b"")
        except ValueError:
            refused += 1
        else:
            assert is_legitimate_head(odd), odd
    for _ in range(150):
        odd = misshapen(PARTS, chance)
        try:
            delivered(HEAD, pickle.dumps(odd)).unpack()
        except ValueError:
            refused += 1
        else:
            assert odd[0] == PARTS[0] and odd[1] in (None, PARTS[1], {}), odd
    assert refused > 200


def test_results_without_an_outcome_keep_what_was_written() -> None:
    speculation = delivered(wire.without_outcome(HEAD), DETAILS)
    assert speculation.outcome is None
    assert speculation.effects == SPECULATION.effects
