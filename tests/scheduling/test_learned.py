"""What was learned, as JSON: nothing is lost on the way, and nothing else is taken for it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parallel_evm.inputs import InputError, Node
from parallel_evm.scheduling.forecast import Forecaster
from parallel_evm.scheduling.learned import from_json, to_json
from tests.scheduling.test_forecast import (
    ALICE,
    BOB,
    FILE,
    OTHER_POOL,
    PAY,
    POOL,
    POOL_CODE,
    TOKENS,
    Holding,
    call,
    filed,
    histories,
    paid,
    slots,
    swap,
    touched,
    with_code,
)
from tests.strategies import drawn


def read(data: Any) -> Forecaster:
    return from_json(Node("forecasts.json", "", json.loads(json.dumps(data))))


def experienced() -> Forecaster:
    forecaster = Forecaster()
    for count in (3, 4):
        forecaster.learn(call(0, POOL, FILE), ALICE, with_code(filed(count)))
        forecaster.learn(call(0, POOL, PAY, count), ALICE, paid(count, 7 + count, BOB))
    return forecaster


@settings(drawn(60), suppress_health_check=list(HealthCheck))
@given(histories())
def test_what_is_read_back_forecasts_the_same(history: list[Any]) -> None:
    forecaster = Forecaster()
    for transaction, sender, speculation in history:
        for _ in range(2):
            forecaster.learn(transaction, sender, speculation)
    data = to_json(forecaster)
    again = read(data)

    assert to_json(again) == data
    forms = sum(
        len(template._tallies)
        for functions in forecaster._contracts.values()
        for template in functions.values()
    )
    assert again._size == forecaster._size - forms  # which are counted anew
    for index, (transaction, sender, speculation) in enumerate(history):
        for each in (forecaster, again):
            each.begin(Holding(speculation.observations.slots))
        ours = forecaster.forecast(index, transaction, sender)
        theirs = again.forecast(index, transaction, sender)
        assert (ours.reads, ours.writes, ours.gas) == (theirs.reads, theirs.writes, theirs.gas)


def test_counters_stored_words_and_kin_are_kept() -> None:
    again = read(to_json(experienced()))
    again.begin(Holding({OTHER_POOL: {2: 9}}, {OTHER_POOL: POOL_CODE}))

    forecast = again.forecast(0, call(0, OTHER_POOL, FILE), ALICE)

    assert len(slots(forecast.writes)) == 2  # the counter, and what it counts
    assert forecast.puzzle is None


def test_contexts_are_kept() -> None:
    forecaster = Forecaster()
    for n, token in enumerate(TOKENS[:4]):
        transaction, *_ = swap(n, token, TOKENS[11])
        speculation = touched(writes={(POOL, 2**200 + n)})
        forecaster.learn(transaction, ALICE, speculation)
    again = read(to_json(forecaster))
    for n, token in enumerate(TOKENS[:4]):
        transaction, *_ = swap(n, token, TOKENS[11])
        writes = slots(again.forecast(n, transaction, ALICE).writes)
        assert writes == {(POOL, 2**200 + n)}


def spoilt() -> list[tuple[str, Any]]:
    good = to_json(experienced())

    def change(edit: Any) -> Any:
        data = copy.deepcopy(good)
        edit(data)
        return data

    function: Any = lambda data: data["contracts"][0]["functions"][0]  # noqa: E731
    access: Any = lambda data: next(  # noqa: E731
        known for known in function(data)["accesses"] if "slot" in known
    )
    deep: Any = "caller"
    for _ in range(100):
        deep = {"keccak": [deep, "callee"], "offset": 0}
    return [
        ("forecasts.json: expected an object", []),
        ("not a file of forecasts", {"forecasts": 2, "contracts": []}),
        ("contracts: missing", {"forecasts": 1}),
        ("contracts: expected a list", {"forecasts": 1, "contracts": 5}),
        ("contracts[0]: expected an object", {"forecasts": 1, "contracts": [5]}),
        ("address: expected 20 bytes", change(lambda d: d["contracts"][0].update(address="0x00"))),
        ("address: expected bytes", change(lambda d: d["contracts"][0].update(address="zz"))),
        ("address: missing", change(lambda d: d["contracts"][0].update(address=None))),
        ("5 bytes, not 4", change(lambda d: function(d).update(selector="0x0102030405"))),
        ("gas: expected a number", change(lambda d: function(d).update(gas=-1))),
        ("gas: expected a number", change(lambda d: function(d).update(gas=True))),
        ("code_hash: expected 32", change(lambda d: function(d).update(code_hash="0x01"))),
        ("reads: expected true", change(lambda d: access(d).update(reads=1))),
        ("context: missing", change(lambda d: access(d).pop("context"))),
        ("part: expected balance", change(
            lambda d: access(d).update(part="soul", counts=False)
        )),
        ("part: expected a text", change(lambda d: access(d).update(part=[], counts=False))),
        ("address: expected an object", change(lambda d: access(d).update(address=7))),
        ("slot: expected caller, callee", change(lambda d: access(d).update(slot={"sum": 1}))),
        ("256 bits", change(lambda d: access(d).update(slot={"constant": hex(2**256)}))),
        ("not negative", change(lambda d: access(d).update(slot={"constant": "-0x1"}))),
        ("3 parts", change(
            lambda d: access(d).update(slot={"keccak": ["caller"] * 3, "offset": 0})
        )),
        ("offset: expected a number of 32", change(
            lambda d: access(d).update(slot={"keccak": ["caller", "callee"], "offset": 2**40})
        )),
        ("argument: expected a number", change(
            lambda d: access(d).update(slot={"argument": -1, "address": False})
        )),
        ("part: expected a slot", change(lambda d: access(d).update(part="code", counts=True))),
        ("part: expected a slot", change(lambda d: access(d).update(slot={
            "stored": {"address": "callee", "part": "balance"},
            "shift": 0, "bits": 8, "ahead": 0, "counter": False,
        }))),
        ("nested too deeply", change(lambda d: access(d).update(slot=deep))),
        ("shift: expected a number of 8", change(lambda d: access(d).update(slot={
            "stored": {"address": "callee", "slot": "caller"},
            "shift": 256, "bits": 8, "ahead": 0, "counter": False,
        }))),
    ]  # fmt: skip


@pytest.mark.parametrize(("complaint", "data"), spoilt(), ids=lambda value: str(value)[:30])
def test_what_is_no_such_file_is_refused_with_the_place(complaint: str, data: Any) -> None:
    with pytest.raises(InputError) as caught:
        read(data)
    assert complaint in str(caught.value)


@drawn(200)
@given(st.data())
def test_anything_else_in_a_file_is_refused_or_does_no_harm(data: st.DataObject) -> None:
    """Whatever passes can be evaluated."""
    file = to_json(experienced())
    holders: list[Any] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict | list):
            holders.append(value)
            for child in value.values() if isinstance(value, dict) else value:
                walk(child)

    walk(file)
    holder = data.draw(st.sampled_from(holders))
    if not holder:
        return
    places = sorted(holder) if isinstance(holder, dict) else range(len(holder))
    place: Any = data.draw(st.sampled_from(list(places)))
    junk: list[Any] = [None, True, -1, 0, 2**300, "caller", "0x", "0x00", [], {}, [[]]]
    junk += [{"argument": 3, "address": True}, {"constant": "0x5"}, {"part": "life"}]
    holder[place] = data.draw(st.sampled_from(junk))
    try:
        forecaster = read(file)
    except InputError:
        return
    forecaster.begin(Holding({POOL: {2: 2**256 - 1}}))
    for index, transaction in enumerate((call(0, POOL, FILE), call(0, POOL, PAY, 3))):
        forecaster.forecast(index, transaction, ALICE)
        forecaster.learn(transaction, ALICE, filed(3))
