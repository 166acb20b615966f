"""Results as tables for people. Everything here takes plain results and a rich console."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from parallel_evm.bench import mainnet, peers
from parallel_evm.bench.blocks import Measurement
from parallel_evm.bench.mainnet import Mainnet
from parallel_evm.bench.peers import Peer
from parallel_evm.bench.single import Singles
from parallel_evm.conformance.blocktests.results import CaseResult, Conformance, Verdict
from parallel_evm.conformance.fuzz import FuzzReport
from parallel_evm.conformance.replay import BlockReplay, Replays
from parallel_evm.conformance.subject import Tally
from parallel_evm.demo import Demonstration

OTHERWISE = "and the executor otherwise"
REASON_WIDTH = 300
"""Why stock py-evm fails a case can be long; the JSON has it in full."""


def _shorter(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 9] + "…" + text[-8:]


def _mark(good: bool) -> str:
    return "[green]identical[/green]" if good else "[bold red]DIFFERENT[/bold red]"


def show_demonstration(console: Console, found: Demonstration) -> None:
    """The demonstration's result: equality, speed, and where the heat is."""
    table = Table(
        title=f"{found.workload}: {found.transactions} transactions on {found.contracts} contracts",
        title_justify="left",
        show_header=True,
        caption=f"the second block; the first one took {found.first_seconds:.3f} s in parallel",
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("sequential py-evm", justify="right")
    table.add_column(f"parallel, {found.workers} x {found.backend}", justify="right")
    table.add_row("block hash", "", _mark(found.same_hash))
    table.add_row("receipts", "", _mark(found.same_receipts))
    table.add_row("logs", "", _mark(found.same_logs))
    table.add_row("seconds", f"{found.sequential_seconds:.3f}", f"{found.parallel_seconds:.3f}")
    table.add_row(
        "transactions per second",
        f"{found.transactions / found.sequential_seconds:,.0f}",
        f"{found.transactions / found.parallel_seconds:,.0f}",
    )
    table.add_row("speedup", "1.00", f"[bold]{found.speedup:.2f}[/bold]")
    table.add_row("executions", f"{found.transactions}", f"{found.executions}")
    table.add_row("of these, repeated", "0", f"{found.reexecutions}")
    console.print(table)
    heat = Table(title="hottest storage slots", title_justify="left")
    heat.add_column("contract")
    heat.add_column("slot")
    heat.add_column("read by", justify="right")
    heat.add_column("written by", justify="right")
    for slot in found.hottest:
        heat.add_row(slot.contract, _shorter(slot.slot, 22), str(slot.readers), str(slot.writers))
    console.print(heat)


def show_measurements(
    console: Console, measurements: Sequence[Measurement], others: Mapping[str, Peer]
) -> None:
    """One row per workload and side: times, ratios, energy. ``others``: by workload."""
    table = Table(title="parallel-evm bench", title_justify="left")
    table.add_column("workload")
    table.add_column("workers", justify="right")
    table.add_column("ms/tx", justify="right")
    table.add_column("ratio warm", justify="right")
    table.add_column("ratio cold", justify="right")
    table.add_column("CPU ms/tx", justify="right")
    table.add_column("run again", justify="right")
    table.add_column("coordinator µs/tx", justify="right")
    for found in measurements:
        table.add_row(
            found.workload,
            "py-evm",
            f"{found.sequential_ms:.2f}",
            "1.00",
            "1.00",
            f"{found.sequential_cpu_ms:.2f}",
            "",
            "",
        )
        for side in found.sides:
            table.add_row(
                "",
                f"{side.workers} x {side.backend}"
                + (f", no {side.without}" if side.without else ""),
                f"{side.warm_ms:.2f}",
                f"[bold]{side.warm_ratio:.2f}[/bold]",
                "" if side.cold_ratio is None else f"{side.cold_ratio:.2f}",
                f"{side.cpu_ms:.2f}",
                f"{side.reexecuted:.1%}",
                f"{side.coordinator_us:.0f} + {side.finishing_us:.0f}",
            )
        other = others.get(found.workload)
        if other is not None:
            table.add_row(
                "",
                other.name,
                f"{other.warm_ms:.2f}",
                f"{found.sequential_ms / other.warm_ms:.2f}",
                f"{found.sequential_cold_ms / other.cold_ms:.2f}",
            )
        table.add_section()
    console.print(table)
    if measurements:
        first = measurements[0]
        console.print(
            f"{first.transactions} transactions a block, medians of {first.turns}; "
            "ratio = sequential time / parallel time. Coordinator: its own time for forecasts, "
            "lanes, judging, folding + for storage tries, receipts, waiting for the list."
        )
        console.print(f"Included: {first.included}.")
    for version in sorted({other.version for other in others.values()}):
        console.print(f"{version}: {peers.INCLUDED}.")


def show_singles(console: Console, singles: Mapping[str, Singles]) -> None:
    """One row per workload: what a call, an estimate, a step of a pending block take."""
    if not singles:
        return
    first = next(iter(singles.values()))
    table = Table(title="single transactions", title_justify="left")
    table.add_column("workload")
    for asked in first.asked:
        table.add_column(f"{asked.operation}, py-evm ms", justify="right")
        table.add_column("ms", justify="right")
        table.add_column("ratio", justify="right")
    for name, found in singles.items():
        cells = [
            cell
            for asked in found.asked
            for cell in (
                f"{asked.sequential_ms:.2f}",
                f"{asked.ms:.2f}",
                f"[bold]{asked.ratio:.2f}[/bold]",
            )
        ]
        table.add_row(name, *cells)
    console.print(table)
    _say(console, f"Medians over {first.transactions} transactions, one at a time.")
    _say(console, f"Included: {first.included}.")


def show_mainnet(console: Console, found: Mainnet) -> None:
    """One row per block: its size, py-evm's time, and for each side how much faster it is."""
    table = Table(title="mainnet blocks, ratio to py-evm", title_justify="left")
    table.add_column("block", justify="right", no_wrap=True, footer="median")
    table.add_column("fork", no_wrap=True, footer=f"{mainnet.SUBSTANTIAL}+ txs")
    for heading in ("txs", "Mgas", "py-evm ms"):
        table.add_column(heading, justify="right")
    for side in found.sides:
        for heading, ratios in (
            ("warm", side.ratios(cold=False)),
            ("cold", side.ratios(cold=True)),
        ):
            footer = f"[bold]{statistics.median(ratios):.2f}[/bold]" if ratios else ""
            name = f"{side.workers} x {side.backend}, {heading}"
            table.add_column(name, justify="right", footer=footer)
    table.show_footer = True
    for blocks in zip(*(side.replays.blocks for side in found.sides), strict=True):
        first = blocks[0]
        cells = [
            f"{block.sequential_seconds / seconds:.2f}"
            for block in blocks
            for seconds in (block.warm_seconds, block.cold_seconds)
        ]
        times = [block.sequential_seconds for block in blocks]
        table.add_row(
            str(first.number),
            first.fork,
            str(first.transactions),
            f"{first.gas_used / 1e6:.2f}",
            f"{statistics.median(times) * 1e3:.0f}",
            *cells,
        )
    console.print(table)
    for side in found.sides:
        for block in side.replays.blocks:
            for check in block.differences:
                _say(console, f"DIFFERENT: {block.source}: {check.name}: {check.detail}")
    later = f"{found.warm_up} more" if found.warm_up else "it"
    _say(console, f"cold: first sight; warm: median of {found.repeats} replays after {later}.")
    _say(console, f"Included: {found.included}.")


def show_conformance(console: Console, found: Conformance) -> None:
    """Verdicts by folder and by network, and every case that did not pass, by name."""
    if found.results:
        _show_verdicts(console, "folder", found.by_folder())
        _show_verdicts(console, "network", found.by_network())
    for verdict in (Verdict.STOCK_FAILS, Verdict.FAILED):
        for result in found.results:
            if result.verdict is verdict:
                _say(console, _told(result))
    counted = ", ".join(
        f"{found.count(verdict)} {_VERDICTS[verdict]}"
        for verdict in Verdict
        if found.count(verdict) or verdict in (Verdict.PASSED, Verdict.FAILED)
    )
    differing = sum(result.differs_from_stock for result in found.results)
    if differing:
        counted += f" ({differing} of them {OTHERWISE})"
    _say(
        console, f"{found.subject}: {len(found.results)} cases in {found.seconds:.1f} s: {counted}"
    )
    _say(console, _execution(found.tally))


_VERDICTS = {
    Verdict.PASSED: "passed",
    Verdict.FAILED: "failed",
    Verdict.STOCK_FAILS: "stock fails",
    Verdict.UNKNOWN_NETWORK: "unknown network",
    Verdict.ERROR: "unusable",
}


def _show_verdicts(console: Console, what: str, rows: Mapping[str, Counter[Verdict]]) -> None:
    total = sum(rows.values(), Counter[Verdict]())
    shown = [
        verdict
        for verdict in Verdict
        if total[verdict] or verdict in (Verdict.PASSED, Verdict.FAILED)
    ]
    table = Table(show_footer=True)
    table.add_column(what, "all")
    for verdict in shown:
        table.add_column(_VERDICTS[verdict], str(total[verdict]), justify="right")
    for name, counts in rows.items():
        cells = [str(counts[verdict] or "") for verdict in shown]
        table.add_row(
            name or "(unreadable)", *cells, style="bold red" * bool(counts[Verdict.FAILED])
        )
    console.print(table)


def _told(result: CaseResult) -> str:
    word = _VERDICTS[result.verdict]
    if result.differs_from_stock:
        word += f", {OTHERWISE}"
    case = result.case
    failed = result.verdict is Verdict.FAILED
    detail = result.detail if failed else _shorter(result.detail, REASON_WIDTH)
    return f"{word}: {case.file}::{case.name} ({case.network}): {detail}"


def show_replays(console: Console, found: Replays) -> None:
    """One row per block: size, equality, times, re-executions; then every difference."""
    if found.blocks:
        _show_blocks(console, found)
    for block in found.blocks:
        for check in block.differences:
            _say(console, f"DIFFERENT: {block.source}: {check.name}: {check.detail}")
    for reason, numbers in _grouped(
        (f"{check.name} ({check.detail})", block.number)
        for block in found.blocks
        for check in block.not_compared
    ).items():
        _say(console, f"not compared with the header: {reason}: {_blocks(numbers, found.blocks)}")
    for reason, numbers in _grouped(
        (reason, block.number) for block in found.blocks for reason in block.warm.fallbacks
    ).items():
        _say(console, f"run sequentially: {reason}: {_blocks(numbers, found.blocks)}")


def _show_blocks(console: Console, found: Replays) -> None:
    # Nine columns in the eighty of a narrow terminal.
    table = Table(
        title=found.subject,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
    )
    table.add_column("block", justify="right", no_wrap=True)
    table.add_column("fork", no_wrap=True)
    for heading in ("txs", "Mgas"):
        table.add_column(heading, justify="right")
    table.add_column("result", no_wrap=True)
    for heading in ("py-evm", "cold", "warm", "again"):
        table.add_column(heading, justify="right", min_width=6)
    for block in found.blocks:
        table.add_row(
            str(block.number),
            block.fork,
            str(block.transactions),
            f"{block.gas_used / 1e6:.2f}",
            _mark(block.equal),
            f"{block.sequential_seconds:.3f}",
            f"{block.cold_seconds:.3f}",
            f"{block.warm_seconds:.3f}",
            f"{block.cold.re_executions}, {block.warm.re_executions}",
        )
    console.print(table)
    _say(
        console,
        "py-evm, cold, warm: seconds, the executor's first and second time; "
        "again: transactions executed more than once, cold and warm",
    )


def _grouped(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _blocks(numbers: Sequence[int], of: Sequence[BlockReplay]) -> str:
    if len(numbers) == len(of) > 1:
        return "all blocks"
    return "block " + ", ".join(map(str, numbers))


def show_fuzzing(console: Console, found: FuzzReport, cases: Sequence[Path]) -> None:
    """How much was tried, on which forks; each difference with the case that shows it."""
    table = Table(
        title=f"{found.subject}, seed {found.seed}", title_justify="left", show_header=False
    )
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("draws", f"{found.draws:,}")
    table.add_row("blocks", f"{found.blocks:,}")
    table.add_row("of these, refused by py-evm", f"{found.refused:,}")
    table.add_row("transactions", f"{found.transactions:,}")
    table.add_row("seconds", f"{found.seconds:.1f}")
    table.add_row("differences", _count(len(found.findings)))
    table.add_section()
    for fork, count in found.forks.most_common():
        table.add_row(fork, f"{count:,}")
    console.print(table)
    for finding, case in zip(found.findings, cases, strict=True):
        alone = "" if finding.alone else " (not when run alone)"
        checks = "; ".join(f"{check.name}: {check.detail}" for check in finding.checks)
        _say(console, f"DIFFERENT{alone}: {case}: {checks}")
    _say(console, _execution(found.tally))


def _count(number: int) -> str:
    return "[green]none[/green]" if number == 0 else f"[bold red]{number}[/bold red]"


def _execution(tally: Tally) -> str:
    """Proof that the parallel path was taken, and why it was not where it was not."""
    reasons = "".join(f"; {count} not: {why}" for why, count in tally.fallbacks.items())
    return (
        f"{tally.parallel:,} of {tally.blocks:,} blocks with transactions ran in parallel, "
        f"{tally.re_executions:,} transactions were run again{reasons}"
    )


def _say(console: Console, text: str) -> None:
    """A line as it is, however long: names and reasons are to be copied and searched."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
