"""Generated programs and the compiled contracts against py-evm's loop, as many as are asked for.

``python -m tests.translator.campaign --programs 20000 --calls 4000`` counts what it compares and
stops at the first difference, naming fork and seed.
"""

from __future__ import annotations

import random
import sys
import time
import warnings
from typing import Annotated, Any

import typer

from parallel_evm.translator.program import Program
from tests.translator import conftest as lab
from tests.translator.test_contracts import CONTRACTS, runtime
from tests.translator.test_differential import FORKS, compare, compare_repeated

MODERN = ("berlin", "london", "shanghai", "cancun", "prague")


def call_contracts(seed: int, rounds: int = 12) -> int:
    """Every function of one contract, each with several arguments, again and again."""
    chance = random.Random(f"contracts {seed}")
    name = CONTRACTS[seed % len(CONTRACTS)]
    code, selectors = runtime(name)
    twins = lab.Twins(MODERN[-1] if seed % 2 else "cancun", chance.choice((1, 2, 3)))
    others = [runtime(chance.choice(CONTRACTS))[0] for _ in range(2)]
    values = (0, 1, 32, 2**100, int.from_bytes(lab.ADDRESSES[1], "big"), int.from_bytes(lab.SENDER))
    storage = {(lab.ADDRESSES[0], slot): chance.choice(values) for slot in range(20)}
    world = lab.World(dict(zip(lab.ADDRESSES, (code, *others), strict=False)), storage)
    compared = 0
    selector = chance.choice(selectors)
    words = chance.randint(0, 6)
    for _ in range(rounds):
        data = selector + b"".join(chance.choice(values).to_bytes(32, "big") for _ in range(words))
        gas = chance.choice((1_000_000, 1_000_000, chance.randint(0, 60_000)))
        found = twins.differences(world, data=data, gas=gas, value=chance.choice((0, 0, 0, 10**9)))
        assert not found, f"{name} {seed}: {data.hex()} gas {gas}: {found}"
        compared += 1
    return compared


def campaign(
    programs: Annotated[int, typer.Option(min=1, help="Generated programs, over all forks.")],
    calls: Annotated[int, typer.Option(min=0, help="Functions of compiled contracts.")] = 0,
    first: Annotated[int, typer.Option(help="Seed of the first one.")] = 100_000,
) -> None:
    """Compare, count, and say what differs."""
    warnings.simplefilter("ignore", DeprecationWarning)
    module: Any = sys.modules[lab.__name__]
    module.twins_of = lab.Twins  # each program meets translations of its own only
    start = time.monotonic()
    runs = Counting(lab.Twins)
    for number in range(programs):
        fork = FORKS[number % len(FORKS)]
        (compare if number % 2 else compare_repeated)(module, fork, first + number)
    for number in range(calls):
        call_contracts(first + number)
    typer.echo(
        f"{programs} programs on {len(FORKS)} forks and {calls} functions of {len(CONTRACTS)} "
        f"contracts: {runs.count} runs compared, {runs.translated} traces, "
        f"{runs.onward} ways out gone on from, no difference, {time.monotonic() - start:.0f} s"
    )


class Counting:
    """Counts comparisons, traces and those that go on from a way out."""

    def __init__(self, twins: Any) -> None:
        self.count = self.translated = self.onward = 0
        differences = twins.differences
        defined_of = Program._defined_of

        def counted(own: Any, *arguments: Any, **options: Any) -> Any:
            self.count += 1
            return differences(own, *arguments, **options)

        def counted_function(own: Any, key: Any, *rest: Any, **options: Any) -> Any:
            function = defined_of(own, key, *rest, **options)
            self.translated += 1
            self.onward += isinstance(key, tuple) and len(key) > 2
            return function

        twins.differences = counted
        Program._defined_of = counted_function  # type: ignore[method-assign]


if __name__ == "__main__":
    typer.run(campaign)
