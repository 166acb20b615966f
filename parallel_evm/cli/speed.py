"""Commands about speed: `demo` shows one block both ways, `bench` measures the workloads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from parallel_evm import close
from parallel_evm.bench.blocks import BlocksDiffer, Measurement, measure
from parallel_evm.bench.mainnet import Mainnet, measure_mainnet, recorded_blocks
from parallel_evm.bench.peers import Peer, find_anvil, measure_anvil
from parallel_evm.bench.single import Singles, measure_singles
from parallel_evm.cli.manners import (
    BackendOption,
    JsonFileOption,
    JsonFlag,
    WorkersOption,
    complain,
    fail,
    print_json,
    screen,
    working,
    write_json,
)
from parallel_evm.config import SWITCHES
from parallel_evm.demo import demonstrate
from parallel_evm.errors import ParallelEVMError
from parallel_evm.terminal import (
    show_demonstration,
    show_mainnet,
    show_measurements,
    show_singles,
)
from parallel_evm.workloads import names


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
        with working(json_output) as progress:
            found = demonstrate(
                transactions=transactions,
                workers=workers,
                backend=backend,
                seed=seed,
                progress=progress,
            )
    except (ParallelEVMError, ValueError) as error:
        fail(str(error))
    finally:
        close()
    if json_output:
        print_json(found.to_dict())
    else:
        show_demonstration(screen(), found)
    raise typer.Exit(0 if found.identical else 1)


def bench(
    workloads: Annotated[
        list[str] | None,
        typer.Argument(help="Workloads to measure. Default: all; with --mainnet, none."),
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
    mainnet: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Measure recorded blocks as well: a folder of such as replay takes.",
        ),
    ] = None,
    peers: Annotated[
        bool,
        typer.Option("--peers", help="Measure anvil as well (npm install @foundry-rs/anvil)."),
    ] = False,
    single: Annotated[
        bool,
        typer.Option(
            "--single",
            help="Measure single transactions as well: calls, gas estimates, pending blocks.",
        ),
    ] = False,
    translation_cache: Annotated[
        bool,
        typer.Option(
            "--translation-cache/--no-translation-cache",
            help="Use the translations of contracts that other processes have kept on disk.",
        ),
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SWITCH",
            help="Measure with this switched off as well, in the same run, to see what it is "
            f"worth: {', '.join(SWITCHES)}.",
        ),
    ] = None,
    json_file: JsonFileOption = None,
) -> None:
    """Measure against sequential py-evm, on the same blocks in the same run.

    Blocks are built once by stock py-evm and imported on all sides from their RLP; hashes are
    compared. Ratios above 1 mean that parallel-evm is faster. Without --backend, one worker runs
    in this process (serial), more as is measured to be best (auto). *Cold* is without translations
    from the disk, unless --translation-cache is given.

    With --mainnet, recorded blocks are replayed: cold at first sight, and warm --blocks times, with
    contracts translated but state read anew. Ratios are given per block, and their median.

    With --peers, anvil, a node in Rust, mines the same transactions from the same state; receipts
    and state are compared. Its time is that of evm_mine alone, which is less than import_block.

    With --single, the transactions of one more block are called, estimated, and applied one by one
    to a pending block, by py-evm and by a parallelized chain; answers are compared.

    Exit code: 0, 1 if any block differs, 2 for input that cannot be used.

    Examples:

    ```
    parallel-evm bench
    parallel-evm bench swaps erc20 --workers 1,2,4 --json figures.json
    parallel-evm bench --mainnet mainnet --workers 1,2
    parallel-evm bench swaps erc20 transfers --peers
    parallel-evm bench swaps --single --txs 50
    parallel-evm bench airdrop --workers 2 --backend process --without deltas --without lanes
    ```
    """
    chosen = workloads or ([] if mainnet is not None else list(names()))
    unknown = [name for name in chosen if name not in names()]
    if unknown:
        fail(f"no workload {unknown[0]!r}; there are {', '.join(names())}")
    for switch in without or ():
        if switch not in SWITCHES:
            fail(f"--without: there is no {switch!r}; there are {', '.join(SWITCHES)}")
    if without and mainnet is not None:
        fail("--without is for workloads, not for --mainnet")
    if single and not chosen:
        fail("--single is for workloads, not for --mainnet: name some")
    counts = _worker_counts(workers)
    measurements: list[Measurement] = []
    others: dict[str, Peer] = {}
    singles: dict[str, Singles] = {}
    real: Mainnet | None = None
    try:
        anvil = find_anvil() if peers else None
        recordings = [] if mainnet is None else recorded_blocks(mainnet)
        with working() as progress:
            for name in chosen:
                measurements.append(
                    measure(
                        name,
                        workers=counts,
                        transactions=transactions,
                        blocks=blocks,
                        backend=backend,
                        seed=seed,
                        translation_cache=translation_cache,
                        without=without or (),
                        progress=progress,
                    )
                )
                if anvil is not None:
                    others[name] = measure_anvil(
                        anvil,
                        name,
                        transactions=transactions,
                        blocks=blocks,
                        seed=seed,
                        progress=progress,
                    )
                if single:
                    singles[name] = measure_singles(
                        name,
                        transactions=transactions,
                        seed=seed,
                        translation_cache=translation_cache,
                        progress=progress,
                    )
            if recordings:
                real = measure_mainnet(
                    recordings,
                    workers=counts,
                    repeats=blocks,
                    backend=backend,
                    translation_cache=translation_cache,
                    progress=progress,
                )
    except BlocksDiffer as error:
        complain(f"DIFFERENCE in {name}: {error}")
        raise typer.Exit(1) from error
    except (ParallelEVMError, ValueError) as error:
        fail(str(error))
    finally:
        close()
    figures: list[dict[str, Any]] = [
        {
            **measurement.to_dict(),
            "peers": [other.to_dict() for other in (others.get(name),) if other],
            "single": singles[name].to_dict() if name in singles else None,
        }
        for name, measurement in zip(chosen, measurements, strict=True)
    ]
    if measurements:
        show_measurements(screen(), measurements, others)
        show_singles(screen(), singles)
    if real is not None:
        figures.append(real.to_dict())
        show_mainnet(screen(), real)
        for unusable in real.unusable:
            complain(unusable.reason)
    write_json(json_file, figures)
    raise typer.Exit(0 if real is None else real.exit_code)


def _worker_counts(text: str) -> list[int]:
    counts = []
    for part in text.split(","):
        try:
            count = int(part)
        except ValueError:
            count = 0
        if count < 1:
            fail(f"--workers: {part!r} is not a number of workers")
        counts.append(count)
    return counts
