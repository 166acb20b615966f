"""`TransactionReports`: a tuple of reports that is made when somebody looks."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import Any

from parallel_evm.report import Conflict, TransactionReport
from parallel_evm.speculation.result import Speculation
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import CODE, NONCE, StateKey
from parallel_evm.state.recorder import Observations
from parallel_evm.trails import Trail, TransactionReports

A, B = b"\x0a" * 20, b"\x0b" * 20


@dataclass
class Signed:
    """A transaction that counts how often it is hashed."""

    number: int
    hashed: int = 0

    @property
    def hash(self) -> bytes:
        self.hashed += 1
        return bytes([self.number]) * 32


def two(wants_accesses: bool = True) -> tuple[list[Any], TransactionReports]:
    speculated = Trail(worker=1, attempts=1)
    speculated.end(
        Speculation(
            index=0,
            observations=Observations({(A, CODE): b""}, {B: {7: 1}}, {A: 5}),
            effects=Effects({(A, NONCE): 1}, {B: {7: 2, 8: 0}}, {A: -5}),
            outcome=None,
            seconds=0.25,
        ),
        wants_accesses,
    )
    conflict = Conflict(StateKey("slot", B, 7), 0)
    run_by_py_evm = Trail(attempts=2, conflicts=(conflict,))
    transactions = [Signed(0), Signed(1)]
    return transactions, TransactionReports(
        transactions, [speculated, run_by_py_evm], [21_000, 50_000], [True, False]
    )


def expected() -> tuple[TransactionReport, ...]:
    return (
        TransactionReport(
            index=0,
            hash=bytes(32),
            worker=1,
            attempts=1,
            reads=frozenset(
                {
                    StateKey("code", A, None),
                    StateKey("slot", B, 7),
                    StateKey("balance", A, None),
                }
            ),
            writes=frozenset(
                {
                    StateKey("nonce", A, None),
                    StateKey("slot", B, 7),
                    StateKey("slot", B, 8),
                    StateKey("balance", A, None),
                }
            ),
            conflicts=(),
            gas_used=21_000,
            status=True,
            seconds=0.25,
        ),
        TransactionReport(
            index=1,
            hash=b"\x01" * 32,
            worker=None,
            attempts=2,
            reads=frozenset(),
            writes=frozenset(),
            conflicts=(Conflict(StateKey("slot", B, 7), 0),),
            gas_used=29_000,
            status=False,
            seconds=0.0,
        ),
    )


def test_it_is_the_tuple_of_the_reports() -> None:
    _, reports = two()
    assert tuple(reports) == expected()
    assert reports == expected()
    assert reports == two()[1]
    assert reports[1] == expected()[1]
    assert reports[:1] == expected()[:1]
    assert len(reports) == 2
    assert hash(reports) == hash(expected())
    assert repr(reports) == repr(tuple(reports))


def test_what_was_touched_is_left_out_where_nobody_wants_to_know() -> None:
    _, made = two(wants_accesses=False)
    nothing: frozenset[StateKey] = frozenset()
    first, second = expected()
    assert made == (replace(first, reads=nothing, writes=nothing), second)


def test_nothing_is_made_before_the_first_look_and_then_only_once() -> None:
    transactions, reports = two()
    assert [transaction.hashed for transaction in transactions] == [0, 0]
    assert len(reports) == 2
    assert reports[0].attempts == 1
    assert [transaction.hashed for transaction in transactions] == [1, 1]


def test_they_travel_as_plain_data() -> None:
    again = pickle.loads(pickle.dumps(two()[1]))
    assert type(again) is tuple
    assert again == expected()
