"""Commands about equality: `conform` (ethereum/tests), `replay` (real blocks), `fuzz` (random).

Each hands the work to its engine in `parallel_evm.conformance` and shows what came of it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from parallel_evm.cli.manners import (
    BackendOption,
    JsonFileOption,
    WorkersOption,
    complain,
    fail,
    progress_bar,
    screen,
    working,
    written,
)
from parallel_evm.config import Backend, ParallelConfig
from parallel_evm.conformance.blocktests.discovery import discover, holds_cases
from parallel_evm.conformance.blocktests.results import CaseResult, Conformance, Verdict
from parallel_evm.conformance.blocktests.run import run_conformance
from parallel_evm.conformance.fetch import fetch_block
from parallel_evm.conformance.fuzz import Finding, FuzzReport, run_fuzz
from parallel_evm.conformance.parallel import Parallel
from parallel_evm.conformance.recorded import RecordedBlock
from parallel_evm.conformance.replay import BlockReplay, Unusable, run_replay
from parallel_evm.forks import FORKS
from parallel_evm.inputs import InputError
from parallel_evm.terminal import show_conformance, show_fuzzing, show_replays

BAD_INPUT = (Verdict.ERROR, Verdict.UNKNOWN_NETWORK)


def conform(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Test files, or folders that hold them."),
    ],
    workers: WorkersOption = None,
    backend: BackendOption = None,
    match: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only cases whose path or name contains TEXT (or *?)."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only N cases, of every folder and network."),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1, max=1_024, metavar="N", help="Files run side by side, each with workers."
        ),
    ] = 1,
    json_file: JsonFileOption = None,
) -> None:
    """Run ethereum/tests BlockchainTests through parallelized VMs.

    Every block goes down the parallel path. Valid blocks must be imported under the hash that the
    case gives, invalid ones refused in py-evm's words; the tip and the post-state must be right.
    What stock py-evm fails itself is listed by name and not counted.

    Exit code: 0 all equal, 1 a case failed, 2 input that cannot be used (the rest is run).

    Examples:

    ```
    parallel-evm conform ethereum-tests/BlockchainTests
    parallel-evm conform ethereum-tests --sample 150 --backend serial
    parallel-evm conform ethereum-tests --match CREATE2 --workers 4
    parallel-evm conform ethereum-tests --jobs 2 --workers 1 --json all.json
    ```
    """
    if "" in paths:  # what an unset variable leaves
        fail("a PATH is empty")
    with working() as say:
        say("looking for cases")
        discovery = discover([Path(path) for path in paths], match, sample)
    total = len(discovery.cases) + len(discovery.unusable)
    done = failed = 0
    with (
        _subject(workers, backend) as subject,
        progress_bar("conform", total) as advance,
    ):

        def hear(result: CaseResult) -> None:
            nonlocal done, failed
            done += 1
            failed += result.verdict is Verdict.FAILED
            advance(done, f"{done}/{total}, {failed} failed, {result.case}")

        found = run_conformance(discovery, subject, jobs, hear)
    with written(json_file, found.to_dict()):
        exit_code = _show_cases(found)
    if not found.results:
        matching = f" that matches {match!r}" if match is not None else ""
        complain(f"no case to run{matching} in {', '.join(paths)}")
    raise typer.Exit(exit_code)


def replay(
    blocks: Annotated[
        list[str],
        typer.Argument(
            metavar="BLOCK_FOLDER",
            help="Folders with block.json and prestate.json, cases of fuzz; with --rpc a NUMBER.",
        ),
    ],
    workers: WorkersOption = None,
    backend: BackendOption = None,
    fork: Annotated[
        str | None,
        typer.Option(metavar="F", help="The fork's rules. Default: by number and timestamp."),
    ] = None,
    rpc: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Fetch the block from this node (debug_trace*) first."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --rpc: keep the block in this folder."),
    ] = None,
    json_file: JsonFileOption = None,
) -> None:
    """Run real blocks sequentially and in parallel, and compare.

    A folder holds block.json (eth_getBlockByNumber with full transactions), prestate.json (geth's
    prestateTracer, or debug_traceBlockByNumber's list of it) and, if the block asks BLOCKHASH,
    block_hashes.json. Stock py-evm is held against the header, the parallel run against stock
    py-evm: receipts, logs, outputs, errors, state root. Cases that fuzz wrote are taken too, blocks
    and chains (these are run as conform runs them).

    Exit code: 0 all equal, 1 a difference, 2 input that cannot be used (the rest is run).

    Examples:

    ```
    parallel-evm replay mainnet/*
    parallel-evm replay mainnet/19932703 --workers 4 --json result.json
    parallel-evm replay differences/*.json --backend serial
    parallel-evm replay --rpc http://127.0.0.1:8545 19932703 --save blocks/19932703
    ```
    """
    if fork is not None and fork not in FORKS:
        fail(f"--fork: unknown fork {fork!r}; one of {', '.join(FORKS)}")
    if rpc is None and save is not None:
        fail("--save: there is nothing to save without --rpc")
    chains: list[Path] = []
    recorded: list[Path | RecordedBlock] = []
    if rpc is None:
        for path in map(Path, blocks):
            (chains if holds_cases(path) else recorded).append(path)
    else:
        recorded.append(_fetch(rpc, blocks, save, fork))
    tests = discover(chains)
    total = len(recorded) + len(tests.cases)
    done = 0
    with (
        _subject(workers, backend) as subject,
        progress_bar("replay", total) as advance,
    ):

        def hear(result: BlockReplay | Unusable | CaseResult) -> None:
            nonlocal done
            done += 1
            source = result.case if isinstance(result, CaseResult) else result.source
            advance(done, f"{done}/{total}, {source}")

        found = run_replay(recorded, subject, fork, hear)
        played = run_conformance(tests, subject, progress=hear)
    exit_codes = set()
    told = found.to_dict()
    if chains:
        told["equal"] &= played.count(Verdict.FAILED) == 0
        told["chains"] = played.to_dict()
    with written(json_file, told):
        if recorded:
            show_replays(screen(), found)
            exit_codes.add(found.exit_code)
        for result in found.results:
            if isinstance(result, Unusable):
                complain(result.reason)
        if chains:
            exit_codes.add(_show_cases(played))
    raise typer.Exit(1 if 1 in exit_codes else max(exit_codes))


def fuzz(
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="N",
            help="How long to go on, in wall time. Default: 60, or as long as --draws take.",
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only so many blocks and chains of the seed."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Another seed draws other blocks.")] = 0,
    workers: WorkersOption = None,
    backend: BackendOption = None,
    save: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where differences are written as cases.")
    ] = Path("differences"),
    json_file: JsonFileOption = None,
) -> None:
    """Run random blocks sequentially and in parallel, and keep what differs.

    Random and mutated bytecode, contracts that call, create and destroy each other, access lists,
    authorisations, blobs, precompiles, contracts that branch on what they see; single blocks, and
    chains in which a branch is overtaken. A difference is cut down to the smallest case that shows
    it and written as JSON, for replay.

    Exit code: 0 nothing found, 1 a difference, 2 input that cannot be used.

    Examples:

    ```
    parallel-evm fuzz
    parallel-evm fuzz --seconds 3600 --seed 7 --workers 4 --save found
    parallel-evm fuzz --draws 124 --seed 7
    parallel-evm replay found/block-7-121.json found/chain-7-123.json
    ```
    """
    if os.path.exists(save) and not os.path.isdir(save):
        fail(f"--save: {save} is not a folder")
    nearest = next(folder for folder in (save, *save.absolute().parents) if os.path.exists(folder))
    if not os.path.isdir(nearest) or not os.access(nearest, os.W_OK):
        # Asked now: there is no time to lose when something was found.
        where = "cannot be written to" if nearest == save else f"cannot be made in {nearest}"
        fail(f"--save: {save} {where}")
    cases: list[Path] = []
    longest = seconds or (60 if draws is None else math.inf)
    most = draws or math.inf
    with (
        _subject(workers, backend) as subject,
        progress_bar("fuzz", 1) as advance,
    ):

        def hear(report: FuzzReport) -> None:
            # Written as they are found: Ctrl-C loses nothing.
            cases.extend(_write(finding, save) for finding in report.findings[len(cases) :])
            done = max(report.seconds / longest, report.draws / most)
            advance(done, f"{report.blocks} blocks, {len(cases)} differences")

        found = run_fuzz(subject, longest, most, seed, hear)
    with written(json_file, found.to_dict()):
        show_fuzzing(screen(), found, cases)
    raise typer.Exit(found.exit_code)


@contextmanager
def _subject(workers: int | None, backend: Backend | None) -> Iterator[Parallel]:
    """The executor as it was asked for; its workers are gone at the end, whatever happened."""
    default = ParallelConfig()
    # Not `auto`, which would run most of these small blocks in this process: nothing to compare.
    chosen = backend or "process"
    with closing(Parallel(workers or default.workers, chosen)) as subject:
        yield subject


def _show_cases(found: Conformance) -> int:
    """Show what became of test cases, and a line for each that cannot be used; the exit code."""
    show_conformance(screen(), found)
    bad = [result for result in found.results if result.verdict in BAD_INPUT]
    for result in bad:
        complain(_where(result))
    return found.exit_code or (2 if bad else 0)


def _where(result: CaseResult) -> str:
    """Bad input in one line: file, case, field, reason."""
    case = result.case
    place = f"{case.file}::{case.name}" if case.name else str(case.file)
    field = "network: " if result.verdict is Verdict.UNKNOWN_NETWORK else ""
    return f"{place}: {field}{result.detail}"


def _fetch(
    url: str, numbers: Sequence[str], folder: Path | None, fork: str | None
) -> RecordedBlock:
    if len(numbers) != 1:
        fail("--rpc: takes one block NUMBER")
    try:
        number = int(numbers[0], 0)
    except ValueError:
        number = -1
    if number < 0:
        fail(f"--rpc: {numbers[0]!r} is not a block number")
    try:
        with working() as say:
            say(f"fetching block {number}")
            return fetch_block(url, number, folder, fork)
    except InputError as problem:
        fail(str(problem))
    except OSError as problem:
        fail(f"--save: {folder}: {problem.strerror}")


def _write(finding: Finding, folder: Path) -> Path:
    try:
        return finding.write(folder)
    except OSError as problem:
        fail(f"--save: {folder}: {problem.strerror}")
