"""Results as tables for people. Everything here takes plain results and a rich console."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from parallel_evm.bench import INCLUDED, Measurement
from parallel_evm.demo import Demonstration


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


def show_measurements(console: Console, measurements: Sequence[Measurement]) -> None:
    """One row per workload and side: times, ratios, energy."""
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
                f"{side.workers} x {side.backend}",
                f"{side.warm_ms:.2f}",
                f"[bold]{side.warm_ratio:.2f}[/bold]",
                f"{side.cold_ratio:.2f}",
                f"{side.cpu_ms:.2f}",
                f"{side.reexecuted:.1%}",
                f"{side.coordinator_us:.0f}",
            )
        table.add_section()
    console.print(table)
    if measurements:
        first = measurements[0]
        console.print(
            f"{first.transactions} transactions a block, medians of {first.blocks} warm blocks; "
            "ratio = sequential time / parallel time."
        )
    console.print(f"Included: {INCLUDED}.")
