"""The command line: parses, calls, prints. Exit codes: 0 fine, 1 a difference, 2 bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from parallel_evm import close
from parallel_evm.bench import BlocksDiffer, Measurement, measure
from parallel_evm.demo import demonstrate
from parallel_evm.errors import ParallelEVMError
from parallel_evm.terminal import show_demonstration, show_measurements
from parallel_evm.workloads import names

app = typer.Typer(
    name="parallel-evm",
    help="Execute py-evm blocks in parallel, with results identical to sequential py-evm.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Backend(StrEnum):
    serial = "serial"
    thread = "thread"
    process = "process"


WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", "-w", min=1, help="Workers. Default: the CPUs of this machine."),
]
BackendOption = Annotated[
    Backend | None,
    typer.Option("--backend", help="Where transactions run. Default: process."),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@contextmanager
def _working(json_output: bool) -> Iterator[Callable[[str], None]]:
    """A line on standard error that says what is being done."""
    console = Console(stderr=True)
    if json_output or not console.is_terminal:
        yield lambda text: None
    else:
        with console.status("starting") as status:
            yield lambda text: status.update(text)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, sort_keys=True))


def _fail(message: str) -> None:
    """Bad input: one line, exit code 2."""
    typer.echo(f"parallel-evm: {message}", err=True)
    raise typer.Exit(2)


@app.command()
def demo(
    transactions: Annotated[
        int, typer.Option("--txs", min=1, help="Transactions in the block.")
    ] = 300,
    workers: WorkersOption = None,
    backend: BackendOption = None,
    seed: Annotated[int, typer.Option(help="Another seed makes another block.")] = 0,
    json_output: JsonFlag = False,
) -> None:
    """Mine a mixed DeFi block both ways and compare.

    Deploys real contracts (an AMM, a lending market, a bridge, an insurance pool, ...) on a py-evm
    chain, executes one block of mixed transactions sequentially and in parallel, and shows that
    the results are identical and what the difference in time is. Exit code 1 if anything differs.
    """
    try:
        with _working(json_output) as progress:
            found = demonstrate(
                transactions=transactions,
                workers=workers,
                backend=None if backend is None else backend.value,
                seed=seed,
                progress=progress,
            )
    except (ParallelEVMError, ValueError) as error:
        _fail(str(error))
    finally:
        close()
    if json_output:
        _print_json(found.to_dict())
    else:
        show_demonstration(Console(), found)
    raise typer.Exit(0 if found.identical else 1)


@app.command()
def bench(
    workloads: Annotated[
        list[str] | None, typer.Argument(help="Workloads to measure. Default: all of them.")
    ] = None,
    workers: Annotated[
        str, typer.Option("--workers", "-w", help="Worker counts, separated by commas.")
    ] = "1,2",
    transactions: Annotated[
        int, typer.Option("--txs", min=1, help="Transactions in each block.")
    ] = 200,
    blocks: Annotated[
        int, typer.Option("--blocks", min=1, help="Warm blocks; a cold one comes on top.")
    ] = 3,
    backend: BackendOption = None,
    seed: Annotated[int, typer.Option(help="Another seed makes other blocks.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
) -> None:
    """Measure against sequential py-evm, on the same blocks in the same run.

    Blocks are built once by stock py-evm and imported on all sides from their RLP; hashes are
    compared. Ratios above 1 mean that parallel-evm is faster. Without --backend, one worker runs
    in this process (serial), more run in processes. Exit code 1 if any block differs.
    """
    chosen = workloads or list(names())
    unknown = [name for name in chosen if name not in names()]
    if unknown:
        _fail(f"no workload {unknown[0]!r}; there are {', '.join(names())}")
    counts = _worker_counts(workers)
    if json_file is not None and not json_file.parent.is_dir():
        _fail(f"--json: there is no folder {json_file.parent}")
    measurements: list[Measurement] = []
    try:
        with _working(False) as progress:
            for name in chosen:
                measurements.append(
                    measure(
                        name,
                        workers=counts,
                        transactions=transactions,
                        blocks=blocks,
                        backend=None if backend is None else backend.value,
                        seed=seed,
                        progress=progress,
                    )
                )
    except BlocksDiffer as error:
        typer.echo(f"parallel-evm: DIFFERENCE in {chosen[len(measurements)]}: {error}", err=True)
        raise typer.Exit(1) from error
    except (ParallelEVMError, ValueError) as error:
        _fail(str(error))
    finally:
        close()
    show_measurements(Console(), measurements)
    if json_file is not None:
        figures = [measurement.to_dict() for measurement in measurements]
        json_file.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")


def _worker_counts(text: str) -> list[int]:
    counts = []
    for part in text.split(","):
        try:
            count = int(part)
        except ValueError:
            count = 0
        if count < 1:
            _fail(f"--workers: {part!r} is not a number of workers")
        counts.append(count)
    return counts


def main() -> None:
    """Entry point of the ``parallel-evm`` command."""
    app()


if __name__ == "__main__":
    main()
