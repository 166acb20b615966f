"""The fault campaign: every fault at hundreds of random moments, counted.

    python -m tests.workers.campaign --times 200 --json faults.json

Prints what came of the blocks, and where in them the faults struck; then mines one block a hundred
times with random delays in the workers. Exit status 1 when anything went wrong.
`docs/reliability.md` has the figures of the last full run.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from parallel_evm import close
from tests.workers.faults import CLEAN, FAULTS, PHASES, SAME, WRONG, Bench, Delayed, Strike

KINDS = [*FAULTS, Delayed.name]


def run(name: str, times: int, seed: int, **block: Any) -> list[Strike]:
    """Let the fault strike so many times. ``block``: which one, see `Bench`."""
    chance = random.Random(f"{seed} {name}")
    strikes: list[Strike] = []
    with Bench(FAULTS[name](), seed=seed, **block).opened() as bench:
        while len(strikes) < times:
            strike = bench.strike(chance)
            if strike is not None:
                strikes.append(strike)
    return strikes


def summary(strikes: list[Strike], seconds: float) -> dict[str, Any]:
    outcomes = Counter(strike.outcome for strike in strikes)
    phases = Counter(strike.phase for strike in strikes)
    return {
        "times": len(strikes),
        "outcomes": {outcome: outcomes[outcome] for outcome in (SAME, CLEAN, WRONG)},
        "phases": {phase: phases[phase] for phase in PHASES},
        "noticed": sum(strike.noticed for strike in strikes),
        "seconds": round(seconds, 1),
        "wrong": [asdict(strike) for strike in strikes if strike.outcome == WRONG],
    }


@dataclass(frozen=True)
class Sameness:
    """What came of one block that was mined many times, with random delays in the workers."""

    times: int
    hashes: int
    """How many different ones, stock py-evm's included: to be 1."""
    receipts: int
    schedules: int
    """How many different ways there were: who ran each transaction, and how often it ran."""
    reexecutions: int
    seconds: float


def mine_again_and_again(times: int, seed: int, transactions: int = 24) -> Sameness:
    chance = random.Random(f"{seed} {Delayed.name}")
    started = perf_counter()
    with Bench(Delayed(), transactions=transactions, blocks=1, seed=seed).opened() as bench:
        bench.reports.clear()
        mined = [bench.mine(chance) for _ in range(times)]
    (expected,) = bench.expected
    return Sameness(
        times=times,
        hashes=len({block_hash for block_hash, _ in mined} | {expected.hash}),
        receipts=len({receipts for _, receipts in mined} | {expected.receipts}),
        schedules=len(
            {tuple((t.worker, t.attempts) for t in report.transactions) for report in bench.reports}
        ),
        reexecutions=sum(report.reexecutions for report in bench.reports),
        seconds=round(perf_counter() - started, 1),
    )


def main(
    times: Annotated[int, typer.Option(min=1, help="Strikes of each fault.")] = 200,
    kind: Annotated[list[str] | None, typer.Option(help="Only these faults.")] = None,
    seed: Annotated[int, typer.Option(help="Of the blocks and of the moments.")] = 0,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write counts.")] = None,
) -> None:
    """Let every fault strike at random moments of real blocks, and count what comes of it."""
    chosen = kind or KINDS
    for name in chosen:
        if name not in KINDS:
            known = ", ".join(KINDS)
            raise typer.BadParameter(f"{name!r} is none of {known}", param_hint="--kind")
    console = Console()
    table = Table("fault", "times", SAME, CLEAN, WRONG, *PHASES, "noticed", "seconds")
    found: dict[str, Any] = {}
    differing = False

    def keep(name: str, result: dict[str, Any]) -> None:
        found[name] = result
        if output is not None:
            output.write_text(json.dumps(found, indent=2) + "\n")

    for name in filter(FAULTS.__contains__, chosen):
        started = perf_counter()
        with console.status(name):
            strikes = run(name, times, seed)
        result = summary(strikes, perf_counter() - started)
        keep(name, result)
        cells = [*result["outcomes"].values(), *result["phases"].values()]
        table.add_row(name, *map(str, (times, *cells, result["noticed"], result["seconds"])))
        for wrong in result["wrong"]:
            differing = True
            console.print(f"[red]{name}: {wrong['phase']}[/red]")
            console.print(wrong["detail"], markup=False, highlight=False)
    if found:
        console.print(table)
    if Delayed.name in chosen:
        with console.status(Delayed.name):
            same = mine_again_and_again(times, seed)
        keep(Delayed.name, asdict(same))
        differing = differing or (same.hashes, same.receipts) != (1, 1)
        console.print(
            f"{same.times} times the same block with random delays: {same.hashes} header hash, "
            f"{same.receipts} list of receipts, {same.schedules} ways to get there, "
            f"{same.reexecutions} transactions run again, {same.seconds} s"
        )
    close()
    sys.exit(differing)


if __name__ == "__main__":
    typer.run(main)
