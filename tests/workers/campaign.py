"""The fault campaign: every fault, at hundreds of random moments, counted.

    python -m tests.workers.campaign --times 200 --json faults.json

Prints a table of what came of the blocks, and where in them the faults struck. Exit status 1 when
anything went wrong. `docs/reliability.md` has the figures of the last full run.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from parallel_evm import close
from tests.workers.faults import CLEAN, FAULTS, PHASES, SAME, WRONG, Bench, Strike

DETERMINISM = "delays"


def run(name: str, times: int, seed: int) -> list[Strike]:
    """Let the fault strike so many times."""
    chance = random.Random(f"{seed} {name}")
    strikes: list[Strike] = []
    with Bench(FAULTS[name](), seed=seed).opened() as bench:
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


def main(
    times: Annotated[int, typer.Option(min=1, help="Strikes of each fault.")] = 200,
    kind: Annotated[list[str] | None, typer.Option(help="Only these faults.")] = None,
    seed: Annotated[int, typer.Option(help="Of the blocks and of the moments.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--json", help="Where to write the counts.")
    ] = None,
) -> None:
    """Let every fault strike at random moments of real blocks, and count what comes of it."""
    chosen = kind or list(FAULTS)
    for name in chosen:
        if name not in FAULTS:
            raise typer.BadParameter(
                f"{name!r} is none of {', '.join(FAULTS)}", param_hint="--kind"
            )
    console = Console()
    table = Table("fault", "times", *(SAME, CLEAN, WRONG), *PHASES, "noticed", "seconds")
    found: dict[str, Any] = {}
    for name in chosen:
        with console.status(name):
            started = perf_counter()
            result = found[name] = summary(run(name, times, seed), perf_counter() - started)
        cells = [*result["outcomes"].values(), *result["phases"].values()]
        table.add_row(name, *map(str, (times, *cells, result["noticed"], result["seconds"])))
        for wrong in result["wrong"]:
            console.print(f"[red]{name}: {wrong['phase']}[/red]")
            console.print(wrong["detail"], markup=False, highlight=False)
        if output is not None:
            output.write_text(json.dumps(found, indent=2) + "\n")
    close()
    console.print(table)
    sys.exit(any(result["outcomes"][WRONG] for result in found.values()))


if __name__ == "__main__":
    typer.run(main)
