"""The compiled contracts, called in every way."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from parallel_evm import workloads
from parallel_evm.workloads.artifacts import ARTIFACTS

CONTRACTS = sorted(path.stem for path in ARTIFACTS.glob("*.json"))


def runtime(name: str) -> tuple[bytes, list[bytes]]:
    """Deployed code and the selectors of all functions."""
    content = json.loads((ARTIFACTS / f"{name}.json").read_text())
    functions = workloads.artifacts.load(name).functions.values()
    code = bytes.fromhex(content["deployedBytecode"].removeprefix("0x"))
    return code, [function.selector for function in functions]


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_function_with_random_arguments(lab: Any, name: str) -> None:
    chance = random.Random(name)
    code, selectors = runtime(name)
    twins = lab.Twins("cancun", 2)
    others = [runtime(chance.choice(CONTRACTS))[0] for _ in range(2)]
    storage = {
        (lab.ADDRESSES[0], slot): chance.choice(
            (0, 1, 2**100, int.from_bytes(lab.ADDRESSES[1], "big"), int.from_bytes(lab.SENDER))
        )
        for slot in range(20)
    }
    world = lab.World(dict(zip(lab.ADDRESSES, (code, *others), strict=False)), storage)
    for _ in range(30):
        data = chance.choice(selectors)
        for _ in range(chance.randint(0, 6)):
            word = chance.choice(
                (chance.randint(0, 2), 32, 64, 10**18, int.from_bytes(chance.choice(lab.ADDRESSES)))
            )
            data += word.to_bytes(32, "big")
        gas = chance.choice((1_000_000, 1_000_000, chance.randint(0, 60_000)))
        value = chance.choice((0, 0, 0, 10**9))
        for _ in range(3):
            found = twins.differences(world, data=data, gas=gas, value=value)
            assert not found, (data.hex(), gas, found)
    assert twins.translated > 5
