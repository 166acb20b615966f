"""CALL and its kin, done directly: all that py-evm charges, in its order, where gas runs out."""

from __future__ import annotations

import re
from typing import Any

import pytest

from parallel_evm.translator import calls, dialect, direct
from tests.strategies import mostly_slow
from tests.translator.conftest import ADDRESSES, FORKS

OWN, CALLEE = ADDRESSES[:2]
ABSENT = b"\xab" * 20
PRECOMPILE = bytes(19) + b"\x04"
ENOUGH = 120_000
NEVER = 10**9

OPCODES = {"CALL": "f1", "CALLCODE": "f2", "DELEGATECALL": "f4", "STATICCALL": "fa"}
SINCE = {"DELEGATECALL": "homestead", "STATICCALL": "byzantium"}
DIRECT = FORKS[FORKS.index("tangerine-whistle") :]
OFTEN = ("tangerine-whistle", "prague")
CALLEES = {
    "returns": "3660005260406000f3",
    "runs out of gas": "600163ffffffff52",
    "stores": "6001600055",
    "reverts": "60206000fd",
    "is empty": "",
}


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> set[tuple[bool, int]]:
    """(has it a value?, result) of the calls that were to be done directly."""
    results: set[tuple[bool, int]] = set()

    def counting(name: str, operation: Any) -> Any:
        call = calls.direct_call(name, operation)

        def counted(*arguments: Any) -> int:
            result = call(*arguments)
            results.add((name == "CALL" and bool(arguments[-1]), result))
            return result

        return counted

    for module in (dialect, direct):
        monkeypatch.setattr(module, "direct_call", counting)
    return results


def caller(name: str, target: bytes, value: int, gas: str = "612710", room: str = "60e0") -> bytes:
    """What the call answers, and what it has left in memory, are stored and returned."""
    words = f"{room} 6020 6024 6003" + (f"62{value:06x}" if name in ("CALL", "CALLCODE") else "")
    code = f"{words} 73{target.hex()} {gas} {OPCODES[name]} 600055 6020 51 600155 60406000f3"
    return bytes.fromhex(code)


def turns(twins: Any, world: Any, **options: Any) -> list[int]:
    """Gas limits on both sides of where py-evm's outcome becomes another, between some marks."""

    def outcome(gas: int) -> Any:
        facts = twins.run(twins.plain, world, gas=gas, **options).facts
        but_for_what_was_left = re.sub(r"(?<!Needed )\b\d+", "", str(facts["error"]))
        return but_for_what_was_left, facts["output"], facts["return data"]

    found: list[int] = []

    def search(low: int, high: int, at_low: Any, at_high: Any) -> None:
        if at_low == at_high:
            return
        if high - low == 1:
            found.extend((low, high))
            return
        middle = (low + high) // 2
        at_middle = outcome(middle)
        search(low, middle, at_low, at_middle)
        search(middle, high, at_middle, at_high)

    marks = [0, 500, 1000, 1500, 3000, 8000, 9000, 11_000, 15_000, 25_000, 50_000, ENOUGH]
    outcomes = [outcome(mark) for mark in marks]
    for low, high, at_low, at_high in zip(marks, marks[1:], outcomes, outcomes[1:], strict=False):
        search(low, high, at_low, at_high)
    return found


@pytest.mark.parametrize("threshold", [NEVER, 1])
@pytest.mark.parametrize(
    "fork, name",
    [
        pytest.param(fork, name, marks=() if fork in OFTEN else pytest.mark.slow)
        for fork in FORKS
        for name in OPCODES
        if FORKS.index(fork) >= FORKS.index(SINCE.get(name, "frontier"))
    ],
)
def test_every_call_at_every_turn(
    lab: Any, fork: str, name: str, threshold: int, done: set[tuple[bool, int]]
) -> None:
    twins = lab.Twins(fork, threshold)
    cases = [(CALLEE, kind, value) for kind in CALLEES for value in (0, 7)]
    cases += [(target, "returns", value) for target in (ABSENT, PRECOMPILE) for value in (0, 7)]
    for target, kind, value in cases:
        codes = {OWN: caller(name, target, value), CALLEE: bytes.fromhex(CALLEES[kind])}
        world = lab.World(codes, {})
        limits = turns(twins, world)
        assert len(limits) > 6
        for gas in [*limits, ENOUGH, ENOUGH]:
            found = twins.differences(world, gas=gas)
            assert not found, (fork, name, kind, target.hex(), value, gas, found)
    if fork not in DIRECT:
        assert not done
    else:
        assert {(False, 0), (False, 1)} <= done
        assert name != "CALL" or {(True, 0), (True, 1)} <= done


@pytest.mark.parametrize("threshold", [NEVER, 1])
@pytest.mark.parametrize("fork", mostly_slow(DIRECT, "tangerine-whistle", "istanbul"))
def test_an_account_that_came_to_life_empty(lab: Any, fork: str, threshold: int) -> None:
    """EIP-161: it is dead until it has something, so whoever sends it something pays for that."""
    touch, pay = (
        bytes.fromhex(f"6000 6000 6000 6000 {value} 73{ABSENT.hex()} 612710 f1 50")
        for value in ("6000", "6007")
    )
    twins = lab.Twins(fork, threshold)
    world = lab.World({OWN: touch + pay + pay}, {})
    for gas in [*turns(twins, world), ENOUGH, ENOUGH]:
        found = twins.differences(world, gas=gas)
        assert not found, (fork, gas, found)


@pytest.mark.parametrize("threshold", [NEVER, 1])
@pytest.mark.parametrize("fork", mostly_slow(DIRECT, "tangerine-whistle", "istanbul"))
def test_calls_that_are_refused(
    lab: Any, fork: str, threshold: int, done: set[tuple[bool, int]]
) -> None:
    """Too deep, more than the caller has, in a static call, more gas than there is."""
    twins = lab.Twins(fork, threshold)
    much = "7f" + "ff" * 32
    code = caller("CALL", CALLEE, 7)
    for own in (
        code,
        bytes.fromhex(code.hex().replace("62000007", "69" + "ff" * 10)),
        caller("CALL", CALLEE, 0, gas=much),
        caller("CALL", CALLEE, 0, room=much),
    ):
        world = lab.World({OWN: own, CALLEE: bytes.fromhex(CALLEES["returns"])}, {})
        for options in ({}, {"static": True}, {"depth": 1024}, {"depth": 1023}):
            for gas in (ENOUGH, ENOUGH, 900, 720, 711, 700):
                found = twins.differences(world, gas=gas, **options)
                assert not found, (fork, own.hex(), options, gas, found)
    assert {(False, calls.REFUSED), (True, calls.REFUSED)} <= done
