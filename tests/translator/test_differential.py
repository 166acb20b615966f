"""Generated programs in py-evm's loop and translated: everything observable is equal.

Every program runs with plenty of gas, with exactly what it needs, with one less and with random
limits. Thresholds of 1 to 3 visits bring cold code, first translations and traces along branches
that were seen into play.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from parallel_evm.conformance.programs import Programs, Rules
from tests.strategies import mostly_slow
from tests.translator.conftest import FORKS

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")


def compare(lab: Any, fork: str, seed: int) -> int:
    """One random program; how many traces there are afterwards."""
    chance = random.Random(f"{fork} {seed}")
    twins = lab.twins_of(fork, chance.choice((1, 2, 3)), chance.random() < 0.6)
    if chance.random() < 0.6:
        soup = lab.Soup(chance, fork)
        codes = [soup.program() for _ in range(3)]
    else:
        programs = Programs(chance, Rules.of(fork), lab.ADDRESSES)
        codes = [programs.program() for _ in range(3)]
    options: dict[str, Any] = {}
    if chance.random() < 0.1:
        options["static"] = True
    if chance.random() < 0.1:
        options["value"] = 5
    if chance.random() < 0.1:
        options["initcode"] = codes[1]
    lab.check(twins, codes[0], chance, codes[1:], **options)
    return int(twins.translated)


def compare_repeated(lab: Any, fork: str, seed: int) -> int:
    """One program about memory and call data that change, until its ways out are hot."""
    chance = random.Random(f"places {fork} {seed}")
    twins = lab.Twins(fork, chance.choice((1, 2, 3)))
    places = lab.Places(chance, fork)
    codes = [places.program() for _ in range(3)]
    storage = {(lab.ADDRESSES[0], slot): chance.choice((0, 1, 33, 2**255)) for slot in range(4)}
    world = lab.World(dict(zip(lab.ADDRESSES, codes, strict=False)), storage)
    may_be_static = FORKS.index(fork) >= FORKS.index("byzantium")
    options = {"static": True} if chance.random() < 0.1 and may_be_static else {}
    inputs = [places.data() for _ in range(3)]
    for _ in range(5):
        for data in inputs:
            gas = chance.choice((300_000, 300_000, chance.randint(0, 60_000)))
            found = twins.differences(world, data=data, gas=gas, **options)
            message = f"{fork} {seed}: {codes[0].hex()} data {data.hex()} gas {gas}: {found}"
            assert not found, message
    for data in inputs:
        used = lab.outcome(twins.run, twins.plain, world, data=data, gas=300_000, **options)
        for gas in (used.gas_used, used.gas_used - 1, chance.randint(0, used.gas_used)):
            found = twins.differences(world, data=data, gas=max(gas, 0), **options)
            message = f"{fork} {seed}: {codes[0].hex()} data {data.hex()} gas {gas}: {found}"
            assert not found, message
    return int(twins.translated)


@pytest.mark.parametrize("fork", mostly_slow(FORKS, "frontier", "istanbul", "prague"))
def test_random_places(lab: Any, fork: str) -> None:
    assert sum(compare_repeated(lab, fork, seed) for seed in range(6)) > 10


@pytest.mark.parametrize("fork", FORKS)
def test_random_programs(lab: Any, fork: str) -> None:
    assert sum(compare(lab, fork, seed) for seed in range(10)) > 10


@pytest.mark.slow
@pytest.mark.parametrize("fork", FORKS)
def test_many_random_programs(lab: Any, fork: str) -> None:
    for seed in range(1_000, 1_400):
        compare(lab, fork, seed)


PROGRAMS = {
    # a loop over memory, hashing, storage and a log; then out through RETURN
    "loop": "6003 5b 80600052 60206000 20 80600055 54 600152 60206001 a0 6001900380600257"
    "60406000f3",
    # a function that is called twice: the return address is known only within a trace
    "function": "6008 6010 565b 600d 6010 56 5b 5b 00 5b 600190 01 56",
    "copies": "60406000600037 60206000604039 3660005b506020600060c0375900",
    "storage": "6001600055 6002600055 6000600055 6000600155 6007600155 600054600154 01 600255 00",
    "write what is there": "6000600055 6000600055 00",
    # overlapping writes; the words read in between end up in the output
    "memory": "7f" + "11" * 32 + "600052 61ffee601052 600051 60aa600553 600051 60206004600037"
    "600051 61beef600035 52 600051 60e0600052 6001600051 52 600051 602051"
    "5952 5952 5952 5952 5952 59600020 5952 596000f3",
    "call": "6000600060006000600073" + "a2" * 20 + "612710f1 600055 00",
    "arithmetic": "6103e8 600a 0a 6003 02 6007 04 6005 06 600d 01 80 03 15 60ff 0b60005260206000f3",
    "revert": "60aa60005260206000fd",
    "underflow": "600101",
    "deep": "5b 6001 600056",
    "bad jump": "600456 5b 6000",
    "computed jump": "6000 35 56 5b 6001600055 00",
    "invalid": "6001600055fe",
    "full to the last word": "6001" * 1022 + "60016001505000",
    "gas on a full stack": "6001" * 1024 + "5a00",
    "gas on the last word": "6001" * 1023 + "5a00",
    "one too many": "6001" * 1023 + "60016001505000",
    "far memory": "6001 7f" + "ff" * 32 + "52",
    "far copy": "6020 7f" + "ff" * 32 + "610100 5e",
    "far copy to a place in call data": "6020 7f" + "ff" * 32 + "600035 5e",
    "much memory": "6001 6301000000 52",
}


@pytest.mark.parametrize("fork", mostly_slow(("frontier", "istanbul", "cancun"), "cancun"))
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_gas_limit(lab: Any, fork: str, name: str) -> None:
    """Out of gas at every instruction, and everywhere between."""
    twins = lab.Twins(fork, 2)
    code = bytes.fromhex(PROGRAMS[name])
    callee = bytes.fromhex("600160005260206000f3")
    world = lab.World(dict(zip(lab.ADDRESSES, (code, callee), strict=False)), {})
    used = min(lab.outcome(twins.run, twins.plain, world, gas=120_000).gas_used, 120_000)
    step = max(used // 60, 1)
    limits = [used + 1, used, used - 1, *range(0, used, step), *range(min(used, 40))]
    for gas in [*limits, *range(2300, 2312)]:
        found = twins.differences(world, gas=gas, data=bytes(31) + b"\x04")
        assert not found, (gas, found)
    assert twins.translated > 0
