"""Commands about speed: `demo` shows one block both ways, `bench` measures the workloads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from parallel_evm import close
from parallel_evm.bench.blocks import BlocksDiffer, Measurement, measure, prepare
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
    written,
)
from parallel_evm.config import MAX_WORKERS, SWITCHES, Backend
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
    chain, executes two blocks of mixed transactions sequentially and in parallel, and shows of the
    second one that the results are identical and what the difference in time is: the first one
    starts the workers and lets them learn (--json has its time, too). Exit code 1 if anything
    differs.
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
    stream: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Import N warm blocks after one another before it is the next side's turn, and "
            "let ours know the next block while they import one, as import_blocks does.",
        ),
    ] = 1,
    warm_up: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="With --mainnet: replay each block N times before the replays that count as warm, "
            "as in a process that has run for long.",
        ),
    ] = 0,
    json_file: JsonFileOption = None,
) -> None:
    """Measure against sequential py-evm, on the same blocks in the same run.

    Blocks are built once by stock py-evm and imported on all sides from their RLP; hashes are
    compared. Ratios above 1 mean that parallel-evm is faster. Without --backend, one worker runs
    in this process (serial), more as is measured to be best (auto). *Cold* is without translations
    from the disk, unless --translation-cache is given.

    With --stream N, blocks come as to somebody who has many of them: N in a row, timed as a whole,
    and while a block is imported, another process recovers the senders of the next one.

    With --mainnet, recorded blocks are replayed: cold at first sight, and warm --blocks times, with
    contracts translated, as far as a few replays make them hot (--warm-up makes more of them), but
    state read anew. Ratios are given per block, and their median.

    With --peers, anvil, a node in Rust, mines the same transactions from the same state; receipts
    and state are compared. Its time is that of evm_mine alone, which is less than import_block.

    With --single, the transactions of one more block are called, estimated, and applied one by one
    to a pending block, by py-evm and by a parallelized chain; answers are compared.

    Exit code: 0, 1 if any block differs, 2 for input that cannot be used.

    Examples:

    ```
    parallel-evm bench
    parallel-evm bench swaps erc20 --workers 1,2,4 --json figures.json
    parallel-evm bench transfers --blocks 32 --stream 8
    parallel-evm bench --mainnet mainnet --workers 1,2
    parallel-evm bench swaps erc20 transfers --peers
    parallel-evm bench swaps --single --txs 50
    parallel-evm bench airdrop --workers 2 --backend process --without deltas --without lanes
    ```
    """
    plan = _checked(
        _Plan(
            workloads=workloads or ([] if mainnet is not None else list(names())),
            workers=_worker_counts(workers),
            transactions=transactions,
            blocks=blocks,
            backend=backend,
            seed=seed,
            mainnet=mainnet,
            peers=peers,
            single=single,
            translation_cache=translation_cache,
            without=without or [],
            stream=stream,
            warm_up=warm_up,
        )
    )
    try:
        with working() as progress:
            figures, real = _measured(plan, progress)
    except (ParallelEVMError, ValueError) as error:
        fail(str(error))
    finally:
        close()
    told = [found.to_dict() for found in figures]
    if real is not None:
        told.append(real.to_dict())
    with written(json_file, told):
        _show(figures, real)
    raise typer.Exit(0 if real is None else real.exit_code)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What `bench` was asked for."""

    workloads: list[str]
    workers: list[int]
    transactions: int
    blocks: int
    backend: Backend | None
    seed: int
    mainnet: Path | None
    peers: bool
    single: bool
    translation_cache: bool
    without: list[str]
    stream: int
    warm_up: int


@dataclass(frozen=True, slots=True)
class _Figures:
    """One workload, by everything that was to be measured."""

    blocks: Measurement
    peer: Peer | None
    singles: Singles | None

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.blocks.to_dict(),
            "peers": [] if self.peer is None else [self.peer.to_dict()],
            "single": None if self.singles is None else self.singles.to_dict(),
        }


def _checked(plan: _Plan) -> _Plan:
    """The plan, if all of it can be done."""
    unknown = [name for name in plan.workloads if name not in names()]
    if unknown:
        fail(f"no workload {unknown[0]!r}; there are {', '.join(names())}")
    for switch in plan.without:
        if switch not in SWITCHES:
            fail(f"--without: there is no {switch!r}; there are {', '.join(SWITCHES)}")
    if plan.without and plan.mainnet is not None:
        fail("--without is for workloads, not for --mainnet")
    if plan.stream > 1 and plan.blocks % plan.stream:
        fail(f"--stream: {plan.blocks} warm blocks are no streams of {plan.stream} (see --blocks)")
    if plan.stream > 1 and plan.mainnet is not None:
        fail(
            "--stream is for workloads, not for --mainnet: recorded blocks do not follow each other"
        )
    if plan.warm_up and plan.mainnet is None:
        fail(
            "--warm-up is for --mainnet: of workloads, --blocks says how many come after the first"
        )
    if plan.single and not plan.workloads:
        fail("--single is for workloads, not for --mainnet: name some")
    return plan


def _measured(
    plan: _Plan, progress: Callable[[str], None]
) -> tuple[list[_Figures], Mainnet | None]:
    """The figures of each workload, and those of the recorded blocks."""
    # Asked for before anything is measured: it takes a while.
    anvil = find_anvil() if plan.peers else None
    recordings = [] if plan.mainnet is None else recorded_blocks(plan.mainnet)
    figures = []
    for name in plan.workloads:
        try:
            figures.append(_measured_workload(plan, name, anvil, progress))
        except BlocksDiffer as error:
            complain(f"DIFFERENCE in {name}: {error}")
            raise typer.Exit(1) from error
    if not recordings:
        return figures, None
    real = measure_mainnet(
        recordings,
        workers=plan.workers,
        repeats=plan.blocks,
        backend=plan.backend,
        translation_cache=plan.translation_cache,
        warm_up=plan.warm_up,
        progress=progress,
    )
    return figures, real


def _measured_workload(
    plan: _Plan, name: str, anvil: Path | None, progress: Callable[[str], None]
) -> _Figures:
    workload = prepare(
        name,
        transactions=plan.transactions,
        blocks=plan.blocks,
        seed=plan.seed,
        progress=progress,
    )
    blocks = measure(
        workload,
        workers=plan.workers,
        backend=plan.backend,
        translation_cache=plan.translation_cache,
        without=plan.without,
        stream=plan.stream,
        progress=progress,
    )
    peer = None if anvil is None else measure_anvil(anvil, workload, progress=progress)
    if not plan.single:
        return _Figures(blocks, peer, None)
    singles = measure_singles(
        name,
        transactions=plan.transactions,
        seed=plan.seed,
        translation_cache=plan.translation_cache,
        progress=progress,
    )
    return _Figures(blocks, peer, singles)


def _show(figures: Sequence[_Figures], real: Mainnet | None) -> None:
    if figures:
        peers = {found.blocks.workload: found.peer for found in figures if found.peer}
        singles = {found.blocks.workload: found.singles for found in figures if found.singles}
        show_measurements(screen(), [found.blocks for found in figures], peers)
        show_singles(screen(), singles)
    if real is not None:
        show_mainnet(screen(), real)
        for unusable in real.unusable:
            complain(unusable.reason)


def _worker_counts(text: str) -> list[int]:
    counts = []
    for part in text.split(","):
        try:
            count = int(part)
        except ValueError:
            count = 0
        if not 1 <= count <= MAX_WORKERS:
            fail(f"--workers: {part!r} is not a number of workers (1 to {MAX_WORKERS})")
        counts.append(count)
    return counts
